//! What befalls native peers: full disks, strangers, restarts, torrents that are nobody else's business.

use std::fs;
use std::net::SocketAddrV4;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use causeway_core::Metainfo;
use causeway_tests::classic::{Classic, Seed, get, getting};
use causeway_tests::files::assert_same;
use causeway_tests::server::binary;
use causeway_tests::stranger::{Manner, Stranger, listen_to};
use causeway_tests::{stage, torrents};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn a_full_disk_stops_a_download_with_a_sentence_and_loses_nothing() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 40_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[]).await?;
        stage.keep(seed.log());
        // A file system of its own, small at first, which nobody else sees: it goes with the last process in it.
        let script = r#"
            mkdir -p "$DISK" && mount -t tmpfs -o size=16m tmpfs "$DISK" || exit 90
            get() { "$CAUSEWAY" get "$TORRENT" -o "$DISK" --json --listen 127.0.0.1:0 --no-dht --no-webrtc --peer "$PEER"; }
            get; echo "first status $?"
            mount -o remount,size=128m "$DISK" || exit 91
            get; echo "second status $?"
            cmp "$DISK/data.bin" "$FILE" && echo "the same"
        "#;
        let command = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .env("DISK", stage.folder().join("disk"))
            .env("CAUSEWAY", binary()?)
            .env("TORRENT", &torrent)
            .env("PEER", seed.address()?.to_string())
            .env("FILE", &file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, command).await??;
        let out = String::from_utf8_lossy(&output.stdout);
        let all = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
        let (first, second) = out.split_once("first status 3").with_context(|| all.clone())?;
        ensure!(first.contains("there is no space left"), "{all}");
        ensure!(
            second.contains("second status 0") && second.contains("the same"),
            "{all}"
        );
        let events = |text: &str| -> Vec<Value> {
            let events = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            events.collect()
        };
        let most = |text: &str, name: &str| {
            let numbers = events(text).into_iter().filter_map(|event| event[name].as_u64());
            numbers.max().unwrap_or(0)
        };
        // Whether it knows or has to look: what was there is not fetched again.
        let (before, fetched) = (most(first, "verified"), most(second, "downloaded"));
        ensure!(
            before > 10_000_000 && before + fetched <= 40_000_000,
            "{before} bytes, then {fetched} more"
        );
        Ok(())
    });
}

#[test]
fn strangers_over_tcp_keep_nobody_from_the_file() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 8_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[]).await?;
        stage.keep(seed.log());
        let mut strangers = Vec::new();
        let mut arguments = Vec::new();
        for manner in Manner::ALL {
            let stranger = Stranger::start(manner, &torrent).await?;
            arguments.extend(["--peer".to_owned(), stranger.address().to_string()]);
            strangers.push((manner, stranger));
        }
        let theirs = stage.folder().join("theirs");
        let alone: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (mut child, mut events) = start(getting(&torrent.display().to_string(), &theirs, &alone)?)?;
        // Everyone is met while nobody else is there; the liar has had its say when a piece was wrong.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while let Some((manner, _)) = strangers.iter().find(|(_, stranger)| stranger.met() == 0) {
            ensure!(tokio::time::Instant::now() < deadline, "{manner:?} was not met");
            until(&mut events, |event| event["event"] == "progress").await?;
        }
        child.kill().await?;
        let peer = seed.address()?.to_string();
        let with_seed: Vec<&str> = alone.into_iter().chain(["--peer", &peer]).collect();
        get(&torrent.display().to_string(), &theirs, &with_seed, PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))?;
        // Neither do they disturb who listens.
        for _ in 0..2 {
            for hostile in [
                &[0xff; 3000][..],
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x13BitTorrent protocol",
            ] {
                let mut stream = tokio::net::TcpStream::connect(seed.address()?).await?;
                tokio::io::AsyncWriteExt::write_all(&mut stream, hostile).await?;
            }
        }
        let again = stage.folder().join("again");
        get(seed.magnet()?, &again, &["--peer", &peer], PATIENCE).await?;
        assert_same(&file, &again.join("data.bin"))
    });
}

