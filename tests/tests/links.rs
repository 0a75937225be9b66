//! What carries links to classic clients: message stream encryption and uTP, as each of them has it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use causeway_tests::classic::{Classic, Client, Links, Seed, get, getting};
use causeway_tests::files::assert_same;
use causeway_tests::program::Program;
use causeway_tests::stage::Stage;
use causeway_tests::{stage, torrents};

const PATIENCE: Duration = Duration::from_mins(2);

/// libtorrent's words for how it treats encryption.
const FORCED: [&str; 2] = ["in_enc_policy=0", "out_enc_policy=0"];
const DISABLED: [&str; 2] = ["in_enc_policy=2", "out_enc_policy=2"];
const RC4_ALONE: &str = "allowed_enc_level=2";
const PLAINTEXT_ALONE: &str = "allowed_enc_level=1";
/// And for having no other way than uTP.
const UTP_ALONE: [&str; 2] = ["enable_incoming_tcp=0", "enable_outgoing_tcp=0"];

/// `causeway get` connects to libtorrent, which has the file.
async fn gets(stage: &Stage, settings: &[&str], ours: &[&str]) -> Result<()> {
    let file = stage.file("theirs/data.bin", 5_000_001)?;
    let torrent = stage.folder().join("data.torrent");
    fs::write(&torrent, torrents::of_file(&file)?)?;
    let theirs = file.parent().expect("it has a folder");
    let classic = Classic::libtorrent(&torrent, theirs, settings).await?;
    stage.keep(classic.log());
    let (folder, peer) = (stage.folder().join("ours"), classic.address().to_string());
    let arguments = [&["--peer", &peer], ours].concat();
    get(&torrent.display().to_string(), &folder, &arguments, PATIENCE).await?;
    assert_same(&file, &folder.join("data.bin"))
}

/// libtorrent, which wants the file, connects to `causeway seed`.
async fn gives(stage: &Stage, settings: &[&str], ours: &[&str]) -> Result<()> {
    let file = stage.file("ours/data.bin", 5_000_001)?;
    let (torrent, theirs) = (stage.folder().join("data.torrent"), stage.folder().join("theirs"));
    let seed = Seed::start(&file, &torrent, ours).await?;
    stage.keep(seed.log());
    let peer = format!("connect={}", seed.address()?);
    let settings = [&[peer.as_str()], settings].concat();
    let mut classic = Classic::libtorrent(&torrent, &theirs, &settings).await?;
    stage.keep(classic.log());
    classic.complete("data.bin", PATIENCE).await?;
    assert_same(&file, &theirs.join("data.bin"))
}

/// In folders of their own.
fn both_ways(settings: &[&str], ours: &[&str]) {
    stage::run(async |stage| gets(stage, settings, ours).await);
    stage::run(async |stage| gives(stage, settings, ours).await);
}

#[test]
fn a_peer_that_requires_encryption_is_given_it_without_being_asked_to() {
    both_ways(&[&FORCED[..], &[RC4_ALONE]].concat(), &["--no-utp"]);
}

#[test]
fn encryption_is_preferred_and_required_with_libtorrent() {
    for ours in ["prefer", "require"] {
        both_ways(&FORCED, &["--no-utp", "--encryption", ours]);
    }
}

#[test]
fn a_stream_that_is_plain_after_the_negotiation_is_understood() {
    both_ways(
        &[&FORCED[..], &[PLAINTEXT_ALONE]].concat(),
        &["--no-utp", "--encryption", "prefer"],
    );
}

#[test]
fn a_peer_that_knows_no_encryption_is_spoken_to_without_it() {
    both_ways(&DISABLED, &["--no-utp", "--encryption", "prefer"]);
    both_ways(&DISABLED, &["--no-utp", "--encryption", "off"]);
}

#[test]
fn nobody_is_spoken_to_in_plain_where_encryption_is_required() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 1_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = file.parent().expect("it has a folder");
        let classic = Classic::libtorrent(&torrent, theirs, &DISABLED).await?;
        stage.keep(classic.log());
        let (folder, peer) = (stage.folder().join("ours"), classic.address().to_string());
        let arguments = ["--peer", &peer, "--encryption", "require"];
        let command = getting(&torrent.display().to_string(), &folder, &arguments)?;
        let (_ours, _) = Program::start("get", command, "can't be spoken to in cipher").await?;
        ensure!(
            !Path::new(&folder).join("data.bin.part").exists(),
            "something came"
        );
        Ok(())
    });
}

/// `causeway get` from a client that has one kind of links alone, and then `causeway seed` to it.
fn with(client: Client, links: Links, ours: &[&str]) {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 5_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = file.parent().expect("it has a folder");
        let classic = Classic::over(links, client, &torrent, theirs).await?;
        stage.keep(classic.log());
        let (folder, peer) = (stage.folder().join("ours"), classic.address().to_string());
        let arguments = [&["--peer", &peer], ours].concat();
        get(&torrent.display().to_string(), &folder, &arguments, PATIENCE).await?;
        assert_same(&file, &folder.join("data.bin"))
    });
    stage::run(async |stage| {
        let file = stage.file("ours/data.bin", 5_000_001)?;
        let (torrent, theirs) = (stage.folder().join("data.torrent"), stage.folder().join("theirs"));
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let mut classic = Classic::over(links, client, &torrent, &theirs).await?;
        stage.keep(classic.log());
        let peer = classic.address().to_string();
        let arguments = [&["--peer", &peer], ours].concat();
        let seed = Seed::start(&file, &stage.folder().join("again.torrent"), &arguments).await?;
        stage.keep(seed.log());
        classic.complete("data.bin", PATIENCE).await?;
        assert_same(&file, &theirs.join("data.bin"))
    });
}

#[test]
fn aria2_that_requires_encryption_is_given_it() {
    with(Client::Aria2, Links::Enciphered, &["--no-utp"]);
}

#[test]
fn transmission_that_requires_encryption_is_given_it() {
    with(Client::Transmission, Links::Enciphered, &["--no-utp"]);
}

#[test]
fn qbittorrent_that_requires_encryption_is_given_it() {
    with(Client::Qbittorrent, Links::Enciphered, &["--no-utp"]);
}

#[test]
fn webtorrent_that_requires_encryption_is_given_it() {
    with(Client::WebTorrent, Links::Enciphered, &["--no-utp"]);
}

#[test]
fn transmission_is_reached_over_utp_alone() {
    with(Client::Transmission, Links::Utp, &[]);
}

#[test]
fn qbittorrent_is_reached_over_utp_alone() {
    with(Client::Qbittorrent, Links::Utp, &[]);
}

#[test]
fn rqbit_is_reached_over_utp_alone() {
    with(Client::Rqbit, Links::Utp, &[]);
}

#[test]
fn webtorrent_is_reached_over_utp_alone() {
    with(Client::WebTorrent, Links::Utp, &[]);
}

#[test]
fn libtorrent_is_reached_over_utp_alone_and_reaches_us() {
    both_ways(&UTP_ALONE, &[]);
}

#[test]
fn links_over_utp_are_enciphered_too() {
    both_ways(&[&UTP_ALONE[..], &FORCED].concat(), &["--encryption", "require"]);
}
