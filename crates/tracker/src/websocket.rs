//! The WebSocket door: the WebTorrent tracker protocol on an axum router.

mod connection;
mod outbox;
mod pace;

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_core::Time;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::connection::Connection;
use self::outbox::Outbox;
use crate::registry::Registry;
use crate::{Config, stats};

/// A tracker: the registry with its WebSocket door. Cheap to clone; all clones are one tracker.
#[derive(Clone, Debug)]
pub struct Tracker {
    shared: Arc<Shared>,
}

impl Tracker {
    /// A tracker without members.
    ///
    /// # Panics
    /// Outside of a tokio runtime, in which it sees to it that silent members are forgotten.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let (statistics, requests) = stats::Desk::new();
        let shared = Arc::new(Shared {
            registry: Registry::new(config.clone(), fastrand::Rng::new().u64(..)),
            config,
            statistics,
            origin: Instant::now(),
            sockets: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
        });
        tokio::spawn(forget_silent_members(Arc::downgrade(&shared)));
        tokio::spawn(stats::serve(Arc::downgrade(&shared), requests));
        Self { shared }
    }

    /// The routes of the tracker: a WebSocket at `/announce`, statistics at `/stats` and `/stats.json`. A WebSocket at `/`
    /// is for the tracker, too; everything else is left to `page`.
    ///
    /// The router wants to know its clients' addresses: serve it through
    /// [`into_make_service_with_connect_info::<SocketAddr>`](Router::into_make_service_with_connect_info).
    pub fn router(&self, page: Router) -> Router {
        Router::new()
            .route("/announce", get(announce))
            .route("/stats", get(stats::page))
            .route("/stats.json", get(stats::json))
            .with_state(Arc::clone(&self.shared))
            .fallback_service(page.layer(middleware::from_fn_with_state(
                Arc::clone(&self.shared),
                announce_at_root,
            )))
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

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn announce(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")];
        let body = "This is a WebTorrent tracker: connect to it with a WebSocket.\n";
        return (StatusCode::UPGRADE_REQUIRED, headers, body).into_response();
    };
    accept(&shared, upgrade, address)
}

async fn announce_at_root(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
    request: Request,
    next: Next,
) -> Response {
    match upgrade {
        Ok(upgrade) if request.uri().path() == "/" => accept(&shared, upgrade, address),
        _ => next.run(request).await,
    }
}

fn accept(shared: &Arc<Shared>, upgrade: WebSocketUpgrade, address: SocketAddr) -> Response {
    let Some(place) = Place::take(shared) else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "This tracker is full: try again later.\n",
        )
            .into_response();
    };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(shared.config.max_message)
        .max_frame_size(shared.config.max_message)
        .on_upgrade(move |socket| Connection::new(place, socket, address.ip()).run())
}

/// What the connections of a tracker have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) registry: Registry<Outbox>,
    pub(crate) statistics: stats::Desk,
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

    fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ZERO)
    }
}

/// A connection's right to exist, among as many as there may be.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    closing: watch::Receiver<bool>,
}

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let max = shared.config.max_sockets;
        let is_free = |taken: usize| (taken < max).then_some(taken + 1);
        shared
            .sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free)
            .ok()?;
        let place = Self {
            shared: Arc::clone(shared),
            closing: shared.closing.subscribe(),
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

async fn forget_silent_members(shared: Weak<Shared>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.registry.expire(shared.now());
    }
}

/// Often enough that offers, which last for a minute, do not stay in memory for much longer.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Each connection has a buffer of this size, in bytes, for as long as it lives; an announce with five offers fills one.
const READ_BUFFER: usize = 4 * 1024;

/// So many bytes are collected before they are written to the socket.
const WRITE_BUFFER: usize = 16 * 1024;
