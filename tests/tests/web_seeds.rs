//! Files over HTTP (BEP 19): from plain servers to us, and from us to the clients that people use.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use causeway_core::Metainfo;
use causeway_tests::classic::{Classic, Client, Seed, bridge, get, getting};
use causeway_tests::files::assert_same;
use causeway_tests::web::{Manner, WebServer};
use causeway_tests::{stage, torrents};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_mins(2);

/// The same torrent, which names these web seeds.
fn with_web_seeds(torrent: &[u8], urls: &[&str]) -> Result<Vec<u8>> {
    let metainfo = Metainfo::from_bytes(torrent)?;
    let urls = urls.iter().map(|&url| url.to_owned()).collect();
    Ok(Metainfo::with_info(metainfo.info().clone(), Vec::new(), urls).to_bytes())
}

fn gets_from(manner: Manner) {
    stage::run(async |stage| {
        let file = stage.file("theirs/some data.bin", 20_000_001)?;
        let server = WebServer::start(&stage.folder().join("theirs"), manner).await?;
        let url = format!("{}/some%20data.bin", server.origin());
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, with_web_seeds(&torrents::of_file(&file)?, &[&url])?)?;
        let (torrent, ours) = (torrent.display().to_string(), stage.folder().join("ours"));
        get(&torrent, &ours, &["--local-web-seeds"], PATIENCE).await?;
        assert_same(&file, &ours.join("some data.bin"))
    });
}

#[test]
fn a_file_comes_from_a_plain_web_server() {
    gets_from(Manner::Well);
}

#[test]
fn a_file_comes_from_where_a_web_server_sends_us() {
    gets_from(Manner::Redirecting);
}

#[test]
fn a_web_server_that_fails_at_first_is_asked_again() {
    gets_from(Manner::Failing(1));
}

#[test]
fn a_folder_comes_from_a_web_server_in_ranges_that_span_files() {
    stage::run(async |stage| {
        let files = [
            ("a.bin", 700_000),
            ("deep/b c.bin", 5_000_000),
            ("deep/empty", 0),
            ("z", 1),
        ];
        for (name, length) in files {
            stage.file(&format!("theirs/shared/{name}"), length)?;
        }
        let theirs = stage.folder().join("theirs");
        let torrent = stage.folder().join("shared.torrent");
        drop(Seed::start(&theirs.join("shared"), &torrent, &[]).await?);
        let server = WebServer::start(&theirs, Manner::Well).await?;
        let url = format!("{}/", server.origin());
        fs::write(&torrent, with_web_seeds(&fs::read(&torrent)?, &[&url])?)?;
        let (torrent, ours) = (torrent.display().to_string(), stage.folder().join("ours"));
        get(&torrent, &ours, &["--local-web-seeds"], PATIENCE).await?;
        for (name, _) in files {
            assert_same(&theirs.join("shared").join(name), &ours.join("shared").join(name))?;
        }
        ensure!(
            server.bytes() < 6_000_000,
            "{} bytes were fetched",
            server.bytes()
        );
        Ok(())
    });
}

#[test]
fn servers_that_lie_break_off_or_have_no_ranges_keep_nobody_from_a_download() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 20_000_001)?;
        let theirs = stage.folder().join("theirs");
        let (mut servers, mut urls) = (Vec::new(), Vec::new());
        for manner in [Manner::Lying, Manner::BreakingOff, Manner::WithoutRanges] {
            let server = WebServer::start(&theirs, manner).await?;
            urls.push(format!("{}/data.bin", server.origin()));
            servers.push(server);
        }
        urls.push(format!("{}/missing", servers[0].origin()));
        let torrent = stage.folder().join("data.torrent");
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let seed = Seed::start(&file, &torrent, &[]).await?;
        stage.keep(seed.log());
        fs::write(&torrent, with_web_seeds(&torrents::of_file(&file)?, &urls)?)?;
        let (ours, peer) = (stage.folder().join("ours"), seed.address()?.to_string());
        let torrent = torrent.display().to_string();
        get(&torrent, &ours, &["--local-web-seeds", "--peer", &peer], PATIENCE).await?;
        ensure!(
            servers.iter().all(|server| server.requests() > 0),
            "each was asked"
        );
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn our_own_network_is_left_alone_on_a_torrents_word() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 2_000_001)?;
        let server = WebServer::start(&stage.folder().join("theirs"), Manner::Well).await?;
        let url = format!("{}/data.bin", server.origin());
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, with_web_seeds(&torrents::of_file(&file)?, &[&url])?)?;
        let (torrent, ours) = (torrent.display().to_string(), stage.folder().join("ours"));
        let ended = getting(&torrent, &ours, &["--give-up", "2"])?.output().await?;
        ensure!(ended.status.code() == Some(4), "{ended:?}");
        ensure!(server.requests() == 0, "it was asked");
        // What the user names is another matter.
        get(&torrent, &ours, &["--web-seed", &url], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn a_torrent_file_comes_from_its_url() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 2_000_001)?;
        let theirs = stage.folder().join("theirs");
        let server = WebServer::start(&theirs, Manner::Redirecting).await?;
        let url = format!("{}/data.bin", server.origin());
        let torrent = with_web_seeds(&torrents::of_file(&file)?, &[&url])?;
        fs::write(theirs.join("data.torrent"), torrent)?;
        let (what, ours) = (
            format!("{}/data.torrent", server.origin()),
            stage.folder().join("ours"),
        );
        get(&what, &ours, &["--local-web-seeds"], PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))
    });
}

