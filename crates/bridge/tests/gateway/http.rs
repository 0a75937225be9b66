//! The gateway's web seed.

use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use causeway_bridge::{Visitor, WebSeed, WebSeedBody, WebSeedConfig};
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};

use super::*;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl World {
    fn web_seed(&self, config: WebSeedConfig) -> WebSeed {
        self.gateway.web_seed(&self.bridge, config)
    }

    /// A browser asks for the torrent, and the gateway has joined its swarm.
    async fn wanted(&self, reader: &Bridge, info_hash: InfoHash) -> Result<Handle> {
        let folder = self.folder.path().join("read");
        let handle = self.read(reader, info_hash, &folder)?;
        let end = Instant::now() + PATIENCE;
        while self.bridge.torrent(info_hash).is_none() {
            ensure!(Instant::now() < end, "the gateway does not join");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(handle)
    }
}

async fn ask(seed: &WebSeed, path: &str, token: Option<&str>) -> Result<Response<WebSeedBody>> {
    let (head, ()) = Request::builder().uri(format!("/{path}")).body(())?.into_parts();
    let visitor = Visitor {
        address: FROM,
        token: token.map(str::to_owned),
    };
    Ok(seed.answer(&head, path, visitor).await)
}

async fn whole(seed: &WebSeed, path: &str) -> Result<Bytes> {
    let answer = ask(seed, path, None).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    Ok(answer.into_body().collect().await?.to_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_over_http_flows_through_a_small_cache_beside_links_and_those_who_stall() -> Result<()> {
    let capacity = 1 << 20;
    let world = World::new(capacity, GatewayConfig::default(), Policy::default()).await?;
    let reader = world.reader().await?;
    let seed = world.web_seed(WebSeedConfig::default());
    let (mut reading, mut stalled, mut links, mut paths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..3 {
        let name = format!("{number}.bin");
        let (info_hash, path) = world.share(&name, 3_000_007, false)?;
        links.push(world.wanted(&reader, info_hash).await?);
        let (seed, name) = (seed.clone(), format!("{info_hash}/{name}"));
        // Whoever takes nothing of what it has asked for.
        stalled.push(ask(&seed, &name, None).await?);
        reading.push(tokio::spawn(async move { whole(&seed, &name).await }));
        paths.push(path);
    }
    let mut most = 0;
    while !reading.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(world.cache.used());
        sleep(Duration::from_millis(5)).await;
    }
    for (reading, path) in reading.into_iter().zip(&paths) {
        ensure!(
            reading.await?? == std::fs::read(path)?,
            "what came is not what was shared"
        );
    }
    for link in &links {
        done(link).await?;
    }
    ensure!(
        most <= capacity && world.cache.evictions() > 0,
        "{most} bytes in the cache"
    );
    drop(stalled);
    let given = "causeway_gateway_bytes_total{link=\"http\",direction=\"up\"}";
    world.reaches(given, 9_000_021).await?;
    reader.stop().await;
    world.gateway.stop().await;
    ensure!(world.cache.used() == 0, "nobody holds any room");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_over_http_keeps_the_gateway_in_the_swarm() -> Result<()> {
    let config = GatewayConfig {
        linger: Duration::from_secs(1),
        ..GatewayConfig::default()
    };
    let world = World::new(1 << 20, config, Policy::default()).await?;
    let (info_hash, path) = world.share("a.bin", 1_500_000, false)?;
    let reader = world.reader().await?;
    world.wanted(&reader, info_hash).await?;
    let config = WebSeedConfig {
        rate: Some(300_000),
        ..WebSeedConfig::default()
    };
    let seed = world.web_seed(config);
    let answer = ask(&seed, &format!("{info_hash}/a.bin"), None).await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    reader.stop().await;
    ensure!(answer.into_body().collect().await?.to_bytes() == std::fs::read(path)?);
    ensure!(world.metric("causeway_gateway_left_total")? == 0);
    world.reaches("causeway_gateway_left_total", 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_rules_hold_over_http_too() -> Result<()> {
    let policy = Policy {
        tokens: ["open-sesame".to_owned()].into(),
        ..Policy::default()
    };
    let world = World::new(1 << 22, GatewayConfig::default(), Policy::default()).await?;
    let (info_hash, _) = world.share("a.bin", 3_000_000, false)?;
    let reader = world.reader().await?;
    world.wanted(&reader, info_hash).await?;
    let seed = world.web_seed(WebSeedConfig::default());
    let path = format!("{info_hash}/a.bin");
    let file = ask(&seed, &format!("{info_hash}.torrent"), None).await?;
    let file = Metainfo::from_bytes(&file.into_body().collect().await?.to_bytes())?;
    ensure!(
        file.trackers().is_empty(),
        "the operator's trackers are told to nobody"
    );
    let other = ask(&seed, &format!("{}/a.bin", InfoHash::new([9; 20])), None).await?;
    ensure!(other.status() == StatusCode::NOT_FOUND);
    let plain = WebSeed::new(&world.bridge, WebSeedConfig::default());
    ensure!(ask(&plain, &path, None).await?.status() == StatusCode::NOT_FOUND);

    world.gateway.set_policy(policy);
    for token in [None, Some("close-sesame")] {
        ensure!(ask(&seed, &path, token).await?.status() == StatusCode::FORBIDDEN);
    }
    world.gateway.set_policy(Policy {
        denied: [info_hash].into(),
        ..Policy::default()
    });
    ensure!(ask(&seed, &path, None).await?.status() == StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bridge_has_itself_is_given_beside_that_and_not_by_the_gateways_rules() -> Result<()> {
    let policy = Policy {
        tokens: ["open-sesame".to_owned()].into(),
        ..Policy::default()
    };
    let world = World::new(1 << 22, GatewayConfig::default(), policy).await?;
    let path = world.folder.path().join("own.bin");
    std::fs::write(&path, b"our own")?;
    let file = DraftFile {
        path: vec!["own.bin".to_owned()],
        length: 7,
    };
    let mut hasher = Draft::new("own.bin", vec![file], CreateOptions::default())?.hasher();
    hasher.update(b"our own");
    let metainfo = hasher.finish()?;
    let own = metainfo.info().info_hash();
    world.bridge.add(Addition {
        subject: Subject::Metainfo(metainfo),
        contents: Contents::Shared(vec![path]),
        selection: None,
        peers: Vec::new(),
        web_seeds: Vec::new(),
        manner: Manner::default(),
    })?;
    let seed = world.web_seed(WebSeedConfig::default());
    ensure!(whole(&seed, &format!("{own}/own.bin")).await? == b"our own"[..]);
    let other = format!("{}/a.bin", InfoHash::new([9; 20]));
    ensure!(ask(&seed, &other, None).await?.status() == StatusCode::FORBIDDEN);
    ensure!(ask(&seed, &other, Some("open-sesame")).await?.status() == StatusCode::NOT_FOUND);
    let given = "causeway_gateway_bytes_total{link=\"http\",direction=\"up\"}";
    ensure!(world.metric(given)? == 0, "that is no work of the gateway");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_where_a_quota_does() -> Result<()> {
    let config = GatewayConfig {
        quota: Quota {
            per_address: Some(600_000),
            ..Quota::default()
        },
        ..GatewayConfig::default()
    };
    let world = World::new(1 << 22, config, Policy::default()).await?;
    let (info_hash, _) = world.share("a.bin", 3_000_000, false)?;
    let reader = world.reader().await?;
    world.wanted(&reader, info_hash).await?;
    let seed = world.web_seed(WebSeedConfig::default());
    let path = format!("{info_hash}/a.bin");
    let mut body = ask(&seed, &path, None).await?.into_body();
    let mut came = 0;
    let error = loop {
        match body.frame().await.context("it breaks off")? {
            Ok(frame) => came += frame.into_data().map_or(0, |data| data.len()),
            Err(error) => break error,
        }
    };
    ensure!((600_000..1_500_000).contains(&came), "{came} bytes: {error}");
    ensure!(ask(&seed, &path, None).await?.status() == StatusCode::TOO_MANY_REQUESTS);
    Ok(())
}
