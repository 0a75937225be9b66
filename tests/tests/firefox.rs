//! The page in Firefox: the same files over connections with the native peer and with the page in Chromium, in both directions.

use std::fs;
use std::time::Duration;

use causeway_tests::files::assert_same;
use causeway_tests::firefox::Firefox;
use causeway_tests::native::get;
use causeway_tests::stage;
use causeway_tests::webtorrent::escape;

const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn firefox_gets_a_file_from_a_native_peer_and_gives_it_to_another() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;
        let magnet = seed.magnet.clone();
        let mut firefox = Firefox::open(&format!("{}/#{magnet}", server.origin())).await?;
        stage.keep(firefox.log());
        firefox.complete(TRANSFER).await?;
        firefox.assert_stored(&fs::read(&file)?).await?;
        drop(seed);
        let folder = get(&magnet, &stage.folder().join("got"), &[], TRANSFER).await?;
        assert_same(&file, &folder.join("holiday.mp4"))
    });
}

#[test]
fn webtorrent_in_firefox_gets_a_file_from_a_native_peer() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("song.flac", 9_000_001)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;
        let magnet = escape(&seed.magnet);
        let mut firefox =
            Firefox::open(&format!("{}/webtorrent.html#magnet={magnet}", site.origin())).await?;
        stage.keep(firefox.log());
        // What it says to have it has verified.
        firefox.wait("#torrent", "d.state === 'complete'", TRANSFER).await
    });
}

#[test]
fn firefox_gets_a_file_from_chromium_and_gives_it_to_another() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("notes.txt", 3_000_001)?;
        let shared = sender.share(&[&file]).await?;
        let mut firefox = Firefox::open(&shared.link).await?;
        stage.keep(firefox.log());
        firefox.complete(TRANSFER).await?;
        firefox.assert_stored(&fs::read(&file)?).await?;
        sender.close().await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("notes.txt").await?)
    });
}

#[test]
fn firefox_with_a_coarse_clock_comes_back_to_a_tracker_and_gets_a_file() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("letter.txt", 300_001)?;
        let magnet = stage.seed(&file, &server.tracker(), &[]).await?.magnet;
        let address = format!("{}/#{magnet}", server.origin());
        let mut firefox = Firefox::open_with_coarse_clock(&address).await?;
        stage.keep(firefox.log());
        let torrent = "[data-testid=torrent]";
        firefox
            .wait(torrent, "d.state === 'connecting'", TRANSFER)
            .await?;
        // From here on nothing happens to the page but that its alarms ring, until it has connected to the tracker again.
        let (stopped, _) = server.stop().await?;
        let server = stopped.start().await?;
        let _seed = stage.seed(&file, &server.tracker(), &[]).await?;
        firefox.complete(TRANSFER).await?;
        firefox.assert_stored(&fs::read(&file)?).await
    });
}
