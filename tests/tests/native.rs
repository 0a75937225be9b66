//! The native peer and browsers, and other clients that speak to both: WebRTC is the only way between them, the tracker their
//! only meeting place.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use causeway_tests::classic::{Classic, Client, Links};
use causeway_tests::files::assert_same;
use causeway_tests::native::get;
use causeway_tests::pion::Pion;
use causeway_tests::server::Server;
use causeway_tests::stage::{self, Stage};
use causeway_tests::torrents;
use causeway_tests::webtorrent::WebTorrentPage;

/// How long a small transfer may take on a busy machine.
const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn our_page_gets_a_file_from_the_native_peer() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&seed.magnet).await?;
        let torrent = receiver.torrent(&seed.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("holiday.mp4").await?)
    });
}

#[test]
fn a_page_gets_a_private_torrent_by_the_tracker_that_its_link_names() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("minutes.pdf", 3_000_001)?;
        let seed = stage.seed(&file, &server.tracker(), &["--private"]).await?;

        // The page's own tracker is the torrent's, too: it stays when the metadata says that it is private.
        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&seed.magnet).await?;
        let torrent = receiver.torrent(&seed.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("minutes.pdf").await?)
    });
}

#[test]
fn what_a_link_chooses_of_a_torrent_is_chosen_after_a_reload_too() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let folder = stage.folder().join("album");
        for (name, length) in [("1.mp3", 300_001), ("2.mp3", 400_001), ("3.mp3", 500_001)] {
            stage.file(&format!("album/{name}"), length)?;
        }
        let seed = stage.seed(&folder, &server.tracker(), &[]).await?;
        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&format!("{}&so=1", seed.magnet)).await?;
        let torrent = receiver.torrent(&seed.info_hash);
        torrent.complete(TRANSFER).await?;
        receiver.reload().await?;
        torrent.complete(TRANSFER).await?;
        let row = torrent.now().await?;
        ensure!(row.text.contains("What you chose is here"), "{}", row.text);
        assert_same(&folder.join("2.mp3"), &torrent.save("2.mp3").await?)
    });
}

#[test]
fn the_native_peer_gets_a_file_from_our_page() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let shared = sender.share(&[&file]).await?;

        let folder = get(&shared.magnet, &stage.folder().join("got"), &[], TRANSFER).await?;
        assert_same(&file, &folder.join("holiday.mp4"))
    });
}

#[test]
fn webtorrent_gets_a_file_from_the_native_peer() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("song.flac", 9_000_001)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;

        let tab = stage.browser("receiver").await?.tab().await?;
        let receiver = WebTorrentPage::open(tab, &site, &seed.magnet).await?;
        receiver.complete(TRANSFER).await?;
        assert_same(&file, &receiver.save("song.flac").await?)
    });
}

#[test]
fn the_native_peer_gets_a_file_from_webtorrent() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let tab = stage.browser("sender").await?.tab().await?;
        let file = stage.file("song.flac", 9_000_001)?;
        let (_sender, shared) = WebTorrentPage::share(tab, &site, &server.tracker(), &[&file]).await?;

        let folder = get(&shared.magnet, &stage.folder().join("got"), &[], TRANSFER).await?;
        assert_same(&file, &folder.join("song.flac"))
    });
}

/// A client that gets a file from the native peer, and then has one for it.
fn with(client: Client) {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("notes.txt", 5_000_000)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;
        let folder = stage.folder().join("got");
        let mut receiver = Classic::over(Links::WebRtc, client, Path::new(&seed.magnet), &folder).await?;
        stage.keep(receiver.log());
        receiver.complete("notes.txt", TRANSFER).await?;
        assert_same(&file, &folder.join("notes.txt"))
    });
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let (file, torrent) = theirs(stage, &server)?;
        let mut sender = Classic::over(Links::WebRtc, client, &torrent, stage.folder()).await?;
        stage.keep(sender.log());
        sender.complete("notes.txt", TRANSFER).await?;
        let folder = stage.folder().join("got");
        get(&torrent.display().to_string(), &folder, &[], TRANSFER).await?;
        assert_same(&file, &folder.join("notes.txt"))
    });
}

/// A file, and its torrent file, which names this server's tracker.
fn theirs(stage: &Stage, server: &Server) -> Result<(PathBuf, PathBuf)> {
    let file = stage.file("notes.txt", 5_000_000)?;
    let torrent = stage.folder().join("notes.torrent");
    fs::write(&torrent, torrents::of_file_with(&file, &server.tracker())?)?;
    Ok((file, torrent))
}

#[test]
fn libtorrent_and_the_native_peer_get_files_from_each_other() {
    with(Client::Libtorrent);
}

#[test]
fn webtorrent_in_node_and_the_native_peer_get_files_from_each_other() {
    with(Client::WebTorrent);
}

#[test]
fn a_peer_on_pion_and_the_native_peer_get_files_from_each_other() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let (file, torrent) = theirs(stage, &server)?;
        let _seed = stage.seed(&file, &server.tracker(), &[]).await?;
        let got = stage.folder().join("got.txt");
        let mut receiver = Pion::start(&torrent, &server.tracker(), &got).await?;
        stage.keep(receiver.log());
        receiver.complete(TRANSFER).await?;
        assert_same(&file, &got)
    });
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let (file, torrent) = theirs(stage, &server)?;
        let sender = Pion::start(&torrent, &server.tracker(), &file).await?;
        stage.keep(sender.log());
        let folder = stage.folder().join("got");
        get(&torrent.display().to_string(), &folder, &[], TRANSFER).await?;
        assert_same(&file, &folder.join("notes.txt"))
    });
}

#[test]
fn libtorrent_gets_a_file_from_our_page() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("notes.txt", 5_000_000)?;
        let shared = sender.share(&[&file]).await?;
        let (folder, link) = (stage.folder().join("got"), Path::new(&shared.magnet));
        let mut receiver = Classic::over(Links::WebRtc, Client::Libtorrent, link, &folder).await?;
        stage.keep(receiver.log());
        receiver.complete("notes.txt", TRANSFER).await?;
        assert_same(&file, &folder.join("notes.txt"))
    });
}

#[test]
fn our_page_gets_a_file_from_libtorrent() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let (file, torrent) = theirs(stage, &server)?;
        let mut sender = Classic::over(Links::WebRtc, Client::Libtorrent, &torrent, stage.folder()).await?;
        stage.keep(sender.log());
        sender.complete("notes.txt", TRANSFER).await?;
        let receiver = stage.page("receiver", server.origin()).await?;
        // It has the metadata from libtorrent, too.
        let info_hash = torrents::info_hash(&fs::read(&torrent)?);
        receiver
            .open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let row = receiver.torrent(&info_hash);
        row.complete(TRANSFER).await?;
        assert_same(&file, &row.save("notes.txt").await?)
    });
}

#[test]
fn native_peers_meet_at_the_reference_tracker() {
    stage::run(async |stage| {
        let tracker = stage.reference_tracker().await?;
        let file = stage.file("notes.txt", 5_000_000)?;
        let seed = stage.seed(&file, tracker.url(), &[]).await?;
        let folder = get(&seed.magnet, &stage.folder().join("got"), &[], TRANSFER).await?;
        assert_same(&file, &folder.join("notes.txt"))
    });
}
