//! Into our page, in alternation: over a data channel from a native peer that has the file, from one that fetches it from libtorrent
//! over TCP meanwhile, and from a web seed.

use std::any::Any;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use causeway_tests::browser::Browser;
use causeway_tests::classic::{Classic, Client, Seed, bridge};
use causeway_tests::files::generate;
use causeway_tests::page::CausewayPage;
use causeway_tests::processes::{cpu_seconds, cpu_times, renderer};
use causeway_tests::server::Server;
use causeway_tests::torrents;
use tempfile::TempDir;

use crate::median;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DataChannel,
    Relay,
    WebSeed,
}

const ALL: [Way; 3] = [Way::DataChannel, Way::Relay, Way::WebSeed];

/// Prints the medians.
pub(crate) async fn measure(rounds: u32, megabytes: u32) -> Result<()> {
    let folder = TempDir::with_prefix("causeway-bench-")?;
    let file = generate(
        &folder.path().join("file.bin"),
        u64::from(megabytes) * 1_000_000,
        1,
    )?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        for way in ALL {
            all.push((way, transfer(way, &file, folder.path(), megabytes).await?));
        }
    }
    println!("Into our page, {megabytes} MB, private storage:");
    println!("| | MB/s | page's CPU ms/MB | whole browser's | native peer's |");
    for way in ALL {
        let of = |number: usize| {
            median(
                all.iter()
                    .filter(|(other, _)| *other == way)
                    .map(|(_, all)| all[number])
                    .collect(),
            )
        };
        println!(
            "| {way:?} | {:.1} | {:.1} | {:.1} | {:.1} |",
            of(0),
            of(1),
            of(2),
            of(3)
        );
    }
    Ok(())
}

/// Rate, and CPU of the page, of its browser and of the native peer.
async fn transfer(way: Way, file: &Path, folder: &Path, megabytes: u32) -> Result<[f64; 4]> {
    let torrent = folder.join("file.torrent");
    let between = TempDir::new_in(folder)?;
    // Whoever gives it to the page lives as long as the last of these.
    let (pid, server, _giving): (u32, Server, Box<dyn Any>) = match way {
        Way::DataChannel => {
            let server = Server::start(&[]).await?;
            let seed = Seed::start(file, &torrent, &["--tracker", &server.tracker()]).await?;
            (seed.pid()?, server, Box::new(seed))
        }
        Way::Relay => {
            let server = Server::start(&[]).await?;
            fs::write(&torrent, torrents::of_file(file)?)?;
            let mut classic = Classic::start(Client::Libtorrent, &torrent, folder).await?;
            classic.complete("file.bin", LIMIT).await?;
            let (tracker, peer) = (server.tracker(), classic.address().to_string());
            let arguments = ["--tracker", &tracker, "--peer", &peer];
            let path = torrent.display().to_string();
            let (bridge, _) = bridge(&path, between.path(), &arguments).await?;
            (bridge.pid()?, server, Box::new((bridge, classic)))
        }
        Way::WebSeed => {
            let seed = Seed::start(file, &torrent, &["--no-webrtc", "--http", "127.0.0.1:0"]).await?;
            let address = seed.ready["http"].as_str().context("it says where it serves")?;
            let server = Server::start(&["--web-seed-origin", &format!("http://{address}")]).await?;
            (seed.pid()?, server, Box::new(seed))
        }
    };
    let info_hash = torrents::info_hash(&fs::read(&torrent)?);
    let browser = Browser::unobserved("receiver").await?;
    let page = CausewayPage::open(browser.private_tab().await?, server.origin()).await?;
    let process = renderer(page.tab()).await?;
    let used = || -> Result<(f64, f64)> {
        let times = cpu_times(&browser)?;
        let all: u64 = times.values().sum();
        let own = times.get(&process).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
        Ok((own as f64, all as f64))
    };
    let (before, native_before) = (used()?, cpu_seconds(pid)?);
    let started = Instant::now();
    page.open_torrent_file(&torrent).await?;
    page.torrent(&info_hash).complete(LIMIT).await?;
    let seconds = started.elapsed().as_secs_f64();
    let (after, native_used) = (used()?, cpu_seconds(pid)? - native_before);
    let megabytes = f64::from(megabytes);
    Ok([
        megabytes / seconds,
        (after.0 - before.0) / megabytes,
        (after.1 - before.1) / megabytes,
        native_used * 1000.0 / megabytes,
    ])
}

/// The longest that a transfer may take.
const LIMIT: Duration = Duration::from_mins(5);
