//! Putting it together: state, start, stop.

use crate::{
    api::{self, ApiError, endpoint::Ask, flow::now_ms, owed::Recorded},
    config::{GatewayConfig, Limits, Offered},
    connection,
    disk::{Disk, RealDisk},
    ledger::{Ledger, LedgerError},
    metrics::Metrics,
    payments::{
        Note, Paid, Payments, Served,
        intent::Intent,
        wire::{PaymentRequired, identifier_offer},
    },
    pool::{Pool, PoolLimits},
    recorder::Recorder,
    settlement,
};
use alloy_primitives::B256;
use axum::http::StatusCode;
use compute::{
    Log, LogError, Usage, Worker,
    fee::Terms,
    log::{Draft, What},
};
use primitives::Amount;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    net::TcpListener,
    sync::{RwLock, watch},
    task::JoinHandle,
};

mod tasks;
pub use tasks::Tasks;

/// A model that is served.
pub struct ServedModel {
    /// Answers.
    pub worker: Worker,
    /// At this price.
    pub offered: Offered,
    /// Writes its receipts.
    pub recorder: Recorder,
    /// Answers read it, settlement writes it: while an epoch is closed no receipt is written.
    pub gate: Arc<RwLock<()>>,
    /// Batches posted, newest last.
    pub settled: Mutex<Vec<settlement::Posted>>,
}

/// All that a request can reach.
pub struct App {
    /// What the gateway was told.
    pub config: GatewayConfig,
    /// Where clients reach it.
    pub public_url: String,
    /// When it started, Unix seconds.
    pub started_s: u64,
    /// By name.
    pub models: BTreeMap<String, Arc<ServedModel>>,
    /// Payments.
    pub payments: Arc<Payments>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Workers.
    pub pool: Pool,
    /// Counters.
    pub metrics: Metrics,
    /// Answers being driven.
    pub tasks: Tasks,
    /// Open connections.
    pub connections: Tasks,
    stopping: AtomicBool,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder or the port.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// A receipt log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger is needed once, to make the escrow known.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Requests could not tell two models apart.
    #[error("two models are called `{0}`: serve one of them at another gateway")]
    SameName(String),
    /// What stands in the log or the folder cannot be understood.
    #[error("{0}")]
    Inconsistent(String),
}

/// A running gateway.
pub struct Handle {
    /// Where it listens.
    pub addr: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    settling: Option<JoinHandle<()>>,
}

impl Handle {
    /// Its state, for programs that embed it.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Redeems and settles every model now. Programs that do not want to wait for an epoch's time call this.
    pub async fn settle(&self) -> Result<Vec<settlement::Posted>, settlement::SettleError> {
        let mut posted = Vec::new();
        for model in self.app.models.values() {
            posted.extend(settlement::settle(&self.app, model).await?);
        }
        Ok(posted)
    }

    /// Takes no more requests, lets running answers end, and returns when all is written.
    pub async fn shutdown(self) {
        self.app.stopping.store(true, Ordering::SeqCst);
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        if let Some(settling) = self.settling {
            let _ = settling.await;
        }
        let limit = self.app.config.limits.shutdown_timeout;
        let _ = tokio::time::timeout(limit, self.app.tasks.finished()).await;
        let _ = tokio::time::timeout(limit, self.app.connections.finished()).await;
    }
}

/// Starts a gateway for these models. Receipts, pending payments and settlement marks are taken up where they were left.
pub async fn serve(
    config: GatewayConfig,
    workers: Vec<(Worker, Offered)>,
    ledger: Arc<dyn Ledger>,
) -> Result<Handle, ServeError> {
    serve_on(config, workers, ledger, Arc::new(RealDisk)).await
}

