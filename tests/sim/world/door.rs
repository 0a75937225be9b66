//! The tracker's door: what comes over a socket goes to the registry, and what that decides to others' sockets.

#![expect(
    clippy::disallowed_types,
    reason = "the registry is made for many threads; there is one here"
)]

use causeway_core::Time;
use causeway_signal::{Action, Announce, ClientMessage, Left, OfferId, TrackerMessage};
use causeway_tracker::Config;
use causeway_tracker::registry::{Announced, Link, Presence, Registry, Session};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

/// One tracker.
pub(super) struct Door {
    registry: Registry<Socket>,
    config: Config,
    desk: Arc<Mutex<Desk>>,
    sessions: BTreeMap<usize, Session<Socket>>,
}

/// What the tracker has to send.
#[derive(Debug)]
pub(super) enum Delivery {
    Text(usize, String),
    /// A sign of life is wanted.
    Doubt(usize),
}

#[derive(Debug, Default)]
struct Desk {
    deliveries: Vec<Delivery>,
    doubted: Vec<usize>,
}

/// The registry's way to reach a socket.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    number: usize,
    desk: Arc<Mutex<Desk>>,
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Socket {}

impl Link for Socket {
    fn deliver(&self, message: &[u8]) {
        let message = String::from_utf8(message.to_vec()).expect("JSON is text");
        self.with(|desk| desk.deliveries.push(Delivery::Text(self.number, message)));
    }

    fn relay(&self, message: &[u8]) -> bool {
        self.deliver(message);
        true
    }

    fn doubt(&self, _now: Time) {
        self.with(|desk| {
            if !desk.doubted.contains(&self.number) {
                desk.doubted.push(self.number);
                desk.deliveries.push(Delivery::Doubt(self.number));
            }
        });
    }

    fn is_in_doubt(&self) -> bool {
        self.with(|desk| desk.doubted.contains(&self.number))
    }
}

impl Socket {
    fn with<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        act(&mut self.desk.lock().expect("one thread"))
    }
}

impl Door {
    pub(super) fn new(seed: u64) -> Self {
        let config = Config::default();
        Self {
            registry: Registry::new(config.clone(), seed),
            config,
            desk: Arc::default(),
            sessions: BTreeMap::new(),
        }
    }

    /// A socket is opened, and has this number, which none has had before.
    pub(super) fn connect(&mut self, number: usize) {
        let desk = Arc::clone(&self.desk);
        let session = Session::new(Socket { number, desk }, Ipv4Addr::LOCALHOST.into());
        self.sessions.insert(number, session);
    }

    /// A text came over this socket.
    pub(super) fn hear(&mut self, now: Time, socket: usize, text: &str) {
        match ClientMessage::parse(text).expect("our clients speak well") {
            ClientMessage::Announce(announce) => self.announce(now, socket, &announce),
            ClientMessage::Answer {
                info_hash,
                peer_id,
                to_peer_id,
                offer_id,
                answer,
            } => {
                let Some(session) = self.sessions.get(&socket) else {
                    return;
                };
                let between = (peer_id, to_peer_id);
                if let Some(to) = self.registry.answer(now, session, info_hash, between, offer_id) {
                    to.relay(
                        TrackerMessage::Answer {
                            info_hash,
                            peer_id,
                            offer_id,
                            answer,
                        }
                        .to_json()
                        .as_bytes(),
                    );
                }
            }
            ClientMessage::Scrape { .. } => {}
        }
    }

    fn announce(&mut self, now: Time, socket: usize, announce: &Announce<'_>) {
        let Some(session) = self.sessions.get_mut(&socket) else {
            return;
        };
        let info_hash = announce.info_hash;
        let presence = Presence {
            info_hash,
            peer_id: announce.peer_id,
            event: announce.event,
            complete: announce.left == Left::Complete,
            downloaded: announce.downloaded,
            wanted: announce.numwant,
        };
        assert!(
            announce.offers.len() <= self.config.max_offers,
            "no client offers so much"
        );
        let offers: Vec<OfferId> = announce.offers.iter().map(|offer| offer.offer_id).collect();
        let own = Socket {
            number: socket,
            desk: Arc::clone(&self.desk),
        };
        let Announced {
            counts,
            receivers,
            doubted,
        } = match self.registry.announce(now, session, &presence, &offers) {
            Ok(announced) => announced,
            Err(refusal) => {
                let reason = refusal.to_string().into();
                let (action, info_hash) = (Some(Action::Announce), Some(info_hash));
                return own.deliver(
                    TrackerMessage::Failure {
                        action,
                        info_hash,
                        reason,
                    }
                    .to_json()
                    .as_bytes(),
                );
            }
        };
        let interval = u32::try_from(self.config.interval.as_secs()).ok();
        own.deliver(
            TrackerMessage::Announced {
                info_hash,
                complete: Some(counts.complete),
                incomplete: Some(counts.incomplete),
                interval,
                tracker_id: None,
                warning: None,
            }
            .to_json()
            .as_bytes(),
        );
        for (receiver, offer) in receivers.iter().zip(&announce.offers) {
            assert_ne!(*receiver, own, "nobody is offered to itself");
            let (peer_id, offer_id, offer) = (announce.peer_id, offer.offer_id, offer.offer);
            receiver.relay(
                TrackerMessage::Offer {
                    info_hash,
                    peer_id,
                    offer_id,
                    offer,
                }
                .to_json()
                .as_bytes(),
            );
        }
        if let Some(holder) = doubted {
            holder.doubt(now);
        }
    }

    /// The socket is closed.
    pub(super) fn leave(&mut self, socket: usize) {
        if let Some(mut session) = self.sessions.remove(&socket) {
            self.registry.leave(&mut session);
        }
    }

    /// A sign of life came, or it did not.
    pub(super) fn prove(&mut self, socket: usize, is_alive: bool) {
        self.desk().doubted.retain(|other| *other != socket);
        if !is_alive {
            self.leave(socket);
        }
    }

    pub(super) fn take_deliveries(&mut self) -> Vec<Delivery> {
        core::mem::take(&mut self.desk().deliveries)
    }

    /// Forgets who fell silent. The registry knows of nobody without a socket.
    pub(super) fn check(&mut self, now: Time) {
        self.registry.expire(now);
        let (swarms, members) = self.registry.size();
        assert!(
            swarms <= 1 && members <= self.sessions.len(),
            "{members} members of {swarms} swarms"
        );
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().expect("one thread")
    }
}
