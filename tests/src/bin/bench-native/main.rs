//! `cargo xtask bench native`: what it costs a native peer to serve WebTorrent's page in Chromium over WebRTC, ours and
//! libtorrent in alternation.
//!
//! CPU time is the native peer's alone; the first piece is counted from the moment when the page adds the magnet link.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use causeway_tests::browser::Browser;
use causeway_tests::classic::{Classic, Client, Links};
use causeway_tests::files::generate;
use causeway_tests::native::Seed;
use causeway_tests::server::Server;
use causeway_tests::site::Site;
use causeway_tests::webtorrent::WebTorrentPage;
use clap::Parser;
use tempfile::TempDir;

#[derive(Debug, Parser)]
struct Arguments {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// The length of the file, in megabytes
    #[arg(long, default_value_t = 200)]
    megabytes: u32,
}

/// What a transfer took.
#[derive(Debug)]
struct Figures {
    rate: f64,
    cpu: f64,
    first_piece: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for round in 1..=arguments.rounds {
        for ours in [true, false] {
            let Figures {
                rate,
                cpu,
                first_piece,
            } = transfer(ours, arguments.megabytes).await?;
            let who = if ours { "causeway" } else { "libtorrent" };
            println!(
                "round {round}, {who}: {rate:.1} MB/s, {cpu:.1} s of CPU a GB, first piece after {first_piece:.0} ms"
            );
        }
    }
    Ok(())
}

/// Serves a file from a native peer to a page.
async fn transfer(ours: bool, megabytes: u32) -> Result<Figures> {
    let folder = TempDir::with_prefix("causeway-bench-")?;
    let file = generate(
        &folder.path().join("file.bin"),
        u64::from(megabytes) * 1_000_000,
        1,
    )?;
    let (server, site) = (Server::start(&[]).await?, Site::start().await?);
    let torrent = folder.path().join("file.torrent");
    let torrent_out = ["--torrent-out", torrent.to_str().context("a plain path")?];
    let seed = Seed::start(&file, &server.tracker(), &torrent_out).await?;
    let magnet = seed.magnet.clone();
    let (_seed, _libtorrent, pid) = if ours {
        let pid = seed.pid()?;
        (Some(seed), None, pid)
    } else {
        drop(seed);
        let mut classic = Classic::over(Links::WebRtc, Client::Libtorrent, &torrent, folder.path()).await?;
        classic.complete("file.bin", LIMIT).await?;
        let pid = classic.pid()?;
        (None, Some(classic), pid)
    };
    let browser = Browser::start("receiver").await?;
    let page = WebTorrentPage::idle(browser.tab().await?, &site, &server.tracker()).await?;
    let before = cpu_seconds(pid)?;
    page.download(&magnet).await?;
    page.complete(LIMIT).await?;
    let cpu = cpu_seconds(pid)? - before;
    let opened = page.mark("opened").await?;
    let first_piece = page.mark("first-piece").await? - opened;
    let gigabytes = f64::from(megabytes) / 1e3;
    Ok(Figures {
        rate: gigabytes * 1e6 / (page.mark("complete").await? - opened - first_piece),
        cpu: cpu / gigabytes,
        first_piece,
    })
}

/// User and system time of a process.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("the name stands in parentheses")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    // A tick is a hundredth of a second on every Linux of today.
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// The longest that a transfer may take.
const LIMIT: Duration = Duration::from_mins(10);