#[test]
fn a_link_of_ours_names_our_web_seed() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 20_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--http", "127.0.0.1:0"]).await?;
        stage.keep(seed.log());
        // The peer is there for the metadata; what comes over HTTP is counted.
        let (ours, peer) = (stage.folder().join("ours"), seed.address()?.to_string());
        let arguments = ["--local-web-seeds", "--peer", &peer];
        let ended = getting(seed.magnet()?, &ours, &arguments)?.output().await?;
        let out = String::from_utf8_lossy(&ended.stdout);
        ensure!(
            ended.status.success(),
            "{out}{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        let over_http = out.lines().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            event["downloadedOverHttp"].as_u64()
        });
        ensure!(over_http.max().is_some_and(|bytes| bytes > 100_000), "{out}");
        assert_same(&file, &ours.join("data.bin"))?;
        // The torrent file names it, too, and is enough.
        let again = stage.folder().join("again");
        get(
            &torrent.display().to_string(),
            &again,
            &["--local-web-seeds"],
            PATIENCE,
        )
        .await?;
        assert_same(&file, &again.join("data.bin"))
    });
}

fn serves(client: Client, arguments: &[&str]) {
    stage::run(async |stage| {
        let files = [("a b.bin", 3_000_001), ("deep/ä.bin", 9_000_000), ("z", 1)];
        for (name, length) in files {
            stage.file(&format!("shared/{name}"), length)?;
        }
        let (shared, torrent) = (
            stage.folder().join("shared"),
            stage.folder().join("shared.torrent"),
        );
        let mut all = vec!["--http", "127.0.0.1:0"];
        all.extend_from_slice(arguments);
        let seed = Seed::start(&shared, &torrent, &all).await?;
        stage.keep(seed.log());
        let theirs = stage.folder().join("theirs");
        let mut classic = Classic::start(client, &torrent, &theirs).await?;
        stage.keep(classic.log());
        classic.complete("shared", PATIENCE).await?;
        for (name, _) in files {
            assert_same(&shared.join(name), &theirs.join("shared").join(name))?;
        }
        Ok(())
    });
}

#[test]
fn libtorrent_gets_a_folder_from_our_web_seed_alone() {
    serves(Client::Libtorrent, &[]);
}

#[test]
fn aria2_gets_a_folder_from_our_web_seed_alone() {
    serves(Client::Aria2, &["--http-token", "a-secret-word"]);
}