/// Whether a stranger is told of peer exchange, or of other peers, while a torrent that nobody has is downloaded.
async fn is_exchanged(stage: &stage::Stage, name: &str, arguments: &[&str]) -> Result<bool> {
    let file = stage.file(&format!("{name}/data.bin"), 1_000_000)?;
    let torrent = stage.folder().join(format!("{name}.torrent"));
    drop(Seed::start(&file, &torrent, arguments).await?);
    let folder = stage.folder().join(format!("{name}-ours"));
    let (mut child, mut events) = start(getting(&torrent.display().to_string(), &folder, &[])?)?;
    let started = until(&mut events, |event| event["event"] == "started").await?;
    let address = started["listen"]
        .as_str()
        .context("it says where it listens")?
        .parse()?;
    let heard = listen_to(address, &torrent, Duration::from_secs(4)).await?;
    child.kill().await?;
    ensure!(!heard.is_empty(), "nothing was said at all");
    let extended = heard.iter().filter(|(kind, _)| *kind == 20);
    let names = [&b"ut_pex"[..], b"added"];
    let names_exchange = |payload: &[u8]| {
        let is_in = |name: &[u8]| payload.windows(name.len()).any(|text| text == name);
        names.into_iter().any(is_in)
    };
    Ok(extended.map(|(_, payload)| payload).any(|it| names_exchange(it)))
}

#[test]
fn peers_of_a_private_torrent_are_offered_no_exchange() {
    stage::run(async |stage| {
        // Of a public one they are, so the silence of the private one means something.
        let public = is_exchanged(stage, "public", &[]).await?;
        ensure!(public, "peers of the public torrent are offered no exchange");
        let private = is_exchanged(stage, "private", &["--private"]).await?;
        ensure!(!private, "peers were offered others of a private torrent");
        Ok(())
    });
}

/// Whoever connects comes from any port: where it listens only it can tell.
#[test]
fn peers_pass_on_where_those_who_connected_to_them_listen() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let what = torrent.display().to_string();
        let listens = async |name: &str, arguments: &[&str]| {
            let (child, mut events) = start(getting(&what, &stage.folder().join(name), arguments)?)?;
            let started = until(&mut events, |event| event["event"] == "started").await?;
            let address = started["listen"].as_str().context("it says where it listens")?;
            anyhow::Ok((child, events, address.parse::<SocketAddrV4>()?))
        };
        let (_first, _events, first) = listens("first", &[]).await?;
        let (_second, _more, second) = listens("second", &["--peer", &first.to_string()]).await?;
        let mut compact = second.ip().octets().to_vec();
        compact.extend(second.port().to_be_bytes());
        let is_passed_on = async || {
            let heard = listen_to(first.into(), &torrent, Duration::from_secs(2)).await?;
            let exchanged = heard
                .iter()
                .filter(|(kind, payload)| *kind == 20 && payload.starts_with(&[1]));
            let names = |payload: &[u8]| payload.windows(6).any(|window| window == compact);
            anyhow::Ok(
                exchanged
                    .map(|(_, payload)| payload)
                    .any(|payload| names(payload)),
            )
        };
        let passed_on = async {
            while !is_passed_on().await? {}
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, passed_on)
            .await
            .context("it is not passed on")?
    });
}

