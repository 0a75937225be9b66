//! How peers find each other without a tracker: the hash table, multicast, and what is remembered; and what private torrents
//! leave alone.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_core::{Magnet, Metainfo};
use causeway_tests::classic::{Classic, NEAR_BY, Seed, appears, bridge, get, getting};
use causeway_tests::files::assert_same;
use causeway_tests::program::Program;
use causeway_tests::{stage, torrents};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_mins(1);

/// libtorrent's settings for a hash table of this machine alone.
const PRIVATE_DHT: [&str; 7] = [
    "enable_dht=1",
    "dht_bootstrap_nodes=",
    "dht_restrict_routing_ips=0",
    "dht_restrict_search_ips=0",
    "dht_ignore_dark_internet=0",
    "dht_prefer_verified_node_ids=0",
    "dht_enforce_node_id=0",
];

#[test]
fn two_of_ours_find_each_other_by_multicast_alone() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[NEAR_BY, "--no-webrtc"]).await?;
        stage.keep(seed.log());
        let ours = stage.folder().join("ours");
        get(seed.magnet()?, &ours, &[NEAR_BY, "--no-webrtc"], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn libtorrent_and_ours_find_each_other_by_multicast() {
    const MULTICAST: &str = "enable_lsd=1";
    // Ours hears what libtorrent says when it comes, and is heard when it comes itself.
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 1_000_000)?;
        let (torrent, theirs) = (stage.folder().join("data.torrent"), stage.folder().join("theirs"));
        let seed = Seed::start(&file, &torrent, &[NEAR_BY, "--no-webrtc"]).await?;
        stage.keep(seed.log());
        let mut classic = Classic::libtorrent(&torrent, &theirs, &[MULTICAST]).await?;
        stage.keep(classic.log());
        classic.complete("data.bin", PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = file.parent().context("it has a folder")?;
        let classic = Classic::libtorrent(&torrent, theirs, &[MULTICAST]).await?;
        stage.keep(classic.log());
        let ours = stage.folder().join("ours");
        let what = torrent.display().to_string();
        get(&what, &ours, &[NEAR_BY, "--no-webrtc"], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn a_private_torrent_is_told_to_nobody_by_multicast_or_in_the_hash_table() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 100_000)?;
        let torrent = stage.folder().join("data.torrent");
        let trap = UdpSocket::bind("127.0.0.1:0").await?;
        let node = trap.local_addr()?.to_string();
        let arguments = [NEAR_BY, "--no-webrtc", "--dht-bootstrap", &node];
        let private = Seed::start(&file, &torrent, &[&arguments[..], &["--private"]].concat()).await?;
        stage.keep(private.log());
        let other = stage.folder().join("other");
        let what = torrent.display().to_string();
        let command = getting(&what, &other, &arguments)?;
        let (_other, _) = Program::start("get", command, "\"state\":\"downloading\"").await?;

        // An open one, started after it, finds its peer and asks the node: so would the private one have.
        let open_file = stage.file("open.bin", 100_000)?;
        let open = Seed::start(&open_file, &stage.folder().join("open.torrent"), &arguments).await?;
        stage.keep(open.log());
        get(open.magnet()?, &stage.folder().join("ours"), &arguments, PATIENCE).await?;
        let secret: Magnet = private.magnet()?.parse()?;
        let known: Magnet = open.magnet()?.parse()?;
        let (mut bytes, mut is_known) = ([0; 1500], false);
        while !is_known {
            let length = timeout(PATIENCE, trap.recv(&mut bytes))
                .await
                .context("nobody asks the node")??;
            let has = |magnet: &Magnet| {
                let name = magnet.info_hash;
                bytes[..length].windows(20).any(|it| it == name.as_bytes())
            };
            ensure!(
                !has(&secret),
                "the private torrent was looked for in the hash table"
            );
            is_known |= has(&known);
        }
        ensure!(
            !other.join("data.bin").exists(),
            "the private torrent was found by multicast"
        );
        Ok(())
    });
}

