//! The gateway with many torrents and readers at once: its tracker, its classic seeder and its readers are real, in one process.
//!
//! `GATEWAY_TORRENTS`, `GATEWAY_LENGTH` and `GATEWAY_CACHE` (bytes) make it as large as one likes.

mod http;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use causeway_bridge::gateway::{Cache, Gateway, GatewayConfig, Policy, Quota};
use causeway_bridge::{
    Addition, Bridge, Config, Contents, Handle, Manner, Overwrite, Reach, Subject, webrtc,
};
use causeway_core::{CreateOptions, Draft, DraftFile, InfoHash, Magnet, Metainfo};
use causeway_tracker::Tracker;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_mins(2);
const PIECE: u32 = 32 * 1024;
const TORRENTS_OF_A_READER: usize = 12;

/// A tracker, a classic seeder of some torrents, and a gateway.
struct World {
    folder: TempDir,
    tracker: Tracker,
    url: String,
    seeder: Bridge,
    cache: Arc<Cache>,
    bridge: Arc<Bridge>,
    gateway: Gateway,
}

impl World {
    async fn new(cache: u64, config: GatewayConfig, policy: Policy) -> Result<Self> {
        Self::with(cache, config, policy, true).await
    }

    /// The gateway hears the tracker, or is nothing but a member of its swarms.
    async fn with(cache: u64, config: GatewayConfig, policy: Policy, hears: bool) -> Result<Self> {
        let tracker = Tracker::new(causeway_tracker::Config::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = tracker.router(axum::Router::new());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let folder = TempDir::with_prefix("causeway-gateway-")?;
        let seeder = Bridge::start(Config {
            listen: Some("127.0.0.1:0".parse()?),
            web_seeds: Reach::Nobody,
            ..Config::default()
        })
        .await?;
        let bridge = Bridge::start(Config {
            listen: Some("127.0.0.1:0".parse()?),
            webrtc: Some(webrtc::Config::default()),
            web_seeds: Reach::Nobody,
            ..Config::default()
        })
        .await?;
        let cache = Cache::open(&folder.path().join("cache"), cache)?;
        let config = GatewayConfig {
            trackers: vec![
                format!("ws://{address}/announce"),
                format!("http://{address}/announce"),
            ],
            allow_local: true,
            ..config
        };
        let bridge = Arc::new(bridge);
        let gateway = Gateway::start(
            bridge.clone(),
            hears.then(|| tracker.clone()),
            cache.clone(),
            policy,
            config,
        );
        Ok(Self {
            folder,
            tracker,
            url: format!("{address}/announce"),
            seeder,
            cache,
            bridge,
            gateway,
        })
    }

    /// A torrent that the seeder has, of so many bytes.
    fn share(&self, name: &str, length: usize, private: bool) -> Result<(InfoHash, PathBuf)> {
        let path = self.folder.path().join(name);
        let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
        std::fs::write(&path, &bytes)?;
        let file = DraftFile {
            path: vec![name.to_owned()],
            length: length as u64,
        };
        let options = CreateOptions {
            piece_length: Some(PIECE),
            private,
            trackers: vec![vec![format!("http://{}", self.url)]],
            ..CreateOptions::default()
        };
        let mut hasher = Draft::new(name, vec![file], options)?.hasher();
        hasher.update(&bytes);
        let metainfo: Metainfo = hasher.finish()?;
        let info_hash = metainfo.info().info_hash();
        self.seeder.add(Addition {
            subject: Subject::Metainfo(metainfo),
            contents: Contents::Shared(vec![path.clone()]),
            selection: None,
            peers: Vec::new(),
            web_seeds: Vec::new(),
            manner: Manner::default(),
        })?;
        Ok((info_hash, path))
    }

    /// Somebody who has nothing but WebRTC, as a browser has.
    async fn reader(&self) -> Result<Bridge> {
        let config = Config {
            webrtc: Some(webrtc::Config::default()),
            web_seeds: Reach::Nobody,
            ..Config::default()
        };
        Ok(Bridge::start(config).await?)
    }

    fn read(&self, reader: &Bridge, info_hash: InfoHash, folder: &Path) -> Result<Handle> {
        let magnet = Magnet {
            trackers: vec![format!("ws://{}", self.url)],
            ..Magnet::new(info_hash)
        };
        let handle = reader.add(Addition {
            subject: Subject::Magnet(magnet),
            contents: Contents::Download {
                folder: folder.to_owned(),
                overwrite: Overwrite::Never,
                preallocate: false,
            },
            selection: None,
            peers: Vec::new(),
            web_seeds: Vec::new(),
            manner: Manner::default(),
        })?;
        Ok(handle)
    }

    fn metric(&self, name: &str) -> Result<u64> {
        let text = self.gateway.metrics();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("{name} in {text}"))?.parse()?)
    }

    async fn reaches(&self, name: &str, least: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.metric(name)? < least {
            ensure!(
                Instant::now() < end,
                "{name} did not reach {least}: {}",
                self.gateway.metrics()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn size(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok().and_then(|value| value.parse().ok());
    given.unwrap_or(usual)
}

async fn done(handle: &Handle) -> Result<()> {
    let mut status = handle.status();
    let waited = timeout(PATIENCE, status.wait_for(|status| status.is_done)).await;
    waited.context("it took too long")?.context("it has ended")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_torrents_flow_through_a_small_cache_and_no_reader_starves() -> Result<()> {
    let (torrents, length) = (size("GATEWAY_TORRENTS", 12), size("GATEWAY_LENGTH", 1_500_007));
    let capacity = size("GATEWAY_CACHE", 2 << 20);
    let config = GatewayConfig {
        max_torrents_per_address: usize::MAX,
        ..GatewayConfig::default()
    };
    let world = World::new(capacity, config, Policy::default()).await?;
    let shared =
        (0..torrents).map(|number| world.share(&format!("{number}.bin"), usize::try_from(length)?, false));
    let shared: Vec<_> = shared.collect::<Result<_>>()?;
    // Two programs of our kind have few connections with each other, each on ports of its own.
    let mut readers = Vec::new();
    for _ in shared.chunks(TORRENTS_OF_A_READER) {
        readers.push(world.reader().await?);
    }
    let folder = world.folder.path().join("read");
    let handles = shared.chunks(TORRENTS_OF_A_READER).zip(&readers);
    let handles = handles.flat_map(|(shared, reader)| shared.iter().map(move |shared| (shared, reader)));
    let handles = handles.map(|((info_hash, _), reader)| world.read(reader, *info_hash, &folder));
    let handles: Vec<_> = handles.collect::<Result<_>>()?;

    // Who gets nothing for how long, from when it knows what it is about.
    let begin = Instant::now();
    let mut progress: Vec<_> = handles.iter().map(|_| (0, None)).collect();
    let (mut starved, mut most) = (Duration::ZERO, 0);
    loop {
        let now = Instant::now();
        most = most.max(world.cache.used());
        let mut is_done = true;
        for (handle, (verified, since)) in handles.iter().zip(&mut progress) {
            let status = handle.status().borrow().clone();
            is_done &= status.is_done;
            if status.stats.verified > *verified || status.info.is_none() || status.is_done {
                *verified = status.stats.verified;
                *since = status.info.is_some().then_some(now);
            }
            starved = starved.max(since.map_or(Duration::ZERO, |since| now - since));
        }
        if is_done {
            break;
        }
        ensure!(
            begin.elapsed() < PATIENCE * 2,
            "it takes too long: {}",
            world.gateway.metrics()
        );
        sleep(Duration::from_millis(50)).await;
    }
    let took = begin.elapsed();
    eprintln!(
        "{torrents} torrents of {length} bytes in a cache of {capacity}: {took:?}, at most {most} bytes in the cache, {} evictions, the longest that a reader got nothing: {starved:?}",
        world.cache.evictions()
    );
    ensure!(most <= capacity && world.cache.evictions() > 0);
    ensure!(
        starved < Duration::from_secs(45),
        "a reader got nothing for {starved:?}"
    );
    for (number, (_, path)) in shared.iter().enumerate() {
        let read = std::fs::read(folder.join(format!("{number}.bin")))?;
        ensure!(read == std::fs::read(path)?, "{number} is not what was shared");
    }
    for reader in readers {
        reader.stop().await;
    }
    world.gateway.stop().await;
    ensure!(world.cache.used() == 0, "what nobody carries over takes no room");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_thousands_of_torrents_gets_a_few() -> Result<()> {
    let config = GatewayConfig {
        max_torrents_per_address: 5,
        ..GatewayConfig::default()
    };
    let world = World::new(1 << 20, config, Policy::default()).await?;
    let reader = world.reader().await?;
    let folder = world.folder.path().join("read");
    for number in 0..300u32 {
        let mut hash = [7; 20];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        world.read(&reader, InfoHash::new(hash), &folder)?;
    }
    world
        .reaches(
            "causeway_gateway_refused_total{reason=\"too_many_of_address\"}",
            250,
        )
        .await?;
    ensure!(world.metric("causeway_gateway_joined_total")? == 5);
    ensure!(world.tracker.webrtc_seeders(InfoHash::new([7; 20])) == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_never_comes_is_not_waited_for() -> Result<()> {
    let config = GatewayConfig {
        patience: Duration::from_secs(1),
        ..GatewayConfig::default()
    };
    let world = World::new(1 << 20, config, Policy::default()).await?;
    let reader = world.reader().await?;
    world.read(&reader, InfoHash::new([9; 20]), world.folder.path())?;
    world
        .reaches("causeway_gateway_refused_total{reason=\"no_metadata\"}", 1)
        .await?;
    world.reaches("causeway_gateway_left_total", 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_over_its_quota_is_left() -> Result<()> {
    let config = GatewayConfig {
        max_length: 1_000_000,
        quota: Quota {
            per_address: Some(400_000),
            ..Quota::default()
        },
        ..GatewayConfig::default()
    };
    let world = World::new(1 << 20, config, Policy::default()).await?;
    let (large, _) = world.share("large", 1_000_001, false)?;
    let (small, path) = world.share("small", 500_000, false)?;
    let (second, _) = world.share("second", 900_000, false)?;
    let reader = world.reader().await?;
    let folder = world.folder.path().join("read");
    world.read(&reader, large, &folder)?;
    world
        .reaches("causeway_gateway_refused_total{reason=\"too_large\"}", 1)
        .await?;
    done(&world.read(&reader, small, &folder)?).await?;
    ensure!(std::fs::read(folder.join("small"))? == std::fs::read(path)?);
    for moved in [
        "causeway_gateway_bytes_total{link=\"tcp\",direction=\"down\"}",
        "causeway_gateway_bytes_total{link=\"webrtc\",direction=\"up\"}",
    ] {
        world.reaches(moved, 500_000).await?;
    }
    let last = world.read(&reader, second, &folder)?;
    world
        .reaches("causeway_gateway_refused_total{reason=\"quota\"}", 1)
        .await?;
    ensure!(last.status().borrow().stats.downloaded == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_listed_swarms_joins_the_classic_swarm_for_a_browser() -> Result<()> {
    let listed = InfoHash::new([9; 20]);
    let policy = Policy {
        allowed: Some([listed].into()),
        ..Policy::default()
    };
    let world = World::with(1 << 20, GatewayConfig::default(), policy, false).await?;
    let (info_hash, path) = world.share("listed", 700_001, false)?;
    world.gateway.set_policy(Policy {
        allowed: Some([info_hash].into()),
        ..Policy::default()
    });
    world.reaches("causeway_gateway_torrents", 1).await?;
    ensure!(
        world.metric("causeway_gateway_joined_total")? == 0,
        "nobody asks for anything"
    );
    let reader = world.reader().await?;
    let folder = world.folder.path().join("read");
    done(&world.read(&reader, info_hash, &folder)?).await?;
    ensure!(std::fs::read(folder.join("listed"))? == std::fs::read(path)?);
    ensure!(world.metric("causeway_gateway_joined_total")? == 1);
    Ok(())
}
