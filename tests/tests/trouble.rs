//! What goes wrong is said in a sentence, and everything else goes on.

use std::time::Duration;

use anyhow::ensure;
use causeway_tests::files::assert_same;
use causeway_tests::{stage, torrents};
use serde_json::json;

/// How long a transfer may take on a busy machine.
const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn what_is_no_torrent_file_is_refused_in_a_sentence() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("page", server.origin()).await?;
        let whole = torrents::of_files("films", &[("a.bin", 40_000)]);
        let broken: [(&str, &[u8]); 4] = [
            ("noise", b"\x00\x01\x02 not bencode"),
            ("empty", b""),
            ("cut", &whole[..whole.len() / 2]),
            ("list", b"le"),
        ];
        for (name, bytes) in broken {
            let path = stage.folder().join(format!("{name}.torrent"));
            std::fs::write(&path, bytes)?;
            page.open_torrent_file(&path).await?;
            let message = page.error(name).await?;
            assert!(message.trim_end().ends_with('.'), "a sentence: {message}");
        }
        // And the page still works.
        let file = stage.file("fine.txt", 100)?;
        page.share(&[&file]).await?;
        Ok(())
    });
}

#[test]
fn a_link_without_a_hash_and_other_nonsense_is_refused_in_a_sentence() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("page", server.origin()).await?;
        for nonsense in ["magnet:?dn=nameless", "magnet:?xt=urn:btih:tooshort", "hello"] {
            page.open_link(nonsense).await?;
            let message = page.error("").await?;
            assert!(message.trim_end().ends_with('.'), "a sentence: {message}");
            page.dismiss_errors().await?;
        }
        Ok(())
    });
}

#[test]
fn file_names_of_a_torrent_cannot_leave_the_download_folder() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("page", server.origin()).await?;
        let evil = [
            ("../../../etc/passwd", 10),
            ("..\\..\\windows\\system.ini", 10),
            ("/absolute", 10),
            ("CON", 10),
            ("nul.txt", 10),
            ("C:\\autoexec.bat", 10),
            ("nothing\0there", 10),
        ];
        let path = stage.folder().join("evil.torrent");
        std::fs::write(&path, torrents::of_files("..", &evil))?;
        page.open_torrent_file(&path).await?;
        let hash = torrents::info_hash(&std::fs::read(&path)?);
        let paths = page.torrent(&hash).files().await?;
        assert_eq!(paths.len(), evil.len(), "{paths:?}");
        for part in paths.iter().flat_map(|path| path.split('/')) {
            let stem = part.split('.').next().unwrap_or_default().to_uppercase();
            assert!(!part.is_empty() && part != "." && part != "..", "{paths:?}");
            assert!(!part.contains(['\\', ':', '\0']), "{paths:?}");
            assert!(!["CON", "NUL"].contains(&stem.as_str()), "{paths:?}");
        }
        Ok(())
    });
}

#[test]
fn a_torrent_of_100_000_files_opens_without_freezing_the_page() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("page", server.origin()).await?;
        let names: Vec<_> = (0..100_000)
            .map(|i| format!("folder {}/file {i}.txt", i % 100))
            .collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), 1000)).collect();
        let torrent = torrents::of_files("many", &files);
        let path = stage.folder().join("many.torrent");
        std::fs::write(&path, &torrent)?;
        let watch = "window.longest = 0;
            new PerformanceObserver(list => {
                for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
            }).observe({ type: 'longtask' })";
        page.tab().run(watch, vec![]).await?;
        page.open_torrent_file(&path).await?;
        let row = page.torrent(&torrents::info_hash(&torrent));
        let seen = row
            .wait("the number of files", TRANSFER, "/100.?000/.test(row?.innerText)")
            .await?;
        assert_ne!(seen.state, "error", "{}", seen.text);
        let longest = page.tab().run("return window.longest", vec![]).await?;
        // A browser offers to end a page that stands still for longer.
        assert!(
            longest.as_f64().is_some_and(|longest| longest < 5000.0),
            "the page stood still for {longest} ms"
        );
        Ok(())
    });
}

#[test]
fn a_tracker_that_is_down_is_said_and_used_again_when_it_returns() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let (sender, receiver) = tokio::try_join!(
            stage.page("sender", server.origin()),
            stage.page("receiver", server.origin())
        )?;
        for (page, name) in [(&sender, "one.bin"), (&receiver, "another.bin")] {
            page.tab().browser().watch().expect_error("WebSocket");
            // Its worker has come from the server, too, once there is a link.
            page.share(&[&stage.file(name, 1000)?]).await?;
        }
        let (stopped, _) = server.stop().await?;
        let file = stage.file("patient.bin", 1_000_000)?;
        let shared = sender.share(&[&file]).await?;
        sender.error("tracker").await?;
        receiver.open_link(&shared.magnet).await?;
        receiver.error("tracker").await?;

        let server = stopped.start().await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        drop(server);
        assert_same(&file, &torrent.save("patient.bin").await?)
    });
}

#[test]
fn a_browser_without_webrtc_is_told_so() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let tab = stage.browser("old").await?.tab().await?;
        tab.prepare("delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection")
            .await?;
        tab.goto(server.origin()).await?;
        causeway_tests::page::CausewayPage::of(tab)
            .error("webrtc")
            .await?;
        Ok(())
    });
}

