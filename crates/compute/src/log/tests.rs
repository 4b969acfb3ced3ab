use super::*;
use crate::{
    attributed::Attributed,
    request::{Finish, Message, Role},
};
use attribution::shares::{NOVELTY_ONE, Rule};
use std::sync::{Arc, Mutex};

/// What a disk was told, from which every image that a crash can leave is rebuilt.
#[derive(Clone, Debug, Default)]
struct Tape {
    /// Bytes as a running process sees them.
    now: Vec<u8>,
    /// Bytes a crash leaves for certain.
    synced: Vec<u8>,
    /// Number of syncs so far.
    syncs: usize,
    /// Fails this operation, counted over writes and syncs.
    fail_at: Option<usize>,
    operations: usize,
    /// Images that a crash could have left at each operation.
    images: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Tape>>);

impl Tape {
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.fail_at == Some(self.operations) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    /// Any part of what was not synced may be there: some prefix, or the right length with zeros.
    fn snapshot(&mut self) {
        let common = self.now.iter().zip(&self.synced).take_while(|(a, b)| a == b).count();
        self.images.push(self.synced.clone());
        for cut in [1, 7, 8, 12, 19, 20, 21, 40].into_iter().chain((0..).step_by(97).take(9)) {
            let cut = common + cut;
            if cut <= self.now.len() {
                self.images.push(self.now[..cut].to_vec());
                let mut zeroed = self.now[..cut].to_vec();
                zeroed.resize(self.now.len(), 0);
                self.images.push(zeroed);
            }
        }
        self.images.push(self.now.clone());
    }
}

impl Store for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let tape = self.0.lock().unwrap();
        let bytes = tape.now.get(offset as usize..offset as usize + length);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut tape = self.0.lock().unwrap();
        if let Err(error) = tape.step() {
            // A full disk takes a part.
            let part = bytes.len() / 2;
            tape.now.extend_from_slice(&bytes[..part]);
            return Err(error);
        }
        tape.now.extend_from_slice(bytes);
        tape.snapshot();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut tape = self.0.lock().unwrap();
        tape.step()?;
        tape.snapshot();
        tape.synced = tape.now.clone();
        tape.syncs += 1;
        tape.snapshot();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().now.truncate(length as usize);
        Ok(())
    }
}

fn of(bytes: Vec<u8>) -> Disk {
    Disk(Arc::new(Mutex::new(Tape { synced: bytes.clone(), now: bytes, ..Tape::default() })))
}

fn account() -> Account {
    Account::from_bytes(&[7; 32]).unwrap()
}

const MODEL: B256 = B256::repeat_byte(3);

fn open(disk: &Disk) -> Result<(Log, Repair), LogError> {
    Log::open(Box::new(disk.clone()), account(), MODEL, |_| {})
}

fn draft(number: u8) -> Draft {
    let units = [crate::engine::Unit {
        datanet: B256::ZERO,
        item: B256::repeat_byte(number),
        owner: Address::repeat_byte(number),
        tokens: 16,
        novelty: NOVELTY_ONE,
        label: "a unit".into(),
    }];
    let rule = Rule { scale_bits: 20, floor: 1, cap: 1 << 40, unit_tokens: 16 };
    let scores = crate::engine::Scores { units: vec![1.5], spans: Vec::new() };
    let answer = Answer {
        id: AnswerId([number; 16]),
        salt: B256::repeat_byte(number),
        request: Request {
            prompt: Prompt::Messages(vec![Message {
                role: Role::User,
                content: format!("question {number}"),
            }]),
            sampling: Sampling::default(),
        },
        output: Output { tokens: vec![1, 2], text: "an answer".into(), finish: Finish::Stop },
        usage: Usage { prompt_tokens: 3, completion_tokens: 2 },
        fee: Amount(100),
        attributed: Attributed::divide(B256::ZERO, rule, &units, &scores, Amount(40)).unwrap(),
        op_set: 1,
    };
    Draft {
        what: What::Answer(Box::new(answer)),
        payer: Address::repeat_byte(9),
        note: vec![number; 5],
        time_ms: number.into(),
    }
}

fn ids(log: &Log) -> Vec<u8> {
    (0..log.next_sequence()).map(|s| log.entry(s).unwrap().unwrap().signed.receipt.id.0[0]).collect()
}

