//! A process that ends at each of its durable steps: every sync of a file or folder, every transaction.
//!
//! From a step on, nothing that the process does reaches disk or ledger. What a disk keeps of a step is tried in three ways ([`End`]). The next process
//! finds the files as they are, is ended too, and a third one ends the story, in which every answer is charged and settled once and every unit is found
//! again ([`Scene::audit`]).

use crate::{
    book::Fault,
    life::{End, Life, Step},
    scene::{CHAT, Scene, account, body, chat, offer, payment, post, send},
};
use alloy_primitives::U256;
use compute::log::{FileStore, Store};
use gateway::{
    Handle,
    client::Memory,
    disk::{Disk, RealDisk, aside, sync_folder_of},
    payments::wire::{self, PaymentPayload},
    settlement,
};
use hyper::StatusCode;
use interfaces::{addresses, token::IToken};
use serde_json::Value;
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

fn ended() -> io::Error {
    io::Error::other("the process has ended")
}

/// A disk under a process that ends.
struct MortalDisk {
    life: Arc<Life>,
    /// Files removed since the last sync of a folder: they come back.
    removed: Mutex<Vec<(PathBuf, Vec<u8>)>>,
}

impl MortalDisk {
    fn new(life: &Arc<Life>) -> Arc<MortalDisk> {
        Arc::new(MortalDisk { life: life.clone(), removed: Mutex::default() })
    }

    /// A step that makes names durable; `undo` is what a disk that lost them shows.
    fn names(&self, path: &Path, undo: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self.life.step() {
            Step::Goes => {
                self.removed.lock().unwrap().clear();
                sync_folder_of(path)
            }
            Step::Ends(End::Lost) => {
                undo()?;
                for (path, bytes) in self.removed.lock().unwrap().drain(..) {
                    fs::write(path, bytes)?;
                }
                Err(ended())
            }
            Step::Ends(_) => sync_folder_of(path).and(Err(ended())),
            Step::Dead => Err(ended()),
        }
    }
}