/// As [`serve`], on this disk.
pub async fn serve_on(
    config: GatewayConfig,
    workers: Vec<(Worker, Offered)>,
    ledger: Arc<dyn Ledger>,
    disk: Arc<dyn Disk>,
) -> Result<Handle, ServeError> {
    let io = |what: &str| {
        let what = what.to_string();
        move |error| ServeError::Io(what, error)
    };
    disk.create_folder(&config.data_dir).map_err(io("the data folder cannot be made"))?;
    let payments = Payments::new(&config, ledger.clone(), disk.clone()).map_err(io("the data folder"))?;
    let payments = Arc::new(payments);
    let mut models = BTreeMap::new();
    for (worker, offered) in workers {
        if models.contains_key(&worker.name) {
            return Err(ServeError::SameName(worker.name));
        }
        let model = open_model(&config, &payments, worker, offered, disk.as_ref())?;
        if !config.free {
            match payments.register_escrow(model.worker.model).await {
                // It answered before: the escrow is known, and the ledger will be back.
                Err(error @ LedgerError::Away(_)) if model.recorder.log().next_sequence() > 0 => {
                    tracing::warn!(%error, "serving while the ledger is away");
                }
                other => other?,
            }
        }
        models.insert(model.worker.name.clone(), Arc::new(model));
    }
    let listener = TcpListener::bind(config.listen).await.map_err(io("the address cannot be listened at"))?;
    let addr = listener.local_addr().map_err(io("the address"))?;
    let Limits { rows, workers: attributing, queue, .. } = config.limits;
    let served: Vec<Worker> = models.values().map(|model: &Arc<ServedModel>| model.worker.clone()).collect();
    let pool = Pool::start(&served, PoolLimits { rows, attributing, queue });
    let pool = pool.map_err(io("the threads that make answers"))?;
    let public_url =
        if config.public_url.is_empty() { format!("http://{addr}") } else { config.public_url.clone() };
    let app = Arc::new(App {
        public_url,
        started_s: now_ms() / 1000,
        models,
        payments,
        ledger,
        pool,
        metrics: Metrics::default(),
        tasks: Tasks::default(),
        connections: Tasks::default(),
        stopping: AtomicBool::new(false),
        config,
    });
    resolve_intents(&app).await?;
    for model in app.models.values() {
        settlement::resume(&app, model).await;
    }
    let (stop, stopped) = watch::channel(false);
    let router = api::router(app.clone());
    let accepting = tokio::spawn(connection::accept(listener, app.clone(), router, stopped.clone()));
    let settling =
        app.config.settle_every.map(|every| tokio::spawn(settlement::run(app.clone(), every, stopped)));
    tracing::info!(%addr, models = app.models.len(), "the gateway answers");
    Ok(Handle { addr, app, stop, accepting, settling })
}

fn open_model(
    config: &GatewayConfig,
    payments: &Payments,
    worker: Worker,
    offered: Offered,
    disk: &dyn Disk,
) -> Result<ServedModel, ServeError> {
    let path = log_path(&config.data_dir, worker.model);
    let store = disk
        .open_log(&path)
        .map_err(|error| ServeError::Io(format!("the receipt log {}", path.display()), error))?;
    let mut broken = None;
    let (log, repair) = Log::open(store, config.operator.clone(), worker.model, |entry| {
        let sequence = entry.signed.receipt.sequence;
        if entry.note.is_empty() {
            return;
        }
        match Note::decode(&entry.note) {
            Ok(note) => payments.remember(worker.model, sequence, &note),
            Err(error) => broken = Some((sequence, error)),
        }
    })?;
    if let Some((sequence, error)) = broken {
        let message = format!("how answer {sequence} was paid cannot be read: {error}");
        return Err(ServeError::Inconsistent(message));
    }
    if repair.torn_bytes > 0 {
        tracing::warn!(bytes = repair.torn_bytes, "an unfinished write was cut off the receipt log");
    }
    let recorder =
        Recorder::start(log).map_err(|error| ServeError::Io("the receipt thread".into(), error))?;
    Ok(ServedModel {
        worker,
        offered,
        recorder,
        gate: Arc::new(RwLock::new(())),
        settled: Mutex::new(Vec::new()),
    })
}

/// The file of a model's receipts.
pub fn log_path(data_dir: &Path, model: B256) -> std::path::PathBuf {
    data_dir.join(format!("receipts-{}.log", hex::encode(model)))
}

