//! Peers that misbehave cost nobody the file.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use causeway_tests::bad_tracker::BadTracker;
use causeway_tests::classic::getting;
use causeway_tests::files::assert_same;
use causeway_tests::native::get;
use causeway_tests::tab::Tab;
use causeway_tests::{stage, torrents};
use serde_json::json;

const PATIENCE: Duration = Duration::from_mins(2);

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
        meet(&strangers, site.origin(), &tracker, &hash, 0).await?;
        let sender = stage.seed(&file, &tracker, &[]).await?;
        assert_eq!(sender.info_hash, hash);
        let ended = tokio::time::timeout(PATIENCE, receiver.wait_with_output()).await??;
        let out = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success(),
            "{out}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        assert_same(&file, &folder.join("wanted.bin"))
    });
}

#[test]
fn strangers_over_webrtc_keep_the_native_peer_from_giving_to_nobody() {
    stage::run(async |stage| {
        let (server, site) = (stage.server(&[]).await?, stage.site().await?);
        let file = stage.file("wanted.bin", 2_000_000)?;
        let seed = stage.seed(&file, &server.tracker(), &[]).await?;
        let strangers = stage.browser("strangers").await?.tab().await?;
        // To a seed nobody is introduced but who lacks something.
        meet(&strangers, site.origin(), &server.tracker(), &seed.info_hash, 1).await?;
        let folder = get(&seed.magnet, &stage.folder().join("got"), &[], PATIENCE).await?;
        assert_same(&file, &folder.join("wanted.bin"))
    });
}

/// Over another tracker, which is the only way to find each other.
#[test]
fn a_tracker_that_makes_peers_up_keeps_native_peers_from_nothing() {
    stage::run(async |stage| {
        let (bad, server) = (BadTracker::start().await?, stage.server(&[]).await?);
        let file = stage.file("wanted.bin", 2_000_000)?;
        let torrent = stage.folder().join("wanted.torrent");
        std::fs::write(&torrent, torrents::of_file(&file)?)?;
        let tracker = server.tracker();
        let trackers = ["--tracker", &tracker, "--tracker", bad.url()];

        let folder = stage.folder().join("ours");
        let mut command = getting(&torrent.display().to_string(), &folder, &trackers)?;
        let mut receiver = command.stdout(Stdio::null()).spawn()?;
        bad.left_by(1).await?;
        let seed = stage.seed(&file, &tracker, &trackers[2..]).await?;
        bad.left_by(2).await?;
        let ended = tokio::time::timeout(PATIENCE, receiver.wait()).await??;
        assert!(ended.success(), "causeway get has failed ({ended})");
        assert_same(&file, &folder.join("wanted.bin"))?;
        let again = get(&seed.magnet, &stage.folder().join("again"), &[], PATIENCE).await?;
        assert_same(&file, &again.join("wanted.bin"))
    });
}

/// Introduces one stranger of each kind over the tracker, and waits until each has met somebody.
async fn meet(strangers: &Tab, site: &str, tracker: &str, info_hash: &str, left: u64) -> Result<()> {
    strangers.goto(&format!("{site}/stranger.html")).await?;
    let introduce = "await window.meet(...arguments)";
    strangers
        .run_async(introduce, vec![json!(tracker), json!(info_hash), json!(left)])
        .await?;
    let met = "const met = document.querySelector('#torrent').dataset;
               return [['noise', 'giant', 'muddle', 'liar', 'glutton', 'silence', 'vanish'].every(kind => met[kind] > 0), { ...met }];";
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
        meet(&strangers, site.origin(), &server.tracker(), &hash, 0).await?;

        let sender = stage.page("sender", server.origin()).await?;
        assert_eq!(sender.share(&[&file]).await?.info_hash, hash);
        let torrent = receiver.torrent(&hash);
        torrent.complete(PATIENCE).await?;
        assert_same(&file, &torrent.save("wanted.bin").await?)
    });
}
