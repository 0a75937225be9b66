//! Telling somebody in the same process what is asked for, and by whom.

use core::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use causeway_core::{InfoHash, PeerId};
use causeway_signal::{Event, SwarmCounts};

use super::{ClassicAnnounce, Presence};

/// What was heard of a peer. It is a copy: nothing waits for whoever is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Who was heard, and on which shore it stands.
    pub announcer: Announcer,
    /// What happened. A link that was closed has [`Stopped`](Event::Stopped) in all its swarms.
    pub event: Event,
    /// Whether it has everything.
    pub complete: bool,
    /// The swarm as it is now, both shores together.
    pub counts: SwarmCounts,
    /// Whose connection it came over; of a classic peer the announce itself says all.
    pub caller: Option<Arc<Caller>>,
}

/// Whoever holds a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its address, as the server knows it.
    pub address: IpAddr,
    /// What it gave as `?gateway=TOKEN` in the address that it announces to, of up to 128 bytes. Nothing here depends on it.
    pub token: Option<Box<str>>,
}

/// Who was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcer {
    /// A peer that is met over WebRTC: a browser, mostly.
    WebRtc(PeerId),
    /// A peer that is met over TCP or uTP, at this address.
    Classic(PeerId, SocketAddr),
}

/// Somebody who wants to know. It is called on the announce path, by many threads at once, with no lock held, and must not
/// wait for anything.
pub trait Subscriber: Send + Sync {
    /// Takes note of what was heard.
    fn handle_heard(&self, heard: Heard);
}

impl Heard {
    pub(super) fn of_link(caller: &Arc<Caller>, presence: &Presence, counts: SwarmCounts) -> Self {
        Self {
            info_hash: presence.info_hash,
            announcer: Announcer::WebRtc(presence.peer_id),
            event: presence.event,
            complete: presence.complete,
            counts,
            caller: Some(Arc::clone(caller)),
        }
    }

    pub(super) fn of_leaving(
        caller: &Arc<Caller>,
        info_hash: InfoHash,
        peer_id: PeerId,
        counts: SwarmCounts,
    ) -> Self {
        Self {
            info_hash,
            announcer: Announcer::WebRtc(peer_id),
            event: Event::Stopped,
            complete: false,
            counts,
            caller: Some(Arc::clone(caller)),
        }
    }

    pub(super) fn of_classic(announce: &ClassicAnnounce, counts: SwarmCounts) -> Self {
        Self {
            info_hash: announce.info_hash,
            announcer: Announcer::Classic(announce.peer_id, announce.address),
            event: announce.event,
            complete: announce.complete,
            counts,
            caller: None,
        }
    }
}

/// The subscriber, if there is one.
#[derive(Default)]
pub(super) struct Subscription(OnceLock<Box<dyn Subscriber>>);

impl Subscription {
    pub(super) fn set(&self, subscriber: Box<dyn Subscriber>) {
        if self.0.set(subscriber).is_err() {
            tracing::warn!("the tracker has a subscriber already: a second one is told nothing");
        }
    }

    pub(super) fn tell(&self, heard: impl FnOnce() -> Heard) {
        if let Some(subscriber) = self.0.get() {
            subscriber.handle_heard(heard());
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription")
            .field(&self.0.get().is_some())
            .finish()
    }
}
