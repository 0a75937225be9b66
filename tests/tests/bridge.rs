//! `causeway bridge` between a browser, which speaks WebRTC alone, and libtorrent, which is told to speak TCP alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use causeway_tests::classic::{Classic, Client, Links, bridge};
use causeway_tests::files::assert_same;
use causeway_tests::{stage, torrents};

const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn a_page_gets_what_only_a_classic_client_has() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("theirs/data.bin", 20_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let info_hash = torrents::info_hash(&fs::read(&torrent)?);
        let classic = Classic::start(Client::Libtorrent, &torrent, &stage.folder().join("theirs")).await?;
        stage.keep(classic.log());

        // The page asks before anybody who could answer is there.
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let (tracker, peer) = (server.tracker(), classic.address().to_string());
        let arguments = ["--tracker", &tracker, "--peer", &peer];
        let torrent = torrent.display().to_string();
        let (bridge, _) = bridge(&torrent, &stage.folder().join("between"), &arguments).await?;
        stage.keep(bridge.log());
        let torrent = page.torrent(&info_hash);
        torrent.complete(PATIENCE).await?;
        assert_same(&file, &torrent.save("data.bin").await?)
    });
}

#[test]
fn a_classic_client_gets_what_only_a_page_has() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("sender", server.origin()).await?;
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let shared = page.share(&[&file]).await?;

        let theirs = stage.folder().join("theirs");
        let magnet = format!("magnet:?xt=urn:btih:{}", shared.info_hash);
        let mut classic = Classic::libtorrent(Path::new(&magnet), &theirs, &[]).await?;
        stage.keep(classic.log());
        let peer = classic.address().to_string();
        // The bridge knows nothing but the link, and libtorrent nothing but the torrent's name.
        let between = stage.folder().join("between");
        let (bridge, _) = bridge(&shared.magnet, &between, &["--peer", &peer]).await?;
        stage.keep(bridge.log());
        classic.complete("holiday.mp4", PATIENCE).await?;
        assert_same(&file, &theirs.join("holiday.mp4"))
    });
}

/// A file goes from one client to another; one of them speaks TCP alone, the other one WebRTC.
fn carries(sender: (Links, Client), receiver: (Links, Client)) {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("theirs/data.bin", 5_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file_with(&file, &server.tracker())?)?;
        let (theirs, wanted) = (stage.folder().join("theirs"), stage.folder().join("wanted"));
        let has = Classic::over(sender.0, sender.1, &torrent, &theirs).await?;
        stage.keep(has.log());
        let mut gets = Classic::over(receiver.0, receiver.1, &torrent, &wanted).await?;
        stage.keep(gets.log());
        let classic = if sender.0 == Links::Tcp { &has } else { &gets };
        let peer = classic.address().to_string();
        let torrent = torrent.display().to_string();
        let between = stage.folder().join("between");
        let (bridge, _) = bridge(&torrent, &between, &["--peer", &peer]).await?;
        stage.keep(bridge.log());
        gets.complete("data.bin", PATIENCE).await?;
        assert_same(&file, &wanted.join("data.bin"))
    });
}

#[test]
fn rqbit_and_webtorrent_in_node_get_files_from_each_other_over_a_bridge() {
    carries((Links::WebRtc, Client::WebTorrent), (Links::Tcp, Client::Rqbit));
    carries((Links::Tcp, Client::Rqbit), (Links::WebRtc, Client::WebTorrent));
}

/// What two cores carry beside each other: more of them only take longer.
const PAGES: usize = 3;
const CLIENTS: [Client; 3] = [Client::Libtorrent, Client::Aria2, Client::Qbittorrent];

#[test]
fn a_crowd_of_pages_and_classic_clients_gets_one_file_over_one_bridge() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("holiday.mp4", 12_000_003)?;
        let shared = sender.share(&[&file]).await?;
        let torrent = stage.folder().join("holiday.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        assert_eq!(torrents::info_hash(&fs::read(&torrent)?), shared.info_hash);

        let mut clients = Vec::new();
        let mut arguments = Vec::new();
        for (number, client) in CLIENTS.into_iter().enumerate() {
            let folder = stage.folder().join(format!("client-{number}"));
            let classic = Classic::start(client, &torrent, &folder).await?;
            stage.keep(classic.log());
            arguments.extend(["--peer".to_owned(), classic.address().to_string()]);
            clients.push((classic, folder));
        }
        let mut pages = Vec::new();
        for number in 0..PAGES {
            let page = stage.page(&format!("receiver-{number}"), server.origin()).await?;
            page.open_link(&shared.magnet).await?;
            pages.push(page);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (bridge, _) = bridge(&shared.magnet, &stage.folder().join("between"), &arguments).await?;
        stage.keep(bridge.log());
        for (classic, folder) in &mut clients {
            classic.complete("holiday.mp4", PATIENCE).await?;
            assert_same(&file, &folder.join("holiday.mp4"))?;
        }
        for page in &pages {
            let torrent = page.torrent(&shared.info_hash);
            torrent.complete(PATIENCE).await?;
            assert_same(&file, &torrent.save("holiday.mp4").await?)?;
        }
        Ok(())
    });
}
