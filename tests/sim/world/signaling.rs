//! Peers that a tracker introduces to each other: the real client and the real registry, with simulated sockets and
//! connections between them.

use causeway_core::{InfoHash, PeerId};
use causeway_engine::AnnounceEvent;
use causeway_signal::Event;
use causeway_signal::client::{Client, Config, ConnectionId, Output, Progress, TrackerId};
use core::time::Duration;
use std::collections::BTreeMap;

use super::World;
use super::door::{Delivery, Door};
use super::events::{Alarm, Happening};

/// A tracker, and what is under way between it and the peers.
pub(super) struct Signaling {
    door: Door,
    /// Nobody reaches it.
    is_down: bool,
    /// Of a hundred connections whose both sides know each other so many can't be made.
    failures: u32,
    /// How many sockets there have been.
    sockets: usize,
    /// What each peer has begun and not ended.
    connections: BTreeMap<(usize, ConnectionId), Connection>,
}

/// A peer's announce client, and its socket at the tracker where it is open.
pub(super) struct Announcer {
    client: Client,
    socket: Option<(TrackerId, usize)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// The same connection at the other side.
    remote: Option<(usize, ConnectionId)>,
    /// The link and this peer's side of it, once it is open.
    link: Option<(usize, usize)>,
}

/// A step on the way to an introduction.
#[derive(Debug)]
pub(super) enum Introduction {
    /// The peer's socket opens, or it turns out that nobody is there.
    Connect { party: usize, tracker: TrackerId },
    /// A text reaches the tracker.
    Ask { socket: usize, text: String },
    /// A text reaches whoever is at the other end of the socket.
    Tell { socket: usize, text: String },
    /// The tracker learns that the socket is closed.
    Leave { socket: usize },
    /// The tracker asked for a sign of life, and this is it, or the end of its patience.
    Prove { socket: usize },
    /// The peer has described its side of a connection.
    Describe {
        party: usize,
        connection: ConnectionId,
        is_offer: bool,
    },
    /// Both sides know each other: the connection opens, or fails.
    Open { party: usize, connection: ConnectionId },
}

impl World {
    /// There is a tracker from now on. Of a hundred connections that it introduces so many can't be made.
    pub(crate) fn add_tracker(&mut self, failures: u32) {
        let door = Door::new(self.rng.u64(..));
        self.signaling = Some(Signaling {
            door,
            is_down: false,
            failures,
            sockets: 0,
            connections: BTreeMap::new(),
        });
    }

    /// This node announces itself at the tracker, and is introduced to others.
    pub(crate) fn enlist(&mut self, node: usize) {
        let config = Config::new(self.node(node).peer_id);
        let mut client = Client::new(config, self.rng.u64(..), self.now);
        client.add_torrent(self.now, self.info_hash(), &["ws://tracker.example/".to_owned()]);
        self.parties[node].announcer = Some(Box::new(Announcer { client, socket: None }));
        self.look_after_client(node);
    }

    /// The tracker can't be reached from now on, and has forgotten everybody; or it is back.
    pub(crate) fn set_tracker_down(&mut self, is_down: bool) {
        let Some(signaling) = &mut self.signaling else {
            return;
        };
        if signaling.is_down != is_down {
            signaling.is_down = is_down;
            if is_down {
                signaling.door = Door::new(self.rng.u64(..));
            }
            for party in 0..self.parties.len() {
                if let Some(announcer) = &mut self.parties[party].announcer
                    && let Some((tracker, _)) = announcer.socket.take()
                {
                    announcer
                        .client
                        .handle_disconnected(self.now, tracker, "it is down");
                    self.look_after_client(party);
                }
            }
        }
    }

    /// Those who fell silent are forgotten; who the tracker knows of is no more than has a socket.
    pub(crate) fn check_tracker(&mut self) {
        let now = self.now;
        let Some(signaling) = &mut self.signaling else {
            return;
        };
        signaling.door.check(now);
        for (party, connections) in counts(&signaling.connections) {
            let most = Config::new(PeerId::new([0; 20])).connections_per_torrent;
            assert!(
                connections <= most + 10,
                "{party} has {connections} connections under way"
            );
        }
    }

    /// Whether the one was told by a tracker whom it is connected to.
    pub(super) fn is_introduced(&self, one: usize, other: usize) -> bool {
        self.parties[one].announcer.is_some() && self.parties[other].announcer.is_some()
    }

    pub(super) fn client_timed_out(&mut self, node: usize) {
        if let Some(announcer) = &mut self.parties[node].announcer {
            announcer.client.handle_timeout(self.now);
        }
        self.look_after_client(node);
    }

    /// A torrent has something to announce.
    pub(super) fn announce(&mut self, node: usize, event: AnnounceEvent) {
        let info_hash = self.info_hash();
        if let Some(announcer) = &mut self.parties[node].announcer {
            let event = match event {
                AnnounceEvent::Started => Event::Started,
                AnnounceEvent::Completed => Event::Completed,
                AnnounceEvent::Stopped => Event::Stopped,
            };
            announcer.client.announce(self.now, info_hash, event);
        }
    }

