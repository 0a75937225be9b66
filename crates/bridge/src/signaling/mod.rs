//! How torrents meet WebRTC peers: trackers over WebSocket carry offers and answers.
//!
//! [`causeway_signal::Client`] decides what to say to which tracker, and whose offers to answer. One task performs it for
//! all torrents: it opens the sockets, has the WebRTC endpoint make offers, answers and connections, and gives each
//! channel that opens to its torrent.

mod socket;

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use causeway_core::{InfoHash, PeerId, Time};
use causeway_signal::{self as signal, Client, ConnectionId, Output, Progress, TrackerId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

use crate::proxy::Proxy;
use crate::session::Shared;
use crate::torrent::{Handle, Status};
use crate::webrtc::{self, Endpoint, EndpointError};
use socket::{Socket, SocketEvent};

/// Makes torrents known to WebSocket trackers, and gives them the peers that are met there.
#[derive(Debug)]
pub(crate) struct Signaling {
    requests: UnboundedSender<Request>,
    task: JoinHandle<()>,
    port: u16,
}

#[derive(Debug)]
enum Request {
    /// A torrent is there.
    Add(Handle, Vec<String>),
    /// Its status has changed.
    Changed(InfoHash),
    /// It has ended.
    Gone(InfoHash),
}

impl Signaling {
    /// Opens the WebRTC port and starts the task.
    pub(crate) fn start(shared: &Shared, config: webrtc::Config) -> Result<Self, EndpointError> {
        let (endpoint, endpoint_events) = Endpoint::start(config)?;
        let port = endpoint.port();
        let (requests, queue) = unbounded_channel();
        let (socket_events, from_sockets) = unbounded_channel();
        let task = Task {
            client: Client::new(client_config(shared.peer_id), fastrand::u64(..), Time::ZERO),
            origin: Instant::now(),
            proxy: shared.network.proxy.clone(),
            own_tracker: shared.network.own_tracker.clone(),
            endpoint,
            socket_events,
            sockets: BTreeMap::new(),
            socket_tasks: JoinSet::new(),
            torrents: BTreeMap::new(),
            connections: BTreeMap::new(),
            requests: requests.downgrade(),
        };
        let task = tokio::spawn(task.run(queue, endpoint_events, from_sockets));
        Ok(Self { requests, task, port })
    }

    /// The UDP port that WebRTC peers reach.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Announces a torrent at those of the trackers that speak WebSocket, until it has ended.
    pub(crate) fn add(&self, torrent: Handle, trackers: Vec<String>) {
        self.requests
            .send(Request::Add(torrent, trackers))
            .unwrap_or_default();
    }

    /// Takes leave of trackers and peers.
    pub(crate) async fn stop(self) {
        drop(self.requests);
        timeout(LEAVING, self.task).await.ok();
    }
}

/// An offer costs this peer a line in a table, so it makes more of them than a page does.
fn client_config(peer_id: PeerId) -> signal::Config {
    signal::Config {
        offer_budget: 60,
        offers_per_announce: 10,
        incoming_budget: 80,
        incoming_per_torrent: 40,
        trackers: 200,
        ..signal::Config::new(peer_id)
    }
}

/// What the task owns.
struct Task {
    client: Client,
    /// When the client's time began.
    origin: Instant,
    /// Through which trackers are reached, all but our own.
    proxy: Option<Proxy>,
    own_tracker: Option<String>,
    endpoint: Endpoint,
    sockets: BTreeMap<TrackerId, Socket>,
    socket_tasks: JoinSet<()>,
    socket_events: UnboundedSender<(TrackerId, SocketEvent)>,
    torrents: BTreeMap<InfoHash, Torrent>,
    /// What each connection is for.
    connections: BTreeMap<ConnectionId, InfoHash>,
    requests: tokio::sync::mpsc::WeakUnboundedSender<Request>,
}

struct Torrent {
    handle: Handle,
    status: watch::Receiver<Status>,
    is_running: bool,
    has_completed: bool,
}

impl Task {
    async fn run(
        mut self,
        mut requests: UnboundedReceiver<Request>,
        mut endpoint: UnboundedReceiver<webrtc::Event>,
        mut sockets: UnboundedReceiver<(TrackerId, SocketEvent)>,
    ) {
        loop {
            let deadline = self.perform();
            let timer = async {
                match deadline {
                    Some(deadline) => sleep_until((self.origin + deadline.since(Time::ZERO)).into()).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.handle_request(request),
                    None => break,
                },
                Some(event) = endpoint.recv() => self.handle_endpoint(event),
                Some((tracker, event)) = sockets.recv() => self.handle_socket(tracker, event),
                () = timer => self.client.handle_timeout(self.now()),
            }
        }
        let now = self.now();
        for info_hash in self.torrents.keys() {
            self.client.remove_torrent(now, *info_hash);
        }
        self.perform();
        self.sockets.clear();
        tokio::join!(self.socket_tasks.join_all(), self.endpoint.stop());
    }

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Add(handle, trackers) => {
                let info_hash = handle.info_hash();
                let status = handle.status();
                if let Some(requests) = self.requests.upgrade() {
                    tokio::spawn(watch_status(info_hash, status.clone(), requests.downgrade()));
                }
                let torrent = Torrent {
                    handle,
                    status,
                    // The client takes a torrent for one that runs.
                    is_running: true,
                    has_completed: false,
                };
                self.torrents.insert(info_hash, torrent);
                self.client.add_torrent(self.now(), info_hash, &trackers);
                self.update(info_hash);
            }
            Request::Changed(info_hash) => self.update(info_hash),
            Request::Gone(info_hash) => {
                if self.torrents.remove(&info_hash).is_some() {
                    self.client.remove_torrent(self.now(), info_hash);
                }
            }
        }
    }

    /// Tells the client how a torrent stands.
    fn update(&mut self, info_hash: InfoHash) {
        let now = self.now();
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        let status = torrent.status.borrow_and_update().clone();
        let progress = Progress {
            uploaded: status.stats.uploaded,
            downloaded: status.stats.downloaded,
            left: status.left(),
            wanted_peers: status.wanted_peers,
        };
        self.client.update(info_hash, progress);
        if torrent.is_running != status.is_running() {
            torrent.is_running = status.is_running();
            let event = if torrent.is_running {
                signal::Event::Started
            } else {
                signal::Event::Stopped
            };
            self.client.announce(now, info_hash, event);
        }
        if status.has_completed && !torrent.has_completed {
            torrent.has_completed = true;
            self.client.announce(now, info_hash, signal::Event::Completed);
        }
    }

    fn handle_socket(&mut self, tracker: TrackerId, event: SocketEvent) {
        let now = self.now();
        // A socket may have said something before it was dropped.
        if !self.sockets.contains_key(&tracker) {
            return;
        }
        match event {
            SocketEvent::Connected => self.client.handle_connected(now, tracker),
            SocketEvent::Message(text) => self.client.handle_message(now, tracker, &text),
            SocketEvent::Closed(reason) => {
                self.sockets.remove(&tracker);
                self.client.handle_disconnected(now, tracker, &reason);
            }
        }
    }

    fn handle_endpoint(&mut self, event: webrtc::Event) {
        let now = self.now();
        match event {
            webrtc::Event::Offered(id, sdp) => self.client.handle_offer(now, id, sdp),
            webrtc::Event::Answered(id, sdp) => self.client.handle_answer(now, id, sdp),
            webrtc::Event::Opened(id, link) => {
                let torrent = self.connections.get(&id).and_then(|it| self.torrents.get(it));
                if let Some(torrent) = torrent {
                    torrent.handle.open(link);
                }
                self.client.handle_opened(now, id);
            }
            webrtc::Event::Closed(id, reason) => {
                tracing::debug!("connection {} has ended: {reason}", id.0);
                self.connections.remove(&id);
                self.client.handle_failed(now, id);
            }
        }
    }

    /// Does what the client asks for; says until when it has nothing more.
    fn perform(&mut self) -> Option<Time> {
        loop {
            match self.client.poll_output() {
                Output::Connect { tracker, url } => {
                    while self.socket_tasks.try_join_next().is_some() {}
                    let events = self.socket_events.clone();
                    let is_own = self.own_tracker.as_ref() == Some(&url);
                    let proxy = self.proxy.clone().filter(|_| !is_own);
                    let socket = Socket::open(&mut self.socket_tasks, tracker, (url, proxy), events);
                    self.sockets.insert(tracker, socket);
                }
                Output::Disconnect { tracker } => drop(self.sockets.remove(&tracker)),
                Output::Send { tracker, text } => {
                    let taken = self.sockets.get(&tracker).is_none_or(|socket| socket.send(text));
                    if !taken {
                        self.sockets.remove(&tracker);
                        let reason = "it does not take what it is sent";
                        self.client.handle_disconnected(self.now(), tracker, reason);
                    }
                }
                Output::CreateOffer {
                    connection,
                    info_hash,
                    label,
                } => {
                    self.connections.insert(connection, info_hash);
                    self.endpoint.offer(connection, label);
                }
                Output::AcceptOffer {
                    connection,
                    info_hash,
                    peer_id,
                    sdp,
                } => {
                    self.connections.insert(connection, info_hash);
                    self.endpoint.accept_offer(connection, peer_id, sdp);
                }
                Output::AcceptAnswer {
                    connection,
                    peer_id,
                    sdp,
                } => self.endpoint.accept_answer(connection, peer_id, sdp),
                Output::Close { connection } => {
                    self.connections.remove(&connection);
                    self.endpoint.close(connection);
                }
                Output::Timeout(deadline) => return deadline,
            }
        }
    }
}

/// Tells when a torrent's status changes, until it has ended.
async fn watch_status(
    info_hash: InfoHash,
    mut status: watch::Receiver<Status>,
    requests: tokio::sync::mpsc::WeakUnboundedSender<Request>,
) {
    loop {
        let changed = status.changed().await.is_ok();
        let Some(requests) = requests.upgrade() else {
            return;
        };
        let request = if changed { Request::Changed } else { Request::Gone };
        if requests.send(request(info_hash)).is_err() || !changed {
            return;
        }
    }
}

/// How long saying good-bye may take.
const LEAVING: Duration = Duration::from_secs(1);
