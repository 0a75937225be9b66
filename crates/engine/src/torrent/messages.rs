//! What a peer's messages mean.

use super::{CloseReason, LinkId, Metadata, Peer, SECOND, Torrent, relaying};
use crate::content::Content;
use crate::peer::{INTRODUCTION, LEAST_PIECES, MOST_ALLOWED_FAST, MOST_INTRODUCTIONS, MOST_SUGGESTED};
use crate::peer_pieces::{Claim, PeerPieces};
use causeway_core::{Bitfield, Geometry, PieceIndex};
use causeway_wire::Message;

impl Torrent {
    /// What follows from a message of a connected peer; the reason to close the link where it broke the protocol.
    pub(super) fn message(&mut self, link: LinkId, message: Message) -> Result<(), CloseReason> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        match message {
            Message::KeepAlive | Message::Port(_) | Message::Unknown { .. } => Ok(()),
            Message::Choke => {
                self.choked(link);
                Ok(())
            }
            Message::Unchoke => {
                peer.them.chokes = false;
                peer.requests.measure_afresh();
                peer.dry_at = None;
                peer.helps_from = self.now;
                Ok(())
            }
            Message::Interested => {
                peer.them.is_interested = true;
                self.fill_slots();
                self.grant_pieces(link);
                Ok(())
            }
            Message::NotInterested => {
                peer.them.is_interested = false;
                self.fill_slots();
                Ok(())
            }
            Message::Have(piece) => self.peer_got(link, piece),
            Message::Bitfield(bits) => self.peer_has(link, Claim::bitfield(&bits)),
            Message::HaveAll => {
                fast_only(peer, "`have all`")?;
                self.peer_has(link, Claim::All)
            }
            Message::HaveNone => {
                fast_only(peer, "`have none`")?;
                self.peer_has(link, Claim::default())
            }
            Message::AllowedFast(piece) => {
                if peer.has_fast() && peer.allowed_fast.len() < MOST_ALLOWED_FAST {
                    peer.allowed_fast.insert(piece);
                    peer.dry_at = None;
                }
                Ok(())
            }
            Message::Suggest(piece) => {
                self.peer_suggests(link, piece);
                Ok(())
            }
            Message::Request(request) => self.peer_asks(link, request),
            Message::Cancel(request) => {
                self.peer_cancels(link, request);
                Ok(())
            }
            Message::Piece { piece, offset, data } => self.block_arrived(link, piece, offset, data),
            Message::Reject(request) => {
                fast_only(peer, "`reject`")?;
                self.peer_rejects(link, request);
                Ok(())
            }
            Message::Extended { id, payload } => self.extended(link, id, &payload),
        }
    }

    /// The peer would like to be asked for this piece (BEP 6).
    fn peer_suggests(&mut self, link: LinkId, number: u32) {
        let (Metadata::Known(content), Some(peer)) = (&self.metadata, self.peers.get_mut(&link)) else {
            return;
        };
        let is_fresh = |piece: &PieceIndex| content.picker.is_fresh(*piece);
        if let Some(piece) = content.geometry().piece(number).filter(is_fresh)
            && peer.has_fast()
        {
            peer.suggested.retain(|other| is_fresh(other) && *other != piece);
            if peer.suggested.len() >= MOST_SUGGESTED {
                peer.suggested.remove(0);
            }
            peer.suggested.push(piece);
        }
    }

    fn peer_got(&mut self, link: LinkId, number: u32) -> Result<(), CloseReason> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let mut is_seed_now = false;
        let exists = match (&mut peer.pieces, &mut self.metadata) {
            (PeerPieces::Claimed(claim), _) => claim.insert(number),
            (PeerPieces::Known { have, is_seed }, Metadata::Known(content)) => {
                let piece = content.geometry().piece(number);
                if let Some(piece) = piece.filter(|piece| have.insert(*piece)) {
                    peer.lacking += u32::from(content.lacks(piece));
                    peer.dry_at = None;
                    if !*is_seed {
                        content.picker.peer_got(piece, &mut self.rng);
                        let is_first = content.picker.availability(piece) == 1;
                        if is_first && peer.up.bytes > 0 && self.first_copy.is_spreading() {
                            peer.offers.is_first(piece, self.now);
                        }
                    }
                    is_seed_now = have.is_all();
                    self.promise_of(link, Some(piece));
                }
                piece.is_some()
            }
            (PeerPieces::Known { .. }, Metadata::Fetching { .. }) => true,
        };
        if is_seed_now {
            self.end_first_copy();
        }
        if exists {
            Ok(())
        } else {
            Err(misbehaved(format!(
                "it claims to have piece {number}, which does not exist"
            )))
        }
    }

    /// The peer says all that it has. That may come late or twice: a page that fetched its metadata from us sends
    /// its first bitfield then.
    fn peer_has(&mut self, link: LinkId, claim: Claim) -> Result<(), CloseReason> {
        let geometry = self.content().map(Content::geometry);
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let pieces = geometry.map_or(Geometry::MAX_PIECES, Geometry::pieces);
        let cost = INTRODUCTION * pieces.max(LEAST_PIECES);
        peer.introduced = peer.introduced.max(self.now) + cost;
        if peer.introduced.since(self.now) > (cost * MOST_INTRODUCTIONS).max(SECOND) {
            return Err(misbehaved("it keeps saying what it has"));
        }
        match geometry {
            None => peer.pieces = PeerPieces::Claimed(claim),
            Some(geometry) => {
                let have = claim.into_known(geometry);
                let have = have.ok_or_else(|| misbehaved("its bitfield does not fit the torrent"))?;
                self.set_known(link, have);
            }
        }
        Ok(())
    }

    /// The peer has exactly these pieces.
    pub(super) fn set_known(&mut self, link: LinkId, have: Bitfield) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        content.uncount(&peer.pieces, &mut self.rng);
        peer.lacking = content.lacking_of(&have);
        peer.dry_at = None;
        peer.pieces = content.count(have, &mut self.rng);
        if peer.pieces.is_all() {
            self.end_first_copy();
        }
        self.promise_of(link, None);
    }

    /// We have got this piece: every peer is told, and may have become of no use to us.
    pub(super) fn announce_piece(&mut self, piece: PieceIndex, was_lacking: bool) {
        self.demand_is_met(piece);
        for peer in self.peers.values_mut() {
            if !self.config.relay || relaying::is_told_of_cached(peer) {
                peer.outbox.push(&Message::Have(piece.get()));
            }
            if was_lacking && peer.pieces.known().is_some_and(|have| have.has(piece)) {
                peer.lacking -= 1;
            }
        }
        self.touch_all();
    }

    /// Tells the peer whether it has something that we want.
    pub(super) fn update_interest(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let is_interested = match &self.metadata {
            // Whatever it has, we will want: the peer's answer comes while the metadata does.
            Metadata::Fetching { .. } => peer.pieces.is_any(),
            // What nobody asks for yet somebody will ask for, and who serves only after a while has to know now.
            Metadata::Known(_) if self.config.relay => peer.pieces.is_any(),
            Metadata::Known(content) => peer.lacking > 0 && !content.is_checking(),
        };
        if is_interested != peer.us.is_interested {
            peer.us.is_interested = is_interested;
            let message = if is_interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            peer.outbox.push(&message);
        }
    }
}

/// BEP 6: these messages are for peers that both speak it.
fn fast_only(peer: &Peer, name: &str) -> Result<(), CloseReason> {
    if peer.has_fast() {
        Ok(())
    } else {
        Err(misbehaved(format!("it sent {name} without the fast extension")))
    }
}

/// The peer broke the protocol; in words that follow `the peer broke the protocol:`.
pub(super) fn misbehaved(what: impl Into<String>) -> CloseReason {
    CloseReason::Misbehaved(what.into())
}
