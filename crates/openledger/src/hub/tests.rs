//! Against a server of a few lines that ends connections early, ignores ranges and lies, as asked.

use super::*;
use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// How the server treats requests for weights.
#[derive(Clone, Copy, Default)]
struct Behaviour {
    /// Bytes of a body after which the connection ends.
    cut: Option<usize>,
    /// Whether ranges are ignored.
    ignores_ranges: bool,
    /// Requests that are answered with 503 first.
    unavailable: usize,
    /// Whether a byte of the weights is not what the checksum says.
    lies: bool,
}

struct Server {
    address: String,
    /// Paths asked for, with the range.
    requests: Arc<Mutex<Vec<String>>>,
}

fn weights() -> Vec<u8> {
    (0..100_000u64).map(|i| (i * i % 251) as u8).collect()
}

fn description() -> String {
    let config = b"{}";
    let (mut blob, mut large) = (Sha1::new(), <Sha256 as sha2::Digest>::new());
    blob.update(b"blob 2\0");
    blob.update(config);
    sha2::Digest::update(&mut large, weights());
    let (blob, large) = (hex::encode(blob.finalize()), hex::encode(sha2::Digest::finalize(large)));
    format!(
        r#"{{"sha": "0123456789abcdef", "siblings": [
            {{"rfilename": "config.json", "size": 2, "blobId": "{blob}"}},
            {{"rfilename": "README.md", "size": 9, "blobId": "{blob}"}},
            {{"rfilename": "../../.bashrc", "size": 2, "blobId": "{blob}"}},
            {{"rfilename": "pytorch_model.bin", "size": 9, "lfs": {{"sha256": "{large}", "size": 9}}}},
            {{"rfilename": "model.safetensors", "size": 133, "blobId": "x", "lfs": {{"sha256": "{large}", "size": 100000}}}}]}}"#
    )
}

impl Server {
    fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut refused) = (requests.clone(), behaviour.unavailable);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, behaviour, &mut refused, &seen);
            }
        });
        Server { address, requests }
    }

    fn hub(&self) -> Hub {
        Hub { pause: Duration::from_millis(1), ..Hub::new(&self.address, None).expect("a client") }
    }

    fn fetch(&self, folder: &Path) -> anyhow::Result<Fetched> {
        let reference = Reference::parse("someone/small").expect("a name");
        crate::command::runtime()?.block_on(self.hub().fetch(&reference, folder, &mut |_, _, _| {}))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

fn answer(mut stream: TcpStream, behaviour: Behaviour, refused: &mut usize, seen: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    let range = headers.iter().find_map(|h| h.to_lowercase().strip_prefix("range: bytes=").map(String::from));
    let start =
        range.as_deref().and_then(|r| r.strip_suffix('-')).and_then(|s| s.parse().ok()).unwrap_or(0usize);
    seen.lock().expect("not poisoned").push(format!("{path} {start}"));
    let is_weights = path.ends_with("/resolve/0123456789abcdef/model.safetensors");
    if is_weights && *refused > 0 {
        *refused -= 1;
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let mut body = match path.as_str() {
        p if p.starts_with("/api/models/someone/small/revision/main") => description().into_bytes(),
        p if p.ends_with("/config.json") => b"{}".to_vec(),
        _ if is_weights => weights(),
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
    };
    if behaviour.lies && is_weights {
        body[77_777] ^= 1;
    }
    let (status, from) =
        if start > 0 && !behaviour.ignores_ranges { ("206 Partial Content", start) } else { ("200 OK", 0) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nConnection: close\r\n\r\n",
        body.len() - from,
        body.len() - 1,
        body.len()
    );
    let end = behaviour.cut.filter(|_| is_weights).map_or(body.len(), |cut| (from + cut).min(body.len()));
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[from..end]);
}

#[test]
fn connections_that_end_early_are_resumed_with_ranges_until_the_checksum_holds() {
    let (server, folder) = (
        Server::start(Behaviour { cut: Some(40_000), ..Behaviour::default() }),
        tempfile::tempdir().expect("temp"),
    );
    let fetched = server.fetch(folder.path()).expect("fetched");
    assert_eq!(fetched.files, ["config.json", "model.safetensors"]);
    assert_eq!(fs::read(folder.path().join("model.safetensors")).expect("there"), weights());
    let asked: Vec<String> = server
        .requests()
        .into_iter()
        .filter(|r| r.contains("safetensors"))
        .map(|r| r.split(' ').next_back().unwrap_or_default().into())
        .collect();
    assert_eq!(asked, ["0", "40000", "80000"]);
    assert_eq!(fetched.bytes, 100_002);
    // Again: everything is there and holds.
    assert_eq!(server.fetch(folder.path()).expect("there").bytes, 0);
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        2,
        "no parts, and nothing but what an import reads"
    );
}

#[test]
fn a_part_of_an_earlier_process_goes_on_and_one_that_is_wrong_is_thrown_away() {
    let (server, folder) = (Server::start(Behaviour::default()), tempfile::tempdir().expect("temp"));
    let part = folder.path().join("model.safetensors.0123456789abcdef.part");
    fs::write(&part, &weights()[..60_000]).expect("written");
    assert_eq!(server.fetch(folder.path()).expect("fetched").bytes, 40_002);
    fs::remove_file(folder.path().join("model.safetensors")).expect("removed");
    fs::write(&part, [0; 50_000]).expect("written");
    let error = format!("{:#}", server.fetch(folder.path()).expect_err("not these bytes"));
    assert!(error.contains("checksum") && !part.exists(), "{error}");
    server.fetch(folder.path()).expect("from the start");
}

#[test]
fn a_server_without_ranges_or_that_is_busy_is_waited_for() {
    let behaviour = Behaviour { ignores_ranges: true, unavailable: 2, ..Behaviour::default() };
    let (server, folder) = (Server::start(behaviour), tempfile::tempdir().expect("temp"));
    fs::write(folder.path().join("model.safetensors.0123456789abcdef.part"), [7; 10]).expect("written");
    server.fetch(folder.path()).expect("fetched");
    assert_eq!(fs::read(folder.path().join("model.safetensors")).expect("there"), weights());
}

#[test]
fn what_cannot_be_fetched_says_why() {
    let (server, folder) =
        (Server::start(Behaviour { lies: true, ..Behaviour::default() }), tempfile::tempdir().expect("temp"));
    let error = format!("{:#}", server.fetch(folder.path()).expect_err("a lie"));
    assert!(error.contains("checksum"), "{error}");
    assert!(!folder.path().join("model.safetensors").exists());
    let refused = Server::start(Behaviour { unavailable: 100, ..Behaviour::default() });
    let error = format!("{:#}", refused.fetch(folder.path()).expect_err("always busy"));
    assert!(error.contains("503") && error.contains("run again"), "{error}");
    let other = Reference::parse("someone/other").expect("a name");
    let runtime = crate::command::runtime().expect("a runtime");
    let error =
        runtime.block_on(server.hub().fetch(&other, folder.path(), &mut |_, _, _| {})).expect_err("unknown");
    assert!(format!("{error:#}").contains("no such model"), "{error:#}");
    for bad in ["", "a/b/c", "../x", "a/..", "a b", "a/b@", "a/b@x/y", "http://x"] {
        assert!(Reference::parse(bad).is_err(), "{bad}");
    }
}
