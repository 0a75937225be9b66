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
use crate::greeting::Encryption;
use crate::limits;
use crate::mapping::{self, Mappings, Port, Routers};
use crate::proxy::Proxy;
use crate::signaling::Signaling;
use crate::tcp;
use crate::torrent::{self, Addition, Handle, Subject};
use crate::utp::{self, Utp};
use crate::web_seed::{Client, Reach};
use crate::webrtc::{self, EndpointError};

/// How the bridge meets the world.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where TCP connections are taken. Where this port is taken another one is used; none is, where there is no address.
    pub listen: Option<SocketAddr>,
    /// Whether peers are also met over uTP, on the UDP port with the same number.
    pub utp: bool,
    /// Whether links over TCP and uTP are enciphered.
    pub encryption: Encryption,
    /// Through which proxy peers and trackers are reached, over TCP. Whatever would reach them in another way is then off: uTP,
    /// trackers over UDP, the distributed hash table; and nobody is listened to. WebRTC, which knows no proxy, is on
    /// where `webrtc` says so.
    pub proxy: Option<Proxy>,
    /// Whether peers in our own network are looked for by multicast (BEP 14).
    pub local_discovery: bool,
    /// Whether the router of our network is asked to pass on what comes to our ports.
    pub port_mapping: bool,
    /// Bounds: rates of all torrents together, everything else of each.
    pub limits: Limits,
    /// How WebRTC peers are met, at trackers that speak WebSocket; none are, where there is none of it.
    pub webrtc: Option<webrtc::Config>,
    /// How the distributed hash table is entered; it is not, where there is none of it.
    pub dht: Option<DhtConfig>,
    /// Which web seeds are asked that a torrent or link names.
    pub web_seeds: Reach,
    /// A tracker over WebSocket that is ours, and is reached without the proxy.
    pub own_tracker: Option<String>,
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
    mappings: Option<Mappings>,
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
    pub(crate) network: Network,
    pub(crate) limits: Limits,
    /// The TCP port on which we listen, if any.
    pub(crate) port: Option<u16>,
    torrents: Mutex<BTreeMap<InfoHash, Handle>>,
    origin: Instant,
}

/// How classic peers are connected to.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) encryption: Encryption,
    pub(crate) utp: Option<Utp>,
    pub(crate) proxy: Option<Proxy>,
    /// The tracker over WebSocket that is reached without it.
    pub(crate) own_tracker: Option<String>,
}

