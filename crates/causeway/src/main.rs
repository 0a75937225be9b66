//! The `causeway` program: the page and its tracker, a native peer, and tools for torrent files.

mod create;
mod get;
mod http;
mod native;
mod page;
mod seed;
mod serve;
mod show;
mod sources;
mod stop;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// BitTorrent from browser to browser.
///
/// The exit status is 0 where all went well, 1 where `verify` found something missing or damaged or `get` was interrupted, and 2
/// where something else is wrong. What happens is logged on standard error, in as much detail as the environment variable `RUST_LOG` says
/// ("info" by default; "causeway=debug" for more).
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, long_about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Get(get::Arguments),
    Seed(seed::Arguments),
    Create(create::Arguments),
    Show(show::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Get(arguments) => get::run(arguments),
        Command::Seed(arguments) => seed::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Create(arguments) => create::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Show(arguments) => show::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        let cause = error
            .root_cause()
            .downcast_ref::<io::Error>()
            .map(io::Error::kind);
        // Whoever read our output and closed it has seen enough.
        if cause != Some(io::ErrorKind::BrokenPipe) {
            eprintln!("causeway: {error:#}");
        }
        ExitCode::from(2)
    })
}