#[test]
fn tracker_and_peers_that_are_restarted_in_the_middle_are_found_again() {
    stage::run(async |stage| {
        let server = stage.server(&["--classic-interval", "15"]).await?;
        let file = stage.file("theirs/data.bin", 40_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let bare = Metainfo::from_bytes(&torrents::of_file(&file)?)?;
        let trackers = vec![vec![format!("{}/announce", server.origin())]];
        fs::write(
            &torrent,
            Metainfo::with_info(bare.info().clone(), trackers, Vec::new()).to_bytes(),
        )?;
        let (theirs, ours) = (stage.folder().join("theirs"), stage.folder().join("ours"));
        let slowly = ["upload_rate_limit=4000000"];
        let first = Classic::libtorrent(&torrent, &theirs, &slowly).await?;
        stage.keep(first.log());
        let (mut child, mut events) =
            start(getting(&torrent.display().to_string(), &ours, &["--no-webrtc"])?)?;
        let some = until(&mut events, |event| event["verified"].as_u64() > Some(2_000_000)).await?;
        ensure!(
            some["verified"] != some["wanted"],
            "it was too fast to be disturbed"
        );
        drop(first);
        let (stopped, _) = server.stop().await?;
        let server = stopped.start().await?;
        stage.keep(server.log());
        // On another port: nobody but the tracker knows of that.
        let second = Classic::libtorrent(&torrent, &theirs, &[]).await?;
        stage.keep(second.log());
        until(&mut events, |event| event["event"] == "complete").await?;
        ensure!(child.wait().await?.success());
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn peers_meet_over_ipv6() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 3_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = stage.folder().join("theirs");
        let settings = ["listen_interfaces=[::1]:0"];
        let mut classic = Classic::libtorrent(&torrent, &theirs, &settings).await?;
        stage.keep(classic.log());
        ensure!(classic.address().is_ipv6(), "{}", classic.address());
        let peer = classic.address().to_string();
        let again = stage.folder().join("again.torrent");
        let seed = Seed::start(&file, &again, &["--listen", "[::1]:0", "--peer", &peer]).await?;
        stage.keep(seed.log());
        classic.complete("data.bin", PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))?;
        let (ours, peer) = (stage.folder().join("ours"), seed.address()?.to_string());
        ensure!(peer.starts_with("[::1]:"), "{peer}");
        get(seed.magnet()?, &ours, &["--peer", &peer], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn a_recheck_finds_what_was_damaged_and_fetches_that_alone() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 20_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[]).await?;
        stage.keep(seed.log());
        let (theirs, peer) = (stage.folder().join("theirs"), seed.address()?.to_string());
        let what = torrent.display().to_string();
        let (mut child, mut events) = start(getting(&what, &theirs, &["--peer", &peer, "--sequential"])?)?;
        until(&mut events, |event| event["verified"].as_u64() > Some(4_000_000)).await?;
        child.kill().await?;
        let part = theirs.join("data.bin.part");
        if part.exists() {
            let mut bytes = fs::read(&part)?;
            bytes[100_000] ^= 1;
            fs::write(&part, bytes)?;
        }
        get(
            &what,
            &theirs,
            &["--peer", &peer, "--recheck", "--overwrite"],
            PATIENCE,
        )
        .await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn an_interrupted_download_says_so_and_goes_on() {
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 200_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &[]).await?;
        stage.keep(seed.log());
        let (theirs, peer) = (stage.folder().join("theirs"), seed.address()?.to_string());
        let what = torrent.display().to_string();
        let (mut child, mut events) = start(getting(&what, &theirs, &["--peer", &peer])?)?;
        until(&mut events, |event| event["verified"].as_u64() > Some(0)).await?;
        let process = child.id().context("it runs")?.to_string();
        ensure!(
            Command::new("kill")
                .args(["-INT", &process])
                .status()
                .await?
                .success()
        );
        until(&mut events, |event| event["event"] == "interrupted").await?;
        ensure!(child.wait().await?.code() == Some(1));
        get(&what, &theirs, &["--peer", &peer], PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

type Events = Lines<BufReader<ChildStdout>>;

fn start(mut command: Command) -> Result<(Child, Events)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("it is piped")?;
    Ok((child, BufReader::new(out).lines()))
}

/// Reads what happens until something does.
async fn until(events: &mut Events, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = async {
        while let Some(line) = events.next_line().await? {
            let event: Value = serde_json::from_str(&line)?;
            if is_it(&event) {
                return Ok(event);
            }
        }
        anyhow::bail!("it ended before that")
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .context("that did not happen")?
}
