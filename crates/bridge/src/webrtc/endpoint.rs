//! The task that all WebRTC connections live in.

mod run;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use causeway_core::PeerId;
use causeway_engine::{Direction, LinkKind};
use causeway_signal::ConnectionId;
use tokio::net::lookup_host;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::candidate::Candidate;
use super::connection::{Channel, Path, Role, Terms};
use super::description::{Credentials, Description, Setup};
use super::gather::Gathering;
use super::peer::Peer;
use super::port::{Buffers, Port};
use super::ready::Ready;
use super::routes::{Owner, Routes};
use super::stack::{MAX_RECEIVED_MESSAGE, Stack};
use super::turn::{Relay, TurnServer};
use crate::link::{Link, Meeting};

/// What an endpoint is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The UDP port of all connections; 0 for any that is free.
    pub port: u16,
    /// STUN servers, as `host:port`, that tell what this machine looks like from outside.
    pub stun_servers: Vec<String>,
    /// A relay, for peers that reach this machine no other way.
    pub turn: Option<TurnServer>,
    /// Meet peers by the relay alone, so that they don't learn this machine's address.
    pub turn_only: bool,
    /// The most connections at once, open or not.
    pub max_connections: usize,
    /// The most connections at once that are not open yet.
    pub max_half_open: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            stun_servers: Vec::new(),
            turn: None,
            turn_only: false,
            max_connections: 500,
            max_half_open: 100,
        }
    }
}

/// What happens at an endpoint. Each connection has the name that was given with what began it.
#[derive(Debug)]
pub enum Event {
    /// An offer is ready to be sent, with all its candidates (SDP).
    Offered(ConnectionId, String),
    /// An answer is ready to be sent, with all its candidates (SDP).
    Answered(ConnectionId, String),
    /// The data channel is open; here is the torrent's side of it.
    Opened(ConnectionId, Link),
    /// The connection could not be made or has ended, in words why. Its link is closed with the same words.
    Closed(ConnectionId, String),
}

/// Why an endpoint can't be had.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The port can't be used.
    #[error(
        "UDP port {0} can't be opened for WebRTC peers: {1}. Choose another one, or 0 for any that is free."
    )]
    Port(u16, #[source] io::Error),
    /// There is no certificate.
    #[error("no certificate for WebRTC connections could be made: {0}")]
    Certificate(String),
}

/// Asks the task for connections. Dropped, it ends all of them.
#[derive(Debug)]
pub struct Endpoint {
    commands: UnboundedSender<Command>,
    task: JoinHandle<()>,
    port: u16,
}

/// Whoever asks bounds how many there are: each is about one connection of its own.
#[derive(Debug)]
enum Command {
    Offer {
        id: ConnectionId,
        label: String,
    },
    AcceptOffer {
        id: ConnectionId,
        peer: PeerId,
        sdp: String,
    },
    AcceptAnswer {
        id: ConnectionId,
        peer: PeerId,
        sdp: String,
    },
    Close {
        id: ConnectionId,
    },
    Servers {
        stun: Vec<SocketAddr>,
        turn: Vec<SocketAddr>,
    },
}

impl Endpoint {
    /// Opens the port and starts the task. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The port can't be opened, or there is no source of randomness.
    pub fn start(config: Config) -> Result<(Self, UnboundedReceiver<Event>), EndpointError> {
        let port = Port::bind(config.port).map_err(|error| EndpointError::Port(config.port, error))?;
        let number = port.number();
        let stack = Stack::new().map_err(|failure| EndpointError::Certificate(failure.to_string()))?;
        let (commands, queue) = unbounded_channel();
        let (events, told) = unbounded_channel();
        // Who hides behind a relay asks no other servers.
        let stun = config.stun_servers.iter().filter(|_| !config.turn_only);
        let stun: Vec<_> = stun.cloned().collect();
        let turn: Vec<_> = config.turn.iter().map(|turn| turn.host.clone()).collect();
        let has_servers = !stun.is_empty() || !turn.is_empty();
        if has_servers {
            tokio::spawn(resolve(stun, turn, commands.clone().downgrade()));
        }
        let now = Instant::now();
        let task = Task {
            gathering: Gathering::new(now, has_servers),
            relay: None,
            config,
            stack,
            queue,
            events,
            waiting: VecDeque::new(),
            ports: vec![port],
            buffers: Buffers::new(),
            routes: Routes::default(),
            offers: BTreeMap::new(),
            peers: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: Arc::default(),
            touched: BTreeSet::new(),
            packets: VecDeque::new(),
        };
        let task = tokio::spawn(task.run());
        let endpoint = Self {
            commands,
            task,
            port: number,
        };
        Ok((endpoint, told))
    }