#[test]
fn a_browser_without_private_files_is_told_so_and_can_still_share() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let browser = stage.browser("old").await?;
        let without = "delete StorageManager.prototype.getDirectory;
                       delete globalThis.FileSystemSyncAccessHandle";
        browser.watch().prepare_workers(without);
        let tab = browser.tab().await?;
        tab.prepare(without).await?;
        let page = causeway_tests::page::CausewayPage::open(tab, server.origin()).await?;
        page.error("download").await?;
        let file = stage.file("still.bin", 500_000)?;
        let shared = page.share(&[&file]).await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("still.bin").await?)
    });
}

#[test]
fn a_full_disk_stops_the_download_in_a_sentence_until_there_is_room() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let sender = stage.page("sender", server.origin()).await?;
        let file = stage.file("large.bin", 20_000_000)?;
        let shared = sender.share(&[&file]).await?;

        let receiver = stage.page("receiver", server.origin()).await?;
        let quota = json!({ "origin": server.origin(), "quotaSize": 5_000_000 });
        receiver
            .tab()
            .cdp("Storage.overrideQuotaForOrigin", quota)
            .await?;
        receiver.open_link(&shared.magnet).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.state("error", TRANSFER).await?;
        receiver.error("space").await?;

        let room = json!({ "origin": server.origin(), "quotaSize": 1_000_000_000 });
        receiver.tab().cdp("Storage.overrideQuotaForOrigin", room).await?;
        torrent.press("resume").await?;
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("large.bin").await?)
    });
}

#[test]
fn a_link_makes_the_page_ask_no_tracker_that_its_operator_has_not_named() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let page = stage.page("receiver", server.origin()).await?;
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let link = format!("magnet:?xt=urn:btih:{hash}&tr=ws%3A%2F%2F127.0.0.1%3A9%2Fannounce");
        page.open_link(&link).await?;
        // Had it asked, the browser would have said on the console that the page's policy forbids it.
        let row = page.torrent(hash).now().await?;
        ensure!(
            row.text.contains("127.0.0.1%3A9"),
            "the link stays as it is: {}",
            row.text
        );
        Ok(())
    });
}

#[test]
fn downloaded_bytes_that_have_vanished_are_fetched_again_when_the_torrent_is_resumed() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("vanished.bin", 3_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        let keeper = stage.page("keeper", &shared.link).await?;
        let torrent = keeper.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        sender.close().await?;
        keeper.reload().await?;
        torrent.complete(TRANSFER).await?;
        let delete = "return navigator.storage.getDirectory()
            .then(root => root.getDirectoryHandle('causeway'))
            .then(all => all.getDirectoryHandle(arguments[0]))
            .then(ours => ours.getDirectoryHandle('data'))
            .then(data => data.removeEntry('0'))";
        keeper.tab().run(delete, vec![json!(shared.info_hash)]).await?;

        let asking = stage.page("asking", &shared.link).await?;
        torrent.state("error", TRANSFER).await?;
        keeper.error("can't be found any more").await?;
        torrent.press("resume").await?;
        let looked = "['connecting', 'downloading'].includes(d.state) && Number(d.progress) === 0";
        torrent.wait("what is left to be known", TRANSFER, looked).await?;

        let sender = stage.page("sender again", server.origin()).await?;
        sender.share(&[&file]).await?;
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("vanished.bin").await?)?;
        asking.torrent(&shared.info_hash).complete(TRANSFER).await
    });
}

#[test]
fn a_download_whose_description_was_cut_short_is_still_in_the_list() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let file = stage.file("described.bin", 1_000_000)?;
        let sender = stage.page("sender", server.origin()).await?;
        let shared = sender.share(&[&file]).await?;
        // Not by its address, which would open the torrent again.
        let keeper = stage.page("keeper", server.origin()).await?;
        keeper.open_link(&shared.magnet).await?;
        let torrent = keeper.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        sender.close().await?;
        let cut = "const root = await navigator.storage.getDirectory();
            const ours = await (await root.getDirectoryHandle('causeway')).getDirectoryHandle(arguments[0]);
            for (const name of ['torrent', 'magnet']) {
                const file = await ours.getFileHandle(name, { create: true });
                const out = await file.createWritable();
                await out.write('d8:announ');
                await out.close();
            }";
        keeper.tab().run_async(cut, vec![json!(shared.info_hash)]).await?;
        keeper.reload().await?;
        torrent.state("connecting", TRANSFER).await?;

        let sender = stage.page("sender again", server.origin()).await?;
        sender.share(&[&file]).await?;
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("described.bin").await?)
    });
}

#[test]
fn a_browser_that_keeps_nothing_for_the_page_says_so_and_can_still_share() {
    stage::run(async |stage| {
        let server = stage.server(&[]).await?;
        let browser = stage.browser("blocked").await?;
        // As Chromium does where cookies are blocked.
        browser.watch().prepare_workers(
            "const blocked = () => Promise.reject(new DOMException('blocked', 'SecurityError'));
             LockManager.prototype.request = blocked;
             StorageManager.prototype.getDirectory = blocked;",
        );
        let page = stage.page_in(&browser, server.origin()).await?;
        page.error("site data").await?;
        let file = stage.file("unlocked.bin", 500_000)?;
        let shared = page.share(&[&file]).await?;
        let receiver = stage.page("receiver", &shared.link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("unlocked.bin").await?)
    });
}
