//! The developer's commands, run as `cargo xtask COMMAND`.
//!
//! What they do is told on standard error, a line before each program that is started; standard output
//! belongs to those programs.

mod bench;
mod browser;
mod compress;
mod dist;
mod fuzz;
mod page;
mod process;
mod run;
mod setup;
mod sim;
mod test;
mod tidy;
mod toolchain;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about = "Sets up, builds, runs and tests Causeway")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what building and testing need beyond Rust; quick where it is all there
    Setup {
        /// Only what building and running need, nothing for the tests
        #[arg(long)]
        build_only: bool,
    },
    /// Build everything and serve the page, by default on port 8080
    Run {
        /// Arguments for `causeway serve`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check everything that a change has to pass
    Test {
        /// Run only this step (may be repeated)
        #[arg(long, value_name = "STEP", value_parser = test::names())]
        only: Vec<String>,
        /// Leave this step out (may be repeated)
        #[arg(long, value_name = "STEP", value_parser = test::names())]
        skip: Vec<String>,
    },
    /// Check the rules that no other tool knows: directions of dependencies, lengths of files, the
    /// architecture page
    Tidy,
    /// Build the page as static files that any web server can host
    Dist {
        /// Where to; by default a folder `site` in the build folder
        folder: Option<PathBuf>,
        /// Tracker for the page instead of the public ones, with its whole URL (may be repeated)
        #[arg(long = "tracker", value_name = "URL")]
        trackers: Vec<String>,
    },
    /// Simulate swarms in virtual time
    Sim {
        /// How many of each scenario
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// Only this one
        #[arg(long)]
        seed: Option<u64>,
        /// Large swarms instead, and how long they take beside what is possible
        #[arg(long)]
        figures: bool,
        /// Only the scenarios with this in their name
        scenario: Option<String>,
    },
    /// Look for inputs that break what reads strangers' bytes
    Fuzz {
        /// How long, for each target
        #[arg(default_value_t = 60)]
        seconds: u32,
        /// Only this target
        #[arg(long)]
        only: Option<String>,
    },
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The engine alone: time and allocations for each block, memory of idle torrents
    Engine,
    /// The tracker against aquatic and npm `bittorrent-tracker`
    Tracker {
        /// Arguments for the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The browser peer against npm `webtorrent` and a bare data channel
    Browser {
        /// Arguments for the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The native peer over TCP against libtorrent, and its web seed against its data channels
    Bridge {
        /// Arguments for the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The native peer serving a page, against libtorrent
    Native {
        /// Arguments for the benchmark; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Native WebRTC links: offers, opening, idling, their rate
    Webrtc {
        /// Which of `offers`, `open`, `idle` and `rate`; all by default
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup { build_only: true } => setup::build(),
        Command::Setup { build_only: false } => setup::all(),
        Command::Run { arguments } => run::run(&arguments),
        Command::Test { only, skip } => test::run(&only, &skip),
        Command::Tidy => tidy::run(),
        Command::Dist { folder, trackers } => dist::run(folder, &trackers),
        Command::Sim {
            seeds,
            seed,
            figures,
            scenario,
        } => sim::run(seeds, seed, scenario.as_deref(), figures),
        Command::Fuzz { seconds, only } => fuzz::run(seconds, only.as_deref()),
        Command::Bench(Bench::Engine) => bench::engine(),
        Command::Bench(Bench::Tracker { arguments }) => bench::tracker(&arguments),
        Command::Bench(Bench::Browser { arguments }) => bench::browser(&arguments),
        Command::Bench(Bench::Bridge { arguments }) => bench::bridge(&arguments),
        Command::Bench(Bench::Native { arguments }) => bench::native(&arguments),
        Command::Bench(Bench::Webrtc { arguments }) => bench::webrtc(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
