//! How torrents meet classic peers: trackers over HTTP and UDP, and the distributed hash table. What is found goes to the
//! torrent, which decides whom to connect to.
//!
//! - `tracker`: when to announce to whom; `http`, `udp`: how; `reply`: what they answer;
//! - `dht`: the distributed hash table.

mod dht;
mod http;
mod reply;
mod tracker;
mod udp;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use causeway_core::{InfoHash, PeerId};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use dht::DhtConfig;

use crate::torrent::Handle;
use dht::Dht;
use http::Http;

/// What all torrents use to find classic peers.
#[derive(Debug)]
pub(crate) struct Discovery {
    world: Arc<World>,
    tasks: Mutex<JoinSet<()>>,
}

/// Who we are to trackers, and what they are reached with.
#[derive(Debug)]
struct World {
    peer_id: PeerId,
    /// Tells us from others behind the same address, and from nobody else.
    key: u32,
    /// Where classic peers reach us.
    port: u16,
    http: Http,
    dht: Option<Dht>,
}

impl Discovery {
    /// Torrents are announced with this name and port.
    pub(crate) fn new(peer_id: PeerId, port: u16, dht: Option<DhtConfig>) -> Self {
        let world = World {
            peer_id,
            key: fastrand::u32(..),
            port,
            http: Http::new(),
            dht: dht.map(Dht::new),
        };
        Self {
            world: Arc::new(world),
            tasks: Mutex::default(),
        }
    }

    /// Looks for peers of this torrent until it has ended.
    pub(crate) fn add(&self, torrent: &Handle, tiers: Vec<Vec<String>>) {
        // Nobody else holds it for longer than a moment.
        let Ok(mut tasks) = self.tasks.try_lock() else {
            return;
        };
        while tasks.try_join_next().is_some() {}
        for tier in tiers {
            let classic: Vec<String> = tier.into_iter().filter(|url| tracker::is_classic(url)).collect();
            if !classic.is_empty() {
                tasks.spawn(tracker::announce(self.world.clone(), torrent.clone(), classic));
            }
        }
        if self.world.dht.is_some() {
            tasks.spawn(dht::look(self.world.clone(), torrent.clone()));
        }
    }

    /// Waits until trackers know that all torrents have ended, for a moment.
    pub(crate) async fn stop(self) {
        let mut tasks = self.tasks.into_inner();
        let all = async { while tasks.join_next().await.is_some() {} };
        timeout(LEAVING, all).await.unwrap_or_default();
        if let Some(dht) = &self.world.dht {
            dht.keep().await;
        }
    }
}

/// What a tracker is told.
#[derive(Clone, Copy, Debug)]
struct Announce {
    info_hash: InfoHash,
    peer_id: PeerId,
    key: u32,
    port: u16,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    event: Option<Event>,
    /// How many peers are wanted.
    wanted: usize,
}

/// What has happened to a torrent, as trackers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Started,
    Completed,
    Stopped,
}

/// What a tracker says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reply {
    /// When it wants to hear of us again.
    interval: Duration,
    peers: Vec<SocketAddr>,
    /// Whether the tracker is in our own network, and may name others there.
    is_near: bool,
}

/// Why a tracker could not be told, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn new(error: impl core::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Whether an address is of our own network: it may name others there.
fn is_near(ip: IpAddr) -> bool {
    crate::torrent::is_local(ip)
}

const LEAVING: Duration = Duration::from_secs(2);
