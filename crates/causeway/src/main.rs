//! The `causeway` program: the page and its tracker, a native peer, and tools for torrent files.

mod access;
mod bridge;
mod create;
mod gateway;
mod get;
mod native;
mod network;
mod page;
mod progress;
mod qr;
mod seed;
mod serve;
mod server;
mod settings;
mod show;
mod sources;
mod stop;
mod subject;
mod tracker;
mod verify;
mod web_seed;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

/// BitTorrent from browser to browser.
///
/// The exit status is 0 where all went well, 1 where `verify` found something missing or damaged or `get` was interrupted, 3 and 4
/// where `get` can't go on (see `get --help`), and 2 where something else is wrong. What happens is logged on standard error, in as much detail as the environment variable `RUST_LOG` says
/// ("info" by default; "causeway=debug" for more).
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, long_about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// How what happens is written: as lines for people, or as one JSON object for each
    #[arg(long, global = true, value_enum, default_value_t, env = "CAUSEWAY_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Arguments>),
    Bridge(Box<bridge::Arguments>),
    Get(get::Arguments),
    Seed(seed::Arguments),
    Tracker(tracker::Arguments),
    Create(create::Arguments),
    Show(show::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What the stacks below find worth a warning is a stranger's doing, and told at DEBUG where it matters.
    let usual = "info,rtc=error,librqbit_utp=error";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Bridge(arguments) => bridge::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Get(arguments) => get::run(&arguments),
        Command::Seed(arguments) => seed::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Tracker(arguments) => tracker::run(arguments).map(|()| ExitCode::SUCCESS),
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