impl Disk for MortalDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if self.life.is_over() {
            return Err(ended());
        }
        let new = !path.exists();
        fs::create_dir_all(path)?;
        self.names(path, || if new { fs::remove_dir(path) } else { Ok(()) })
    }

    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Store>> {
        if self.life.is_over() {
            return Err(ended());
        }
        let new = !path.exists();
        let file = FileStore::open(path)?;
        self.names(path, || if new { fs::remove_file(path) } else { Ok(()) })?;
        let synced = file.len()?;
        Ok(Box::new(MortalStore {
            path: path.into(),
            life: self.life.clone(),
            file,
            synced,
            cut: Vec::new(),
        }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.life.is_over() {
            return Err(ended());
        }
        let before = fs::read(path).ok();
        let aside = aside(path);
        let mut file = fs::File::create(&aside)?;
        match self.life.step() {
            Step::Goes => {
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            Step::Ends(end) => {
                let kept = match end {
                    End::Lost => 0,
                    End::Torn => bytes.len() / 2,
                    End::Done => bytes.len(),
                };
                file.write_all(&bytes[..kept])?;
                return Err(ended());
            }
            Step::Dead => return Err(ended()),
        }
        fs::rename(&aside, path)?;
        self.names(path, || match before {
            Some(before) => fs::write(path, before),
            None => fs::rename(path, &aside),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.life.is_over() {
            return Err(ended());
        }
        if let Ok(bytes) = fs::read(path) {
            self.removed.lock().unwrap().push((path.into(), bytes));
        }
        RealDisk.remove(path)
    }
}

/// A log's file under a process that ends.
struct MortalStore {
    path: PathBuf,
    life: Arc<Life>,
    file: FileStore,
    /// Bytes that are durable.
    synced: u64,
    /// Durable bytes that were cut off, and not durably so.
    cut: Vec<u8>,
}

impl MortalStore {
    /// Leaves `kept` bytes, of which durable ones that were cut off come back.
    fn leave(&self, kept: u64) -> io::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(kept.min(self.synced - self.cut.len() as u64))?;
        let mut file = fs::OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(&self.cut)
    }
}

impl Store for MortalStore {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.file.read(offset, length)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.life.is_over() { Err(ended()) } else { self.file.append(bytes) }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.life.step() {
            Step::Goes => {
                self.file.sync()?;
                self.synced = self.file.len()?;
                self.cut.clear();
                Ok(())
            }
            Step::Ends(End::Lost) => self.leave(self.synced).and(Err(ended())),
            Step::Ends(End::Torn) => {
                let now = self.file.len()?;
                let kept = now - now.saturating_sub(self.synced) / 2;
                fs::OpenOptions::new().write(true).open(&self.path)?.set_len(kept)?;
                Err(ended())
            }
            Step::Ends(End::Done) => self.file.sync().and(Err(ended())),
            Step::Dead => Err(ended()),
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.life.is_over() {
            return Err(ended());
        }
        if length < self.synced {
            self.cut = self.file.read(length, (self.synced - length) as usize)?;
        }
        self.file.truncate(length)
    }
}

/// Money in the escrow that nobody asks with.
const UNASKED: u64 = 5;

/// What a payer wants, and what it has got.
struct Story {
    memory: Memory,
    /// Ids of the answers that came, in the order of [`Story::WANTED`].
    got: Vec<Option<String>>,
    /// Whether the stranger's money was sent.
    sent: bool,
    /// The transfer that pays the third: a payer that hears nothing sends the same one again.
    transfer: Option<PaymentPayload>,
}

impl Story {
    /// Asked by channel, but the third, which is paid by `exact`.
    const WANTED: [&str; 4] = ["the quick", "lorem", "a stitch", "dolor"];
    const EXACT: usize = 2;

    fn new() -> Story {
        Story { memory: Memory::new(), got: vec![None; Story::WANTED.len()], sent: false, transfer: None }
    }

    /// Asks for what has not come yet, settles and pays out, twice; what fails is left for the next process.
    async fn go_on(&mut self, scene: &Scene, gateway: &Handle) {
        for (number, _) in Story::WANTED.iter().enumerate() {
            if self.got[number].is_none() {
                self.got[number] = self.ask(scene, gateway, number).await;
            }
            if number == 1 && !self.sent {
                self.sent = true;
                let to = addresses::escrow(scene.operator.address(), scene.model);
                send(
                    scene,
                    &account(3),
                    addresses::TOKEN,
                    &IToken::transferCall { to, value: U256::from(UNASKED) },
                );
            }
            if number % 2 == 1 {
                scene.book.state().advance(2_000);
                let _ = gateway.settle().await;
                scene.book.state().advance(3_000);
                if let Ok(served) = gateway.app().model_by_id(scene.model) {
                    let _ = settlement::pay_out(gateway.app(), &served).await;
                }
            }
        }
    }

    /// The id of the answer, if it came.
    async fn ask(&mut self, scene: &Scene, gateway: &Handle, number: usize) -> Option<String> {
        let request = chat(Story::WANTED[number], 3);
        let answer = match number {
            Story::EXACT => self.ask_exact(scene, gateway, request.to_string().as_bytes()).await?,
            _ => {
                // A server of this process has another port.
                let mut client = scene.client(gateway, 1);
                client.memory = std::mem::take(&mut self.memory);
                let paid = client.ask(CHAT, &request).await;
                self.memory = client.memory;
                paid.ok()?.body
            }
        };
        Some(answer["openledger"]["answer"].as_str().expect("an id").into())
    }

    async fn ask_exact(&mut self, scene: &Scene, gateway: &Handle, request: &[u8]) -> Option<Value> {
        if self.transfer.is_none() {
            let response = post(gateway, CHAT, request, None).await;
            if response.status != StatusCode::PAYMENT_REQUIRED {
                return None;
            }
            let way = offer(&response).accepts.into_iter().find(|way| way.scheme == wire::EXACT).unwrap();
            let payload = scene.client(gateway, 1).exact_for(&way).unwrap();
            self.transfer = Some(payment(way, payload));
        }
        let response = post(gateway, CHAT, request, self.transfer.as_ref()).await;
        (response.status == StatusCode::OK).then(|| body(&response))
    }
}

/// A process that ends after `steps`, if it gets that far; whether it did.
async fn live(scene: &Scene, story: &mut Story, steps: usize, end: End) -> bool {
    let life = Life::new(steps, end);
    scene.book.live(Some(life.clone()));
    if let Ok(gateway) = scene.serve_on(&scene.data_dir(), MortalDisk::new(&life)).await {
        story.go_on(scene, &gateway).await;
        gateway.shutdown().await;
    }
    scene.book.live(None);
    life.is_over()
}

/// The process that ends the story. It starts while the ledger is away, unless it has to make its escrow known first.
async fn third(scene: &Scene) -> Handle {
    scene.book.fail(Fault::Away);
    let started = scene.serve_on(&scene.data_dir(), Arc::new(RealDisk)).await;
    scene.book.fail(Fault::None);
    match started {
        Ok(gateway) => gateway,
        Err(_) => scene.serve().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_at_any_sync_or_transaction_charges_and_settles_each_answer_once() {
    let mut reached = 0;
    for end in [End::Lost, End::Torn, End::Done] {
        for steps in 0.. {
            let (scene, mut story) = (Scene::new(), Story::new());
            if !live(&scene, &mut story, steps, end).await {
                reached = reached.max(steps);
                break;
            }
            // The second is ended soon: while it takes up what the first left.
            live(&scene, &mut story, steps % 4, end).await;
            let gateway = third(&scene).await;
            story.go_on(&scene, &gateway).await;
            let said = format!("{end:?} at step {steps}");
            assert!(story.got.iter().all(Option::is_some), "{said}: {:?}", story.got);
            let audit = scene.audit(&gateway).await;
            assert_eq!(audit.answers, Story::WANTED.len() as u64, "{said}");
            assert_eq!(audit.unasked, u128::from(UNASKED), "{said}");
            assert_eq!(audit.charged + audit.unasked, audit.fees, "{said}");
            let served = gateway.app().model_by_id(scene.model).unwrap();
            for id in story.got.iter().flatten() {
                let id = serde_json::from_value(serde_json::json!(id)).unwrap();
                assert!(
                    served.recorder.log().find(&id).is_some(),
                    "{said}: an answer that came has no receipt"
                );
            }
            gateway.shutdown().await;
        }
    }
    // Files: three folders and logs, four answers, an intent. Transactions: two epochs and a transfer.
    assert!(reached > 20, "{reached} steps");
}