    /// This side of a link is closed: so is the connection that carried it.
    pub(super) fn was_closed(&mut self, link: usize, side: usize) {
        let party = self.links[link].parties[side];
        let Some(signaling) = &mut self.signaling else {
            return;
        };
        let mut own = signaling
            .connections
            .range((party, ConnectionId(0))..=(party, ConnectionId(u32::MAX)));
        let Some(key) = own
            .find(|(_, it)| it.link == Some((link, side)))
            .map(|(key, _)| *key)
        else {
            return;
        };
        signaling.connections.remove(&key);
        if let Some(announcer) = &mut self.parties[party].announcer {
            announcer.client.handle_failed(self.now, key.1);
        }
        self.set_alarm(Alarm::Client(party), Some(self.now));
    }

    /// This peer's program ends. Its socket may look alive for a while.
    pub(super) fn drop_client(&mut self, party: usize) {
        let Some(announcer) = self.parties[party].announcer.take() else {
            return;
        };
        self.set_alarm(Alarm::Client(party), None);
        if let Some((_, socket)) = announcer.socket
            && self.rng.u8(..4) > 0
        {
            self.introduction(0, Introduction::Leave { socket });
        }
        if let Some(signaling) = &mut self.signaling {
            signaling.connections.retain(|(owner, _), _| *owner != party);
        }
    }

    /// Tells the client how the torrent stands, and does what it says.
    pub(super) fn look_after_client(&mut self, party: usize) {
        let info_hash = self.info_hash();
        if self.parties[party].announcer.is_none() {
            return;
        }
        let torrent = &self.node(party).torrent;
        let stats = torrent.stats();
        let progress = Progress {
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            left: torrent.info().map(|_| stats.wanted - stats.wanted_verified),
            wanted_peers: torrent.wanted_peers(),
        };
        let now = self.now;
        while let Some(announcer) = &mut self.parties[party].announcer {
            announcer.client.update(info_hash, progress);
            let output = announcer.client.poll_output();
            if let Output::Timeout(deadline) = output {
                let deadline = deadline.map(|deadline| deadline.max(now));
                return self.set_alarm(Alarm::Client(party), deadline);
            }
            self.client_effect(party, output);
        }
    }

    fn client_effect(&mut self, party: usize, output: Output) {
        match output {
            Output::Connect { tracker, .. } => {
                self.introduction(50, Introduction::Connect { party, tracker });
            }
            Output::Disconnect { .. } => {
                if let Some((_, socket)) = self.announcer(party).socket.take() {
                    self.introduction(20, Introduction::Leave { socket });
                }
            }
            Output::Send { text, .. } => {
                if let Some((_, socket)) = self.announcer(party).socket {
                    self.introduction(20, Introduction::Ask { socket, text });
                }
            }
            Output::CreateOffer { connection, .. } => self.describe_side(party, connection, None),
            Output::AcceptOffer { connection, sdp, .. } => {
                let remote = read("offer", &sdp).expect("every offer is a peer's");
                self.describe_side(party, connection, Some(remote));
            }
            Output::AcceptAnswer { connection, sdp, .. } => {
                let remote = read("answer", &sdp).expect("every answer is a peer's");
                if let Some(own) = self.connections().get_mut(&(party, connection)) {
                    own.remote = Some(remote);
                }
                self.introduction(60, Introduction::Open { party, connection });
            }
            Output::Close { connection } => {
                let ended = self.connections().remove(&(party, connection));
                if let Some((link, side)) = ended.and_then(|ended| ended.link) {
                    self.close_side(link, side);
                    let at = self.now + self.links[link].latency;
                    self.happen(at, Happening::Close { link, side: 1 - side });
                }
            }
            Output::Timeout(_) => {}
        }
    }

    fn describe_side(
        &mut self,
        party: usize,
        connection: ConnectionId,
        remote: Option<(usize, ConnectionId)>,
    ) {
        let state = Connection { remote, link: None };
        let before = self.connections().insert((party, connection), state);
        assert!(before.is_none(), "no name is used twice");
        let is_offer = remote.is_none();
        self.introduction(
            100,
            Introduction::Describe {
                party,
                connection,
                is_offer,
            },
        );
    }

    /// Lets the next step follow, after about so many milliseconds.
    fn introduction(&mut self, millis: u64, introduction: Introduction) {
        let at = self.now + Duration::from_millis(millis / 2 + self.rng.u64(..=millis));
        self.happen(at, Happening::Introduction(introduction));
    }

    pub(super) fn introduce(&mut self, introduction: Introduction) {
        let now = self.now;
        match introduction {
            Introduction::Connect { party, tracker } => self.connect_socket(party, tracker),
            Introduction::Ask { socket, text } => self.at_door(|door| door.hear(now, socket, &text)),
            Introduction::Leave { socket } => self.at_door(|door| door.leave(socket)),
            Introduction::Prove { socket } => {
                let is_alive = self.holder_of(socket).is_some();
                self.at_door(|door| door.prove(socket, is_alive));
            }
            Introduction::Tell { socket, text } => {
                if let Some((party, tracker)) = self.holder_of(socket) {
                    self.announcer(party).client.handle_message(now, tracker, &text);
                    self.look_after_client(party);
                }
            }
            Introduction::Describe {
                party,
                connection,
                is_offer,
            } => self.described(party, connection, is_offer),
            Introduction::Open { party, connection } => self.open(party, connection),
        }
    }

