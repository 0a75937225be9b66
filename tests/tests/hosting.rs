//! The page as `cargo xtask dist` makes it, on a web server that knows nothing of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use causeway_tests::files::assert_same;
use causeway_tests::program::Program;
use causeway_tests::server::binary;
use causeway_tests::site::Site;
use causeway_tests::stage;
use serde_json::{Value, json};
use tokio::process::Command;

const TRANSFER: Duration = Duration::from_mins(1);

#[test]
fn the_page_as_static_files_shares_under_any_path_and_asks_its_own_tracker_alone() {
    stage::run(async |stage| {
        let mut tracker = Command::new(binary()?);
        tracker.args(["tracker", "--listen", "127.0.0.1:0"]);
        let (tracker, address) = Program::start("causeway tracker", tracker, "listening on http://").await?;
        stage.keep(tracker.log());
        let tracker = format!("ws://{address}/announce");

        let folder = stage.folder().join("site");
        dist(&folder, &tracker).await?;
        without_ice_servers(&folder.join("config.json"))?;
        let site = Site::of_files(&folder, "/some/where").await?;
        let page = format!("{}/some/where/", site.origin());

        let file = stage.file("static.bin", 2_000_001)?;
        let sender = stage.page("sender", &page).await?;
        let shared = sender.share(&[&file]).await?;
        ensure!(
            shared.link.starts_with(&page),
            "the link lies elsewhere: {}",
            shared.link
        );
        // Nobody has allowed the page to ask that one.
        let link = format!("{}&tr=ws%3A%2F%2F127.0.0.1%3A9%2Fannounce", shared.link);
        let receiver = stage.page("receiver", &link).await?;
        let torrent = receiver.torrent(&shared.info_hash);
        torrent.complete(TRANSFER).await?;
        assert_same(&file, &torrent.save("static.bin").await?)?;
        let requests = receiver.tab().browser().watch().requests();
        let sockets: Vec<_> = requests.iter().filter(|url| url.starts_with("ws")).collect();
        ensure!(sockets == [&tracker], "asked for {sockets:?}");
        Ok(())
    });
}

/// Makes the page's files as an operator does.
async fn dist(folder: &Path, tracker: &str) -> Result<()> {
    let made = Command::new("cargo")
        .args(["xtask", "dist", "--tracker", tracker])
        .arg(folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "`cargo xtask dist` failed:\n{said}");
    Ok(())
}

/// Sets the page up for a machine without a network.
fn without_ice_servers(config: &Path) -> Result<()> {
    let mut settings: Value = serde_json::from_str(&std::fs::read_to_string(config)?)?;
    let servers = settings.get_mut("iceServers").context("it has ICE servers")?;
    *servers = json!([]);
    Ok(std::fs::write(config, settings.to_string())?)
}
