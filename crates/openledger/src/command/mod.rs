//! One file a command: its arguments and what it does.

pub mod ask;
pub mod attribute;
pub mod channel;
pub mod claim;
pub mod datanet;
pub mod demo;
pub mod init;
pub mod model;
pub mod node;
pub mod pages;
pub mod publish;
pub mod serve;
pub mod status;
mod uses;
pub mod verify;
pub mod wallet;
pub mod why;

use crate::{
    cli::{Arguments, Command},
    home::Home,
    output::Output,
};
use clap::CommandFactory as _;

/// Runs the command asked for.
pub fn run(arguments: Arguments, output: &Output) -> anyhow::Result<()> {
    let Arguments { json: _, home, config, command } = arguments;
    let home = Home::new(home, config.as_deref())?;
    match command {
        Command::Ask(arguments) => runtime()?.block_on(ask::run(arguments, &home, output)),
        Command::Channel(arguments) => runtime()?.block_on(channel::run(arguments, &home, output)),
        Command::Verify(arguments) => runtime()?.block_on(verify::run(arguments, &home, output)),
        Command::Claim(arguments) => runtime()?.block_on(claim::run(arguments, &home, output)),
        Command::Publish(arguments) => runtime()?.block_on(publish::run(arguments, &home, output)),
        Command::Why(arguments) => runtime()?.block_on(why::run(arguments, output)),
        Command::Attribute(arguments) => attribute::run(arguments, output),
        Command::Model(arguments) => model::run(arguments, &home, output),
        Command::Datanet(arguments) => datanet::run(arguments, &home, output),
        Command::Demo(arguments) => demo::run(arguments, &home, output),
        Command::Init(arguments) => init::run(arguments, &home, output),
        Command::Node(arguments) => node::run(arguments, &home, output),
        Command::Pages(arguments) => runtime()?.block_on(pages::run(arguments, &home, output)),
        Command::Wallet(arguments) => wallet::run(arguments, &home, output),
        Command::Status(arguments) => runtime()?.block_on(status::run(arguments, output)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "openledger", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// The asynchronous runtime of commands that talk to the network.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Returns when the process is asked to stop: Ctrl-C or SIGTERM.
pub async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
