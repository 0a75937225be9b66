//! The client among scripted trackers and peers, in virtual time.

mod announcing;
mod meeting;
mod offering;
mod properties;
mod reaching;

use super::connection::Connection;
use super::*;
use crate::message::{Announce, ClientMessage, DescriptionKind, Left, OfferId};
use causeway_core::PeerId;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

const ME: PeerId = PeerId::new([b'm'; 20]);
const A: &str = "wss://a.example/announce";
const B: &str = "wss://b.example/announce";

/// A driver that performs what the client asks for, and the trackers that it reaches.
struct World {
    client: Client,
    now: Time,
    /// What will happen, in the order in which it will.
    future: BTreeMap<(Time, usize), Happening>,
    planned: usize,
    trackers: BTreeMap<String, Script>,
    /// Sockets that are open or being opened, and whether they are open.
    sockets: BTreeMap<TrackerId, (String, bool)>,
    /// Connections that the driver has made, and of which torrent.
    connections: BTreeMap<ConnectionId, InfoHash>,
    /// How long the candidates take to gather; `None` in a browser without WebRTC.
    gathering: Option<Duration>,
    /// Whether connections open.
    opening: bool,
    /// All that the client asked for, with the time.
    log: Vec<(Time, Output)>,
}

/// How a tracker behaves.
#[derive(Clone)]
struct Script {
    up: bool,
    latency: Duration,
    replies: bool,
    interval: Option<u32>,
    /// Complete and incomplete peers, as it counts them.
    counts: (u32, u32),
    /// Peers that it has for the next offers; each answers one after 100 ms.
    answering: VecDeque<PeerId>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            up: true,
            latency: millis(50),
            replies: true,
            interval: Some(120),
            counts: (0, 1),
            answering: VecDeque::new(),
        }
    }
}

enum Happening {
    Connected(TrackerId),
    Refused(TrackerId),
    Message(TrackerId, String),
    Gathered(ConnectionId, DescriptionKind),
    Opened(ConnectionId),
}

/// An announce that a tracker received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    at: Time,
    tracker: TrackerId,
    info_hash: InfoHash,
    event: Event,
    left: Left,
    offers: Vec<OfferId>,
}

impl World {
    fn new() -> Self {
        Self::with_config(Config::new(ME))
    }

    fn with_config(config: Config) -> Self {
        let now = seconds(1000);
        Self {
            client: Client::new(config, 7, now),
            now,
            future: BTreeMap::new(),
            planned: 0,
            trackers: [A, B].map(|url| (url.to_owned(), Script::default())).into(),
            sockets: BTreeMap::new(),
            connections: BTreeMap::new(),
            gathering: Some(millis(100)),
            opening: true,
            log: Vec::new(),
        }
    }

    fn script(&mut self, url: &str) -> &mut Script {
        self.trackers.get_mut(url).expect("the tracker exists")
    }

    /// Adds a torrent of which something is missing.
    fn leech(&mut self, info_hash: InfoHash, urls: &[&str]) {
        self.add(
            info_hash,
            urls,
            Progress {
                left: Some(1000),
                wanted_peers: 50,
                ..Progress::default()
            },
        );
    }

    /// Adds a torrent of which nothing is missing.
    fn seed(&mut self, info_hash: InfoHash, urls: &[&str]) {
        self.add(
            info_hash,
            urls,
            Progress {
                left: Some(0),
                wanted_peers: 50,
                ..Progress::default()
            },
        );
    }

    fn add(&mut self, info_hash: InfoHash, urls: &[&str], progress: Progress) {
        let urls: Vec<_> = urls.iter().map(|url| (*url).to_owned()).collect();
        self.client.add_torrent(self.now, info_hash, &urls);
        self.client.update(info_hash, progress);
    }

    fn announce(&mut self, info_hash: InfoHash, event: Event) {
        self.client.announce(self.now, info_hash, event);
    }

