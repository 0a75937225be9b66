//! The web seed, asked as browsers and clients ask.

use core::net::IpAddr;
use core::time::Duration;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use causeway_bridge::{
    Addition, Bridge, Config, Contents, Manner, Overwrite, Reach, Subject, WebSeed, WebSeedBody,
    WebSeedConfig,
};
use causeway_core::{CreateOptions, Draft, DraftFile, Metainfo};
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};
use tempfile::TempDir;

const LENGTH: u32 = 300_000;

fn content() -> Vec<u8> {
    (0..LENGTH)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

fn torrent(is_private: bool) -> Result<Metainfo> {
    let file = DraftFile {
        path: vec!["a b.bin".to_owned()],
        length: LENGTH.into(),
    };
    let options = CreateOptions {
        piece_length: Some(65_536),
        private: is_private,
        ..CreateOptions::default()
    };
    let mut hasher = Draft::new("a b.bin", vec![file], options)?.hasher();
    hasher.update(&content());
    Ok(hasher.finish()?)
}

/// A bridge that meets nobody.
async fn bridge() -> Result<Bridge> {
    let config = Config {
        web_seeds: Reach::Nobody,
        ..Config::default()
    };
    Ok(Bridge::start(config).await?)
}

fn share(bridge: &Bridge, folder: &TempDir, metainfo: Metainfo) -> Result<()> {
    let path = folder.path().join("a b.bin");
    fs::write(&path, content())?;
    bridge.add(Addition {
        subject: Subject::Metainfo(metainfo),
        contents: Contents::Shared(vec![path]),
        selection: None,
        peers: Vec::new(),
        web_seeds: Vec::new(),
        manner: Manner::default(),
    })?;
    Ok(())
}

const FROM: IpAddr = IpAddr::V4(core::net::Ipv4Addr::LOCALHOST);

async fn ask(
    seed: &WebSeed,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response<WebSeedBody>> {
    let mut request = Request::builder().method(method).uri(format!("/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(())?.into_parts();
    Ok(seed.answer(&head, path, FROM).await)
}

fn header<'a>(response: &'a Response<WebSeedBody>, name: &str) -> &'a str {
    let value = response.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

async fn bytes(response: Response<WebSeedBody>) -> Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_their_ranges_are_served_as_the_standard_says() -> Result<()> {
    let (bridge, folder) = (bridge().await?, tempfile::tempdir()?);
    let metainfo = torrent(false)?;
    share(&bridge, &folder, metainfo.clone())?;
    let seed = WebSeed::new(&bridge, WebSeedConfig::default());
    let path = format!("{}/a%20b.bin", metainfo.info().info_hash());

    let whole = ask(&seed, "GET", &path, &[]).await?;
    ensure!(whole.status() == StatusCode::OK && header(&whole, "accept-ranges") == "bytes");
    ensure!(header(&whole, "content-length") == LENGTH.to_string());
    ensure!(header(&whole, "access-control-allow-origin") == "*");
    ensure!(header(&whole, "content-security-policy").contains("sandbox"));
    let tag = header(&whole, "etag").to_owned();
    ensure!(tag.contains(&metainfo.info().info_hash().to_string()), "{tag}");
    ensure!(bytes(whole).await? == content());

    let range = [("range", "bytes=65000-66999"), ("if-range", tag.as_str())];
    let part = ask(&seed, "GET", &path, &range).await?;
    ensure!(part.status() == StatusCode::PARTIAL_CONTENT);
    ensure!(header(&part, "content-range") == "bytes 65000-66999/300000");
    ensure!(bytes(part).await? == content()[65_000..67_000]);

    let head = ask(&seed, "HEAD", &path, &range).await?;
    ensure!(head.status() == StatusCode::PARTIAL_CONTENT && header(&head, "content-length") == "2000");
    ensure!(bytes(head).await?.is_empty());
    let known = ask(&seed, "GET", &path, &[("if-none-match", &tag)]).await?;
    ensure!(known.status() == StatusCode::NOT_MODIFIED);
    let beyond = ask(&seed, "GET", &path, &[("range", "bytes=300000-")]).await?;
    ensure!(beyond.status() == StatusCode::RANGE_NOT_SATISFIABLE);
    ensure!(header(&beyond, "content-range") == "bytes */300000");
    let posted = ask(&seed, "POST", &path, &[]).await?;
    ensure!(posted.status() == StatusCode::METHOD_NOT_ALLOWED && header(&posted, "allow").contains("HEAD"));
    let missing = ask(&seed, "GET", &format!("{path}.txt"), &[]).await?;
    ensure!(missing.status() == StatusCode::NOT_FOUND);

    let file = format!("{}.torrent", metainfo.info().info_hash());
    let file = bytes(ask(&seed, "GET", &file, &[]).await?).await?;
    ensure!(Metainfo::from_bytes(&file)?.info().info_hash() == metainfo.info().info_hash());
    bridge.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_others_may_ask_and_reach_into_a_network_that_allows_it() -> Result<()> {
    let bridge = bridge().await?;
    let seed = WebSeed::new(&bridge, WebSeedConfig::default());
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    let answer = ask(&seed, "OPTIONS", "x", &asked).await?;
    ensure!(answer.status() == StatusCode::NO_CONTENT);
    ensure!(header(&answer, "access-control-allow-headers").contains("range"));
    ensure!(header(&answer, "access-control-allow-private-network").is_empty());
    let answer = ask(
        &seed,
        "OPTIONS",
        "x",
        &[("access-control-request-private-network", "true")],
    )
    .await?;
    ensure!(header(&answer, "access-control-allow-private-network") == "true");
    bridge.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_torrent_is_for_those_who_know_the_token() -> Result<()> {
    let (bridge, folder) = (bridge().await?, tempfile::tempdir()?);
    let metainfo = torrent(true)?;
    share(&bridge, &folder, metainfo.clone())?;
    let path = format!("{}/a%20b.bin", metainfo.info().info_hash());
    let open = WebSeed::new(&bridge, WebSeedConfig::default());
    let file = format!("{}.torrent", metainfo.info().info_hash());
    for path in [&path, &file] {
        ensure!(ask(&open, "GET", path, &[]).await?.status() == StatusCode::NOT_FOUND);
    }
    let config = WebSeedConfig {
        url: Some("https://f.example/seed/".to_owned()),
        token: Some("open-sesame".to_owned()),
        ..WebSeedConfig::default()
    };
    let url = config.url_of(metainfo.info().info_hash()).context("it has one")?;
    let closed = WebSeed::new(&bridge, config);
    ensure!(ask(&closed, "GET", &path, &[]).await?.status() == StatusCode::NOT_FOUND);
    ensure!(
        ask(&closed, "GET", &format!("open-sesamf/{path}"), &[])
            .await?
            .status()
            == StatusCode::NOT_FOUND
    );
    let given = metainfo.info().url_of(&url, 0);
    let given = given
        .strip_prefix("https://f.example/seed/")
        .context("it begins with its URL")?;
    let served = ask(&closed, "GET", given, &[]).await?;
    ensure!(served.status() == StatusCode::OK && header(&served, "cache-control").contains("private"));
    ensure!(bytes(served).await? == content());
    bridge.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_bounded_held_for_a_while_and_kept_to_a_rate() -> Result<()> {
    let (bridge, folder) = (bridge().await?, tempfile::tempdir()?);
    let metainfo = torrent(false)?;
    share(&bridge, &folder, metainfo.clone())?;
    let path = format!("{}/a%20b.bin", metainfo.info().info_hash());
    let config = WebSeedConfig {
        requests: (2, 1),
        rate: Some(1_000_000),
        ..WebSeedConfig::default()
    };
    let seed = WebSeed::new(&bridge, config);
    let first = ask(&seed, "GET", &path, &[]).await?;
    let second = ask(&seed, "GET", &path, &[]).await?;
    ensure!(second.status() == StatusCode::SERVICE_UNAVAILABLE && header(&second, "retry-after") == "3");
    let began = tokio::time::Instant::now();
    ensure!(bytes(first).await? == content());
    // The last part waits for those before it.
    ensure!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    bridge.remove(metainfo.info().info_hash()).await;

    // The same torrent, of which nothing is there and nobody can give anything.
    let folder = tempfile::tempdir()?;
    bridge.add(Addition {
        subject: Subject::Metainfo(metainfo.clone()),
        contents: Contents::Download {
            folder: folder.path().to_owned(),
            overwrite: Overwrite::Never,
            preallocate: false,
        },
        selection: None,
        peers: Vec::new(),
        web_seeds: Vec::new(),
        manner: Manner::default(),
    })?;
    let config = WebSeedConfig {
        patience: Duration::from_millis(300),
        ..WebSeedConfig::default()
    };
    let seed = WebSeed::new(&bridge, config);
    let began = tokio::time::Instant::now();
    let answer = ask(&seed, "GET", &path, &[]).await?;
    ensure!(answer.status() == StatusCode::SERVICE_UNAVAILABLE);
    ensure!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    // Who asks whether it is there is told so without waiting.
    ensure!(ask(&seed, "HEAD", &path, &[]).await?.status() == StatusCode::OK);
    bridge.stop().await;
    Ok(())
}
