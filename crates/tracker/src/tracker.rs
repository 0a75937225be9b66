//! The tracker itself: what its doors have in common, and what it does by itself.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use axum::Router;
use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{SwarmCounts, TrackerMessage};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::access::{Access, Denial};
use crate::limit::{Connections, Counted, Rates};
use crate::metrics::{Failure, Levels, Metrics};
use crate::registry::{Heard, Home, Link as _, Registry, Subscriber};
use crate::websocket::Outbox;
use crate::{Config, http, stats, udp, websocket};

/// A tracker: the registry with its doors. Cheap to clone; all clones are one tracker.
#[derive(Clone, Debug)]
pub struct Tracker {
    pub(crate) shared: Arc<Shared>,
}

impl Tracker {
    /// A tracker without members, which admits everybody.
    ///
    /// # Panics
    /// Outside of a tokio runtime, in which it sees to it that silent members are forgotten.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let (statistics, requests) = stats::Desk::new();
        let shared = Arc::new(Shared {
            registry: Registry::new(config.clone(), fastrand::Rng::new().u64(..)),
            rates: Rates::new(config.requests_per_second, config.request_burst),
            messages: Rates::new(
                config.messages_per_second_per_address,
                config.message_burst_per_address,
            ),
            connections: Connections::new(config.max_sockets_per_address),
            config,
            access: RwLock::default(),
            metrics: Arc::default(),
            statistics,
            tickets: udp::Tickets::new(),
            origin: Instant::now(),
            sockets: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
        });
        tokio::spawn(forget_silent_members(Arc::downgrade(&shared)));
        tokio::spawn(stats::serve(Arc::downgrade(&shared), requests));
        Self { shared }
    }

    /// The routes of the tracker: `/announce` over WebSocket and over HTTP, `/scrape`, statistics at `/stats` and
    /// `/stats.json`, and whether it is well at `/health`. A WebSocket at `/` is for the tracker, too; everything else is
    /// left to `page`.
    ///
    /// The router wants to know its clients' addresses: serve it through
    /// [`into_make_service_with_connect_info::<SocketAddr>`](Router::into_make_service_with_connect_info).
    pub fn router(&self, page: Router) -> Router {
        Router::new()
            .merge(http::routes())
            .merge(stats::routes())
            .with_state(Arc::clone(&self.shared))
            .fallback_service(websocket::at_root(page, Arc::clone(&self.shared)))
    }

    /// Serves the UDP door on this socket, until the tracker is closed. Several sockets of one port share the work
    /// (`SO_REUSEPORT`).
    pub async fn serve_udp(&self, socket: UdpSocket) {
        udp::serve(Arc::clone(&self.shared), socket).await;
    }

    /// Changes who may use the tracker, from now on. Nobody loses a connection; swarms of which a member might not be admitted
    /// any more are dropped, and whoever is admitted is back with its next announce.
    pub fn set_access(&self, access: Access) {
        let access = Arc::new(access);
        let mut current = self.shared.access.write().unwrap_or_else(PoisonError::into_inner);
        let before = core::mem::replace(&mut *current, Arc::clone(&access));
        // To compare the lists, and to free them, takes its time: announces don't wait for it.
        drop(current);
        let keeps = access.keeps(&before);
        self.shared.registry.retain(keeps);
    }

    /// What is asked for and by whom, from now on: every announce of every door, and everybody who leaves. There is one
    /// subscriber at most. What it does not take in time is lost to it, and counted among the metrics.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::Receiver<Heard> {
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_QUEUE);
        let metrics = Arc::clone(&self.shared.metrics);
        self.shared
            .registry
            .subscribe(Box::new(Queue { sender, metrics }));
        receiver
    }

    /// Who of a swarm can be connected to, some of them: at most `limit`.
    #[must_use]
    pub fn classic_peers(&self, info_hash: InfoHash, limit: usize) -> Vec<SocketAddr> {
        let peers = self.shared.registry.classic_peers(info_hash, limit);
        peers.into_iter().map(|peer| peer.address).collect()
    }

    /// How many of a swarm's members are met over WebRTC and complete.
    #[must_use]
    pub fn webrtc_seeders(&self, info_hash: InfoHash) -> usize {
        self.shared.registry.webrtc_seeders(info_hash)
    }

    /// Tells a member of a swarm that is met over WebRTC something that its user should know, and which the next reply to its
    /// announces takes back. Where much waits for it already, or it has gone, it is not told.
    pub fn warn(&self, info_hash: InfoHash, peer_id: PeerId, sentence: &str) {
        let message = TrackerMessage::Announced {
            info_hash,
            complete: None,
            incomplete: None,
            interval: None,
            tracker_id: None,
            warning: Some(sentence.into()),
        };
        let json = message.to_json();
        for link in self.shared.registry.links_of(info_hash, peer_id) {
            link.relay(json.as_bytes());
        }
    }

    /// The size of one swarm.
    #[must_use]
    pub fn counts(&self, info_hash: InfoHash) -> SwarmCounts {
        self.shared.registry.counts(info_hash)
    }

    /// What the tracker did so far, as Prometheus reads it (text format 0.0.4).
    #[must_use]
    pub fn metrics(&self) -> String {
        let (swarms, members) = self.shared.registry.size();
        self.shared.metrics.to_text(Levels {
            sockets: self.shared.sockets.load(Ordering::Relaxed),
            swarms,
            members,
        })
    }

    /// Closes all connections, tells them why, and waits until they are gone, but not longer than `patience`. Whoever
    /// comes later is refused.
    pub async fn close(&self, patience: Duration) {
        self.shared.closing.send_replace(true);
        // Each connection holds a receiver until it is gone.
        if timeout(patience, self.shared.closing.closed()).await.is_err() {
            let sockets = self.shared.sockets.load(Ordering::Relaxed);
            tracing::debug!(sockets, "did not wait any longer for sockets to close");
        }
    }
}