/// Finds out what became of transfers that a crash, or a ledger that did not answer, left open. One that went through gets its answer,
/// made again from the request: the model gives the same one. Those that an answer being made is at are left to it.
pub(crate) async fn resolve_intents(app: &Arc<App>) -> Result<(), ServeError> {
    let io = |error| ServeError::Io("a pending payment".into(), error);
    for intent in app.payments.pending_intents().map_err(io)? {
        if app.payments.was_served(intent.from, intent.nonce) {
            app.payments.forget_intent(&intent).map_err(io)?;
            continue;
        }
        let Some(_hold) = app.payments.hold_intent(intent.from, intent.nonce) else { continue };
        match app.payments.is_used(intent.from, intent.nonce).await {
            Ok(true) => {
                record_again(app, &intent).await?;
                app.payments.forget_intent(&intent).map_err(io)?;
            }
            Ok(false) if intent.valid_before_s < now_ms() / 1000 => {
                app.payments.forget_intent(&intent).map_err(io)?
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a pending payment is looked into later"),
        }
    }
    Ok(())
}

async fn record_again(app: &Arc<App>, intent: &Intent) -> Result<(), ServeError> {
    let inconsistent = |message: String| ServeError::Inconsistent(message);
    let model = app.model_by_id(intent.model).map_err(|error| inconsistent(error.message))?;
    let worker = model.worker.clone();
    let (id, salt, amount) = (intent.id, intent.salt, intent.amount);
    let request = intent.request.clone();
    let made = tokio::task::spawn_blocking(move || {
        let prepared = worker.prepare(request, true)?;
        let mut silent = |_: &str| std::ops::ControlFlow::Continue(());
        worker.answer(id, salt, &prepared, &Terms::Flat(amount), &mut silent)
    });
    let answer = made.await.map_err(|error| inconsistent(error.to_string()))?;
    let answer = answer.map_err(|error| inconsistent(error.to_string()))?;
    let paid = Paid::Exact { from: intent.from, nonce: intent.nonce, transaction: B256::ZERO };
    let note =
        Note { endpoint: intent.endpoint, body: intent.body, identifier: intent.identifier.clone(), paid };
    let draft = Draft {
        what: What::Answer(Box::new(answer)),
        payer: intent.from,
        note: note.encode(),
        time_ms: now_ms(),
    };
    // Settlement must not close the escrow between a charge and its receipt.
    let _gate = model.gate.clone().read_owned().await;
    let entry = model.recorder.record(draft).await.map_err(|error| inconsistent(error.to_string()))?;
    app.payments.remember(intent.model, entry.signed.receipt.sequence, &note);
    Ok(())
}

impl App {
    /// The model of a name; an adapter's is `base:adapter`.
    pub fn model(&self, name: &str) -> Result<Arc<ServedModel>, ApiError> {
        self.models.get(name).cloned().ok_or_else(|| {
            let message = format!("the model `{name}` is not served here: /v1/models lists what is");
            ApiError {
                param: Some("model"),
                ..ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message)
            }
        })
    }

    /// The model of an id.
    pub fn model_by_id(&self, id: B256) -> Result<Arc<ServedModel>, ApiError> {
        let model = self.models.values().find(|model| model.worker.model == id).cloned();
        model.ok_or_else(|| ApiError::not_found("this model is no longer served here"))
    }

    /// Whether answers of a model cost nothing.
    pub fn is_free(&self, model: &ServedModel) -> bool {
        self.config.free || model.offered.price.is_free()
    }

    /// The most an answer of this use costs.
    pub fn quote(&self, model: &ServedModel, usage: Usage) -> Result<Amount, ApiError> {
        model.offered.price.of(usage).ok_or_else(|| {
            let message = "this model's price is beyond all OPEN: its operator must offer it again";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "price_out_of_range", message)
        })
    }

    /// The 402 for an asking.
    pub fn offer(&self, ask: &Ask, model: &ServedModel, amount: Amount) -> PaymentRequired {
        let description = format!("an answer of {}", model.worker.name);
        PaymentRequired {
            x402_version: 2,
            error: "Payment required".into(),
            resource: json!({
                "url": format!("{}{}", self.public_url, ask.endpoint.path()),
                "description": description,
                "mimeType": if ask.stream { "text/event-stream" } else { "application/json" },
            }),
            accepts: self.payments.accepts(model.worker.model, amount, ask.stream),
            extensions: identifier_offer(),
        }
    }

    /// Whether the gateway is on its way out.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The batch that holds a receipt, and the receipt's proof in it; null before settlement.
    pub fn settled_proof(&self, model: &ServedModel, sequence: u64) -> Value {
        settlement::proof(model, sequence).unwrap_or(Value::Null)
    }

    /// An answer of the log, whole.
    pub fn recorded(&self, served: Served) -> Option<Recorded> {
        let model = self.model_by_id(served.model).ok()?;
        let entry = model.recorder.log().entry(served.sequence).ok()??;
        Recorded::from_entry(entry, &model)
    }
}
