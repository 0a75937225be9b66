//! What an announce costs the tracker, beside `aquatic` 0.9 and npm's `bittorrent-tracker` under the same load, in
//! alternation: CPU time and ratios of one run hold whatever else the machine does, seconds much less.
//!
//! `cargo xtask bench tracker [--only closed,paced,idle,hold,udp,http,swarms] [--rounds N] [--contenders ...]`

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod classic;
mod contender;
mod load;
mod process;
mod socket;
mod swarms;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::contender::{Contender, Door};
use crate::load::Load;
use crate::table::Table;

/// Measures the tracker against aquatic and npm's `bittorrent-tracker`.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// What to measure, separated by commas; by default everything but `hold`
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Who is measured, separated by commas; everybody that is installed, by default
    #[arg(long, value_enum, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// WebSocket connections
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// Torrents that they share
    #[arg(long, default_value_t = 200)]
    torrents: usize,
    /// Connections of `hold`; the limit of open files (`ulimit -Hn`) has to be above
    #[arg(long, default_value_t = 20_000)]
    held: usize,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Announces a second of the paced measurement
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Folder of `aquatic_ws`, `aquatic_udp` and `aquatic_http` (`cargo install --version 0.9.0`), where they are not on the
    /// path
    #[arg(long)]
    aquatic: Option<PathBuf>,
    /// The program under test; by default the one that was built beside this
    #[arg(long)]
    causeway: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// WebSocket: everybody announces again as soon as the last exchange is complete.
    Closed,
    /// WebSocket: so many announces a second.
    Paced,
    /// Memory of an idle WebSocket connection that has announced one torrent.
    Idle,
    /// Our tracker alone: many connections for ten minutes.
    Hold,
    /// UDP announces, closed loop.
    Udp,
    /// HTTP announces over kept connections, closed loop.
    Http,
    /// Our tracker alone: a million swarms with two UDP peers each.
    Swarms,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    process::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let figures = match arguments.only.as_slice() {
        [] => vec![
            Figure::Closed,
            Figure::Paced,
            Figure::Idle,
            Figure::Udp,
            Figure::Http,
            Figure::Swarms,
        ],
        some => some.to_vec(),
    };
    for figure in figures {
        match figure {
            Figure::Closed => exchanges(arguments, "WebSocket, closed loop", None).await?,
            Figure::Paced => {
                let title = format!("WebSocket, {} announces a second", arguments.rate);
                exchanges(arguments, &title, Some(arguments.rate)).await?;
            }
            Figure::Idle => idle(arguments).await?,
            Figure::Hold => load::hold(arguments).await?,
            Figure::Udp => classic(arguments, Door::Udp).await?,
            Figure::Http => classic(arguments, Door::Http).await?,
            Figure::Swarms => swarms::measure(arguments).await?,
        }
    }
    Ok(())
}

/// The whole exchange: an announce with five offers, which five others answer.
async fn exchanges(arguments: &Arguments, title: &str, rate: Option<u32>) -> Result<()> {
    let mut table = Table::new();
    for round in 1..=arguments.rounds {
        for contender in contender::present(arguments, Door::WebSocket) {
            eprintln!("{title}, round {round}: {}", contender.name());
            let server = contender.start(arguments, Door::WebSocket).await?;
            let mut load = Load::connect(&server, arguments.connections, arguments.torrents).await?;
            load.join().await?;
            let measured = load
                .run(rate, Duration::from_secs(arguments.seconds), &server)
                .await?;
            table.add(contender, "announces/s", 0, measured.per_second(measured.replies));
            table.add(contender, "offers/s", 0, measured.per_second(measured.offers));
            table.add(contender, "answers/s", 0, measured.per_second(measured.answers));
            table.add(contender, "CPU us/announce", 1, measured.cpu_per_announce());
            table.add(contender, "reply p50 ms", 2, measured.latency(0.5));
            table.add(contender, "reply p99 ms", 2, measured.latency(0.99));
            table.add(contender, "generator CPU s", 1, measured.own_cpu.as_secs_f64());
        }
    }
    table.print(title);
    Ok(())
}

async fn idle(arguments: &Arguments) -> Result<()> {
    let mut table = Table::new();
    for _ in 0..arguments.rounds {
        for contender in contender::present(arguments, Door::WebSocket) {
            eprintln!("memory: {}", contender.name());
            let server = contender.start(arguments, Door::WebSocket).await?;
            let before = server.resident()?;
            let mut load = Load::connect(&server, arguments.connections, arguments.torrents).await?;
            load.join().await?;
            let after = server.resident()?;
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let each = after.saturating_sub(before) as f64 / arguments.connections as f64 / 1024.0;
            table.add(contender, "KiB/connection", 1, each);
        }
    }
    table.print("Memory of an idle connection with one announced torrent");
    Ok(())
}

async fn classic(arguments: &Arguments, door: Door) -> Result<()> {
    let title = format!("{} announces, closed loop", door.name());
    let mut table = Table::new();
    for _ in 0..arguments.rounds {
        for contender in contender::present(arguments, door) {
            eprintln!("{title}: {}", contender.name());
            let server = contender.start(arguments, door).await?;
            let measured = classic::run(arguments, &server, door).await?;
            table.add(contender, "announces/s", 0, measured.per_second(measured.replies));
            table.add(contender, "CPU us/announce", 2, measured.cpu_per_announce());
            table.add(contender, "reply p50 ms", 2, measured.latency(0.5));
            table.add(contender, "reply p99 ms", 2, measured.latency(0.99));
        }
    }
    table.print(&title);
    Ok(())
}