#[test]
fn libtorrent_and_ours_find_each_other_in_the_hash_table() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = file.parent().context("it has a folder")?;
        // A node that has nothing to do with it knows both.
        let other = stage.file("node/other.bin", 1_000)?;
        let other_torrent = stage.folder().join("other.torrent");
        fs::write(&other_torrent, torrents::of_file(&other)?)?;
        let node = Classic::libtorrent(&other_torrent, &stage.folder().join("node"), &PRIVATE_DHT).await?;
        let node = node.address().to_string();
        let bootstrap = format!("dht_bootstrap_nodes={node}");
        let settings = [&PRIVATE_DHT[..], &[&bootstrap]].concat();
        let classic = Classic::libtorrent(&torrent, theirs, &settings).await?;
        stage.keep(classic.log());
        let magnet = Magnet::new(Metainfo::from_bytes(&fs::read(&torrent)?)?.info().info_hash()).to_string();
        let ours = stage.folder().join("ours");
        get(
            &magnet,
            &ours,
            &["--no-webrtc", "--dht-bootstrap", &node],
            PATIENCE,
        )
        .await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn who_finds_only_peers_that_are_gone_looks_in_the_hash_table_again() {
    stage::run(async |stage| {
        let other = stage.file("node/other.bin", 1_000)?;
        let other_torrent = stage.folder().join("other.torrent");
        fs::write(&other_torrent, torrents::of_file(&other)?)?;
        let node = Classic::libtorrent(&other_torrent, &stage.folder().join("node"), &PRIVATE_DHT).await?;
        let node = node.address().to_string();
        let file = stage.file("theirs/data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let what = torrent.display().to_string();
        let looks = async |name: &str, found: &str| {
            let arguments = ["--no-webrtc", "--dht-bootstrap", &node];
            let command = getting(&what, &stage.folder().join(name), &arguments)?;
            let (mut ours, _) = Program::start("get", command, "\"event\":\"started\"").await?;
            ours.says("looked in the hash table", PATIENCE).await?;
            let log = ours.log().to_string();
            ensure!(log.contains(found), "{log}");
            anyhow::Ok(ours)
        };
        drop(looks("gone", "").await?);
        let mut ours = looks("ours", "found").await?;

        // It waits for others to come, as it is in a torrent that it has.
        let bootstrap = format!("dht_bootstrap_nodes={node}");
        let settings = [&PRIVATE_DHT[..], &[&bootstrap, "seeding_outgoing_connections=0"]].concat();
        let theirs = file.parent().context("it has a folder")?;
        let classic = Classic::libtorrent(&torrent, theirs, &settings).await?;
        stage.keep(classic.log());
        ours.says("\"event\":\"complete\"", PATIENCE).await?;
        assert_same(&file, &stage.folder().join("ours/data.bin"))
    });
}

#[test]
fn nodes_of_the_hash_table_are_kept_for_the_next_start() {
    stage::run(async |stage| {
        let other = stage.file("node/other.bin", 1_000)?;
        let other_torrent = stage.folder().join("other.torrent");
        fs::write(&other_torrent, torrents::of_file(&other)?)?;
        let node = Classic::libtorrent(&other_torrent, &stage.folder().join("node"), &PRIVATE_DHT).await?;
        let node = node.address().to_string();
        let file = stage.file("data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--no-webrtc", "--dht-bootstrap", &node]).await?;
        stage.keep(seed.log());
        let data = stage.folder().join("bridge");
        let run = async |bootstrap: &str| {
            let arguments = ["--no-webrtc", "--dht-bootstrap", bootstrap];
            bridge(seed.magnet()?, &data, &arguments).await
        };
        let (mut first, _) = run(&node).await?;
        first.says("looked in the hash table", PATIENCE).await?;
        first.stop().await?;
        let kept = fs::read_to_string(data.join("dht-nodes")).context("nothing is kept")?;
        ensure!(kept.lines().any(|line| line == node), "{node} is not in {kept:?}");
        // Nobody but those that are kept can be asked.
        fs::remove_file(data.join("data.bin")).unwrap_or_default();
        let (second, _) = run("127.0.0.1:9").await?;
        stage.keep(second.log());
        appears(&data.join("data.bin"), PATIENCE).await?;
        assert_same(&file, &data.join("data.bin"))
    });
}

#[test]
fn a_download_that_goes_on_remembers_its_peers() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 30_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--no-webrtc"]).await?;
        stage.keep(seed.log());
        let (theirs, peer) = (stage.folder().join("theirs"), seed.address()?.to_string());
        let what = torrent.display().to_string();
        let arguments = ["--no-webrtc", "--download-limit", "3M"];
        let command = getting(&what, &theirs, &[&arguments[..], &["--peer", &peer]].concat())?;
        let (mut first, _) = Program::start("get", command, "\"state\":\"downloading\"").await?;
        for _ in 0..10 {
            first.says("\"event\":\"progress\"", PATIENCE).await?;
        }
        first.stop().await?;
        ensure!(
            !theirs.join("data.bin").exists(),
            "it was complete before it could be stopped"
        );
        // Nobody names the peer again.
        get(&what, &theirs, &["--no-webrtc"], PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn rates_are_kept_to() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 6_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--no-webrtc"]).await?;
        let peer = seed.address()?.to_string();
        let what = torrent.display().to_string();
        for (name, there, here) in [
            ("down", &[][..], &["--download-limit", "1M"][..]),
            ("up", &["--upload-limit", "1M"], &[]),
        ] {
            let limited;
            let peer = if there.is_empty() {
                peer.clone()
            } else {
                limited = Seed::start(
                    &file,
                    &stage.folder().join("again.torrent"),
                    &[there, &["--no-webrtc"]].concat(),
                )
                .await?;
                limited.address()?.to_string()
            };
            let start = Instant::now();
            let arguments = [&["--no-webrtc", "--peer", &peer], here].concat();
            get(&what, &stage.folder().join(name), &arguments, PATIENCE).await?;
            let took = start.elapsed();
            ensure!(
                took > Duration::from_secs(3),
                "6 MB at 1 MB/s took {took:?} ({name})"
            );
            assert_same(&file, &stage.folder().join(name).join("data.bin"))?;
        }
        Ok(())
    });
}

#[test]
fn links_work_over_ipv6() {
    for ours in [&["--no-utp"][..], &[]] {
        stage::run(async |stage| {
            let file = stage.file("theirs/data.bin", 3_000_001)?;
            let torrent = stage.folder().join("data.torrent");
            fs::write(&torrent, torrents::of_file(&file)?)?;
            let theirs = file.parent().context("it has a folder")?;
            let mut settings = vec!["listen_interfaces=[::1]:0"];
            if ours.is_empty() {
                settings.extend(["enable_incoming_tcp=0", "enable_outgoing_tcp=0"]);
            }
            let classic = Classic::libtorrent(&torrent, theirs, &settings).await?;
            stage.keep(classic.log());
            let peer = format!("[::1]:{}", classic.address().port());
            let folder = stage.folder().join("ours");
            let arguments = [&["--listen", "[::1]:0", "--peer", &peer, "--no-webrtc"], ours].concat();
            get(&torrent.display().to_string(), &folder, &arguments, PATIENCE).await?;
            assert_same(&file, &folder.join("data.bin"))
        });
    }
}
