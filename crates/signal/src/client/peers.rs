//! Connections to peers: the driver's answers, and what other peers offer and answer.

use super::Client;
use super::connection::{Connection, DESCRIBE_TIMEOUT, DIAL_TIMEOUT, Offer};
use super::io::{ConnectionId, Output, TrackerId};
use super::membership::Membership;
use super::tracker::Tracker;
use crate::message::{ClientMessage, DescriptionKind, MAX_MESSAGE_BYTES, OfferId};
use causeway_core::{InfoHash, PeerId, SortedSet, Time};
use serde_json::value::RawValue;

/// A description of our own that is longer could not be sent.
const MAX_SDP_BYTES: usize = MAX_MESSAGE_BYTES / 2;

impl Client {
    /// The offer that [`Output::CreateOffer`] asked for, with all its candidates.
    pub fn handle_offer(&mut self, now: Time, connection: ConnectionId, sdp: impl AsRef<str>) {
        self.wake(now);
        let (sdp, timeout, now) = (sdp.as_ref(), self.config.offer_timeout, self.now);
        let id = OfferId(self.random_bytes());
        let Some(state @ Connection::Creating { .. }) = self.connection(connection) else {
            return;
        };
        if sdp.len() > MAX_SDP_BYTES {
            self.close(connection);
            self.pause_offers();
            return;
        }
        *state = Connection::Offered(Offer {
            id,
            description: DescriptionKind::Offer.describe(sdp),
            until: now + timeout,
            fresh_until: now + timeout * 3 / 4,
            relayed_by: SortedSet::new(),
        });
    }

    /// The answer that [`Output::AcceptOffer`] asked for, with all its candidates.
    pub fn handle_answer(&mut self, now: Time, connection: ConnectionId, sdp: impl AsRef<str>) {
        self.wake(now);
        let sdp = sdp.as_ref();
        let (now, me) = (self.now, self.config.peer_id);
        let Some(info_hash) = self.owners.get(&connection).copied() else {
            return;
        };
        let Some(state) = self.connection(connection) else {
            return;
        };
        let Connection::Accepting {
            peer, tracker, offer, ..
        } = *state
        else {
            return;
        };
        *state = Connection::Dialing {
            peer,
            ours: false,
            until: now + DIAL_TIMEOUT,
        };
        // Only the tracker that brought the offer is sure to know who made it.
        let reachable = self.trackers.get(&tracker).is_some_and(Tracker::is_connected);
        if !reachable || sdp.len() > MAX_SDP_BYTES {
            self.close(connection);
            return;
        }
        let answer = DescriptionKind::Answer.describe(sdp);
        let message = ClientMessage::Answer {
            info_hash,
            peer_id: me,
            to_peer_id: peer,
            offer_id: offer,
            answer: &answer,
        };
        self.outputs.push_back(Output::Send {
            tracker,
            text: message.to_json(),
        });
    }

    /// The data channel is open: the connection counts against no budget any more.
    pub fn handle_opened(&mut self, now: Time, connection: ConnectionId) {
        self.wake(now);
        let me = self.config.peer_id;
        let Some(info_hash) = self.owners.get(&connection) else {
            return;
        };
        let Some(torrent) = self.torrents.get_mut(info_hash) else {
            return;
        };
        let Some(state) = torrent.connections.get_mut(&connection) else {
            return;
        };
        let Connection::Dialing { peer, ours, .. } = *state else {
            return;
        };
        *state = Connection::Open { peer };
        torrent.memberships.values_mut().for_each(Membership::found);
        // The other one of two that crossed. Where this is not the one that stays, that one closes this when it
        // opens itself. The engine decides the same of two links to one peer: were both to decide, and not alike,
        // none would stay.
        let crossed = torrent
            .connections_to(peer)
            .map(|(id, _)| id)
            .find(|id| *id != connection);
        if let Some(crossed) = crossed.filter(|_| ours == (me > peer)) {
            self.close(crossed);
        }
    }

    /// The connection could not be made, or has ended.
    pub fn handle_failed(&mut self, now: Time, connection: ConnectionId) {
        self.wake(now);
        if let Some(Connection::Creating { .. }) = self.forget(connection) {
            self.pause_offers();
        }
    }

    /// Somebody offers a connection.
    pub(super) fn offered(
        &mut self,
        tracker: TrackerId,
        info_hash: InfoHash,
        peer: PeerId,
        offer: OfferId,
        raw: &RawValue,
    ) {
        let incoming = self.count(Connection::is_incoming);
        let Some(torrent) = self.torrents.get(&info_hash).filter(|torrent| torrent.running) else {
            return;
        };
        let full = torrent.progress.wanted_peers == 0
            || incoming >= self.config.incoming_budget
            || torrent.count(Connection::is_incoming) >= self.config.incoming_per_torrent
            || torrent.connections.len() >= self.config.connections_per_torrent;
        let known = peer == self.config.peer_id || torrent.connections_to(peer).next().is_some();
        let Some(sdp) = DescriptionKind::Offer.sdp(raw).filter(|_| !full && !known) else {
            return;
        };
        let until = self.now + DESCRIBE_TIMEOUT;
        let connection = self.insert(
            info_hash,
            Connection::Accepting {
                peer,
                tracker,
                offer,
                until,
            },
        );
        self.outputs.push_back(Output::AcceptOffer {
            connection,
            info_hash,
            peer_id: peer,
            sdp: sdp.into_owned(),
        });
    }

    /// Somebody answers an offer of ours.
    pub(super) fn answered(&mut self, info_hash: InfoHash, peer: PeerId, offer: OfferId, raw: &RawValue) {
        let Some(torrent) = self
            .torrents
            .get_mut(&info_hash)
            .filter(|torrent| torrent.running)
        else {
            return;
        };
        let Some(id) = torrent.offer_named(offer) else {
            return;
        };
        let Some(sdp) = DescriptionKind::Answer
            .sdp(raw)
            .filter(|_| peer != self.config.peer_id)
        else {
            return;
        };
        let settled = |(_, other): (ConnectionId, &Connection)| !other.is_incoming();
        if torrent.connections_to(peer).any(settled) {
            self.close(id);
            return;
        }
        let until = self.now + DIAL_TIMEOUT;
        torrent.connections.insert(
            id,
            Connection::Dialing {
                peer,
                ours: true,
                until,
            },
        );
        self.outputs.push_back(Output::AcceptAnswer {
            connection: id,
            peer_id: peer,
            sdp: sdp.into_owned(),
        });
    }

    pub(super) fn count(&self, which: fn(&Connection) -> bool) -> usize {
        self.torrents.values().map(|torrent| torrent.count(which)).sum()
    }

    /// Gives a connection a name.
    pub(super) fn insert(&mut self, info_hash: InfoHash, connection: Connection) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.wrapping_add(1);
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent.connections.insert(id, connection);
            self.owners.insert(id, info_hash);
        }
        id
    }

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let info_hash = self.owners.get(&id)?;
        self.torrents.get_mut(info_hash)?.connections.get_mut(&id)
    }

    fn forget(&mut self, id: ConnectionId) -> Option<Connection> {
        let info_hash = self.owners.remove(&id)?;
        self.torrents.get_mut(&info_hash)?.connections.remove(&id)
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        if self.forget(id).is_some() {
            self.outputs.push_back(Output::Close { connection: id });
        }
    }
}
