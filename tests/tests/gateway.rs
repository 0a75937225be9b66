//! `causeway serve --gateway`: a page opens a magnet link that only classic clients can give anything for.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use causeway_tests::classic::{Classic, Client, Seed};
use causeway_tests::files::assert_same;
use causeway_tests::page::CausewayPage;
use causeway_tests::server::Server;
use causeway_tests::socks::Socks;
use causeway_tests::stage::{self, Stage};
use causeway_tests::torrents;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_mins(2);
const OVER_HTTP: &str = "causeway_gateway_bytes_total{link=\"http\",direction=\"up\"}";
const OVER_WEBRTC: &str = "causeway_gateway_bytes_total{link=\"webrtc\",direction=\"up\"}";

/// A gateway that looks nowhere but on this machine.
async fn gateway(stage: &Stage, arguments: &[&str]) -> Result<Server> {
    let mut all = vec!["--gateway", "--gateway-listen", "127.0.0.1:0"];
    if !arguments.contains(&"--gateway-dht-bootstrap") {
        all.extend(["--gateway-no-dht", "--gateway-local-peers"]);
    }
    all.extend_from_slice(arguments);
    stage.server(&all).await
}

/// A file of that length which libtorrent alone gives, and the server's tracker knows of; and its info-hash.
async fn supplied(stage: &Stage, server: &Server, length: u64) -> Result<(PathBuf, String, Classic)> {
    let file = stage.file("theirs/data.bin", length)?;
    let tracker = format!("{}/announce", server.origin());
    let bytes = torrents::of_file_with(&file, &tracker)?;
    let torrent = file.with_extension("torrent");
    fs::write(&torrent, &bytes)?;
    let folder = file.parent().context("it has a folder")?;
    let classic = Classic::start(Client::Libtorrent, &torrent, folder).await?;
    stage.keep(classic.log());
    Ok((file, torrents::info_hash(&bytes), classic))
}

/// A number that the server tells Prometheus.
async fn metric(page: &CausewayPage, name: &str) -> Result<u64> {
    let script = "return await (await fetch('/metrics')).text()";
    let text = page.tab().run_async(script, vec![]).await?;
    let text = text.as_str().context("the metrics are text")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("{name} in {text}"))?.parse()?)
}

