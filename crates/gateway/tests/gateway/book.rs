//! The ledger of a test: its real rules in memory, seen as one operator's, and what can go wrong on the way to it.

use crate::life::{End, Life, Step};
use alloy_primitives::{Address, B256, Bytes, U256};
use futures::future::BoxFuture;
use gateway::ledger::{Event, Included, Ledger, LedgerError};
use ledger::{Call, MemoryLedger};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens to the next transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Nobody answers.
    Away,
    /// Transactions go through and nobody hears of it.
    Mute,
}

/// Called around a transaction; the flag says whether it is done.
type Watch = Box<dyn Fn(bool) + Send + Sync>;

/// The ledger.
#[derive(Clone)]
pub struct Book {
    state: Arc<Mutex<MemoryLedger>>,
    fault: Arc<Mutex<Fault>>,
    watch: Arc<Mutex<Option<Watch>>>,
    life: Arc<Mutex<Option<Arc<Life>>>>,
    operator: Address,
}

impl Book {
    /// A ledger, as `operator` sees it.
    pub fn new(state: MemoryLedger, operator: Address) -> Book {
        let (fault, watch, life) = (Arc::default(), Arc::default(), Arc::default());
        Book { state: Arc::new(Mutex::new(state)), fault, watch, life, operator }
    }

    /// The state.
    pub fn state(&self) -> MutexGuard<'_, MemoryLedger> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks or mends it.
    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Has `watch` called before and after every transaction.
    pub fn watch(&self, watch: impl Fn(bool) + Send + Sync + 'static) {
        *self.watch.lock().unwrap() = Some(Box::new(watch));
    }

    /// Binds what it is asked to the life of the process that asks.
    pub fn live(&self, life: Option<Arc<Life>>) {
        *self.life.lock().unwrap() = life;
    }

    fn is_over(&self) -> bool {
        self.life.lock().unwrap().as_ref().is_some_and(|life| life.is_over())
    }

    fn step(&self) -> Step {
        self.life.lock().unwrap().as_ref().map_or(Step::Goes, |life| life.step())
    }

    fn seen(&self, done: bool) {
        if let Some(watch) = self.watch.lock().unwrap().as_ref() {
            watch(done);
        }
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn view(&self, from: Address, to: Address, value: U256, data: Bytes) -> Result<Bytes, LedgerError> {
        let call = Call { from, to, value, data, gas_limit: u64::MAX };
        let outcome = self.state().call(&call);
        match outcome.success {
            true => Ok(outcome.output),
            false => Err(LedgerError::Refused { reason: "refused".into(), data: outcome.output }),
        }
    }

    fn send(&self, to: Address, value: U256, data: Bytes) -> Result<Included, LedgerError> {
        self.view(self.operator, to, value, data.clone())?;
        self.seen(false);
        let mut state = self.state();
        let receipt = state.send(self.operator, to, value, data);
        assert!(receipt.success, "a call that was tried");
        state.advance(250);
        drop(state);
        self.seen(true);
        let logs = receipt.logs.into_iter();
        let logs = logs.map(|log| Event { address: log.address, topics: log.topics, data: log.data });
        Ok(Included { hash: B256::repeat_byte(0x7a), logs: logs.collect() })
    }
}

fn away() -> LedgerError {
    LedgerError::Away("nobody answers".into())
}

impl Ledger for Book {
    fn call(&self, from: Address, to: Address, data: Bytes) -> BoxFuture<'_, Result<Bytes, LedgerError>> {
        Box::pin(async move {
            if self.fault() == Fault::Away || self.is_over() {
                Err(away())
            } else {
                self.view(from, to, U256::ZERO, data)
            }
        })
    }

    fn transact(
        &self,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> BoxFuture<'_, Result<Included, LedgerError>> {
        Box::pin(async move {
            // What would be refused is no step.
            if !self.is_over() {
                self.view(self.operator, to, value, data.clone())?;
            }
            match (self.fault(), self.step()) {
                (Fault::None, Step::Goes) => self.send(to, value, data),
                (Fault::Away, _) | (_, Step::Dead | Step::Ends(End::Lost | End::Torn)) => Err(away()),
                (Fault::Mute, _) | (_, Step::Ends(End::Done)) => {
                    self.send(to, value, data)?;
                    Err(away())
                }
            }
        })
    }
}
