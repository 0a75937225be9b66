//! How long a piece takes from a bridge that has just verified it to a page that waits for it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use causeway_tests::browser::Browser;
use causeway_tests::classic::{Seed, bridge};
use causeway_tests::files::generate;
use causeway_tests::program::Log;
use causeway_tests::server::Server;
use causeway_tests::site::Site;
use causeway_tests::torrents;
use causeway_tests::webtorrent::WebTorrentPage;
use serde_json::Value;
use tempfile::TempDir;

/// Prints the middle one, the 95th of a hundred and the longest. A classic peer gives the bridge 2 MB/s over TCP, so that the page has
/// everything that there is before the next piece comes; the page is WebTorrent's, which says when each block arrives.
pub(crate) async fn measure() -> Result<()> {
    let folder = TempDir::with_prefix("causeway-bench-")?;
    let file = generate(&folder.path().join("file.bin"), 30_000_000, 1)?;
    let (server, site) = (Server::start(&[]).await?, Site::start().await?);
    let tracker = server.tracker();
    let torrent = folder.path().join("file.torrent");
    let seed = Seed::start(&file, &torrent, &["--no-webrtc", "--upload-limit", "2M"]).await?;
    let metainfo = fs::read(&torrent)?;
    let browser = Browser::unobserved("receiver").await?;
    let page = WebTorrentPage::idle(browser.private_tab().await?, &site, &tracker).await?;
    let magnet = format!(
        "magnet:?xt=urn:btih:{}&tr={tracker}",
        torrents::info_hash(&metainfo)
    );
    page.download(&magnet).await?;
    let peer = seed.address()?.to_string();
    let arguments = ["--tracker", &tracker, "--peer", &peer, "--log-format", "json"];
    let (bridge, _) = bridge(
        &torrent.display().to_string(),
        &folder.path().join("between"),
        &arguments,
    )
    .await?;
    page.complete(LIMIT).await?;
    let verified = verified(&bridge.log())?;
    let arrivals = page.arrivals().await?;
    let mut by_arrival: Vec<_> = arrivals
        .iter()
        .map(|(piece, arrival)| (*arrival, *piece))
        .collect();
    by_arrival.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    // The first ones had been there before the page was connected.
    let mut waits: Vec<f64> = by_arrival
        .iter()
        .skip(by_arrival.len() / 2)
        .filter_map(|(arrival, piece)| Some((arrival - verified.get(piece)?).rem_euclid(DAY)))
        .collect();
    waits.sort_by(f64::total_cmp);
    ensure!(
        waits.len() >= 20,
        "only {} pieces came while the page waited",
        waits.len()
    );
    let of = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "From the bridge's word that a piece is verified to its first block in WebTorrent's page, {} pieces: {:.1} ms, 95 of 100 within {:.1} ms, all within {:.1} ms",
        waits.len(),
        of(50),
        of(95),
        of(100)
    );
    Ok(())
}

/// When each piece was verified, in milliseconds of the day, as the bridge logs it.
fn verified(log: &Log) -> Result<BTreeMap<u32, f64>> {
    let log = log.to_string();
    let lines = log.lines().filter_map(|line| line.split_once(": "));
    let mut verified = BTreeMap::new();
    for line in lines.filter_map(|(_, line)| serde_json::from_str::<Value>(line).ok()) {
        if line["fields"]["message"] == "a piece is verified" {
            let piece = line["fields"]["piece"].as_u64().context("it names the piece")?;
            let time = line["timestamp"].as_str().context("it says when")?;
            verified.insert(u32::try_from(piece)?, time_of_day(time)?);
        }
    }
    Ok(verified)
}

/// The milliseconds of the day, of a time like `2026-11-29T01:45:09.123456Z`.
fn time_of_day(time: &str) -> Result<f64> {
    let clock = time
        .split_once('T')
        .and_then(|(_, clock)| clock.strip_suffix('Z'));
    let parts = clock.into_iter().flat_map(|clock| clock.split(':'));
    let seconds = parts.map(str::parse::<f64>).try_fold(0.0, |sum, part| {
        Ok::<_, std::num::ParseFloatError>(sum * 60.0 + part?)
    })?;
    Ok(seconds * 1000.0)
}

const DAY: f64 = 86_400_000.0;

/// The longest that a transfer may take.
const LIMIT: Duration = Duration::from_mins(5);
