//! A disk that is full, and a process that ends at any write or sync.

use crate::scene::{Audit, CHAT, Scene, body, by_channel, chat, offer, payment, post, reason};
use compute::log::{FileStore, Store};
use gateway::{disk::Disk, payments::wire};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// Writes and syncs that still go well; below zero for good after that, half of the first that does not is written.
#[derive(Clone)]
struct Left(Arc<AtomicI64>);

impl Left {
    fn new(operations: i64) -> Left {
        Left(Arc::new(AtomicI64::new(operations)))
    }

    fn set(&self, operations: i64) {
        self.0.store(operations, Ordering::SeqCst);
    }

    /// How the next operation goes: whole, half or not at all.
    fn next(&self) -> std::cmp::Ordering {
        self.0.fetch_sub(1, Ordering::SeqCst).cmp(&0)
    }
}

struct Limited {
    file: FileStore,
    left: Left,
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Store for Limited {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.file.read(offset, length)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match self.left.next() {
            Greater => self.file.append(bytes),
            Equal => self.file.append(&bytes[..bytes.len() / 2]).and(Err(full())),
            Less => Err(full()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.left.next().is_gt() { self.file.sync() } else { Err(full()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.left.next().is_gt() { self.file.truncate(length) } else { Err(full()) }
    }
}

/// A disk whose logs are limited.
struct LimitedDisk(Left);

impl Disk for LimitedDisk {
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Store>> {
        Ok(Box::new(Limited { file: FileStore::open(path)?, left: self.0.clone() }))
    }
}

fn limited(left: &Left) -> Arc<LimitedDisk> {
    Arc::new(LimitedDisk(left.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_disk_nothing_is_charged_and_with_a_free_one_all_goes_on() {
    let scene = Scene::new();
    let left = Left::new(i64::MAX);
    let gateway = scene.serve_on(&scene.data_dir(), limited(&left)).await.unwrap();
    let mut client = scene.client(&gateway, 1);
    client.ask(CHAT, &chat("lorem", 4)).await.unwrap();
    let request = chat("the quick", 4).to_string().into_bytes();
    let offered = offer(&post(&gateway, CHAT, &request, None).await);
    let way = by_channel(&offered);
    let voucher = payment(way.clone(), client.payment_for(&way).unwrap());
    let way = offered.accepts.iter().find(|way| way.scheme == wire::EXACT).unwrap().clone();
    let transfer = payment(way.clone(), client.exact_for(&way).unwrap());
    for operations in [0, 1] {
        left.set(operations);
        for paid in [&voucher, &transfer, &voucher] {
            let response = post(&gateway, CHAT, &request, Some(paid)).await;
            assert_eq!(reason(&response), (503, "receipt_not_written".into()));
            assert!(body(&response)["error"]["message"].as_str().unwrap().contains("disk"));
        }
    }
    left.set(i64::MAX);
    // The same payments buy their answers now; the transfer was made before, and is not made again.
    for paid in [&voucher, &transfer] {
        let response = post(&gateway, CHAT, &request, Some(paid)).await;
        assert_eq!(response.status.as_u16(), 200, "{:?}", response.body);
    }
    let audit = scene.audit(&gateway).await;
    assert_eq!((audit.answers, audit.unasked), (3, 0));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_at_any_write_or_sync_charges_once_and_loses_nothing() {
    // Opening takes three operations, a receipt a write and a sync.
    for operations in 3..11 {
        let scene = Scene::new();
        let left = Left::new(operations);
        let gateway = scene.serve_on(&scene.data_dir(), limited(&left)).await.unwrap();
        let mut client = scene.client(&gateway, 1);
        let (mut acknowledged, mut fees) = (0, 0);
        for text in ["the quick", "lorem", "a stitch", "dolor"] {
            match client.ask(CHAT, &chat(text, 3)).await {
                Ok(paid) => {
                    acknowledged += 1;
                    fees += paid.body["openledger"]["fee"].as_str().unwrap().parse::<u128>().unwrap();
                }
                Err(error) => assert!(error.to_string().contains("503"), "{error}"),
            }
        }
        gateway.shutdown().await;
        // Another process finds the folder as it is.
        let gateway = scene.serve().await;
        let before = gateway.app().model_by_id(scene.model).unwrap().recorder.log().next_sequence();
        assert!(
            (acknowledged..=acknowledged + 1).contains(&before),
            "{operations}: {before} of {acknowledged}"
        );
        let mut client = scene.client(&gateway, 1);
        client.ask(CHAT, &chat("and on", 3)).await.unwrap();
        let Audit { answers, charged, unasked, fees: all } = scene.audit(&gateway).await;
        assert_eq!((answers, unasked), (before + 1, 0));
        assert!(charged == all && charged > fees);
        gateway.shutdown().await;
    }
}