    fn connect_socket(&mut self, party: usize, tracker: TrackerId) {
        let now = self.now;
        let Some(signaling) = &mut self.signaling else {
            return;
        };
        let Some(announcer) = &mut self.parties[party].announcer else {
            return;
        };
        if signaling.is_down {
            announcer
                .client
                .handle_disconnected(now, tracker, "nobody is there");
        } else {
            signaling.sockets += 1;
            signaling.door.connect(signaling.sockets);
            announcer.socket = Some((tracker, signaling.sockets));
            announcer.client.handle_connected(now, tracker);
        }
        self.look_after_client(party);
    }

    fn described(&mut self, party: usize, connection: ConnectionId, is_offer: bool) {
        if !self.connections().contains_key(&(party, connection)) {
            return;
        }
        let cannot = self.rng.u8(..50) == 0;
        let now = self.now;
        let client = &mut self.announcer(party).client;
        if cannot {
            client.handle_failed(now, connection);
            self.connections().remove(&(party, connection));
        } else if is_offer {
            client.handle_offer(now, connection, write("offer", party, connection));
        } else {
            client.handle_answer(now, connection, write("answer", party, connection));
        }
        self.look_after_client(party);
    }

    /// The side that made the offer has got the answer.
    fn open(&mut self, party: usize, connection: ConnectionId) {
        let Some(Connection {
            remote: Some(remote),
            link: None,
        }) = self.connections().get(&(party, connection)).copied()
        else {
            return;
        };
        let Some(Connection { link: None, .. }) = self.connections().get(&remote).copied() else {
            return;
        };
        let failures = self.signaling.as_ref().map_or(0, |signaling| signaling.failures);
        let fails = self.rng.u32(..100) < failures;
        let ends = [(party, connection), remote];
        let now = self.now;
        if fails {
            for (party, connection) in ends {
                self.connections().remove(&(party, connection));
                self.announcer(party).client.handle_failed(now, connection);
                self.look_after_client(party);
            }
            return;
        }
        let link = self.connect(party, remote.0);
        self.met += 1;
        for (side, end) in ends.into_iter().enumerate() {
            let is_open = self.links[link].is_open[side];
            match self.connections().get_mut(&end) {
                Some(own) if is_open => {
                    own.link = Some((link, side));
                    self.announcer(end.0).client.handle_opened(now, end.1);
                }
                Some(_) => {
                    self.connections().remove(&end);
                    self.announcer(end.0).client.handle_failed(now, end.1);
                }
                None => self.cut(link),
            }
            self.look_after_client(end.0);
        }
    }

    /// Something happens at the tracker, and what it says is on its way.
    fn at_door(&mut self, act: impl FnOnce(&mut Door)) {
        let Some(signaling) = &mut self.signaling else {
            return;
        };
        if signaling.is_down {
            return;
        }
        act(&mut signaling.door);
        for delivery in signaling.door.take_deliveries() {
            match delivery {
                Delivery::Text(socket, text) => self.introduction(20, Introduction::Tell { socket, text }),
                Delivery::Doubt(socket) => {
                    let wait = if self.holder_of(socket).is_some() {
                        40
                    } else {
                        10_000
                    };
                    self.introduction(wait, Introduction::Prove { socket });
                }
            }
        }
    }

    /// The peer at the other end of a socket, if it is still there.
    fn holder_of(&self, socket: usize) -> Option<(usize, TrackerId)> {
        let mut parties = self.parties.iter().zip(0..);
        parties.find_map(|(party, number)| {
            let (tracker, own) = party.announcer.as_ref()?.socket?;
            (own == socket).then_some((number, tracker))
        })
    }

    fn info_hash(&self) -> InfoHash {
        self.shared.info.info_hash()
    }

    fn announcer(&mut self, party: usize) -> &mut Announcer {
        self.parties[party]
            .announcer
            .as_mut()
            .expect("only those who announce are introduced")
    }

    fn connections(&mut self) -> &mut BTreeMap<(usize, ConnectionId), Connection> {
        &mut self.signaling.as_mut().expect("there is a tracker").connections
    }
}

/// A description says what it is and whose connection it describes.
fn write(kind: &str, party: usize, ConnectionId(connection): ConnectionId) -> String {
    format!("{kind} {party} {connection}")
}

fn read(kind: &str, sdp: &str) -> Option<(usize, ConnectionId)> {
    let (party, connection) = sdp.strip_prefix(kind)?.trim_start().split_once(' ')?;
    Some((party.parse().ok()?, ConnectionId(connection.parse().ok()?)))
}

fn counts(connections: &BTreeMap<(usize, ConnectionId), Connection>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for (party, _) in connections.keys() {
        *counts.entry(*party).or_default() += 1;
    }
    counts
}