    /// The UDP port that peers reach.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Make an offer; [`Event::Offered`] tells it. `label` is the name of the data channel for other clients than ours.
    pub fn offer(&self, id: ConnectionId, label: String) {
        self.tell(Command::Offer { id, label });
    }

    /// Make a connection for this offer of a peer; [`Event::Answered`] tells the answer.
    pub fn accept_offer(&self, id: ConnectionId, peer: PeerId, sdp: String) {
        self.tell(Command::AcceptOffer { id, peer, sdp });
    }

    /// Make the connection that was offered with a peer who has answered.
    pub fn accept_answer(&self, id: ConnectionId, peer: PeerId, sdp: String) {
        self.tell(Command::AcceptAnswer { id, peer, sdp });
    }

    /// Forget an offer, or close a connection. No [`Event::Closed`] follows.
    pub fn close(&self, id: ConnectionId) {
        self.tell(Command::Close { id });
    }

    /// Takes leave of all peers.
    pub async fn stop(self) {
        drop(self.commands);
        // It ends with its runtime, too.
        self.task.await.unwrap_or_default();
    }

    fn tell(&self, command: Command) {
        // The task lives as long as this does; where it has died with its runtime, nobody waits for an answer.
        self.commands.send(command).unwrap_or_default();
    }
}

/// Finds the addresses of servers.
async fn resolve(stun: Vec<String>, turn: Vec<String>, commands: WeakUnboundedSender<Command>) {
    let (stun, turn) = (addresses("STUN", stun).await, addresses("TURN", turn).await);
    if let Some(commands) = commands.upgrade() {
        commands.send(Command::Servers { stun, turn }).unwrap_or_default();
    }
}

/// The addresses of servers with these names: one in each family.
async fn addresses(kind: &str, names: Vec<String>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for name in names {
        match lookup_host(&name).await {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.collect();
                let families = [SocketAddr::is_ipv4, SocketAddr::is_ipv6];
                servers.extend(
                    families
                        .iter()
                        .filter_map(|family| addresses.iter().find(|it| family(it))),
                );
            }
            Err(error) => {
                tracing::warn!(
                    "the {kind} server {name} has no address: {error}. Peers behind routers may not be reached."
                );
            }
        }
    }
    servers
}

/// Everything that the task owns.
///
/// Invariant: `due` has an entry for each peer with `Peer::due`, and no other.
struct Task {
    config: Config,
    stack: Stack,
    queue: UnboundedReceiver<Command>,
    events: UnboundedSender<Event>,
    /// What waits for the own addresses to be known.
    waiting: VecDeque<Command>,
    gathering: Gathering,
    relay: Option<Relay>,
    /// The first one is in all offers; further ones are opened when they are needed.
    ports: Vec<Port>,
    buffers: Buffers,
    routes: Routes,
    offers: BTreeMap<ConnectionId, Offer>,
    peers: BTreeMap<ConnectionId, Peer>,
    due: BTreeSet<(Instant, ConnectionId)>,
    ready: Arc<Ready>,
    /// Peers that something happened to.
    touched: BTreeSet<ConnectionId>,
    packets: VecDeque<(Path, bytes::BytesMut)>,
}

