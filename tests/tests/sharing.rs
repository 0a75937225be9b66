//! The main job: somebody shares files, somebody else opens the link and saves the same bytes.

use std::time::Duration;

use causeway_tests::files::assert_same;
use causeway_tests::stage;
use causeway_tests::webtorrent::WebTorrentPage;

/// How long a small transfer may take on a busy machine.
const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn a_file_goes_from_our_page_to_our_page_in_another_browser() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("holiday.mp4", 20_000_003)?;
        let shared = sender.share(&[&file]).await?;
        assert!(
            shared
                .link
                .starts_with(&format!("{}/#magnet:?xt=urn:btih:", server.origin())),
            "{}",
            shared.link
        );
        sender
            .torrent(&shared.info_hash)
            .state("seeding", TRANSFER)
            .await?;

        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("holiday.mp4").await?)
    });
}

#[test]
fn a_link_can_be_typed_in_as_well_as_followed() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("notes.txt", 70_000)?;
        let shared = sender.share(&[&file]).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&shared.magnet).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("notes.txt").await?)
    });
}

#[test]
fn webtorrent_gets_a_file_from_our_page() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("song.flac", 9_000_001)?;
        let shared = sender.share(&[&file]).await?;

        let tab = stage.browser("receiver").await?.tab().await?;
        let receiver = WebTorrentPage::open(tab, &site, &shared.magnet).await?;
        receiver.complete(TRANSFER).await?;
        assert_same(&file, &receiver.save("song.flac").await?)
    });
}

#[test]
fn our_page_gets_a_file_from_webtorrent() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let tab = stage.browser("sender").await?.tab().await?;
        let file = stage.file("song.flac", 9_000_001)?;
        let (_sender, shared) = WebTorrentPage::share(tab, &site, &server.tracker(), &[&file]).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&shared.magnet).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("song.flac").await?)
    });
}

#[test]
fn webtorrent_gets_a_file_from_our_page_through_the_reference_tracker() {
    stage::run(async |stage| {
        let (tracker, site) = (stage.reference_tracker().await?, stage.site().await?);
        let server = stage.server(&["--tracker", tracker.url()]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("song.flac", 3_000_001)?;
        let shared = sender.share(&[&file]).await?;

        let tab = stage.browser("receiver").await?.tab().await?;
        let magnet = format!("magnet:?xt=urn:btih:{}&tr={}", shared.info_hash, tracker.url());
        let receiver = WebTorrentPage::open(tab, &site, &magnet).await?;
        receiver.complete(TRANSFER).await?;
        assert_same(&file, &receiver.save("song.flac").await?)
    });
}

#[test]
fn our_page_gets_a_file_from_webtorrent_through_the_reference_tracker() {
    stage::run(async |stage| {
        let (tracker, site) = (stage.reference_tracker().await?, stage.site().await?);
        let server = stage.server(&["--tracker", tracker.url()]).await?;
        let tab = stage.browser("sender").await?.tab().await?;
        let file = stage.file("song.flac", 3_000_001)?;
        let (_sender, shared) = WebTorrentPage::share(tab, &site, tracker.url(), &[&file]).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        receiver
            .open_link(&format!("magnet:?xt=urn:btih:{}", shared.info_hash))
            .await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("song.flac").await?)
    });
}

#[test]
fn a_folder_arrives_with_its_nested_empty_and_unicode_named_files() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let files = [
            ("readme.txt", 1),
            ("empty.bin", 0),
            ("a/b/c/deep.bin", 700_001),
            ("фото/日本 ♥.jpg", 1_500_000),
        ];
        for (path, length) in files {
            stage.file(&format!("trip/{path}"), length)?;
        }
        let shared = sender.share_folder(&stage.folder().join("trip")).await?;

        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        let mut paths = torrent.files().await?;
        let mut expected = files.map(|(path, _)| path.to_owned());
        paths.sort();
        expected.sort();
        assert_eq!(paths, expected);
        for (path, _) in files {
            assert_same(
                &stage.folder().join("trip").join(path),
                &torrent.save(path).await?,
            )?;
        }
        Ok(())
    });
}

#[test]
fn several_files_chosen_together_arrive_as_one_torrent() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let sender = stage.page("sender", server.origin()).await?;
        let files = [
            stage.file("one.txt", 10)?,
            stage.file("two.bin", 2_000_000)?,
            stage.file("three.bin", 300_000)?,
        ];
        let shared = sender.share(&[&files[0], &files[1], &files[2]]).await?;

        let receiver = stage.page("receiver", &shared.link).await?;
        let tab = stage.browser("webtorrent").await?.tab().await?;
        let webtorrent = WebTorrentPage::open(tab, &site, &shared.magnet).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        webtorrent.complete(TRANSFER).await?;
        for file in &files {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .expect("these names are text");
            assert_same(file, &torrent.save(name).await?)?;
            assert_same(file, &webtorrent.save(name).await?)?;
        }
        Ok(())
    });
}

#[test]
fn a_link_that_is_opened_before_the_sender_is_there_waits_for_them() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("early.bin", 2_000_000)?;
        let shared = {
            let sender = stage.page("first visit", server.origin()).await?;
            let shared = sender.share(&[&file]).await?;
            sender.close().await?;
            shared
        };
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.state("connecting", TRANSFER).await?;

        let sender = stage.page("second visit", server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("early.bin").await?)
    });
}

#[test]
fn a_paused_download_goes_on_when_it_is_resumed() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("long.bin", 60_000_000)?;
        let shared = sender.share(&[&file]).await?;

        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent
            .wait("a part of it", TRANSFER, "Number(d.progress) > 0.1")
            .await?;
        torrent.press("pause").await?;
        torrent.state("paused", TRANSFER).await?;
        let paused = torrent.now().await?.progress;
        assert!(paused < 1.0, "it was paused in the middle, at {paused}");
        torrent.press("resume").await?;
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("long.bin").await?)
    });
}

#[test]
fn a_download_that_is_shared_again_from_its_file_stays_stored() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("again.bin", 1_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        sender.close().await?;
        receiver
            .tab()
            .choose("[data-testid=file-input]", &[&file])
            .await?;
        let said = "const said = document.querySelector('.unseen[role=status]')?.innerText ?? '';
                    return [said.includes('is in your list already'), said];";
        receiver
            .tab()
            .wait("the word that it is there already", TRANSFER, said, vec![])
            .await?;

        receiver.reload().await?;
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("again.bin").await?)
    });
}
