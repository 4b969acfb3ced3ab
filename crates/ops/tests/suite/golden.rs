//! Golden hashes: one case of every op gives these bits on every machine, path and thread count.
//!
//! `OPENLEDGER_BLESS=1 cargo test -p ops golden` writes the table anew; a change of any line needs a higher `OP_SET_VERSION`.

use crate::cases::case;
use crate::data::contexts;
use ops::verify::OpKind;
use ops::{Ctx, OP_SET_VERSION};
use std::fmt::Write as _;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/golden.txt");

/// A line an op: its name and the BLAKE3 of the roots of its outputs.
fn table(ctx: &Ctx) -> String {
    let mut table = format!("op set {OP_SET_VERSION}\n");
    for kind in OpKind::ALL {
        let mut hasher = blake3::Hasher::new();
        for (_, output) in case(*kind, ctx).outputs {
            hasher.update(output.root().as_slice());
        }
        writeln!(table, "{} {}", kind.name(), hasher.finalize()).expect("a string");
    }
    table
}

#[test]
fn golden_hashes_hold_on_every_path_and_thread_count() {
    if std::env::var_os("OPENLEDGER_BLESS").is_some() {
        std::fs::write(FILE, table(&Ctx::single())).expect("the table is writable");
    }
    let golden = std::fs::read_to_string(FILE).expect("the table is committed");
    for ctx in contexts() {
        for (got, want) in table(&ctx).lines().zip(golden.lines()) {
            assert_eq!(got, want, "{ctx:?}");
        }
        assert_eq!(golden.lines().count(), OpKind::ALL.len() + 1, "a line for every op");
    }
}
