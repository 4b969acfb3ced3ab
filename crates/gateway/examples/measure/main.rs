//! What the gateway costs, measured. See docs/benchmarks/gateway.md.
//!
//! ```sh
//! cargo run --release -p gateway --example measure -- overhead TEXT FOLDER
//! ```
//! `TEXT` is a file of text that the attribution cache is built over, `FOLDER` keeps model and cache between runs. Subjects: `overhead`, `vouchers`,
//! `streams [NUMBER]`, `settlement`; each prints one JSON line a figure. With `MODEL=gpt` in the environment the model is the engine's reference of 10.7
//! million parameters (in a folder of its own), else it has the demo's shape; with `ATTRIBUTED=last` answers are attributed by the weights that answer, and not at
//! a checkpoint as served models are.
#![allow(clippy::print_stdout)]

#[path = "../../tests/gateway/book.rs"]
#[allow(dead_code)]
mod book;
#[path = "../../tests/gateway/life.rs"]
#[allow(dead_code)]
mod life;
mod overhead;
#[path = "../../tests/gateway/scene.rs"]
#[allow(dead_code)]
mod scene;
mod settlement;
mod streams;
mod transformer;
mod vouchers;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [subject, text, folder, more @ ..] = arguments.as_slice() else {
        eprintln!("measure overhead|vouchers|streams|settlement|model TEXT FOLDER [NUMBER]");
        std::process::exit(2);
    };
    transformer::prepare(text.as_ref(), folder.as_ref());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    match subject.as_str() {
        "model" => {}
        "overhead" => overhead::run(),
        "vouchers" => runtime.block_on(vouchers::run()),
        "streams" => {
            let number = more.first().map_or(200, |number| number.parse().expect("a number of streams"));
            let rows = more.get(1).map_or(64, |rows| rows.parse().expect("a number of rows"));
            runtime.block_on(streams::run(number, rows));
        }
        "settlement" => runtime.block_on(settlement::run()),
        other => eprintln!("there is nothing to measure about `{other}`"),
    }
}

/// The middle of some times.
fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
