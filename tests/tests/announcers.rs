//! Classic clients at our tracker: what they announce over HTTP and UDP is understood, and they find each other.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use causeway_tests::files::{assert_same, generate};
use causeway_tests::program::Program;
use causeway_tests::server::binary;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// `causeway tracker` on a free port, and its address.
async fn tracker() -> Result<(Program, String)> {
    let mut command = Command::new(binary()?);
    command.args(["tracker", "--listen", "127.0.0.1:0"]);
    Program::start("causeway tracker", command, "listening on http://").await
}

/// The reference client, over each door in turn: it finds the one before it, and scrapes what it announced.
#[tokio::test]
async fn npm_bittorrent_tracker_announces_and_scrapes() -> Result<()> {
    let (_tracker, address) = tracker().await?;
    let output = Command::new("node")
        .arg("src/announcer.mjs")
        .args(["http", "udp"].map(|door| format!("{door}://{address}/announce")))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    let heard = String::from_utf8(output.stdout)?;
    let expected = [
        r#"["update",1,0]"#,
        r#"["scrape",1,0,0]"#,
        r#"["update",1,1]"#,
        r#"["peer","127.0.0.1:7000"]"#,
        r#"["scrape",1,1,0]"#,
    ];
    assert_eq!(
        heard.lines().collect::<Vec<_>>(),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// One aria2 announces over HTTP and seeds, another asks over UDP and downloads from it.
#[tokio::test]
async fn aria2_gets_a_file_over_udp_from_one_that_announced_over_http() -> Result<()> {
    let (_tracker, address) = tracker().await?;
    let folder = TempDir::with_prefix("causeway-announcers-")?;
    let file = generate(&folder.path().join("video.mp4"), 3_000_001, 7)?;
    for door in ["http", "udp"] {
        let made = Command::new(binary()?)
            .args([
                "create",
                "video.mp4",
                "--tracker",
                &format!("{door}://{address}/announce"),
            ])
            .args(["--output", &format!("{door}.torrent")])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(made.success(), "the torrent can't be made");
    }
    let seeding = [
        "--enable-dht=false",
        "--check-integrity=true",
        "--seed-ratio=0",
        "http.torrent",
    ];
    let _seeder = aria2(folder.path(), &seeding)?;
    timeout(SOON, async {
        while !scrape(&address).await?.contains("completei1e") {
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    })
    .await
    .context("it never announced")??;
    // Without its DHT it does no UDP.
    let table = format!("--dht-file-path={}", folder.path().join("dht").display());
    let downloading = [
        "--enable-dht=true",
        &table,
        "--seed-time=0",
        "--dir=downloaded",
        "udp.torrent",
    ];
    let mut downloader = aria2(folder.path(), &downloading)?;
    let status = timeout(SOON, downloader.wait())
        .await
        .context("it never ends")??;
    ensure!(status.success(), "aria2 ended with {status}");
    assert_same(&file, &folder.path().join("downloaded/video.mp4"))
}

fn aria2(folder: &Path, arguments: &[&str]) -> Result<Child> {
    Command::new("aria2c")
        .args([
            "--no-conf",
            "--quiet",
            "--bt-enable-lpd=false",
            "--interface=127.0.0.1",
        ])
        .args(arguments)
        .current_dir(folder)
        .kill_on_drop(true)
        .spawn()
        .context("aria2c is needed: `cargo xtask setup` installs it on Debian")
}

async fn scrape(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = "GET /scrape HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

const SOON: Duration = Duration::from_mins(1);
