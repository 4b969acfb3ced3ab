//! Processes, and how to talk to them.

use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Password of every key in the tests.
pub const PASSWORD: &str = "a password of the tests";
/// How long a process may take to get somewhere: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test.
pub fn openledger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openledger"));
    command.env("OPENLEDGER_PASSWORD", PASSWORD).env_remove("OPENLEDGER_HOME").env_remove("OPENLEDGER_RPC");
    command.env_remove("OPENLEDGER_API").env_remove("OPENLEDGER_GENESIS").env_remove("OPENLEDGER_CONFIG");
    command
}

/// A port that is free now.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

/// What the demo left behind: a network, a trained model with its cache, three paid answers. Made once for all tests.
pub struct Demo {
    /// Its folder.
    pub folder: PathBuf,
    /// The last line of `--exit --json`.
    pub report: Value,
    _scratch: TempDir,
}

/// Runs the demo on the tiny corpus, once.
pub fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let scratch = tempfile::tempdir().expect("a folder");
        let (data, folder) = (scratch.path().join("data"), scratch.path().join("demo"));
        crate::corpus::write(&data);
        let output = openledger()
            .args(["demo", "--exit", "--json", "--rpc", "127.0.0.1:0", "--api", "127.0.0.1:0"])
            .args(["--pages", "127.0.0.1:0", "--ask", "Always keep the soil near", "--ask", "The tide"])
            .arg("--data")
            .arg(&data)
            .arg("--dir")
            .arg(&folder)
            .output()
            .expect("the binary runs");
        let stdout = succeeded("demo", &output);
        let report = serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("a JSON report");
        Demo { folder, report, _scratch: scratch }
    })
}

/// Standard output of a command that must have succeeded.
pub fn succeeded(what: &str, output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// A copy of the demo's network with its processes, and a user's folder.
pub struct World {
    scratch: TempDir,
    /// Where JSON-RPC answers.
    pub rpc: SocketAddr,
    /// Where the API answers.
    pub api: SocketAddr,
    node: Option<Child>,
    operator: Option<Child>,
}

impl World {
    /// A copy of the demo with nothing running; its reserve is imported as `reserve`.
    pub fn new() -> World {
        let scratch = tempfile::tempdir().expect("a folder");
        copy(&demo().folder, &scratch.path().join("demo"));
        let world = World { scratch, rpc: free_port(), api: free_port(), node: None, operator: None };
        let mnemonic = std::fs::read_to_string(world.demo().join("mnemonic")).expect("the demo's words");
        world.import("reserve", &mnemonic);
        world
    }

    /// The copy of the demo.
    pub fn demo(&self) -> PathBuf {
        self.scratch.path().join("demo")
    }

    /// Any other path of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The binary with this world's addresses in its environment.
    pub fn command(&self) -> Command {
        let mut command = openledger();
        command.env("OPENLEDGER_HOME", self.path("home"));
        command
            .env("OPENLEDGER_RPC", self.rpc.to_string())
            .env("OPENLEDGER_API", format!("http://{}", self.api));
        command.env("OPENLEDGER_GENESIS", self.demo().join("node/genesis.json"));
        command
    }

    /// Runs a user's command.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the binary runs")
    }

    /// Runs a user's command that must succeed; its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        succeeded(&arguments.join(" "), &self.try_run(arguments))
    }

    /// Runs a user's command for its JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.try_run(&[&["--json"], arguments].concat());
        let stdout = succeeded(&arguments.join(" "), &output);
        serde_json::from_str(stdout.trim()).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    fn import(&self, name: &str, secret: &str) {
        let mut child = self
            .command()
            .args(["wallet", "import", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("written");
        succeeded("wallet import", &child.wait_with_output().expect("ends"));
    }

    fn spawn(&self, what: &str, mut command: Command) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(what)).expect("a log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        // The first line says that it answers.
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("readable");
        if line.is_empty() {
            let status = child.wait().expect("ends");
            panic!("{what} {status}: {}", std::fs::read_to_string(self.path(what)).unwrap_or_default());
        }
        child
    }

    /// Starts the node.
    pub fn start_node(&mut self) {
        let mut command = self.command();
        command.args(["node", "--rpc", &self.rpc.to_string(), "--data-dir"]).arg(self.demo().join("node"));
        self.node = Some(self.spawn("node.log", command));
        self.wait("a block", || self.rpc_call("eth_blockNumber", json!([])).as_str() != Some("0x0"));
    }

    /// Starts the operator of the demo's model.
    pub fn start_operator(&mut self) {
        self.serve(&[self.demo()]);
    }

    /// Starts the operator of these models.
    pub fn serve(&mut self, models: &[PathBuf]) {
        let mut command = self.command();
        command.args(["model", "serve", "--key", "operator", "--listen", &self.api.to_string()]);
        command.args(["--settle-every", "1"]).args(models);
        self.operator = Some(self.spawn("operator.log", command));
    }

    /// Kills the node as a power cut would.
    pub fn kill_node(&mut self) {
        kill(&mut self.node);
    }

    /// Kills the operator as a power cut would.
    pub fn kill_operator(&mut self) {
        kill(&mut self.operator);
    }

    /// Stops the operator as its supervisor would, and waits until it has ended.
    pub fn stop_operator(&mut self) {
        let Some(mut operator) = self.operator.take() else { return };
        let asked = Command::new("kill").arg(operator.id().to_string()).status().expect("kill runs");
        assert!(asked.success());
        assert!(operator.wait().expect("ends").success(), "an operator that is asked to stop ends well");
    }

    /// Waits until something holds.
    pub fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let log = |name| std::fs::read_to_string(self.path(name)).unwrap_or_default();
            assert!(
                start.elapsed() < PATIENCE,
                "{what} did not come\n{}\n{}",
                log("node.log"),
                log("operator.log")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The result of a JSON-RPC call; null when there is none.
    pub fn rpc_call(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        http(self.rpc, "POST", "/", &body).map_or(Value::Null, |mut reply| reply["result"].take())
    }

    /// A document of the operator's API; null when there is none.
    pub fn get(&self, path: &str) -> Value {
        http(self.api, "GET", path, "").unwrap_or(Value::Null)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_operator();
        self.kill_node();
    }
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return serde_json::from_str(&unchunked(body)?).ok();
    }
    serde_json::from_str(body).ok()
}

fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole += rest.get(..size)?;
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}