impl Bridge {
    /// Opens the ports.
    ///
    /// # Errors
    /// [`BridgeError::Listen`] and [`BridgeError::WebRtc`] where none can be opened.
    pub async fn start(config: Config) -> Result<Self, BridgeError> {
        let is_direct = config.proxy.is_none();
        let ports = match config.listen.filter(|_| is_direct) {
            Some(address) => Some(open(address, config.utp).await?),
            None => None,
        };
        let (listener, utp) = ports.map_or((None, None), |(listener, utp)| (Some(listener), utp));
        let listen = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let shared = Arc::new(Shared {
            peer_id: new_peer_id(),
            handles: Arc::new(Handles::new(MOST_FILES)),
            buffers: Arc::default(),
            web: Arc::new(Client::new(config.proxy.clone())),
            reach: config.web_seeds,
            network: Network {
                encryption: config.encryption,
                utp: utp.clone(),
                proxy: config.proxy,
                own_tracker: config.own_tracker,
            },
            limits: config.limits,
            port: listen.map(|listen| listen.port()),
            torrents: Mutex::default(),
            origin: Instant::now(),
        });
        let mut tasks = JoinSet::new();
        if let Some(listener) = listener {
            tasks.spawn(tcp::listen(shared.clone(), listener));
        }
        if let Some(utp) = utp {
            tasks.spawn(utp::listen(shared.clone(), utp));
        }
        let start = |config| Signaling::start(&shared, config);
        let signaling = config.webrtc.map(start).transpose()?;
        let port = listen.map_or(0, |listen| listen.port());
        let needed = listen.filter(|listen| config.port_mapping && mapping::is_needed(*listen));
        let mappings = needed.map(|_| {
            let over_udp = shared.network.utp.as_ref().map(|_| port);
            let over_udp = over_udp
                .into_iter()
                .chain(signaling.as_ref().map(Signaling::port));
            let ports = core::iter::once(Port::Tcp(port)).chain(over_udp.map(Port::Udp));
            Mappings::keep(ports.collect(), Routers::find())
        });
        let total = Limits {
            peers: MOST_LINKS,
            upload_slots: MOST_LINKS,
            ..config.limits
        };
        let is_limited = total.upload_rate.min(total.download_rate) != Limits::UNLIMITED;
        let (limits, told) = watch::channel(is_limited.then_some(total));
        tasks.spawn(limits::divide(shared.clone(), told));
        Ok(Self {
            limits,
            discovery: Discovery::new(
                &shared,
                port,
                config.dht.filter(|_| is_direct),
                listen.filter(|_| config.local_discovery),
            ),
            mappings,
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
        let (handle, trackers) = self.begin(addition)?;
        self.discovery.add(&handle, trackers);
        Ok(handle)
    }

    /// Meets browsers for a torrent, and classic peers only from [`Self::look_for_classic_peers`] on.
    pub(crate) fn add_for_browsers(&self, addition: Addition) -> Result<Handle, BridgeError> {
        Ok(self.begin(addition)?.0)
    }

    /// Meets classic peers for a torrent, too, at these trackers among others.
    pub(crate) fn look_for_classic_peers(&self, torrent: &Handle, trackers: &[String]) {
        let tiers = trackers.iter().map(|url| vec![url.clone()]);
        self.discovery.add(torrent, tiers.collect());
    }

    fn begin(&self, addition: Addition) -> Result<(Handle, Vec<Vec<String>>), BridgeError> {
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
        if let Some(signaling) = &self.signaling {
            signaling.add(handle.clone(), trackers.concat());
        }
        Ok((handle, trackers))
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
        let close_ports = async {
            if let Some(mappings) = self.mappings {
                mappings.stop().await;
            }
        };
        tokio::join!(leave_browsers, close_ports, self.discovery.stop());
        self.tasks.shutdown().await;
        if let Some(utp) = &self.shared.network.utp {
            utp.close();
        }
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

    /// The names of all torrents that run.
    pub(crate) fn info_hashes(&self) -> Vec<InfoHash> {
        self.torrents().keys().copied().collect()
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

/// The port asked for, or any where that one is taken, and that of uTP beside it where that is wanted and possible.
async fn open(address: SocketAddr, with_utp: bool) -> Result<(TcpListener, Option<Utp>), BridgeError> {
    let failed = |error| BridgeError::Listen(address, error);
    for _ in 0..MOST_TRIES {
        let listener = bind(address).await.map_err(failed)?;
        if !with_utp {
            return Ok((listener, None));
        }
        let local = listener.local_addr().map_err(failed)?;
        match Utp::open(local).await {
            Ok(utp) => return Ok((listener, Some(utp))),
            Err(error) if local.port() == address.port() => {
                tracing::info!(
                    "peers are met over TCP alone: the UDP port beside {local} can't be used: {error}"
                );
                return Ok((listener, None));
            }
            // Somebody else has the UDP port of this number: another number will do.
            Err(error) => tracing::debug!("no uTP on {local}: {error}"),
        }
    }
    Ok((bind(address).await.map_err(failed)?, None))
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

/// Of all torrents together: each has bounds of its own.
const MOST_LINKS: usize = 100_000;
/// Numbers of ports that are tried where any will do.
const MOST_TRIES: usize = 8;
/// Files that are open at once, of all torrents: half of what the most cautious system allows.
const MOST_FILES: usize = 128;
