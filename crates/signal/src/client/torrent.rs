//! One torrent: its trackers and its connections.

use super::connection::{Connection, Offer};
use super::io::{Config, ConnectionId, Progress, TrackerId};
use super::membership::{Appetite, Membership};
use super::tracker::Tracker;
use crate::message::OfferId;
use causeway_core::{PeerId, Time};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) progress: Progress,
    pub(super) running: bool,
    pub(super) memberships: BTreeMap<TrackerId, Membership>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
}

impl Torrent {
    pub(super) fn new() -> Self {
        Self {
            progress: Progress::default(),
            running: true,
            memberships: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    pub(super) fn appetite(&self, config: &Config) -> Appetite {
        let mut peers = 0;
        let mut hopes = 0;
        for connection in self.connections.values() {
            match connection {
                Connection::Open { .. } | Connection::Dialing { .. } => peers += 1,
                Connection::Accepting { .. } | Connection::Creating { .. } => hopes += 1,
                Connection::Offered(offer) => hopes += usize::from(!offer.relayed_by.is_empty()),
            }
        }
        Appetite {
            most: config.offers_per_announce.min(self.progress.wanted_peers),
            complete: self.progress.left == Some(0),
            peers,
            stranded: peers + hopes == 0,
        }
    }

    pub(super) fn count(&self, which: fn(&Connection) -> bool) -> usize {
        self.connections
            .values()
            .filter(|connection| which(connection))
            .count()
    }

    /// How many offers should be made beyond those that there are.
    pub(super) fn lacking(
        &self,
        now: Time,
        config: &Config,
        trackers: &BTreeMap<TrackerId, Tracker>,
    ) -> usize {
        if !self.running {
            return 0;
        }
        let appetite = self.appetite(config);
        let creating = self.count(|connection| matches!(connection, Connection::Creating { .. }));
        let lacking = |(id, membership): (&TrackerId, &Membership)| {
            let tracker = trackers.get(id)?;
            let again = membership.due() <= now;
            let wanted = if !tracker.is_connected() {
                // The offer and the socket take about as long: begin with both at once.
                if tracker.is_promising() {
                    membership.round(&appetite)
                } else {
                    0
                }
            } else if again {
                membership.round(&appetite)
            } else {
                membership.further(&appetite)
            };
            Some(wanted.saturating_sub(creating + self.sendable(now, *id, again).count()))
        };
        self.memberships.iter().filter_map(lacking).max().unwrap_or(0)
    }

    /// The offers that can be sent to a tracker now: in a new round (`again`) also those that it had before.
    pub(super) fn sendable(
        &self,
        now: Time,
        tracker: TrackerId,
        again: bool,
    ) -> impl Iterator<Item = (ConnectionId, &Offer)> {
        self.offers().filter(move |(_, offer)| {
            now < offer.fresh_until && (again || !offer.relayed_by.contains(&tracker))
        })
    }

    /// The offers that no tracker has passed on and that are more than any may still use.
    pub(super) fn surplus(
        &self,
        now: Time,
        config: &Config,
        trackers: &BTreeMap<TrackerId, Tracker>,
    ) -> Vec<ConnectionId> {
        let appetite = self.appetite(config);
        let reserve = |(id, membership): (&TrackerId, &Membership)| {
            let tracker = trackers.get(id)?;
            match (tracker.is_connected(), tracker.is_promising()) {
                (true, _) => Some(membership.reserve(now, &appetite)),
                (false, true) => Some(membership.round(&appetite)),
                (false, false) => None,
            }
        };
        let reserve = self.memberships.iter().filter_map(reserve).max().unwrap_or(0);
        let idle = self.offers().filter(|(_, offer)| offer.relayed_by.is_empty());
        let (fresh, stale): (Vec<_>, Vec<_>) = idle.partition(|(_, offer)| now < offer.fresh_until);
        let creating = self
            .connections
            .iter()
            .filter(|(_, it)| matches!(it, Connection::Creating { .. }));
        let usable = fresh
            .into_iter()
            .map(|(id, _)| id)
            .chain(creating.map(|(id, _)| *id));
        usable
            .skip(reserve)
            .chain(stale.into_iter().map(|(id, _)| id))
            .collect()
    }

    /// This tracker will bring no answer to these offers, or, where none are named, to any.
    pub(super) fn not_relayed(&mut self, tracker: TrackerId, offers: Option<&[ConnectionId]>) {
        for (id, connection) in &mut self.connections {
            if let Connection::Offered(offer) = connection
                && offers.is_none_or(|offers| offers.contains(id))
            {
                offer.relayed_by.remove(&tracker);
            }
        }
    }

    pub(super) fn offer_named(&self, name: OfferId) -> Option<ConnectionId> {
        self.offers()
            .find(|(_, offer)| offer.id == name)
            .map(|(id, _)| id)
    }

    pub(super) fn connections_to(&self, peer: PeerId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let leads_there = move |(_, connection): &(_, &Connection)| connection.peer() == Some(peer);
        self.connections
            .iter()
            .filter(leads_there)
            .map(|(id, connection)| (*id, connection))
    }

    fn offers(&self) -> impl Iterator<Item = (ConnectionId, &Offer)> {
        self.connections
            .iter()
            .filter_map(|(id, connection)| match connection {
                Connection::Offered(offer) => Some((*id, offer)),
                Connection::Creating { .. }
                | Connection::Accepting { .. }
                | Connection::Dialing { .. }
                | Connection::Open { .. } => None,
            })
    }
}
