//! A real S3 server behind a proxy that misbehaves: requests that nobody answers, connections cut in the middle of a write or of an
//! answer, overload, listings of yesterday.
//!
//! Needs a server of one's own, hence ignored: docs/testing/vault.md has the command. `OPENLEDGER_S3_SERVER` is a program that takes
//! `-H HOST -p PORT` and serves S3 there, such as `moto_server` (PyPI).

use crate::fixture::{Bench, NOW, bench, documents};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vault::crypt::keys::Keyring;
use vault::store::place::{Place, S3Place};
use vault::store::{Store, StoreError, contract};
use vault::vault::erase::EraseOptions;
use vault::vault::import::ImportOptions;
use vault::vault::layout;
use vault::{Vault, VaultError};

/// How long a store waits for an answer where some never come; whatever is asked there is answered much sooner.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long it waits elsewhere, however busy the machine is.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// How often it asks where some answers never come.
const ATTEMPTS: u32 = 12;

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let program = std::env::var("OPENLEDGER_S3_SERVER").expect("OPENLEDGER_S3_SERVER names a program");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Server { child, address }
    }

    /// Sends a request without a signature; returns the whole answer.
    fn raw(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: s3\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn bucket(&self, name: &str) {
        let answer = self.raw("PUT", &format!("/{name}"), "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the proxy does to one request.
#[derive(Clone, Debug)]
enum Fault {
    /// Nothing.
    None,
    /// It is swallowed.
    Silent,
    /// The server does it, the answer is swallowed.
    SilentAfter,
    /// The server gets half of it, then the connection is cut.
    CutRequest,
    /// Half of the answer, then the connection is cut.
    CutAnswer,
    /// Overload.
    Busy,
    /// This answer instead of the server's.
    Instead(Vec<u8>),
}

type Plan = Box<dyn FnMut(&str) -> Fault + Send>;

/// Passes requests on, each by what the plan says of its first line.
struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    /// First line of every request, and the answer to it.
    seen: Arc<Mutex<Vec<(String, Vec<u8>)>>>,
}

impl Proxy {
    fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let seen: Arc<Mutex<Vec<(String, Vec<u8>)>>> = Arc::default();
        let (plans, notes) = (plan.clone(), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (plan, seen) = (plans.clone(), notes.clone());
                std::thread::spawn(move || {
                    let _ = pass(stream, server, &plan, &seen);
                });
            }
        });
        Proxy { address, plan, seen }
    }

    fn plan(&self, plan: impl FnMut(&str) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    fn place(&self, bucket: &str, prefix: &str) -> S3Place {
        let name = format!("s3://{bucket}/{prefix}");
        let Place::S3(place) = Place::parse(&name, Some(&format!("http://{}", self.address))).unwrap() else {
            panic!("a bucket")
        };
        S3Place { timeout: LONG_PATIENCE, ..place }
    }

    fn store(&self, bucket: &str, prefix: &str) -> Box<dyn Store> {
        Place::S3(self.place(bucket, prefix)).open().unwrap()
    }
}

