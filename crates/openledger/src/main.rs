//! The one binary: reads arguments and configuration, wires the crates, shows results.
//!
//! Data goes to standard output, progress and advice to standard error. `--json` turns the data into one JSON value.
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

mod arithmetic;
mod cli;
mod clock;
mod command;
mod config;
mod demo;
mod evidence;
mod home;
mod hub;
mod light;
mod output;
mod pages;
mod password;
mod recording;
mod registration;
mod revert;
mod rpc;
mod serving;
mod transaction;
mod wallet;

use clap::Parser;
use std::{io::IsTerminal as _, process::ExitCode};

/// What is logged unless `OPENLEDGER_LOG` says otherwise. A leader that gives up a proposal tries again: nothing to do for an operator.
const DEFAULT_FILTER: &str = "warn,commonware_storage=error,commonware_consensus=error";

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("OPENLEDGER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_FILTER));
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let output = output::Output::new(arguments.json);
    match command::run(arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::FAILURE
        }
    }
}
