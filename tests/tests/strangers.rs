//! Peers that misbehave cost nobody the file.

use std::time::Duration;

use causeway_tests::files::assert_same;
use causeway_tests::{stage, torrents};
use serde_json::json;

#[test]
fn noise_giants_lies_and_silence_from_strangers_keep_nobody_from_the_file() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("wanted.bin", 2_000_000)?;
        let torrent = torrents::of_file(&file)?;
        let path = stage.folder().join("wanted.torrent");
        std::fs::write(&path, &torrent)?;
        let hash = torrents::info_hash(&torrent);

        // The receiver knows the pieces, and nobody but strangers.
        let receiver = stage.page("receiver", server.origin()).await?;
        receiver.open_torrent_file(&path).await?;
        let strangers = stage.browser("strangers").await?.tab().await?;
        strangers
            .goto(&format!("{}/stranger.html", site.origin()))
            .await?;
        let introduce = "await window.meet(arguments[0], arguments[1])";
        strangers
            .run_async(introduce, vec![json!(server.tracker()), json!(hash)])
            .await?;
        let met = "const met = document.querySelector('#torrent').dataset;
                   return [['noise', 'giant', 'muddle', 'liar', 'silence', 'vanish'].every(kind => met[kind] > 0), { ...met }];";
        strangers
            .wait(
                "each kind of stranger to have met the page",
                Duration::from_mins(1),
                met,
                vec![],
            )
            .await?;

        let sender = stage.page("sender", server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, hash);
        let torrent = receiver.torrent(&hash);
        torrent.complete(Duration::from_mins(2)).await?;
        assert_same(&file, &torrent.save("wanted.bin").await?)
    });
}
