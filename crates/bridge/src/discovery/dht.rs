//! The distributed hash table (BEP 5), by the crate `mainline`. One node serves all torrents.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use mainline::Id;
use mainline::async_dht::AsyncDht;
use tokio::fs;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::{World, ended, is_near, is_private};
use crate::torrent::{Handle, Origin};

/// How the distributed hash table is entered.
#[derive(Clone, Debug, Default)]
pub struct DhtConfig {
    /// Nodes to begin with, as `HOST:PORT`, in place of the public ones. They are believed when they name addresses of our own
    /// network.
    pub nodes: Vec<String>,
    /// Where the nodes of the last run are kept, so that the public ones are asked no more than once.
    pub kept: Option<PathBuf>,
}

/// Our node. It starts when a torrent needs it.
pub(super) struct Dht {
    config: DhtConfig,
    node: OnceCell<Option<AsyncDht>>,
    /// When its nodes are to be kept again.
    due: Mutex<Instant>,
}

impl fmt::Debug for Dht {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dht")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Dht {
    pub(super) fn new(config: DhtConfig) -> Self {
        Self {
            config,
            node: OnceCell::new(),
            due: Mutex::new(Instant::now()),
        }
    }

    async fn node(&self) -> Option<&AsyncDht> {
        self.node
            .get_or_init(|| start(self.config.clone()))
            .await
            .as_ref()
    }

    /// Keeps the nodes that are known for the next run.
    pub(super) async fn keep(&self) {
        let (Some(Some(node)), Some(path)) = (self.node.get(), &self.config.kept) else {
            return;
        };
        let nodes = node.to_bootstrap().await;
        if nodes.is_empty() {
            return;
        }
        if let Some(folder) = path.parent() {
            // Where that fails, writing fails, and says why.
            fs::create_dir_all(folder).await.unwrap_or_default();
        }
        if let Err(error) = fs::write(path, nodes.join("\n")).await {
            tracing::debug!("the nodes of the hash table can't be kept: {error}");
        }
    }

    /// The same now and then: not everybody ends in order.
    async fn keep_again(&self) {
        let is_due = {
            let mut due = self.due.lock().await;
            let is_due = *due <= Instant::now();
            if is_due {
                *due = Instant::now() + KEEP_EVERY;
            }
            is_due
        };
        if is_due {
            self.keep().await;
        }
    }
}

async fn start(config: DhtConfig) -> Option<AsyncDht> {
    let kept = match &config.kept {
        Some(path) => fs::read_to_string(path).await.unwrap_or_default(),
        None => String::new(),
    };
    // It looks names up.
    let started = spawn_blocking(move || {
        let mut builder = mainline::Dht::builder();
        if !config.nodes.is_empty() {
            builder.bootstrap(&config.nodes);
        }
        let kept: Vec<&str> = kept.lines().take(MOST_KEPT).collect();
        if !kept.is_empty() {
            builder.extra_bootstrap(&kept);
        }
        builder.build()
    });
    match started.await {
        Ok(Ok(node)) => Some(node.as_async()),
        Ok(Err(error)) => {
            tracing::warn!("the distributed hash table can't be entered: {error}");
            None
        }
        Err(_) => None,
    }
}

/// Looks for peers of this torrent, and is found by them, until it has ended or turns out to be private (BEP 27).
pub(super) async fn look(world: Arc<World>, torrent: Handle) {
    let Some(dht) = &world.dht else { return };
    let mut changes = torrent.status();
    if is_private(&changes.borrow()) {
        return;
    }
    let Some(node) = dht.node().await else { return };
    let id = Id::from(*torrent.info_hash().as_bytes());
    let is_local = !dht.config.nodes.is_empty();
    let mut again = SOON;
    loop {
        let mut wait = SOON;
        if changes.borrow_and_update().is_running() {
            let (mut found, mut answers) = (0, node.get_peers(id));
            loop {
                tokio::select! {
                    answer = answers.next() => match answer {
                        Some(peers) => {
                            let peers: Vec<_> = peers.into_iter().map(SocketAddr::from).collect();
                            found += peers.len();
                            let is_local = is_local && peers.iter().all(|peer| is_near(peer.ip()));
                            torrent.add_peers(peers, Origin::Stranger { is_local });
                        }
                        None => break,
                    },
                    () = ended(&mut changes) => return,
                }
            }
            if world.port != 0
                && let Err(error) = node.announce_peer(id, Some(world.port)).await
            {
                tracing::debug!(torrent = %torrent.info_hash(), "not announced in the hash table: {error}");
            }
            tracing::debug!(torrent = %torrent.info_hash(), found, "looked in the hash table");
            dht.keep_again().await;
            // Who was found may be gone long since, and browsers are found elsewhere: only peers of this kind that are here count.
            let has_peers = {
                let status = changes.borrow();
                status.stats.peers > status.browsers
            };
            (wait, again) = if has_peers {
                (AGAIN, SOON)
            } else {
                (again, AGAIN.min(2 * again))
            };
        }
        let due = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(due) => {}
            () = ended(&mut changes) => return,
        }
    }
}

/// Nodes of the last run that are asked.
const MOST_KEPT: usize = 100;
const KEEP_EVERY: Duration = Duration::from_mins(10);
/// How often peers are looked for; sooner where there are none yet, but ever more rarely. Nodes forget a peer after half an hour.
const AGAIN: Duration = Duration::from_mins(10);
const SOON: Duration = Duration::from_secs(20);
