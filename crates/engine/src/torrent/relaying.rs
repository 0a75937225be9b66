//! Carrying a torrent over: browsers ask for pieces that others have, and those alone are fetched.
//!
//! Peers met over WebRTC are *readers*, all others *suppliers*. Readers are told of every piece that some supplier has, as
//! if it were here. What they ask for waits until it is; the driver says when there is room for a piece, and which one goes
//! for it. A piece that went comes again when it is asked for, so nobody need be told.

use super::{Info, LinkId, Metadata, Output, Peer, Time, Torrent};
use crate::content::Content;
use crate::uploads::LONGEST_BLOCK;
use crate::{Config, LinkKind, PieceUse};
use causeway_core::{Bitfield, PieceIndex, SortedMap};
use causeway_wire::extended::DontHave;
use causeway_wire::{BlockRequest, Message};
use core::time::Duration;
use std::borrow::Cow;

/// What a torrent that is carried over knows beside others.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// What readers were told of; `None` before the metadata is known.
    told: Option<Bitfield>,
    /// Pieces that somebody asks for and that are not here, and when that was last answered, if with nothing.
    demands: SortedMap<PieceIndex, Time>,
}

/// The files that are wanted from the start: all, or none where the torrent is carried over.
pub(super) fn selection(config: &Config, info: &Info) -> Vec<bool> {
    if config.relay {
        vec![false; info.files().len()]
    } else {
        Vec::new()
    }
}

/// Whether a supplier is told what is here. Pieces go as they come, so it has to understand that, too (BEP 54).
pub(super) fn is_told_of_cached(peer: &Peer) -> bool {
    !is_reader(peer) && peer.extensions.dont_have.is_some()
}

fn is_reader(peer: &Peer) -> bool {
    peer.origin.kind == LinkKind::WebRtc
}

impl Torrent {
    /// What this piece is needed for, of a torrent that is carried over.
    #[must_use]
    pub fn use_of(&self, piece: PieceIndex) -> PieceUse {
        if self.content().is_some_and(|content| content.is_busy(piece)) {
            PieceUse::Busy
        } else if self.peers.values().any(|peer| peer.uploads.wants(piece)) {
            PieceUse::Awaited
        } else {
            PieceUse::Idle
        }
    }

    /// Whether this piece could be fetched before anybody asks for it: some supplier has it, and some reader will want it.
    #[must_use]
    pub fn is_wanted_ahead(&self, piece: PieceIndex) -> bool {
        let mut readers = self.peers.values().filter(|peer| is_reader(peer));
        let lacks = |peer: &Peer| !peer.pieces.known().is_some_and(|have| have.has(piece));
        self.is_offered(piece) && readers.any(lacks)
    }

    /// Whether some supplier has this piece, and it is neither here nor being fetched.
    #[must_use]
    pub fn is_offered(&self, piece: PieceIndex) -> bool {
        let is_told = self.relay.told.as_ref().is_some_and(|told| told.has(piece));
        let content = self.content();
        is_told && content.is_some_and(|content| !content.wants(piece) && !content.have().has(piece))
    }

    /// What this peer is told that we have, when it comes.
    pub(super) fn shown_to<'a>(&'a self, peer: &Peer, content: &'a Content) -> Cow<'a, Bitfield> {
        if !self.config.relay {
            return Cow::Borrowed(content.have());
        }
        let told = self.relay.told.as_ref().filter(|_| is_reader(peer));
        let none = || Cow::Owned(Bitfield::none(content.geometry().pieces()));
        told.map_or_else(none, Cow::Borrowed)
    }

    /// Readers are told of what this supplier has: of this piece, or of all.
    pub(super) fn promise_of(&mut self, link: LinkId, piece: Option<PieceIndex>) {
        let (Metadata::Known(content), true) = (&self.metadata, self.config.relay) else {
            return;
        };
        let geometry = content.geometry();
        let Some(have) = self
            .peers
            .get(&link)
            .filter(|peer| !is_reader(peer))
            .and_then(|peer| peer.pieces.known())
        else {
            return;
        };
        let told = self
            .relay
            .told
            .get_or_insert_with(|| Bitfield::none(geometry.pieces()));
        let new: Vec<_> = match piece {
            Some(piece) => vec![piece],
            None => have
                .iter_ones()
                .filter_map(|piece| geometry.piece(piece))
                .collect(),
        };
        let new: Vec<_> = new.into_iter().filter(|piece| told.insert(*piece)).collect();
        self.tell_readers(&new);
    }