#[test]
fn entries_are_read_back_with_a_dense_signed_chain() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk).unwrap();
    let mut written = log.append(vec![draft(1), draft(2)]).unwrap();
    written.extend(log.append(vec![draft(3)]).unwrap());
    written.extend(
        log.append(vec![Draft {
            what: What::Unasked(Amount(5)),
            payer: Address::ZERO,
            note: Vec::new(),
            time_ms: 9,
        }])
        .unwrap(),
    );
    let mut seen = Vec::new();
    let (again, repair) = Log::open(Box::new(disk), account(), MODEL, |e| seen.push(e.clone())).unwrap();
    assert_eq!(repair, Repair::default());
    assert_eq!(seen, written);
    let mut previous = B256::ZERO;
    for (sequence, entry) in (0..).zip(&written) {
        assert_eq!(again.entry(sequence).unwrap().as_ref(), Some(entry));
        assert!(entry.signed.is_signed());
        assert_eq!((entry.signed.receipt.sequence, entry.signed.receipt.previous), (sequence, previous));
        previous = entry.signed.receipt.digest();
    }
    assert_eq!(again.last_digest(), previous);
    assert_eq!(again.find(&AnswerId([3; 16])), Some(2));
    assert_eq!(again.fees(0..9), Amount(305));
    assert_eq!(again.entry(4).unwrap(), None);
    for (first, end) in [(0u64, 4u64), (1, 3), (2, 2), (3, 99), (7, 9)] {
        let mut seen = Vec::new();
        again.entries(first..end, |entry| seen.push(entry.clone())).unwrap();
        let end = end.min(4) as usize;
        assert_eq!(seen, written[(first as usize).min(end)..end]);
    }
    assert_eq!(written[0].payouts, [(Address::repeat_byte(1), Amount(40))]);
}

/// Runs three appends and, at every crash image of every write and sync, opens what is left.
#[test]
fn a_crash_at_any_write_or_sync_loses_no_acknowledged_entry_and_invents_none() {
    let disk = Disk::default();
    let mut acknowledged_at = vec![(0usize, 0u8)];
    {
        let (mut log, _) = open(&disk).unwrap();
        for number in 1..=4u8 {
            log.append(vec![draft(number)]).unwrap();
            let images = disk.0.lock().unwrap().images.len();
            acknowledged_at.push((images, number));
        }
    }
    let images = disk.0.lock().unwrap().images.clone();
    assert!(images.len() > 100, "{} images", images.len());
    for (at, image) in images.into_iter().enumerate() {
        let sure = acknowledged_at.iter().filter(|(images, _)| *images <= at).map(|(_, n)| *n).max().unwrap();
        let left = of(image);
        let (mut log, _) = open(&left).unwrap_or_else(|error| panic!("image {at}: {error}"));
        let found = ids(&log);
        let expected: Vec<u8> = (1..=found.len() as u8).collect();
        assert_eq!(found, expected, "image {at}");
        assert!(found.len() >= usize::from(sure), "image {at} lost an acknowledged entry");
        assert!(found.len() <= usize::from(sure) + 1, "image {at} invented an entry");
        // And it goes on.
        log.append(vec![draft(77)]).unwrap();
        drop(log);
        assert_eq!(ids(&open(&left).unwrap().0).last(), Some(&77));
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_next_append_mends_it() {
    for fail_at in 3..=4 {
        let disk = Disk::default();
        let (mut log, _) = open(&disk).unwrap();
        disk.0.lock().unwrap().fail_at = Some(fail_at);
        assert!(matches!(log.append(vec![draft(1)]), Err(LogError::Disk(_))), "operation {fail_at}");
        assert_eq!(log.next_sequence(), 0);
        log.append(vec![draft(2)]).unwrap();
        assert_eq!(ids(&log), [2]);
        drop(log);
        let (log, repair) = open(&disk).unwrap();
        assert_eq!((ids(&log), repair.torn_bytes), (vec![2], 0));
    }
}

#[test]
fn damage_to_an_acknowledged_entry_is_named_and_not_cut_off() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk).unwrap();
    for number in 1..=3 {
        log.append(vec![draft(number)]).unwrap();
    }
    let starts: Vec<u64> = log.places.iter().map(|place| place.group).collect();
    drop(log);
    let whole = disk.0.lock().unwrap().now.clone();
    for at in (starts[0] as usize..starts[2] as usize).step_by(11) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        match open(&of(damaged)) {
            Err(LogError::Damaged { at: named, .. }) => {
                assert!(named == starts[0] || named == starts[1], "named {named} for a flip at {at}");
            }
            other => panic!("a flip at {at} went by: {:?}", other.map(|(log, repair)| (ids(&log), repair))),
        }
    }
}

#[test]
fn a_log_of_another_operator_or_model_is_refused() {
    let disk = Disk::default();
    open(&disk).unwrap();
    let other = Account::from_bytes(&[8; 32]).unwrap();
    let refused = Log::open(Box::new(disk.clone()), other, MODEL, |_| {});
    assert!(matches!(refused, Err(LogError::NotOurs { .. })));
    let refused = Log::open(Box::new(disk), account(), B256::ZERO, |_| {});
    assert!(matches!(refused, Err(LogError::NotOurs { .. })));
}

#[test]
fn a_file_keeps_entries_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.log");
    let reopen = || {
        let store = Box::new(FileStore::open(&path).unwrap());
        Log::open(store, account(), MODEL, |_| {}).unwrap().0
    };
    reopen().append(vec![draft(1)]).unwrap();
    reopen().append(vec![draft(2)]).unwrap();
    // A write that the power cut short.
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = bytes.len();
    bytes.extend_from_within(whole - 150..whole - 20);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(ids(&reopen()), [1, 2]);
    assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, whole);
}