/// What the doors of a tracker have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// What of the swarms is in this process.
    pub(crate) registry: Registry<Outbox>,
    /// Of requests over HTTP, those for a WebSocket among them, and over UDP.
    pub(crate) rates: Rates,
    /// Of messages over the WebSocket door.
    pub(crate) messages: Rates,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) statistics: stats::Desk,
    pub(crate) tickets: udp::Tickets,
    connections: Connections,
    access: RwLock<Arc<Access>>,
    /// [`Time::ZERO`].
    origin: Instant,
    sockets: AtomicUsize,
    /// Whether the tracker is closing. Each connection has a receiver.
    closing: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ZERO)
    }

    /// Where the swarms live. All that doors do with a single swarm goes through here.
    pub(crate) fn home(&self) -> &impl Home<Link = Outbox> {
        &self.registry
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// See [`Access::admit`].
    pub(crate) fn admit(&self, info_hash: InfoHash, passkey: Option<&str>) -> Result<(), Denial> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        access.admit(info_hash, passkey).inspect_err(|denial| {
            self.metrics.failed(match denial {
                Denial::Torrent => Failure::Torrent,
                Denial::Passkey => Failure::Passkey,
            });
        })
    }
}

impl Shared {
    /// The counts that a scrape is answered with: of these swarms or, where none is named, of some; of private ones only for
    /// who has a passkey.
    pub(crate) async fn scrape(
        &self,
        info_hashes: &[InfoHash],
        passkey: Option<&str>,
    ) -> BTreeMap<InfoHash, SwarmCounts> {
        let max = self.config.max_scrape;
        let mut files = BTreeMap::new();
        if info_hashes.is_empty() {
            files.extend(self.registry.some_counts(max));
        }
        for info_hash in info_hashes.iter().take(max) {
            files.insert(*info_hash, self.home().counts(*info_hash).await);
        }
        let access = self.access();
        files.retain(|info_hash, _| access.admit(*info_hash, passkey).is_ok());
        files
    }
}

/// A connection's right to exist, among as many as there may be.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) closing: watch::Receiver<bool>,
    _of_address: Counted,
}

impl Place {
    pub(crate) fn take(shared: &Arc<Shared>, address: IpAddr) -> Option<Self> {
        let of_address = shared.connections.admit(address)?;
        let max = shared.config.max_sockets;
        let is_free = |taken: usize| (taken < max).then_some(taken + 1);
        shared
            .sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free)
            .ok()?;
        let place = Self {
            shared: Arc::clone(shared),
            closing: shared.closing.subscribe(),
            _of_address: of_address,
        };
        let is_closing = *place.closing.borrow();
        (!is_closing).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A subscriber at the other end of a bounded queue.
struct Queue {
    sender: mpsc::Sender<Heard>,
    metrics: Arc<Metrics>,
}

impl Subscriber for Queue {
    fn handle_heard(&self, heard: Heard) {
        if self.sender.try_send(heard).is_err() {
            self.metrics.subscriber_missed();
        }
    }
}

async fn forget_silent_members(shared: Weak<Shared>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.registry.expire(shared.now());
    }
}

/// A tick of the registry's coarse clock.
const SWEEP_INTERVAL: Duration = Duration::from_secs(16);

/// So many announces may wait for the subscriber.
const SUBSCRIBER_QUEUE: usize = 4096;