#[test]
fn what_is_on_its_way_is_waited_for() {
    stage::run(async |stage| {
        let file = stage.file("theirs/data.bin", 8_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        fs::write(&torrent, torrents::of_file(&file)?)?;
        let theirs = stage.folder().join("theirs");
        // Slow enough that the client of the web seed overtakes it.
        let classic = Classic::libtorrent(&torrent, &theirs, &["upload_rate_limit=2000000"]).await?;
        stage.keep(classic.log());
        let peer = classic.address().to_string();
        let between = stage.folder().join("between");
        let arguments = ["--peer", &peer, "--http", "127.0.0.1:0"];
        let (bridge, ready) = bridge(&torrent.display().to_string(), &between, &arguments).await?;
        stage.keep(bridge.log());
        let address: SocketAddr = ready["http"]
            .as_str()
            .context("it says where it serves")?
            .parse()?;
        let info_hash = torrents::info_hash(&fs::read(&torrent)?);
        let path = format!("/{info_hash}/data.bin");
        let arrived = stage.folder().join("arrived");
        fs::write(&arrived, whole(address, &path).await?)?;
        assert_same(&file, &arrived)?;
        ensure!(
            raw(address, &format!("/{info_hash}/other"))
                .await?
                .starts_with("HTTP/1.1 404")
        );
        ensure!(
            raw(address, "/../../etc/passwd")
                .await?
                .starts_with("HTTP/1.1 404")
        );
        let file = raw(address, &format!("/{info_hash}.torrent")).await?;
        ensure!(file.starts_with("HTTP/1.1 200"), "{file}");
        Ok(())
    });
}

/// The body of what is there.
async fn whole(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let answer = ask(address, path).await?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let head = head.context("an answer has a head")?;
    let text = String::from_utf8_lossy(&answer[..head]);
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(answer[head + 4..].to_vec())
}

async fn raw(address: SocketAddr, path: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&ask(address, path).await?).into_owned())
}

async fn ask(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Where a seed serves over HTTP.
fn http_of(seed: &Seed) -> Result<String> {
    let address = seed.ready["http"].as_str().context("it says where it serves")?;
    Ok(format!("http://{address}"))
}

#[test]
fn a_page_gets_a_folder_from_a_web_seed_alone() {
    stage::run(async |stage| {
        let files = [("a b.bin", 3_000_001), ("deep/ä.bin", 9_000_000), ("z.bin", 1)];
        for (name, length) in files {
            stage.file(&format!("shared/{name}"), length)?;
        }
        let (shared, torrent) = (
            stage.folder().join("shared"),
            stage.folder().join("shared.torrent"),
        );
        let seed = Seed::start(&shared, &torrent, &["--no-webrtc", "--http", "127.0.0.1:0"]).await?;
        stage.keep(seed.log());
        let server = stage.server(&["--web-seed-origin", &http_of(&seed)?]).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_torrent_file(&torrent).await?;
        let torrent = page.torrent(seed.ready["infoHash"].as_str().unwrap_or_default());
        torrent.complete(PATIENCE).await?;
        for (name, _) in files {
            assert_same(&shared.join(name), &torrent.save(name).await?)?;
        }
        Ok(())
    });
}

#[test]
fn a_page_gets_a_file_from_a_web_seed_and_peers_together() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 40_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let plain = WebServer::start(stage.folder(), Manner::Well).await?;
        let server = stage.server(&["--web-seed-origin", plain.origin()]).await?;
        let tracker = server.tracker();
        let seed = Seed::start(&file, &torrent, &["--tracker", &tracker]).await?;
        stage.keep(seed.log());
        let page = stage.page("receiver", server.origin()).await?;
        let web_seed = format!("{}/data.bin", plain.origin())
            .replace(':', "%3A")
            .replace('/', "%2F");
        page.open_link(&format!("{}&ws={web_seed}", seed.magnet()?))
            .await?;
        let torrent = page.torrent(seed.ready["infoHash"].as_str().unwrap_or_default());
        torrent.complete(PATIENCE).await?;
        ensure!(
            plain.bytes() > 1_000_000,
            "{} bytes came over HTTP",
            plain.bytes()
        );
        assert_same(&file, &torrent.save("data.bin").await?)
    });
}

#[test]
fn a_page_says_which_web_seed_it_may_not_use() {
    stage::run(async |stage| {
        let file = stage.file("data.bin", 1_000_001)?;
        let torrent = stage.folder().join("data.torrent");
        let plain = WebServer::start(stage.folder(), Manner::Well).await?;
        let url = format!("{}/data.bin", plain.origin());
        let bytes = with_web_seeds(&torrents::of_file(&file)?, &[&url])?;
        fs::write(&torrent, &bytes)?;
        let server = stage.server(&[]).await?;
        let page = stage.page("receiver", server.origin()).await?;
        page.open_torrent_file(&torrent).await?;
        let torrent = page.torrent(&torrents::info_hash(&bytes));
        let says = "row?.innerText.includes('has not allowed its server') ?? false";
        torrent.wait("the page to say why", PATIENCE, says).await?;
        ensure!(plain.requests() == 0, "it was asked all the same");
        Ok(())
    });
}
