//! One torrent: its trackers and its connections.

use super::connection::{Connection, Offer};
use super::io::{Config, ConnectionId, Progress, TrackerId};
use super::membership::{Appetite, Membership};
use super::tracker::Tracker;
use crate::message::OfferId;
use causeway_core::{PeerId, SortedMap, Time};

#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) progress: Progress,
    pub(super) running: bool,
    pub(super) memberships: SortedMap<TrackerId, Membership>,
    pub(super) connections: SortedMap<ConnectionId, Connection>,
}

impl Torrent {
    pub(super) fn new() -> Self {
        Self {
            progress: Progress::default(),
            running: true,
            memberships: SortedMap::new(),
            connections: SortedMap::new(),
        }
    }

    pub(super) fn appetite(&self, config: &Config) -> Appetite {
        let (mut peers, mut offered, mut begun) = (0, 0, 0);
        for connection in self.connections.values() {
            match connection {
                Connection::Open { .. } | Connection::Dialing { .. } => peers += 1,
                Connection::Accepting { .. } | Connection::Creating { .. } => begun += 1,
                Connection::Offered(offer) => offered += usize::from(!offer.relayed_by.is_empty()),
            }
        }
        Appetite {
            most: config.offers_per_announce.min(self.progress.wanted_peers),
            complete: self.progress.left == Some(0),
            peers,
            offered,
            stranded: peers + offered + begun == 0,
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
        trackers: &SortedMap<TrackerId, Tracker>,
    ) -> usize {
        let appetite = self.appetite(config);
        let creating = self.count(Connection::is_creating);
        let lacking = self.in_reach(trackers).map(|(id, membership)| {
            let there = creating + self.sendable(now, id, membership.is_due(now)).count();
            membership.wanted(now, &appetite).saturating_sub(there)
        });
        lacking.max().unwrap_or(0)
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
        trackers: &SortedMap<TrackerId, Tracker>,
    ) -> Vec<ConnectionId> {
        let appetite = self.appetite(config);
        let reserve = self
            .in_reach(trackers)
            .map(|(_, membership)| membership.reserve(now, &appetite))
            .max();
        let idle = self.offers().filter(|(_, offer)| offer.relayed_by.is_empty());
        let (fresh, stale): (Vec<_>, Vec<_>) = idle.partition(|(_, offer)| now < offer.fresh_until);
        let creating = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.is_creating());
        let usable = fresh
            .into_iter()
            .map(|(id, _)| id)
            .chain(creating.map(|(id, _)| *id));
        usable
            .skip(reserve.unwrap_or(0))
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

    /// The trackers to which offers can be sent, now or in a moment: a socket and an offer take about as long, so
    /// both are begun at once.
    fn in_reach(
        &self,
        trackers: &SortedMap<TrackerId, Tracker>,
    ) -> impl Iterator<Item = (TrackerId, &Membership)> {
        let in_reach = |(id, _): &(&TrackerId, _)| trackers.get(id).is_some_and(Tracker::is_promising);
        let memberships = self.memberships.iter().filter(|_| self.running);
        memberships
            .filter(in_reach)
            .map(|(id, membership)| (*id, membership))
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
