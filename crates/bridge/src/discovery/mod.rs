//! How torrents meet classic peers: trackers over HTTP and UDP, the distributed hash table, and multicast. What is found goes to the
//! torrent, which decides whom to connect to.
//!
//! - `tracker`: when to announce to whom; `http`, `udp`: how; `reply`: what they answer;
//! - `dht`: the distributed hash table; `local`: multicast in our own network.

mod dht;
mod http;
mod local;
mod reply;
mod tracker;
mod udp;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use causeway_core::{InfoHash, PeerId};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use dht::DhtConfig;

use crate::session::Shared;
use crate::torrent::{Handle, Status};
use dht::Dht;
use http::Http;
use local::Local;

/// What all torrents use to find classic peers.
#[derive(Debug)]
pub(crate) struct Discovery {
    world: Arc<World>,
    tasks: Mutex<JoinSet<()>>,
    /// Ends with this.
    _listening: JoinSet<()>,
}

/// Who we are to trackers, and what they are reached with.
#[derive(Debug)]
struct World {
    peer_id: PeerId,
    /// Tells us from others behind the same address, and from nobody else.
    key: u32,
    /// Where classic peers reach us; 0 where they don't.
    port: u16,
    /// Whether there is no proxy between us and all others.
    is_direct: bool,
    http: Http,
    dht: Option<Dht>,
    local: Option<Local>,
}

impl World {
    /// Whether this is a tracker that classic peers are met at, and that can be reached. No proxy carries UDP.
    fn can_announce(&self, url: &str) -> bool {
        tracker::is_classic(url) && (self.is_direct || !tracker::is_udp(url))
    }
}

impl Discovery {
    /// Torrents are announced with this port, and where `local` is reached also by multicast.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        port: u16,
        dht: Option<DhtConfig>,
        local: Option<SocketAddr>,
    ) -> Self {
        let proxy = shared.network.proxy.clone();
        let world = World {
            peer_id: shared.peer_id,
            key: fastrand::u32(..),
            port,
            is_direct: proxy.is_none(),
            http: Http::new(proxy),
            dht: dht.map(Dht::new),
            local: local.map(Local::open),
        };
        let world = Arc::new(world);
        let mut listening = JoinSet::new();
        listening.spawn(local::listen(shared.clone(), world.clone()));
        Self {
            world,
            tasks: Mutex::default(),
            _listening: listening,
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
            let classic = tier.into_iter().filter(|url| self.world.can_announce(url));
            let classic: Vec<String> = classic.collect();
            if !classic.is_empty() {
                tasks.spawn(tracker::announce(self.world.clone(), torrent.clone(), classic));
            }
        }
        if self.world.dht.is_some() {
            tasks.spawn(dht::look(self.world.clone(), torrent.clone()));
        }
        if self.world.local.is_some() {
            tasks.spawn(local::announce(self.world.clone(), torrent.clone()));
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

/// Waits until the torrent has ended or turns out to be private.
async fn ended(changes: &mut watch::Receiver<Status>) {
    // Both are waited for: an error says that it has ended.
    let (Ok(_) | Err(_)) = changes.wait_for(is_private).await;
}

fn is_private(status: &Status) -> bool {
    status.info.as_ref().is_some_and(|info| info.is_private())
}

/// Whether an address is of our own network: it may name others there.
fn is_near(ip: IpAddr) -> bool {
    crate::torrent::is_local(ip)
}

const LEAVING: Duration = Duration::from_secs(2);
