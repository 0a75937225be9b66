//! `causeway get` and `causeway seed` with the clients that people use, and with each other.

use std::path::Path;
use std::time::Duration;
use std::{fs, process};

use anyhow::{Result, ensure};
use causeway_tests::classic::{
    Classic, ClassicTracker, Client, Seed, appears, bridge, bridging, get, getting,
};
use causeway_tests::files::assert_same;
use causeway_tests::{stage, torrents};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How long a transfer may take: transmission is in no hurry.
const PATIENCE: Duration = Duration::from_mins(2);

fn gets_from(client: Client) {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 20_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = file.parent().expect("it has a folder");
        let classic = Classic::start(client, &torrent, theirs).await?;
        stage.keep(classic.log());
        let (ours, peer) = (stage.folder().join("ours"), classic.address().to_string());
        let torrent = torrent.display().to_string();
        get(&torrent, &ours, &["--peer", &peer], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

fn seeds_to(client: Client) {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 20_000_001)?;
        let (torrent, theirs) = (stage.folder().join("data.torrent"), stage.folder().join("theirs"));
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let mut classic = Classic::start(client, &torrent, &theirs).await?;
        stage.keep(classic.log());
        let peer = classic.address().to_string();
        let seed = Seed::start(&file, &stage.folder().join("again.torrent"), &["--peer", &peer]).await?;
        stage.keep(seed.log());
        classic.complete("data.bin", PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn gets_from_libtorrent() {
    gets_from(Client::Libtorrent);
}

#[test]
fn gets_from_aria2() {
    gets_from(Client::Aria2);
}

#[test]
fn gets_from_transmission() {
    gets_from(Client::Transmission);
}

#[test]
fn gets_from_qbittorrent() {
    gets_from(Client::Qbittorrent);
}

#[test]
fn gets_from_rqbit() {
    gets_from(Client::Rqbit);
}

#[test]
fn gets_from_webtorrent() {
    gets_from(Client::WebTorrent);
}

#[test]
fn seeds_to_rqbit() {
    seeds_to(Client::Rqbit);
}

#[test]
fn seeds_to_webtorrent() {
    seeds_to(Client::WebTorrent);
}

#[test]
fn seeds_to_qbittorrent() {
    seeds_to(Client::Qbittorrent);
}

#[test]
fn seeds_to_libtorrent() {
    seeds_to(Client::Libtorrent);
}

#[test]
fn seeds_to_aria2() {
    seeds_to(Client::Aria2);
}

#[test]
fn seeds_to_transmission() {
    seeds_to(Client::Transmission);
}

#[test]
fn a_folder_goes_from_seed_to_get_by_its_magnet_link() {
    stage::run(async |stage| {
        let files = [
            ("a.bin", 1_000_000),
            ("deep/er/b.bin", 3_000_000),
            ("deep/empty", 0),
            ("z", 1),
        ];
        for (name, length) in files {
            stage.file(&format!("shared/{name}"), length)?;
        }
        let shared = stage.folder().join("shared");
        let seed = Seed::start(&shared, &stage.folder().join("shared.torrent"), &[]).await?;
        stage.keep(seed.log());
        let (ours, peer) = (stage.folder().join("ours"), seed.address()?.to_string());
        get(seed.magnet()?, &ours, &["--peer", &peer], PATIENCE).await?;
        for (name, _) in files {
            assert_same(&shared.join(name), &ours.join("shared").join(name))?;
        }
        ensure!(!ours.join(".causeway").exists(), "a record is left");
        // What is complete is only looked at, and needs no peer but for the metadata.
        get(seed.magnet()?, &ours, &["--peer", &peer], PATIENCE).await?;
        let torrent = stage.folder().join("shared.torrent").display().to_string();
        get(&torrent, &ours, &[], PATIENCE).await
    });
}

#[test]
fn only_the_files_that_are_selected_are_fetched() {
    stage::run(async |stage| {
        for name in ["a.bin", "b.txt", "c.bin"] {
            stage.file(&format!("shared/{name}"), 300_000)?;
        }
        let shared = stage.folder().join("shared");
        let seed = Seed::start(&shared, &stage.folder().join("shared.torrent"), &[]).await?;
        stage.keep(seed.log());
        let (ours, peer) = (stage.folder().join("ours"), seed.address()?.to_string());
        get(
            seed.magnet()?,
            &ours,
            &["--peer", &peer, "--select", "*.txt"],
            PATIENCE,
        )
        .await?;
        assert_same(&shared.join("b.txt"), &ours.join("shared/b.txt"))?;
        ensure!(!ours.join("shared/a.bin").exists() && !ours.join("shared/c.bin").exists());
        Ok(())
    });
}

#[test]
fn a_download_that_was_killed_goes_on_without_hashing_or_fetching_anything_again() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 300_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--peer", "127.0.0.1:9"]).await?;
        stage.keep(seed.log());
        let (theirs, peer) = (stage.folder().join("theirs"), seed.address()?.to_string());
        let torrent = torrent.display().to_string();

        let arguments = ["--peer", &peer];
        let first = kill_in_the_middle(getting(&torrent, &theirs, &arguments)?, &theirs).await?;
        ensure!(theirs.join("data.bin.part").exists() && !theirs.join("data.bin").exists());
        // Until the record is written again what came since is lost, but never what it speaks of.
        let second = kill_in_the_middle(getting(&torrent, &theirs, &arguments)?, &theirs).await?;
        eprintln!("{first} and {second} bytes were there when it was killed");
        get(&torrent, &theirs, &["--peer", &peer], PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn a_bridge_that_was_killed_goes_on_without_hashing_anything_again() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 60_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--upload-limit", "30M"]).await?;
        stage.keep(seed.log());
        let (between, peer) = (stage.folder().join("between"), seed.address()?.to_string());
        let torrent = torrent.display().to_string();
        let arguments = ["--peer", &peer];

        for _ in 0..2 {
            kill_in_the_middle(bridging(&torrent, &between, &arguments)?, &between).await?;
            ensure!(between.join("data.bin.part").exists() && !between.join("data.bin").exists());
        }
        let (bridge, ready) = bridge(&torrent, &between, &arguments).await?;
        stage.keep(bridge.log());
        appears(&between.join("data.bin"), PATIENCE).await?;
        assert_same(&file, &between.join("data.bin"))?;
        // It gives on what came before and after.
        drop(seed);
        let ours = stage.folder().join("ours-again");
        let peer = ready["listen"].as_str().unwrap_or_default();
        get(&torrent, &ours, &["--peer", peer], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

/// Lets it download until something but not everything is there, and kills it; returns the bytes that were verified then.
async fn kill_in_the_middle(mut command: Command, folder: &Path) -> Result<u64> {
    let mut child = command.stdout(process::Stdio::piped()).spawn()?;
    let out = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await? {
        let event: Value = serde_json::from_str(&line)?;
        let verified = event["verified"].as_u64().unwrap_or(0);
        ensure!(event["state"] != "checking", "it hashes what it knows");
        if verified > 0 && event["wanted"].as_u64() > Some(verified) && has_record(folder) {
            child.kill().await?;
            return Ok(verified);
        }
    }
    anyhow::bail!("it was complete before it could be killed")
}

/// Whether it is kept how far a download into this folder has come.
fn has_record(folder: &Path) -> bool {
    let entries = fs::read_dir(folder.join(".causeway"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names = entries.map(|entry| entry.path());
    names.any(|path| path.extension().is_some_and(|extension| extension == "resume"))
}

#[test]
fn somebody_elses_file_is_not_overwritten() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[]).await?;
        let (theirs, peer) = (stage.folder().join("theirs"), seed.address()?.to_string());
        fs::create_dir_all(&theirs)?;
        fs::write(theirs.join("data.bin"), "a letter")?;
        let torrent = torrent.display().to_string();
        let refused = get(&torrent, &theirs, &["--peer", &peer], PATIENCE).await;
        let error = refused.expect_err("it must not succeed").to_string();
        ensure!(
            error.contains("is there already and is not what the torrent has"),
            "{error}"
        );
        ensure!(fs::read_to_string(theirs.join("data.bin"))? == "a letter");
        get(&torrent, &theirs, &["--peer", &peer, "--overwrite"], PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn peers_meet_at_trackers_over_http_and_udp() {
    stage::run(async |stage| {
        let tracker = ClassicTracker::start().await?;
        stage.keep(tracker.log());
        let file = stage.file("data.bin", 1_000_000)?;
        for (name, url) in [("http", &tracker.http), ("udp", &tracker.udp)] {
            let torrent = stage.folder().join("data.torrent");
            let seed = Seed::start(&file, &torrent, &["--no-webrtc", "--tracker", url]).await?;
            stage.keep(seed.log());
            let ours = stage.folder().join(name);
            get(seed.magnet()?, &ours, &["--no-webrtc"], PATIENCE).await?;
            assert_same(&file, &ours.join("data.bin"))?;
        }
        Ok(())
    });
}

#[test]
fn a_magnet_link_is_enough_in_the_hash_table() {
    stage::run(async |stage| {
        // A node that has something else, but knows who has what.
        let other = stage.file("node/other.bin", 100_000)?;
        let torrent = stage.folder().join("other.torrent");
        fs::write(&torrent, torrents::of_file(&other)?)?;
        let settings = [
            "enable_dht=1",
            "dht_bootstrap_nodes=",
            "dht_restrict_routing_ips=0",
            "dht_restrict_search_ips=0",
            "dht_ignore_dark_internet=0",
            "dht_prefer_verified_node_ids=0",
            "dht_enforce_node_id=0",
        ];
        let node = Classic::libtorrent(&torrent, &stage.folder().join("node"), &settings).await?;
        stage.keep(node.log());
        let node = node.address().to_string();

        let file = stage.file("data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let arguments = ["--no-webrtc", "--dht-bootstrap", &node];
        let seed = Seed::start(&file, &torrent, &arguments).await?;
        stage.keep(seed.log());
        let ours = stage.folder().join("ours");
        get(seed.magnet()?, &ours, &arguments, PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}