/// An offer that nobody has answered.
#[derive(Debug)]
struct Offer {
    credentials: Credentials,
    label: String,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Task {
    fn handle_command(&mut self, now: Instant, command: Command) {
        let describes = matches!(command, Command::Offer { .. } | Command::AcceptOffer { .. });
        if describes && self.is_awaiting(now) {
            self.waiting.push_back(command);
            return;
        }
        match command {
            Command::Offer { id, label } => self.offer(now, id, label),
            Command::AcceptOffer { id, peer, sdp } => {
                if let Err(reason) = self.accept_offer(now, id, peer, &sdp) {
                    self.tell(Event::Closed(id, reason));
                }
            }
            Command::AcceptAnswer { id, peer, sdp } => {
                if let Err(reason) = self.accept_answer(now, id, peer, &sdp) {
                    self.tell(Event::Closed(id, reason));
                }
            }
            Command::Close { id } => {
                self.offers.remove(&id);
                self.waiting.retain(|command| {
                    !matches!(command,
                    Command::Offer { id: other, .. } | Command::AcceptOffer { id: other, .. } if *other == id)
                });
                self.drop_peer(now, id, "this side has closed the connection");
            }
            Command::Servers { stun, turn } => {
                self.gathering.handle_servers(stun);
                self.open_relay(now, &turn);
            }
        }
    }

    /// Whether descriptions wait for what a server is about to tell.
    fn is_awaiting(&mut self, now: Instant) -> bool {
        let relay = self.relay.as_ref();
        self.gathering.is_awaited(now) || relay.is_some_and(|relay| relay.is_awaited(now))
    }

    /// Asks a TURN server for an address. It has these, of which this machine may not reach all.
    fn open_relay(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let mut reachable = addresses.iter();
        let server = reachable.find(|address| self.gathering.interface(now, address).is_some());
        if let (Some(server), Some(account)) = (server, self.config.turn.clone()) {
            let crypto = self.stack.crypto();
            self.relay = Some(Relay::new(now, *server, account, crypto, random));
        }
    }

    fn offer(&mut self, now: Instant, id: ConnectionId, label: String) {
        let credentials = Credentials::generate(random);
        let (local, relayed) = (self.local(now, 0), self.relayed());
        let offer = self.describe(credentials.clone(), Setup::ActPass, "0", (&local, relayed), 0);
        self.offers.insert(id, Offer { credentials, label });
        self.tell(Event::Offered(id, offer));
    }

    fn accept_offer(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: PeerId,
        sdp: &str,
    ) -> Result<(), String> {
        self.check_room()?;
        let remote =
            Description::parse(sdp).map_err(|error| format!("the peer's offer can't be used: {error}"))?;
        let port = self.choose_port(&remote)?;
        let local = self.local(now, port);
        let relayed = self.relayed().filter(|relayed| self.is_free(*relayed, &remote));
        let credentials = Credentials::generate(random);
        // Where there is a choice the peer begins: some go on only if media was offered and taken, others know nothing of media, and `rtc-dtls` suits
        // both of them only as the server.
        let setup = match remote.setup {
            Setup::ActPass | Setup::Active => Setup::Passive,
            Setup::Passive => Setup::Active,
        };
        let answer = self.describe(credentials.clone(), setup, &remote.mid, (&local, relayed), port);
        let terms = Terms {
            role: Role::Answerer,
            channel: channel(peer, String::new()),
            credentials,
            remote,
            local,
            relayed,
        };
        self.connect(now, id, peer, &terms)?;
        self.tell(Event::Answered(id, answer));
        Ok(())
    }

    fn accept_answer(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: PeerId,
        sdp: &str,
    ) -> Result<(), String> {
        let Some(offer) = self.offers.remove(&id) else {
            return Err("the offer that the peer has answered is gone".to_owned());
        };
        self.check_room()?;
        let remote =
            Description::parse(sdp).map_err(|error| format!("the peer's answer can't be used: {error}"))?;
        if remote.setup == Setup::ActPass {
            return Err("the peer's answer can't be used: it leaves open who begins".to_owned());
        }
        let terms = Terms {
            role: Role::Offerer,
            channel: channel(peer, offer.label),
            credentials: offer.credentials,
            remote,
            local: self.local(now, 0),
            relayed: self.relayed(),
        };
        self.connect(now, id, peer, &terms)
    }

    fn connect(&mut self, now: Instant, id: ConnectionId, peer: PeerId, terms: &Terms) -> Result<(), String> {
        let connection = self
            .stack
            .connect(now, terms)
            .map_err(|failure| format!("the connection can't be made: {failure}"))?;
        let meeting = Meeting {
            kind: LinkKind::WebRtc,
            direction: match terms.role {
                Role::Offerer => Direction::Outgoing,
                Role::Answerer => Direction::Incoming,
            },
            remote: None,
            expected: Some(peer),
        };
        self.routes.add(id, &terms.credentials.ufrag);
        self.peers.insert(
            id,
            Peer::new(now, Box::new(connection), terms, meeting, self.ready.waker(id)),
        );
        self.touched.insert(id);
        tracing::debug!("connection {} to {peer:?} is being made", id.0);
        Ok(())
    }

    fn check_room(&self) -> Result<(), String> {
        let half_open = self.peers.values().filter(|peer| peer.is_connecting()).count();
        if self.peers.len() >= self.config.max_connections || half_open >= self.config.max_half_open {
            return Err("there are too many WebRTC connections at the moment".to_owned());
        }
        Ok(())
    }

    /// The port that answers an offer: the first one, but for offers that may come from a port which it has a connection
    /// with, or is about to have. Those are the ones of our own kind.
    fn choose_port(&mut self, remote: &Description) -> Result<usize, String> {
        if !remote.ours {
            return Ok(0);
        }
        for index in 1..MAX_PORTS {
            if index == self.ports.len() {
                let port =
                    Port::bind(0).map_err(|error| format!("no further UDP port can be opened: {error}"))?;
                self.ports.push(port);
            }
            let local = SocketAddr::from(([0; 4], self.ports[index].number()));
            if self.is_free(local, remote) {
                return Ok(index);
            }
        }
        Err(format!(
            "there are {} connections to this peer already",
            MAX_PORTS - 1
        ))
    }

    /// Whether no connection has packets between this address and one of that peer's, or is about to.
    fn is_free(&self, local: SocketAddr, remote: &Description) -> bool {
        remote.candidates.iter().all(|candidate| {
            let path = Path {
                local,
                remote: candidate.address,
            };
            !self.routes.is_taken(path) && !self.peers.values().any(|peer| peer.expects(path))
        })
    }

    /// The address at the relay, which stands for this machine at any port.
    fn relayed(&self) -> Option<SocketAddr> {
        self.relay.as_ref().and_then(Relay::address)
    }

    fn local(&mut self, now: Instant, port: usize) -> Vec<SocketAddr> {
        if self.config.turn_only {
            return Vec::new();
        }
        let (number, ipv6) = (self.ports[port].number(), self.ports[port].has_ipv6());
        self.gathering.local(now, number, ipv6)
    }

    fn describe(
        &self,
        credentials: Credentials,
        setup: Setup,
        mid: &str,
        (local, relayed): (&[SocketAddr], Option<SocketAddr>),
        port: usize,
    ) -> String {
        let mut candidates = self.gathering.candidates(local, port == 0);
        candidates.extend(relayed.map(Candidate::relayed));
        let description = Description {
            credentials,
            fingerprint: self.stack.fingerprint().to_owned(),
            setup,
            mid: mid.to_owned(),
            sctp_port: 5000,
            max_message_size: Some(MAX_RECEIVED_MESSAGE as usize),
            candidates,
            ours: true,
        };
        description.to_string()
    }

    fn drop_peer(&mut self, now: Instant, id: ConnectionId, reason: &str) {
        let Some(mut peer) = self.peers.remove(&id) else {
            return;
        };
        if let Some(due) = peer.due {
            self.due.remove(&(due, id));
        }
        peer.close(reason, &mut self.packets);
        self.transmit(now, Owner::Connection(id));
        self.routes.remove(id, &peer.ufrag, &peer.paths);
        tracing::debug!("connection {} is closed: {reason}", id.0);
    }

    fn tell(&self, event: Event) {
        // Nobody listens when the endpoint is about to go.
        self.events.send(event).unwrap_or_default();
    }
}

/// Which channel a connection with this peer has.
fn channel(peer: PeerId, label: String) -> Channel {
    if peer.as_bytes().starts_with(OUR_KIND) {
        Channel::Agreed
    } else {
        Channel::Announced(label)
    }
}

fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system that made the certificate has randomness");
}

/// How the peer ids of Causeway begin, the page's and this program's.
const OUR_KIND: &[u8] = b"-CW";
/// Ports, and so connections between two programs of this kind in either direction.
const MAX_PORTS: usize = 16;
