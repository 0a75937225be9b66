//! Peers that misbehave cost nobody the file.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use causeway_tests::classic::getting;
use causeway_tests::files::assert_same;
use causeway_tests::tab::Tab;
use causeway_tests::{stage, torrents};
use serde_json::json;

#[test]
fn strangers_over_webrtc_keep_the_native_peer_from_nothing() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("wanted.bin", 2_000_000)?;
        let torrent = torrents::of_file(&file)?;
        let path = stage.folder().join("wanted.torrent");
        std::fs::write(&path, &torrent)?;
        let (hash, tracker) = (torrents::info_hash(&torrent), server.tracker());

        // It knows the pieces, and nobody but strangers.
        let folder = stage.folder().join("ours");
        let mut command = getting(&path.display().to_string(), &folder, &["--tracker", &tracker])?;
        let receiver = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let strangers = stage.browser("strangers").await?.tab().await?;
        meet(&strangers, site.origin(), &tracker, &hash).await?;
        let sender = stage.seed(&file, &tracker, &[]).await?;
        assert_eq!(sender.info_hash, hash);
        let ended = tokio::time::timeout(Duration::from_mins(2), receiver.wait_with_output()).await??;
        let out = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success(),
            "{out}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        assert_same(&file, &folder.join("wanted.bin"))
    });
}

/// Introduces one stranger of each kind over the tracker, and waits until each has met somebody.
async fn meet(strangers: &Tab, site: &str, tracker: &str, info_hash: &str) -> Result<()> {
    strangers.goto(&format!("{site}/stranger.html")).await?;
    let introduce = "await window.meet(arguments[0], arguments[1])";
    strangers
        .run_async(introduce, vec![json!(tracker), json!(info_hash)])
        .await?;
    let met = "const met = document.querySelector('#torrent').dataset;
               return [['noise', 'giant', 'muddle', 'liar', 'silence', 'vanish'].every(kind => met[kind] > 0), { ...met }];";
    let what = "each kind of stranger to have met the other side";
    strangers.wait(what, Duration::from_mins(1), met, vec![]).await?;
    Ok(())
}

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
        meet(&strangers, site.origin(), &server.tracker(), &hash).await?;

        let sender = stage.page("sender", server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, hash);
        let torrent = receiver.torrent(&hash);
        torrent.complete(Duration::from_mins(2)).await?;
        assert_same(&file, &torrent.save("wanted.bin").await?)
    });
}
