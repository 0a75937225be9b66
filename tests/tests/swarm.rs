//! More than two pages, and pages that come and go.

use std::time::Duration;

use causeway_tests::files::assert_same;
use causeway_tests::stage;
use causeway_tests::webtorrent::WebTorrentPage;
use serde_json::json;

/// How long a transfer of these sizes may take on a busy machine.
const TRANSFER: Duration = Duration::from_mins(2);

/// Long enough to be caught in the middle.
const LONG: u64 = 60_000_000;

#[test]
fn three_downloaders_of_one_seeder_feed_each_other() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("popular.bin", 30_000_000)?;
        // WebTorrent seeds here because it counts what it uploads.
        let tab = stage.browser("seeder").await?.tab().await?;
        let (seeder, shared) = WebTorrentPage::share(tab, &site, &server.tracker(), &[&file]).await?;
        let link = format!("{}/#{}", server.origin(), shared.magnet);
        let (one, two, three) = tokio::try_join!(
            stage.page("one", &link),
            stage.page("two", &link),
            stage.page("three", &link)
        )?;
        for page in [&one, &two, &three] {
            page.torrent(&shared.info_hash).complete(TRANSFER).await?;
        }
        let uploaded = seeder.number("uploaded").await?;
        assert!(
            uploaded < 2.5 * 30e6,
            "the seeder gave {uploaded} bytes, nearly everything three times"
        );
        for page in [&one, &two, &three] {
            assert_same(&file, &page.torrent(&shared.info_hash).save("popular.bin").await?)?;
        }
        Ok(())
    });
}

#[test]
fn a_downloader_that_is_complete_serves_others_after_the_sender_has_left() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("relay.bin", 5_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let first = stage.page("first", &shared.link).await?;
        first.torrent(&shared.info_hash).complete(TRANSFER).await?;
        sender.close().await?;

        let second = stage.page("second", &shared.link).await?;
        let torrent = second.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("relay.bin").await?)
    });
}

#[test]
fn a_reload_in_the_middle_keeps_what_was_there_and_fetches_only_the_rest() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("reloaded.bin", LONG)?;
        let tab = stage.browser("seeder").await?.tab().await?;
        let (seeder, shared) = WebTorrentPage::share(tab, &site, &server.tracker(), &[&file]).await?;
        let receiver = stage
            .page("receiver", &format!("{}/#{}", server.origin(), shared.magnet))
            .await?;
        let torrent = receiver.torrent(&shared.info_hash);
        let before = torrent
            .wait("a third of it", TRANSFER, "Number(d.progress) > 0.33")
            .await?
            .progress;
        receiver.reload().await?;
        let known = "['connecting', 'downloading', 'seeding'].includes(d.state)";
        let after = torrent
            .wait("the torrent to be back", TRANSFER, known)
            .await?
            .progress;
        assert!(
            after + 0.01 >= before,
            "{before} was there before the reload, {after} after it"
        );
        torrent.complete(TRANSFER).await?;
        let uploaded = seeder.number("uploaded").await?;
        assert!(
            uploaded < 1.1 * 60e6,
            "the seeder gave {uploaded} bytes for 60 MB"
        );
        assert_same(&file, &torrent.save("reloaded.bin").await?)
    });
}

#[test]
fn a_sender_that_leaves_and_comes_back_finishes_what_was_begun() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("interrupted.bin", LONG)?;
        let browser = stage.browser("sender").await?;
        let sender = stage.page_in(&browser, server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent
            .wait("a part of it", TRANSFER, "Number(d.progress) > 0.1")
            .await?;
        sender.close().await?;
        let part = torrent.wait("no peers", TRANSFER, "peers === 0").await?.progress;
        assert!(part < 1.0, "the sender left in the middle, at {part}");

        let sender = stage.page_in(&browser, server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("interrupted.bin").await?)
    });
}

#[test]
fn a_second_tab_says_so_corrupts_nothing_and_takes_over_when_the_first_is_closed() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("shared.bin", 20_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let browser = stage.browser("receiver").await?;
        let first = stage.page_in(&browser, &shared.link).await?;
        first
            .torrent(&shared.info_hash)
            .state("downloading", TRANSFER)
            .await?;
        let second = stage.page_in(&browser, &shared.link).await?;
        second.says_another_tab_is_open(true).await?;
        first.torrent(&shared.info_hash).complete(TRANSFER).await?;
        assert_same(&file, &first.torrent(&shared.info_hash).save("shared.bin").await?)?;

        first.close().await?;
        second.says_another_tab_is_open(false).await?;
        let torrent = second.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("shared.bin").await?)
    });
}

#[test]
fn a_link_that_is_followed_into_a_second_tab_is_opened_by_the_first() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("followed.bin", 1_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let browser = stage.browser("receiver").await?;
        let first = stage.page_in(&browser, server.origin()).await?;
        let second = stage.page_in(&browser, &shared.link).await?;
        second.says_another_tab_is_open(true).await?;
        let torrent = first.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("followed.bin").await?)
    });
}

#[test]
fn a_bare_link_finds_its_sender_after_a_reload() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("bare.bin", 300_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        sender.close().await?;
        let receiver = stage.page("receiver", server.origin()).await?;
        receiver
            .open_link(&format!("magnet:?xt=urn:btih:{}", shared.info_hash))
            .await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.state("connecting", TRANSFER).await?;
        let kept = "for (;;) {
                        try {
                            let folder = await navigator.storage.getDirectory();
                            for (const name of ['causeway', arguments[0]]) folder = await folder.getDirectoryHandle(name);
                            const file = await (await folder.getFileHandle('magnet')).getFile();
                            if (file.size > 0) return;
                        } catch {}
                        await new Promise(resolve => setTimeout(resolve, 50));
                    }";
        receiver
            .tab()
            .run_async(kept, vec![json!(shared.info_hash)])
            .await?;
        receiver.reload().await?;
        torrent.state("connecting", TRANSFER).await?;

        let sender = stage.page("sender again", server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("bare.bin").await?)
    });
}

#[test]
fn a_links_choice_of_files_is_kept_over_a_reload() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let files = [
            stage.file("1.bin", 400_000)?,
            stage.file("2.bin", 400_000)?,
            stage.file("3.bin", 400_000)?,
        ];
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&files[0], &files[1], &files[2]]).await?;
        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_link(&format!("{}&so=0", shared.magnet)).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        receiver.reload().await?;
        torrent.complete(TRANSFER).await?;
        let chosen =
            "const chosen = [...document.querySelectorAll('[data-testid=select]')].map(box => box.checked);
                      return [chosen.length === 3, chosen];";
        let chosen = receiver
            .tab()
            .wait("the choice of files", TRANSFER, chosen, vec![])
            .await?;
        assert_eq!(chosen.to_string(), "[true,false,false]");
        Ok(())
    });
}