    /// A reader asks for something that is not here. Says whether it may wait for that.
    pub(super) fn demand(&mut self, link: LinkId, request: BlockRequest) -> bool {
        let (Metadata::Known(content), Some(told)) = (&self.metadata, &self.relay.told) else {
            return false;
        };
        let block = content
            .geometry()
            .block(request.piece, request.offset, request.length);
        let block = block.filter(|block| block.length() <= LONGEST_BLOCK && told.has(block.piece()));
        let is_wanted = |piece| self.peers.values().any(|peer| peer.uploads.wants(piece));
        if let Some(block) = block.filter(|block| !is_wanted(block.piece())) {
            // Who asked for it before has taken that back, and its room may have gone to others.
            self.relay.demands.remove(&block.piece());
        }
        let peer = self.peers.get_mut(&link).filter(|peer| is_reader(peer));
        let (Some(block), Some(peer), true) = (block, peer, self.config.relay) else {
            return false;
        };
        peer.uploads.wait_for(block);
        self.ask_for_room(block.piece());
        true
    }

    /// There is room for this piece.
    pub(super) fn admit(&mut self, piece: PieceIndex) {
        let (Metadata::Known(content), true) = (&mut self.metadata, self.config.relay) else {
            return;
        };
        if content.wants(piece) {
            return;
        }
        content.admit(piece, &mut self.rng);
        let lacks = content.lacks(piece);
        for peer in self.peers.values_mut() {
            peer.lacking += u32::from(lacks && peer.pieces.known().is_some_and(|have| have.has(piece)));
        }
        self.touch_all();
    }

    /// There is no room for this piece any more.
    pub(super) fn retract(&mut self, piece: PieceIndex) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        if content.is_busy(piece) {
            return;
        }
        let was_lacking = content.lacks(piece);
        let was_had = content.retract(piece, &mut self.rng);
        for peer in self.peers.values_mut() {
            let has = peer.pieces.known().is_some_and(|have| have.has(piece));
            peer.lacking -= u32::from(was_lacking && has);
            if was_had
                && is_told_of_cached(peer)
                && let Some(id) = peer.extensions.dont_have
            {
                let payload = DontHave(piece.get()).to_bytes();
                peer.outbox.push(&Message::Extended { id, payload });
            }
        }
        self.cancel_unwanted();
        self.disown_unwanted();
        if let Metadata::Known(content) = &mut self.metadata {
            content.drop_partial(piece);
        }
        self.relay.demands.remove(&piece);
        let mut is_awaited = false;
        for peer in self.peers.values_mut() {
            peer.uploads.lost(piece);
            is_awaited |= peer.uploads.wants(piece);
        }
        if is_awaited {
            self.ask_for_room(piece);
        }
        self.touch_all();
    }

    /// The piece is here: who waits for it gets it.
    pub(super) fn demand_is_met(&mut self, piece: PieceIndex) {
        if !self.config.relay {
            return;
        }
        self.relay.demands.remove(&piece);
        for peer in self.peers.values_mut() {
            peer.uploads.arrived(piece);
        }
        if self.relay.told.as_mut().is_some_and(|told| told.insert(piece)) {
            self.tell_readers(&[piece]);
        }
    }

    /// What does not come in time is rejected. What nobody has any more is taken back.
    pub(super) fn give_up_demands(&mut self) {
        let now = self.now;
        let late = self.relay.demands.iter_mut();
        let late = late.filter(|(_, since)| now.since(**since) >= HOLD);
        let late: Vec<_> = late
            .map(|(piece, since)| {
                *since = now;
                *piece
            })
            .collect();
        for piece in late {
            let is_offered = self.peers.values().any(|peer| {
                let have = peer.pieces.known().filter(|_| !is_reader(peer));
                have.is_some_and(|have| have.has(piece))
            });
            if !is_offered {
                self.relay.demands.remove(&piece);
                if let Some(told) = &mut self.relay.told {
                    told.remove(piece);
                }
            }
            for peer in self.peers.values_mut().filter(|peer| is_reader(peer)) {
                if let Some(id) = peer.extensions.dont_have.filter(|_| !is_offered) {
                    let payload = DontHave(piece.get()).to_bytes();
                    peer.outbox.push(&Message::Extended { id, payload });
                }
                if peer.has_fast() {
                    for block in peer.uploads.given_up(piece) {
                        peer.outbox.push(&Message::Reject(BlockRequest::from(block)));
                    }
                }
            }
            if !self.peers.values().any(|peer| peer.uploads.wants(piece)) {
                self.relay.demands.remove(&piece);
            }
        }
    }

    fn ask_for_room(&mut self, piece: PieceIndex) {
        let is_new = self.relay.demands.get(&piece).is_none();
        self.relay.demands.insert(piece, self.now);
        let is_admitted = self.content().is_some_and(|content| content.wants(piece));
        if is_new && !is_admitted {
            self.out.push_back(Output::PieceDemanded { piece });
        }
    }

    fn tell_readers(&mut self, pieces: &[PieceIndex]) {
        for peer in self.peers.values_mut().filter(|peer| is_reader(peer)) {
            for piece in pieces {
                peer.outbox.push(&Message::Have(piece.get()));
            }
        }
        if !pieces.is_empty() {
            self.touch_all();
        }
    }
}

/// Deployed clients take us for dead after 30 s without an answer.
const HOLD: Duration = Duration::from_secs(20);