/// Waits until the number is at least so much.
async fn reaches(page: &CausewayPage, name: &str, least: u64) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while metric(page, name).await? < least {
        ensure!(Instant::now() < end, "{name} did not reach {least}");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until the page says that the gateway does not carry a torrent over, and why.
async fn says_why(page: &CausewayPage, info_hash: &str, words: &str) -> Result<()> {
    let says = format!(
        "row?.innerText.includes('does not carry this torrent over: ') && row.innerText.includes('{words}')"
    );
    let torrent = page.torrent(info_hash);
    torrent.wait("the page to say why", PATIENCE, &says).await?;
    Ok(())
}

/// The status that the first byte of a path is answered with.
async fn ask(page: &CausewayPage, path: &str, query: &str) -> Result<u64> {
    let script = "return (await fetch(arguments[0], { headers: { range: 'bytes=0-0' } })).status";
    let watch = page.tab().browser().watch();
    for status in ["403", "404", "429"] {
        watch.expect_error(&format!("responded with a status of {status}"));
    }
    let status = page
        .tab()
        .run_async(script, vec![format!("{path}{query}").into()])
        .await?;
    status.as_u64().context("a status is a number")
}

#[test]
fn a_bare_magnet_link_of_the_classic_swarm_downloads_in_a_page() {
    stage::run(async |stage| {
        let server = gateway(stage, &["--gateway-linger", "2"]).await?;
        let (file, info_hash, _classic) = supplied(stage, &server, 20_000_001).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let row = page.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        assert_same(&file, &row.save("data.bin").await?)?;
        ensure!(metric(&page, "causeway_gateway_joined_total").await? == 1);
        // Counted once a second.
        reaches(&page, "causeway_gateway_sent_bytes_total", 20_000_001).await?;
        reaches(&page, OVER_HTTP, 15_000_000).await?;

        // Nobody is there any more.
        let other = stage.page("other", server.origin()).await?;
        page.close().await?;
        reaches(&other, "causeway_gateway_left_total", 1).await?;
        ensure!(metric(&other, "causeway_gateway_cache_bytes").await? == 0);
        Ok(())
    });
}

#[test]
fn what_the_hash_table_knows_is_carried_over_too() {
    stage::run(async |stage| {
        // A node that has something else, but knows who has what.
        let other = stage.file("node/other.bin", 100_000)?;
        let torrent = stage.folder().join("other.torrent");
        fs::write(&torrent, torrents::of_file(&other)?)?;
        let settings = [
            "enable_dht=1",
            "dht_bootstrap_nodes=",
            "dht_restrict_routing_ips=0",
            "dht_restrict_search_ips=0",
            "dht_ignore_dark_internet=0",
            "dht_prefer_verified_node_ids=0",
            "dht_enforce_node_id=0",
        ];
        let node = Classic::libtorrent(&torrent, &stage.folder().join("node"), &settings).await?;
        stage.keep(node.log());
        let node = node.address().to_string();

        let file = stage.file("data.bin", 3_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let arguments = ["--no-webrtc", "--dht-bootstrap", &node];
        let seed = Seed::start(&file, &torrent, &arguments).await?;
        stage.keep(seed.log());
        let server = gateway(stage, &["--gateway-dht-bootstrap", &node]).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(seed.magnet()?).await?;
        let info_hash = torrents::info_hash(&fs::read(&torrent)?);
        let row = page.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        assert_same(&file, &row.save("data.bin").await?)
    });
}

#[test]
fn a_torrent_that_is_larger_than_the_cache_flows_through_it() {
    stage::run(async |stage| {
        let server = gateway(stage, &["--gateway-cache", "4MiB"]).await?;
        let (file, info_hash, _classic) = supplied(stage, &server, 40_000_001).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let row = page.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        assert_same(&file, &row.save("data.bin").await?)?;
        ensure!(metric(&page, "causeway_gateway_cache_evictions_total").await? > 10);
        ensure!(metric(&page, "causeway_gateway_cache_bytes").await? <= 4 << 20);
        reaches(&page, OVER_HTTP, 30_000_000).await
    });
}

#[test]
fn a_private_torrent_is_left_at_once_and_nothing_of_it_is_told() {
    stage::run(async |stage| {
        let server = gateway(stage, &[]).await?;
        let file = stage.file("secret.bin", 1_000_001)?;
        let tracker = format!("{}/announce", server.origin());
        let torrent = stage.folder().join("secret.torrent");
        // One that gives metadata of private torrents away, as libtorrent does not.
        let arguments = ["--private", "--no-webrtc", "--tracker", &tracker];
        let seed = Seed::start(&file, &torrent, &arguments).await?;
        stage.keep(seed.log());
        let info_hash = torrents::info_hash(&fs::read(&torrent)?);

        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let refused = "causeway_gateway_refused_total{reason=\"private\"}";
        reaches(&page, refused, 1).await?;
        let row = page.torrent(&info_hash).now().await?;
        ensure!(
            row.text.contains("Size not known yet") && !row.text.contains("secret.bin"),
            "the page knows what is in it: {row:?}"
        );
        ensure!(metric(&page, "causeway_gateway_sent_bytes_total").await? == 0);
        ensure!(metric(&page, "causeway_gateway_torrents").await? == 0);
        says_why(&page, &info_hash, "the torrent is private").await?;
        let asked = ask(&page, &format!("/seed/{info_hash}/secret.bin"), "").await?;
        ensure!(asked == 404, "it is served: {asked}");
        Ok(())
    });
}

#[test]
fn only_a_page_that_was_opened_with_a_token_is_carried_anything_over() {
    stage::run(async |stage| {
        let tokens = stage.folder().join("tokens");
        fs::write(&tokens, "open-sesame # for the neighbours\n")?;
        let tokens = tokens.display().to_string();
        let server = gateway(stage, &["--gateway-tokens", &tokens]).await?;
        let (file, info_hash, _classic) = supplied(stage, &server, 1_000_001).await?;
        let magnet = format!("magnet:?xt=urn:btih:{info_hash}");
        let without = stage.page("without", server.origin()).await?;
        without.open_link(&magnet).await?;
        let refused = "causeway_gateway_refused_total{reason=\"token\"}";
        reaches(&without, refused, 1).await?;
        ensure!(metric(&without, "causeway_gateway_torrents").await? == 0);
        says_why(&without, &info_hash, "a link with a token").await?;

        let link = format!("{}/?gateway=open-sesame", server.origin());
        let with = stage.page("with", &link).await?;
        with.open_link(&magnet).await?;
        let row = with.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        // Whoever is sent its link is not sent the token.
        let text = row.now().await?.text;
        ensure!(
            text.contains("tr=") && !text.contains("open-sesame"),
            "the link is {text}"
        );
        assert_same(&file, &row.save("data.bin").await?)?;
        reaches(&with, OVER_HTTP, 500_000).await?;

        // The torrent is there now, and still for nobody else.
        let seed = format!("/seed/{info_hash}/data.bin");
        for (token, expected) in [
            ("", 403),
            ("?gateway=close-sesame", 403),
            ("?gateway=open-sesame", 206),
        ] {
            let status = ask(&without, &seed, token).await?;
            ensure!(status == expected, "{status} for {token}");
        }
        Ok(())
    });
}

#[test]
fn where_the_web_seed_is_off_all_comes_over_the_link() {
    stage::run(async |stage| {
        let server = gateway(stage, &["--gateway-web-seed", "false"]).await?;
        let (file, info_hash, _classic) = supplied(stage, &server, 2_000_001).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let row = page.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        assert_same(&file, &row.save("data.bin").await?)?;
        reaches(&page, OVER_WEBRTC, 2_000_001).await?;
        ensure!(metric(&page, OVER_HTTP).await? == 0);
        ensure!(ask(&page, &format!("/seed/{info_hash}/data.bin"), "").await? == 404);
        Ok(())
    });
}

#[test]
fn a_quota_holds_for_what_is_given_over_http_and_the_page_says_so() {
    stage::run(async |stage| {
        let server = gateway(stage, &["--gateway-quota", "5MB", "--interval", "2"]).await?;
        let (_, info_hash, _classic) = supplied(stage, &server, 20_000_001).await?;
        let page = stage.page("receiver", server.origin()).await?;
        // An answer breaks off where the quota ends.
        page.tab().browser().watch().expect_error("net::ERR_");
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let refused = "causeway_gateway_refused_total{reason=\"quota\"}";
        reaches(&page, refused, 1).await?;
        let given = metric(&page, OVER_HTTP).await? + metric(&page, OVER_WEBRTC).await?;
        ensure!(given < 10_000_000, "{given} bytes were given");
        ensure!(ask(&page, &format!("/seed/{info_hash}/data.bin"), "").await? == 429);
        says_why(&page, &info_hash, "as much as it may in a day").await
    });
}

#[test]
fn classic_peers_are_met_in_cipher_and_through_a_proxy_and_browsers_beside_it() {
    stage::run(async |stage| {
        let socks = Socks::start().await?;
        let url = socks.url();
        let server = gateway(stage, &["--proxy", &url, "--encryption", "require"]).await?;
        let (file, info_hash, classic) = supplied(stage, &server, 2_000_001).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_link(&format!("magnet:?xt=urn:btih:{info_hash}"))
            .await?;
        let row = page.torrent(&info_hash);
        row.complete(PATIENCE).await?;
        assert_same(&file, &row.save("data.bin").await?)?;
        let (asked, peer) = (socks.asked(), classic.address().to_string());
        ensure!(
            asked.contains(&peer),
            "{peer} was reached past the proxy: {asked:?}"
        );
        let own = server.origin().trim_start_matches("http://");
        ensure!(
            !asked.iter().any(|asked| asked == own),
            "the server asks itself through it: {asked:?}"
        );
        Ok(())
    });
}
