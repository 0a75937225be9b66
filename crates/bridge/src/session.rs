//! The bridge itself: the torrents that run, and the ports that peers reach them at.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use causeway_core::{InfoHash, PeerId, Time};
use causeway_engine::Limits;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::buffers::Buffers;
use crate::discovery::{DhtConfig, Discovery};
use crate::disk::Handles;
use crate::limits;
use crate::signaling::Signaling;
use crate::tcp;
use crate::torrent::{self, Addition, Handle, Subject};
use crate::web_seed::{Client, Reach};
use crate::webrtc::{self, EndpointError};

/// How the bridge meets the world.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where TCP connections are taken. Where this port is taken another one is used; none is, where there is no address.
    pub listen: Option<SocketAddr>,
    /// How WebRTC peers are met, at trackers that speak WebSocket; none are, where there is none of it.
    pub webrtc: Option<webrtc::Config>,
    /// How the distributed hash table is entered; it is not, where there is none of it.
    pub dht: Option<DhtConfig>,
    /// Which web seeds are asked that a torrent or link names.
    pub web_seeds: Reach,
}

/// Why the bridge or a torrent can't be started.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// No port can be opened.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// There can't be WebRTC peers.
    #[error(transparent)]
    WebRtc(#[from] EndpointError),
    /// It runs already.
    #[error("the torrent {0} is there already")]
    Duplicate(InfoHash),
}

/// A native peer: all its torrents.
#[derive(Debug)]
pub struct Bridge {
    shared: Arc<Shared>,
    listen: Option<SocketAddr>,
    signaling: Option<Signaling>,
    discovery: Discovery,
    limits: watch::Sender<Option<Limits>>,
    tasks: JoinSet<()>,
}

/// What all torrents and transports share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer_id: PeerId,
    pub(crate) handles: Arc<Handles>,
    pub(crate) buffers: Arc<Buffers>,
    /// Asks web seeds.
    pub(crate) web: Arc<Client>,
    pub(crate) reach: Reach,
    torrents: Mutex<BTreeMap<InfoHash, Handle>>,
    origin: Instant,
}

impl Bridge {
    /// Opens the ports.
    ///
    /// # Errors
    /// [`BridgeError::Listen`] and [`BridgeError::WebRtc`] where none can be opened.
    pub async fn start(config: Config) -> Result<Self, BridgeError> {
        let shared = Arc::new(Shared {
            peer_id: new_peer_id(),
            handles: Arc::new(Handles::new(MOST_FILES)),
            buffers: Arc::default(),
            web: Arc::new(Client::new()),
            reach: config.web_seeds,
            torrents: Mutex::default(),
            origin: Instant::now(),
        });
        let mut tasks = JoinSet::new();
        let mut listen = None;
        if let Some(address) = config.listen {
            let listener = bind(address)
                .await
                .map_err(|error| BridgeError::Listen(address, error))?;
            listen = listener.local_addr().ok();
            tasks.spawn(tcp::listen(shared.clone(), listener));
        }
        let start = |config| Signaling::start(shared.peer_id, config);
        let signaling = config.webrtc.map(start).transpose()?;
        let port = listen.map_or(0, |listen| listen.port());
        let (limits, told) = watch::channel(None);
        tasks.spawn(limits::divide(shared.clone(), told));
        Ok(Self {
            limits,
            discovery: Discovery::new(shared.peer_id, port, config.dht),
            shared,
            listen,
            signaling,
            tasks,
        })
    }

    /// Where TCP connections are taken.
    #[must_use]
    pub const fn listen_address(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// The UDP port that all WebRTC peers reach.
    #[must_use]
    pub fn webrtc_port(&self) -> Option<u16> {
        self.signaling.as_ref().map(Signaling::port)
    }

    /// Our name in every swarm.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// All torrents together use no more than this from now on, each its share. What a torrent is told alone
    /// ([`Command::SetLimits`](causeway_engine::Command::SetLimits)) goes on to hold beside that.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.send_replace(Some(limits));
    }

    /// Takes part in a torrent from now on.
    ///
    /// # Errors
    /// [`BridgeError::Duplicate`].
    pub fn add(&self, addition: Addition) -> Result<Handle, BridgeError> {
        let (info_hash, trackers) = match &addition.subject {
            Subject::Metainfo(metainfo) => (metainfo.info().info_hash(), metainfo.trackers().to_vec()),
            Subject::Magnet(magnet) => {
                let tiers = magnet.trackers.iter().map(|url| vec![url.clone()]);
                (magnet.info_hash, tiers.collect())
            }
        };
        let mut torrents = self.shared.torrents();
        if torrents.contains_key(&info_hash) {
            return Err(BridgeError::Duplicate(info_hash));
        }
        let handle = torrent::spawn(self.shared.clone(), addition);
        torrents.insert(info_hash, handle.clone());
        drop(torrents);
        // Its share is due at once.
        self.limits.send_modify(|_| ());
        self.discovery.add(&handle, trackers.clone());
        if let Some(signaling) = &self.signaling {
            signaling.add(handle.clone(), trackers.concat());
        }
        Ok(handle)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The torrent with this name, if it runs.
    #[must_use]
    pub fn torrent(&self, info_hash: InfoHash) -> Option<Handle> {
        self.shared.torrent(info_hash)
    }

    /// Ends one torrent, after it has kept how far it has come.
    pub async fn remove(&self, info_hash: InfoHash) {
        let handle = self.shared.torrents().remove(&info_hash);
        if let Some(handle) = handle {
            handle.stop().await;
        }
    }

    /// Ends every torrent, after each has kept how far it has come, and closes the ports.
    pub async fn stop(mut self) {
        let torrents = core::mem::take(&mut *self.shared.torrents());
        let mut stopping = JoinSet::new();
        for handle in torrents.into_values() {
            stopping.spawn(async move { handle.stop().await });
        }
        stopping.join_all().await;
        let leave_browsers = async {
            if let Some(signaling) = self.signaling {
                signaling.stop().await;
            }
        };
        tokio::join!(leave_browsers, self.discovery.stop());
        self.tasks.shutdown().await;
    }
}

impl Shared {
    pub(crate) fn torrent(&self, info_hash: InfoHash) -> Option<Handle> {
        self.torrents().get(&info_hash).cloned()
    }

    /// All torrents.
    pub(crate) fn handles_by_name(&self) -> BTreeMap<InfoHash, Handle> {
        self.torrents().clone()
    }

    /// Now, as the engines count.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// A moment of the engines, as the runtime counts.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.origin + time.since(Time::ZERO)).into()
    }

    fn torrents(&self) -> MutexGuard<'_, BTreeMap<InfoHash, Handle>> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The port asked for, or any where that one is taken.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let any = TcpListener::bind(SocketAddr::new(address.ip(), 0)).await?;
            tracing::info!("{address} is taken, {} is used instead", any.local_addr()?);
            Ok(any)
        }
        result => result,
    }
}

/// `-CW0100-` and twelve random letters and digits (BEP 20).
fn new_peer_id() -> PeerId {
    let mut id = *b"-CW0100-............";
    id[8..].fill_with(|| fastrand::alphanumeric() as u8);
    PeerId::new(id)
}

/// Files that are open at once, of all torrents: half of what the most cautious system allows.
const MOST_FILES: usize = 128;
