//! The gateway over real HTTP, with a real transformer and its attribution cache, against the real rules of the ledger: whatever clients, disks
//! and ledgers do, the right status and reason, no double charge, no lost receipt, and recovery without a human.
//!
//! The ledger is its state machine in memory (`ledger::MemoryLedger`), whose clock a test moves; every test ends in [`scene::Scene::audit`], which
//! settles everything and finds every unit again.

mod adapters;
mod batching;
mod book;
mod clients;
mod crashes;
mod disk;
mod kills;
mod life;
mod outage;
mod payments;
mod prepaid;
mod requests;
mod scene;
mod transformer;