    /// Lets time pass.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let deadline = self.perform();
            let next = self.future.first_key_value().map(|((time, _), _)| *time);
            let Some(next) = deadline.into_iter().chain(next).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            match self
                .future
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                Some(entry) => {
                    let happening = entry.remove();
                    self.happen(happening);
                }
                None => self.client.handle_timeout(self.now),
            }
        }
        self.now = end;
    }

    /// Performs all that the client asks for now; returns when it wants to be woken.
    fn perform(&mut self) -> Option<Time> {
        let mut spins = 0;
        loop {
            let output = self.client.poll_output();
            let Output::Timeout(deadline) = output else {
                self.log.push((self.now, output.clone()));
                self.effect(output);
                continue;
            };
            self.client.check_invariants();
            if deadline.is_none_or(|deadline| deadline > self.now) {
                return deadline;
            }
            // What is due at once is done by being woken once, not over and over.
            spins += 1;
            assert!(spins <= 2, "a deadline in the past without work: {deadline:?}");
            self.client.handle_timeout(self.now);
        }
    }

    fn effect(&mut self, output: Output) {
        match output {
            Output::Connect { tracker, url } => {
                let script = self.trackers.get(&url).cloned().unwrap_or_default();
                assert!(
                    self.sockets.insert(tracker, (url, false)).is_none(),
                    "one socket a tracker"
                );
                let happening = if script.up {
                    Happening::Connected(tracker)
                } else {
                    Happening::Refused(tracker)
                };
                self.plan(script.latency, happening);
            }
            Output::Disconnect { tracker } => {
                self.sockets
                    .remove(&tracker)
                    .expect("only a socket that exists is closed");
            }
            Output::Send { tracker, text } => self.receive(tracker, &text),
            Output::CreateOffer {
                connection,
                info_hash,
                label,
            } => {
                assert_eq!(label.len(), 40);
                self.make(connection, info_hash, DescriptionKind::Offer);
            }
            Output::AcceptOffer {
                connection,
                info_hash,
                ..
            } => {
                self.make(connection, info_hash, DescriptionKind::Answer);
            }
            Output::AcceptAnswer { connection, .. } => {
                assert!(
                    self.connections.contains_key(&connection),
                    "only a connection that exists is completed"
                );
                if self.opening {
                    self.plan(millis(80), Happening::Opened(connection));
                }
            }
            Output::Close { connection } => {
                self.connections
                    .remove(&connection)
                    .expect("only a connection that exists is closed");
            }
            Output::Timeout(_) => unreachable!("not an effect"),
        }
    }

    fn make(&mut self, connection: ConnectionId, info_hash: InfoHash, kind: DescriptionKind) {
        assert!(
            self.connections.insert(connection, info_hash).is_none(),
            "names are not used twice"
        );
        match self.gathering {
            Some(gathering) => self.plan(gathering, Happening::Gathered(connection, kind)),
            None => self.fail(connection),
        }
    }

    /// The connection has failed or ended.
    fn fail(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.client.handle_failed(self.now, connection);
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.planned += 1;
        self.future.insert((self.now + delay, self.planned), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Connected(tracker) => {
                if let Some((_, open)) = self.sockets.get_mut(&tracker) {
                    *open = true;
                    self.client.handle_connected(self.now, tracker);
                }
            }
            Happening::Refused(tracker) => self.lose(tracker, "connection refused"),
            Happening::Message(tracker, text) => {
                if self.sockets.contains_key(&tracker) {
                    self.client.handle_message(self.now, tracker, &text);
                }
            }
            Happening::Gathered(connection, kind) => {
                if self.connections.contains_key(&connection) {
                    match kind {
                        DescriptionKind::Offer => {
                            self.client
                                .handle_offer(self.now, connection, format!("offer {}", connection.0));
                        }
                        DescriptionKind::Answer => {
                            self.client.handle_answer(
                                self.now,
                                connection,
                                format!("answer {}", connection.0),
                            );
                            if self.opening {
                                self.plan(millis(200), Happening::Opened(connection));
                            }
                        }
                    }
                }
            }
            Happening::Opened(connection) => {
                if self.connections.contains_key(&connection) {
                    self.client.handle_opened(self.now, connection);
                }
            }
        }
    }

    /// The socket of a tracker is gone.
    fn lose(&mut self, tracker: TrackerId, reason: &str) {
        if self.sockets.remove(&tracker).is_some() {
            self.client.handle_disconnected(self.now, tracker, reason);
        }
    }

    /// What a tracker does with a message.
    fn receive(&mut self, tracker: TrackerId, text: &str) {
        let (url, open) = self.sockets.get(&tracker).expect("sent to a socket that exists");
        assert!(*open, "sent to a socket that is open");
        let message = ClientMessage::parse(text).expect("the client sends what a tracker understands");
        let ClientMessage::Announce(Announce {
            info_hash, offers, ..
        }) = message
        else {
            return;
        };
        let Some(script) = self.trackers.get_mut(url).filter(|script| script.replies) else {
            return;
        };
        let reply = TrackerMessage::Announced {
            info_hash,
            complete: Some(script.counts.0),
            incomplete: Some(script.counts.1),
            interval: script.interval,
            tracker_id: None,
            warning: None,
        };
        let latency = script.latency;
        let answering = script.answering.len().min(offers.len());
        let peers: Vec<_> = script.answering.drain(..answering).collect();
        self.plan(latency, Happening::Message(tracker, reply.to_json()));
        for (item, peer) in offers.iter().zip(peers) {
            let answer = answer_from(info_hash, peer, item.offer_id);
            self.plan(latency + millis(100), Happening::Message(tracker, answer));
        }
    }

    /// A tracker's message arrives.
    fn tell(&mut self, url: &str, text: &str) {
        let tracker = self.tracker(url);
        self.client.handle_message(self.now, tracker, text);
    }

    /// The name of the socket to a tracker.
    fn tracker(&self, url: &str) -> TrackerId {
        let socket = self.sockets.iter().find(|(_, (name, _))| name == url);
        *socket.expect("there is a socket to the tracker").0
    }

    /// Every announce so far, with its time.
    fn announces(&self) -> Vec<Said> {
        let said = |(at, output): &(Time, Output)| {
            let Output::Send { tracker, text } = output else {
                return None;
            };
            let Ok(ClientMessage::Announce(announce)) = ClientMessage::parse(text) else {
                return None;
            };
            Some(Said {
                at: *at,
                tracker: *tracker,
                info_hash: announce.info_hash,
                event: announce.event,
                left: announce.left,
                offers: announce.offers.iter().map(|offer| offer.offer_id).collect(),
            })
        };
        self.log.iter().filter_map(said).collect()
    }

    /// The announces since the last time that this was asked.
    fn new_announces(&mut self) -> Vec<Said> {
        let announces = self.announces();
        self.log.clear();
        announces
    }

    /// The text of every message so far.
    fn sent(&self) -> Vec<&str> {
        self.log
            .iter()
            .filter_map(|(_, output)| {
                if let Output::Send { text, .. } = output {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.log.iter().map(|(_, output)| output)
    }

    fn accepted(&self) -> usize {
        self.outputs()
            .filter(|output| matches!(output, Output::AcceptOffer { .. }))
            .count()
    }

    fn completed(&self) -> usize {
        self.outputs()
            .filter(|output| matches!(output, Output::AcceptAnswer { .. }))
            .count()
    }

    fn created(&self) -> usize {
        self.outputs()
            .filter(|output| matches!(output, Output::CreateOffer { .. }))
            .count()
    }

    fn status(&self, info_hash: InfoHash, url: &str) -> TrackerStatus<'_> {
        self.client
            .trackers(info_hash)
            .find(|status| status.url == url)
            .expect("the torrent has the tracker")
    }
}

impl Client {
    /// What holds between any two calls once the outputs are performed.
    fn check_invariants(&self) {
        let owned: SortedMap<_, _> = self
            .torrents
            .iter()
            .flat_map(|(info_hash, torrent)| torrent.connections.keys().map(|id| (*id, *info_hash)))
            .collect();
        assert_eq!(owned, self.owners);
        assert!(
            self.count(Connection::is_offer) <= self.config.offer_budget,
            "the budget holds"
        );
        assert!(self.count(Connection::is_incoming) <= self.config.incoming_budget);
        let used: BTreeSet<_> = self
            .torrents
            .values()
            .flat_map(|torrent| torrent.memberships.keys().copied())
            .collect();
        assert_eq!(
            used,
            self.trackers.keys().copied().collect(),
            "no tracker without a torrent"
        );
        for torrent in self.torrents.values() {
            assert!(torrent.count(Connection::is_incoming) <= self.config.incoming_per_torrent);
            let bound = self.config.connections_per_torrent + self.config.offer_budget;
            assert!(torrent.connections.len() <= bound);
            assert!(torrent.memberships.len() <= self.config.trackers_per_torrent);
            if !torrent.running {
                assert_eq!(
                    torrent.count(|it| it.deadline().is_some()),
                    0,
                    "a paused torrent makes nothing"
                );
            } else if !torrent.memberships.is_empty() {
                assert!(
                    self.changed || self.deadline().is_some(),
                    "a running torrent never falls asleep"
                );
            }
        }
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// That many seconds after the origin.
fn seconds(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn torrent(number: u8) -> InfoHash {
    InfoHash::new([number; 20])
}

fn peer(number: u8) -> PeerId {
    PeerId::new([number; 20])
}

fn offer_from(info_hash: InfoHash, peer_id: PeerId, offer: u8) -> String {
    let description = DescriptionKind::Offer.describe("their offer");
    let offer_id = OfferId([offer; 20]);
    TrackerMessage::Offer {
        info_hash,
        peer_id,
        offer_id,
        offer: &description,
    }
    .to_json()
}

fn answer_from(info_hash: InfoHash, peer_id: PeerId, offer_id: OfferId) -> String {
    let description = DescriptionKind::Answer.describe("their answer");
    TrackerMessage::Answer {
        info_hash,
        peer_id,
        offer_id,
        answer: &description,
    }
    .to_json()
}
