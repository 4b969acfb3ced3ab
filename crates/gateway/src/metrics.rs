//! Counters in Prometheus text.

use axum::http::StatusCode;
use compute::Receipt;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Upper bounds of the histograms' buckets, in milliseconds.
const BUCKETS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 1_000, 5_000, 20_000, 60_000];

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_MS) {
            if ms <= bound {
                bucket.fetch_add(1, Relaxed);
            }
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_us.fetch_add(time.as_micros() as u64, Relaxed);
    }

    fn text(&self, name: &str) -> String {
        let mut text = format!("# TYPE {name} histogram\n");
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_MS) {
            let seconds = bound as f64 / 1e3;
            text += &format!("{name}_bucket{{le=\"{seconds}\"}} {}\n", bucket.load(Relaxed));
        }
        let (count, sum) = (self.count.load(Relaxed), self.sum_us.load(Relaxed) as f64 / 1e6);
        text + &format!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n")
    }
}

/// What a gateway counts.
#[derive(Default)]
pub struct Metrics {
    responses: Mutex<BTreeMap<u16, u64>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    answers: AtomicU64,
    failures: AtomicU64,
    cancellations: AtomicU64,
    queue_full: AtomicU64,
    tokens_in: AtomicU64,
    tokens_out: AtomicU64,
    connections: AtomicU64,
    settlements: AtomicU64,
    settlement_failures: AtomicU64,
    first_token: Histogram,
    answer: Histogram,
}

impl Metrics {
    /// A response left.
    pub fn responded(&self, status: StatusCode) {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        *responses.entry(status.as_u16()).or_default() += 1;
    }

    /// A payment was refused.
    pub fn refused(&self, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(code).or_default() += 1;
    }

    /// An answer is in the log.
    pub fn answered(&self, took: Duration, receipt: &Receipt) {
        self.answers.fetch_add(1, Relaxed);
        self.tokens_in.fetch_add(receipt.usage.prompt_tokens.into(), Relaxed);
        self.tokens_out.fetch_add(receipt.usage.completion_tokens.into(), Relaxed);
        self.answer.observe(took);
    }

    /// A stream's first text was ready.
    pub fn first_token(&self, took: Duration) {
        self.first_token.observe(took);
    }

    /// An answer failed.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// A client left before its answer.
    pub fn cancelled(&self) {
        self.cancellations.fetch_add(1, Relaxed);
    }

    /// A request found the queue full.
    pub fn queue_full(&self) {
        self.queue_full.fetch_add(1, Relaxed);
    }

    /// A connection opened (+1) or closed (-1).
    pub fn connection(&self, opened: bool) {
        if opened {
            self.connections.fetch_add(1, Relaxed)
        } else {
            self.connections.fetch_sub(1, Relaxed)
        };
    }

    /// An epoch was settled, or that failed.
    pub fn settled(&self, went_well: bool) {
        let counter = if went_well { &self.settlements } else { &self.settlement_failures };
        counter.fetch_add(1, Relaxed);
    }

    /// All of it.
    pub fn text(&self, waiting: usize, decoding: usize) -> String {
        let mut text = String::new();
        text += "# TYPE openledger_responses_total counter\n";
        for (status, count) in &*self.responses.lock().unwrap_or_else(PoisonError::into_inner) {
            text += &format!("openledger_responses_total{{status=\"{status}\"}} {count}\n");
        }
        text += "# TYPE openledger_payment_refusals_total counter\n";
        for (code, count) in &*self.refusals.lock().unwrap_or_else(PoisonError::into_inner) {
            text += &format!("openledger_payment_refusals_total{{reason=\"{code}\"}} {count}\n");
        }
        let counters = [
            ("answers", &self.answers),
            ("answer_failures", &self.failures),
            ("answers_cancelled", &self.cancellations),
            ("queue_refusals", &self.queue_full),
            ("tokens_in", &self.tokens_in),
            ("tokens_out", &self.tokens_out),
            ("settlements", &self.settlements),
            ("settlement_failures", &self.settlement_failures),
        ];
        for (name, counter) in counters {
            let value = counter.load(Relaxed);
            text += &format!("# TYPE openledger_{name}_total counter\nopenledger_{name}_total {value}\n");
        }
        let connections = self.connections.load(Relaxed);
        text += &format!("# TYPE openledger_connections gauge\nopenledger_connections {connections}\n");
        text += &format!("# TYPE openledger_queue gauge\nopenledger_queue {waiting}\n");
        text += &format!("# TYPE openledger_decoding gauge\nopenledger_decoding {decoding}\n");
        text += &self.first_token.text("openledger_first_token_seconds");
        text += &self.answer.text("openledger_answer_seconds");
        text + "# TYPE openledger_receipts gauge\n"
    }
}
