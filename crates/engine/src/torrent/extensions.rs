//! The extension protocol (BEP 10): what we speak of it, and what the peer does.
//!
//! Besides the extensions of others there is one of our own, `causeway`. It has no messages so far: that both sides
//! name it says that both are Causeway peers, and of two peers that are worth the same the one that names it is
//! served first. Everybody else ignores it.

use super::messages::misbehaved;
use super::{Bytes, CloseReason, LinkId, Metadata, Torrent};
use crate::Direction;
use causeway_core::{PieceIndex, SortedMap};
use causeway_wire::Message;
use causeway_wire::extended::{
    DontHave, ExtendedHandshake, ExtensionError, LT_DONTHAVE, MetadataMessage, UT_METADATA, UT_PEX,
};

impl Torrent {
    /// What we speak, and the numbers that we want to see on the messages.
    pub(super) fn our_extensions(&self) -> SortedMap<String, u8> {
        let mut ids = SortedMap::from([
            (UT_METADATA.to_owned(), OUR_METADATA_ID),
            (LT_DONTHAVE.to_owned(), OUR_DONT_HAVE_ID),
            (CAUSEWAY.to_owned(), OUR_CAUSEWAY_ID),
        ]);
        if self.exchanges_peers() {
            ids.insert(UT_PEX.to_owned(), OUR_PEX_ID);
        }
        ids
    }

    /// A message of an extension, by the number that we gave it.
    pub(super) fn extended(&mut self, link: LinkId, id: u8, payload: &Bytes) -> Result<(), CloseReason> {
        let malformed = |error: ExtensionError| misbehaved(error.to_string());
        match id {
            0 => {
                let handshake = ExtendedHandshake::from_bytes(payload).map_err(malformed)?;
                self.extended_handshake(link, handshake);
            }
            OUR_METADATA_ID => {
                let message = MetadataMessage::from_bytes(payload).map_err(malformed)?;
                self.metadata_message(link, message);
            }
            OUR_DONT_HAVE_ID => {
                let DontHave(piece) = DontHave::from_bytes(payload).map_err(malformed)?;
                self.peer_lost(link, piece);
            }
            OUR_PEX_ID => {
                if let Some(support) = self.config.peer_exchange.filter(|_| self.exchanges_peers()) {
                    support.receive(self, link, payload).map_err(malformed)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn extended_handshake(&mut self, link: LinkId, handshake: ExtendedHandshake) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        // What is not named stays as it was; a zero takes it back.
        let update = |name: &str, id: &mut Option<u8>| {
            if let Some(new) = handshake.ids.get(name) {
                *id = Some(*new).filter(|new| *new != 0);
            }
        };
        update(UT_METADATA, &mut peer.extensions.metadata);
        update(UT_PEX, &mut peer.extensions.pex);
        update(LT_DONTHAVE, &mut peer.extensions.dont_have);
        update(CAUSEWAY, &mut peer.extensions.causeway);
        if let Some(reqq) = handshake.reqq {
            peer.requests
                .set_most(reqq.min(self.config.max_outstanding_requests));
        }
        peer.is_upload_only = handshake.upload_only.unwrap_or(peer.is_upload_only);
        if peer.listens_on.is_none() && handshake.port.is_some() {
            peer.listens_on = handshake.port;
            // An incoming link is recognised only now.
            if let Some(addr) = peer
                .reachable_at()
                .filter(|_| peer.origin.direction == Direction::Incoming)
            {
                peer.earlier_score = self.acquaintances.score_of(addr);
            }
        }
        peer.client = handshake.client.or(peer.client.take());
        if let Metadata::Fetching { fetch, .. } = &mut self.metadata {
            match (peer.extensions.metadata, handshake.metadata_size) {
                (Some(_), Some(size)) => fetch.offered(link, size),
                (Some(_), None) => {}
                (None, _) => fetch.gone(link),
            }
        }
    }

    /// The peer no longer has this piece (BEP 54).
    fn peer_lost(&mut self, link: LinkId, number: u32) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let (Some(piece), Some(have)) = (content.geometry().piece(number), peer.pieces.known()) else {
            return;
        };
        let mut have = have.clone();
        if have.remove(piece) {
            content.uncount(&peer.pieces, &mut self.rng);
            peer.lacking = content.lacking_of(&have);
            peer.pieces = content.count(have, &mut self.rng);
            if content.picker.availability(piece) == 0 {
                self.first_copy.lost(&[piece]);
            }
        }
    }

    /// We no longer have this piece.
    pub(super) fn piece_lost(&mut self, piece: PieceIndex) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        if !content.lose(piece, &mut self.rng) {
            return;
        }
        self.end_first_copy();
        let Metadata::Known(content) = &self.metadata else {
            return;
        };
        let lacks = content.lacks(piece);
        for peer in self.peers.values_mut() {
            peer.lacking += u32::from(lacks && peer.pieces.known().is_some_and(|have| have.has(piece)));
            if let Some(id) = peer.extensions.dont_have {
                let payload = DontHave(piece.get()).to_bytes();
                peer.outbox.push(&Message::Extended { id, payload });
            }
        }
        self.touch_all();
    }

    /// Tells everybody anew what we are after, once that has changed.
    pub(super) fn tell_everybody(&mut self) {
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            if let Some(mut peer) = self.peers.remove(&link) {
                self.send_extended_handshake(&mut peer);
                self.peers.insert(link, peer);
                self.touched.insert(link);
            }
        }
    }
}

/// The name of our own extension in the handshake's `m`.
const CAUSEWAY: &str = "causeway";
/// The numbers that messages to us bear.
const OUR_METADATA_ID: u8 = 1;
const OUR_PEX_ID: u8 = 2;
const OUR_DONT_HAVE_ID: u8 = 3;
const OUR_CAUSEWAY_ID: u8 = 4;