/// One request of a connection; it is closed after it.
fn pass(
    mut client: TcpStream,
    server: SocketAddr,
    plan: &Mutex<Plan>,
    seen: &Mutex<Vec<(String, Vec<u8>)>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(at) = request.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let mut part = [0; 4096];
        match client.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&part[..count]),
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let first = text.lines().next().unwrap_or("").to_string();
    let length = text
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut rest = vec![0; (head + length.unwrap_or(0usize)).saturating_sub(request.len())];
    client.read_exact(&mut rest)?;
    request.extend_from_slice(&rest);
    request.splice(head - 2..head - 2, *b"Connection: close\r\n");
    let fault = (plan.lock().unwrap())(&first);
    match &fault {
        Fault::Silent => {
            std::thread::sleep(3 * PATIENCE);
            return Ok(());
        }
        Fault::Busy => {
            let body = "<Error><Code>SlowDown</Code></Error>";
            let length = body.len();
            write!(
                client,
                "HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )?;
            return Ok(());
        }
        Fault::Instead(answer) => return client.write_all(answer),
        _ => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    if matches!(fault, Fault::CutRequest) {
        // Of a write half its body, of anything else half its head.
        let half = if head < request.len() - 19 { (head + request.len()) / 2 } else { head / 2 };
        return upstream.write_all(&request[..half]);
    }
    upstream.write_all(&request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    seen.lock().unwrap().push((first, answer.clone()));
    match fault {
        Fault::SilentAfter => std::thread::sleep(3 * PATIENCE),
        Fault::CutAnswer => client.write_all(&answer[..answer.len() / 2])?,
        _ => client.write_all(&answer)?,
    }
    Ok(())
}

fn sources(vault: &Vault, ring: &Keyring) -> Vec<String> {
    let mut all = Vec::new();
    for contribution in vault.contributions() {
        let mut items = vault.items(&contribution.id, ring).unwrap();
        all.extend(items.iter().map(|item| item.unwrap().meta.source));
    }
    all.sort();
    all
}

fn small(bench: &Bench) -> ImportOptions {
    ImportOptions { segment_bytes: 1500, ..bench.options.clone() }
}

#[test]
#[ignore = "starts an S3 server: docs/testing/vault.md"]
fn a_vault_on_a_real_s3_server_survives_its_faults() {
    let server = Server::start();
    let proxy = Proxy::start(server.address);
    for part in [
        it_behaves,
        faults_cost_time_only,
        an_unreachable_server_is_named,
        stale_listings_hide_nothing,
        two_writers_do_not_mix,
        erasure_leaves_nothing,
    ] {
        part(&server, &proxy);
        proxy.plan(|_| Fault::None);
    }
}

/// What every store must do, and what only this one can say.
fn it_behaves(server: &Server, proxy: &Proxy) {
    server.bucket("behaves");
    let store = proxy.store("behaves", "a/vault");
    contract::behaves(store.as_ref());
    assert!(!store.is_settled("a/2").unwrap(), "too young to be garbage");
    // More than one page of a listing.
    for i in 0..1005 {
        store.create(&format!("many/{i:04}"), b"").unwrap();
    }
    assert_eq!(store.list("many/").unwrap().len(), 1005);
    // Another folder of the bucket is another vault.
    assert_eq!(proxy.store("behaves", "a/vaul").list("").unwrap(), Vec::<String>::new());

    let missing = proxy.store("no-such-bucket", "x").create("a", b"").unwrap_err();
    assert!(missing.to_string().contains("no such bucket"), "{missing}");
    server.bucket("versioned");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    assert!(server.raw("PUT", "/versioned?versioning", on).starts_with("HTTP/1.1 200"));
    let refused = proxy.store("versioned", "x").create("a", b"").unwrap_err();
    assert!(refused.to_string().contains("old versions"), "{refused}");
}

/// Faults of every kind, one after the other, through a whole import: it ends well, and everything is there once.
fn faults_cost_time_only(server: &Server, proxy: &Proxy) {
    server.bucket("faults");
    let impatient = S3Place { timeout: PATIENCE, attempts: ATTEMPTS, ..proxy.place("faults", "vault") };
    let mut bench = bench(Place::S3(impatient).open().unwrap());
    let ring = bench.ring();
    let injected = Arc::new(Mutex::new(BTreeSet::new()));
    let (notes, mut number) = (injected.clone(), 0);
    proxy.plan(move |line| {
        number += 1;
        let fault = match number % 9 {
            1 => Fault::Silent,
            3 => Fault::CutRequest,
            5 => Fault::SilentAfter,
            7 => Fault::CutAnswer,
            8 => Fault::Busy,
            _ => Fault::None,
        };
        let method = line.split(' ').next().unwrap_or("").to_string();
        notes.lock().unwrap().insert((method, format!("{fault:?}")));
        fault
    });
    let report = bench.vault.import(documents(0, 9), &small(&bench), &ring, &mut |_| {}).unwrap();
    assert_eq!(report.items, 9);
    let injected = injected.lock().unwrap().clone();
    for fault in ["Silent", "CutRequest", "SilentAfter", "CutAnswer", "Busy"] {
        assert!(injected.contains(&("PUT".into(), fault.into())), "{fault} was not tried on a write");
    }
    proxy.plan(|_| Fault::None);
    let vault = Vault::open(proxy.store("faults", "vault")).unwrap();
    assert_eq!(sources(&vault, &ring), (0..9).map(|i| format!("d{i}.txt")).collect::<Vec<_>>());
    let verified = vault.verify(&ring, &mut |_| {}).unwrap();
    assert_eq!((verified.problems.len(), verified.garbage, verified.decrypted), (0, 0, 9));
    assert_eq!(vault.records().len(), 3, "created, declared, contributed: each once");
}

/// With every answer lost the command fails by name; nothing is half there, and the same command finishes later.
fn an_unreachable_server_is_named(server: &Server, proxy: &Proxy) {
    server.bucket("outage");
    let mut bench = bench(Place::S3(S3Place { attempts: 2, ..proxy.place("outage", "") }).open().unwrap());
    let ring = bench.ring();
    let options = small(&bench);
    let mut requests = 0;
    proxy.plan(move |_| {
        requests += 1;
        if requests > 12 { Fault::CutRequest } else { Fault::None }
    });
    let error = bench.vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap_err();
    assert!(matches!(error, VaultError::Store(StoreError::Remote { .. })), "{error}");
    assert!(error.to_string().contains("run the command again"), "{error}");
    proxy.plan(|_| Fault::None);
    drop(bench.vault);
    let mut vault = Vault::open(proxy.store("outage", "")).unwrap();
    assert!(vault.contributions().is_empty());
    let report = vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap();
    assert!(report.items == 9 && report.resumed > 0, "{} resumed", report.resumed);
    assert!(vault.verify(&ring, &mut |_| {}).unwrap().problems.is_empty());
}

/// A listing of an earlier moment hides no record, and makes no second vault.
fn stale_listings_hide_nothing(server: &Server, proxy: &Proxy) {
    server.bucket("stale");
    let listing = |folder: &str, seen: &[(String, Vec<u8>)]| {
        let is =
            |line: &str| line.contains("list-type=2") && line.contains(&format!("prefix=vault%2F{folder}"));
        seen.iter().rev().find(|(line, _)| is(line)).map(|(_, answer)| answer.clone())
    };
    // Nothing is there yet: what the listings say now is repeated later.
    let store = proxy.store("stale", "vault");
    for folder in ["log/", "pending/", "grants/"] {
        assert!(store.list(folder).unwrap().is_empty());
    }
    let seen = proxy.seen.lock().unwrap().clone();
    let old: Vec<(String, Vec<u8>)> = ["log", "pending", "grants"]
        .iter()
        .map(|folder| (format!("prefix=vault%2F{folder}"), listing(folder, &seen).expect("listed")))
        .collect();
    let mut bench = bench(store);
    let ring = bench.ring();
    let options = small(&bench);
    bench.vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap();
    let grantee = vault::crypt::keys::SecretKey::generate().unwrap();
    let scope = vault::access::Scope::Contributions { ids: vec![bench.vault.contributions()[0].id] };
    let grant = vault::vault::grants::GrantOptions {
        grantee: grantee.public(),
        scope,
        run: None,
        expires_at: NOW + 9,
        purpose: String::new(),
        now: NOW,
    };
    let grant = bench.vault.grant(grant, &ring).unwrap().id;
    let head = bench.vault.head();
    proxy.plan(move |line| {
        let stale =
            old.iter().find(|(folder, _)| line.contains("list-type=2") && line.contains(folder.as_str()));
        stale.map_or(Fault::None, |(_, answer)| Fault::Instead(answer.clone()))
    });
    assert!(proxy.store("stale", "vault").list("log/").unwrap().is_empty(), "the proxy does repeat");
    let mut vault = Vault::open(proxy.store("stale", "vault")).unwrap();
    assert_eq!(vault.head(), head);
    assert!(matches!(Vault::create(proxy.store("stale", "vault"), NOW), Err(VaultError::Exists)));
    // The same import again adds nothing, and an erasure finds the grant's keys though no listing shows them.
    assert_eq!(vault.import(documents(0, 9), &options, &ring, &mut |_| {}).unwrap().already_present, 9);
    let leaf = vault.rows(&vault.contributions()[0].segments[0]).unwrap()[0].leaf;
    let erase = EraseOptions {
        leaves: vec![leaf],
        reason: String::new(),
        windows_close_at: 0,
        models_of: &|_| vec![],
        now: NOW,
    };
    vault.erase(erase).unwrap();
    let granted = vault.store().read(&layout::grant_name(&grant)).unwrap();
    assert_eq!(layout::decode_grant(&granted).unwrap().entries.iter().filter(|e| e.2.is_none()).count(), 1);
}

/// Two processes write to one bucket: the log's next record decides, the other is told to come again, and nothing is lost.
fn two_writers_do_not_mix(server: &Server, proxy: &Proxy) {
    server.bucket("writers");
    let mut bench = bench(proxy.store("writers", "v"));
    let ring = bench.ring();
    let options = small(&bench);
    let mut other = Vault::open(proxy.store("writers", "v")).unwrap();
    bench.vault.import(documents(0, 3), &options, &ring, &mut |_| {}).unwrap();
    let raced = other.import(documents(3, 5), &options, &ring, &mut |_| {}).unwrap_err();
    assert!(matches!(raced, VaultError::Raced), "{raced}");
    // Its segments are not garbage to the other: they are named by its checkpoint, or too young.
    let collected = bench.vault.collect_garbage().unwrap();
    assert_eq!(collected.removed, 0, "{collected:?}");
    drop(other);
    let mut other = Vault::open(proxy.store("writers", "v")).unwrap();
    let again = other.import(documents(3, 5), &options, &ring, &mut |_| {}).unwrap();
    assert!(again.items == 5 && again.resumed > 0, "{again:?}");
    assert_eq!(sources(&other, &ring).len(), 8);
    assert!(other.verify(&ring, &mut |_| {}).unwrap().problems.is_empty());
}

/// After an erasure the bucket has neither ciphertext nor key of the item.
fn erasure_leaves_nothing(server: &Server, proxy: &Proxy) {
    server.bucket("erasure");
    let mut bench = bench(proxy.store("erasure", "v"));
    let ring = bench.ring();
    let id = bench
        .vault
        .import(documents(0, 4), &bench.options.clone(), &ring, &mut |_| {})
        .unwrap()
        .contribution
        .unwrap();
    let segment = bench.vault.contributions()[0].segments[0].clone();
    let row = bench.vault.rows(&segment).unwrap()[1].clone();
    let live = row.live.unwrap();
    let pack = bench.vault.pack(&segment).unwrap();
    let keys = layout::decode_keys(&bench.vault.store().read(&layout::keys_name(&id)).unwrap()).unwrap();
    let needles = [
        pack[live.offset as usize + 8..][..32].to_vec(),
        live.meta[..32].to_vec(),
        keys.wrapped[1].unwrap()[..32].to_vec(),
    ];
    let found = |store: &dyn Store| {
        let names = store.list("").unwrap();
        let all = store.read_all(&names).unwrap();
        needles
            .iter()
            .filter(|needle| all.iter().any(|bytes| bytes.windows(32).any(|w| w == needle.as_slice())))
            .count()
    };
    assert_eq!(found(bench.vault.store()), 3, "the scan itself must find them before");
    let erase = EraseOptions {
        leaves: vec![row.leaf],
        reason: String::new(),
        windows_close_at: 0,
        models_of: &|_| vec![],
        now: NOW,
    };
    bench.vault.erase(erase).unwrap();
    assert_eq!(found(bench.vault.store()), 0);
    assert!(bench.vault.verify(&ring, &mut |_| {}).unwrap().problems.is_empty());
}
