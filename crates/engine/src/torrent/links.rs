//! Links: opening, shaking hands, closing.

use super::messages::misbehaved;
use super::{Bytes, CloseReason, LinkId, Metadata, Peer, PeerId, Run, SECOND, Timer, Torrent};
use crate::Direction;
use crate::choker;
use crate::content::Content;
use crate::first_copy::Offers;
use crate::peer::{Greeting, Origin};
use causeway_wire::extended::ExtendedHandshake;
use causeway_wire::{Decoder, Frame, Handshake, Message, Reserved};

impl Torrent {
    pub(super) fn link_opened(&mut self, link: LinkId, origin: Origin) {
        let refusal = match self.run {
            Run::Paused | Run::Failed(_) => Some(CloseReason::Stopped),
            Run::Running if self.web_seeds.contains_key(&link) => return,
            Run::Running if self.wanted_peers() == 0 => Some(CloseReason::Enough),
            Run::Running => None,
        };
        if let Some(reason) = refusal {
            return self.say_close(link, reason);
        }
        let mut greeting = Greeting::new(origin, self.now);
        let handshake = Handshake {
            reserved: Reserved::ours(),
            info_hash: self.info_hash,
            peer_id: self.config.peer_id,
        };
        greeting.outbox.push_bytes(&handshake.encode());
        greeting.outbox.flush(link, &mut self.out);
        self.greetings.insert(link, greeting);
        self.timers.start(Timer::Housekeeping, self.now + SECOND);
        self.timers.start(Timer::Rechoke, self.now + choker::INTERVAL);
    }

    pub(super) fn writable(&mut self, link: LinkId, budget: usize) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.outbox.set_budget(budget);
            if peer.uploads.is_ready() {
                self.touched.insert(link);
            }
        } else if let Some(greeting) = self.greetings.get_mut(&link) {
            greeting.outbox.set_budget(budget);
        }
    }

    pub(super) fn received(&mut self, link: LinkId, bytes: Bytes) {
        let result = if let Some(peer) = self.peers.get_mut(&link) {
            peer.last_received = self.now;
            // The decoder is taken out while the messages change the rest of the torrent.
            let Some(mut decoder) = peer.decoder.take() else {
                return;
            };
            decoder.push(bytes);
            self.handle_messages(link, decoder)
        } else if let Some(greeting) = self.greetings.get_mut(&link) {
            greeting.decoder.push(bytes);
            match greeting.decoder.next() {
                Ok(Some(Frame::Handshake(handshake))) => self.shake_hands(link, &handshake),
                Ok(None | Some(Frame::Message(_))) => Ok(()),
                Err(error) => Err(misbehaved(error.to_string())),
            }
        } else {
            Ok(())
        };
        if let Err(reason) = result {
            self.close(link, reason);
        }
    }

    /// Closes the link and tells the driver so.
    pub(super) fn close(&mut self, link: LinkId, reason: CloseReason) {
        if let Some(peer) = self.peers.get_mut(&link) {
            let penalty = match reason {
                CloseReason::WrongData => LIE,
                CloseReason::Misbehaved(_) => FAULT,
                CloseReason::Ourselves
                | CloseReason::Duplicate
                | CloseReason::Enough
                | CloseReason::Useless
                | CloseReason::Silent
                | CloseReason::Stopped => 0,
            };
            peer.earlier_score = peer.earlier_score.saturating_sub(penalty);
        }
        if self.greetings.contains_key(&link) || self.peers.contains_key(&link) {
            self.forget(link);
            self.say_close(link, reason);
        }
    }

    /// The link is gone: what it owed is asked of others, what it was given goes to others.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.greetings.remove(&link);
        self.touched.remove(&link);
        let Some(mut peer) = self.peers.remove(&link) else {
            return;
        };
        if let Some(known) = peer.known(self.now) {
            self.acquaintances.remember(known);
        }
        match &mut self.metadata {
            Metadata::Fetching { fetch, .. } => fetch.gone(link),
            Metadata::Known(content) => {
                for block in peer.requests.forgotten() {
                    content.picker.released(block, link);
                }
                content.picker.leave(link);
                content.uncount(&peer.pieces, &mut self.rng);
            }
        }
        if let Some(have) = peer.pieces.known() {
            self.spread_again(have);
        }
        self.stop_fetches_of(peer.id);
        self.fill_slots();
        self.touch_all();
    }

    /// Closes as many links as are above the limit: those first that say nothing yet, then those that are worth least.
    pub(super) fn close_excess(&mut self) {
        let links = self.peers.len() + self.greetings.len();
        let excess = links.saturating_sub(self.config.limits.peers);
        let worth = |(link, peer): (&LinkId, &Peer)| (peer.score(self.now), peer.last_moved, *link);
        let mut peers: Vec<_> = self.peers.iter().map(worth).collect();
        peers.sort_unstable();
        let links = self.greetings.keys().copied();
        let links = links.chain(peers.into_iter().map(|(_, _, link)| link));
        for link in links.take(excess).collect::<Vec<_>>() {
            self.close(link, CloseReason::Enough);
        }
    }

    /// Where no more links are welcome, gives up the one over which nothing has moved for longest, if that is long: all
    /// the others could be peers that give nothing, and whoever would give something waits outside.
    pub(super) fn make_room(&mut self) {
        if self.wanted_peers() > 0 {
            return;
        }
        let still = self.peers.iter().filter(|(_, peer)| peer.is_still(self.now));
        let stillest = still.min_by_key(|(link, peer)| (peer.last_moved, **link));
        if let Some(link) = stillest.map(|(link, _)| *link) {
            self.close(link, CloseReason::Enough);
        }
    }

    /// Why this link should not go on, if there is a reason.
    pub(super) fn reason_to_close(&self, link: LinkId) -> Option<CloseReason> {
        let peer = self.peers.get(&link)?;
        if peer.outbox.is_stuck() {
            return Some(misbehaved("it reads nothing of what it is sent"));
        }
        let content = self.content()?;
        // A peer without metadata has no pieces, so it is never taken for one that needs nothing.
        let is_giver = peer.pieces.is_all() || peer.is_upload_only;
        let is_done = !content.is_checking() && content.is_finished() && !self.config.relay;
        let is_useless = is_done && is_giver;
        is_useless.then_some(CloseReason::Useless)
    }

    fn say_close(&mut self, link: LinkId, reason: CloseReason) {
        self.out.push_back(super::Output::CloseLink { link, reason });
    }

    fn handle_messages(&mut self, link: LinkId, mut decoder: Box<Decoder>) -> Result<(), CloseReason> {
        while let Some(frame) = decoder.next().map_err(|error| misbehaved(error.to_string()))? {
            if let Frame::Message(message) = frame {
                self.message(link, message)?;
            }
            if !self.peers.contains_key(&link) {
                return Ok(());
            }
            self.touched.insert(link);
        }
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.decoder = Some(decoder);
        }
        Ok(())
    }

    fn shake_hands(&mut self, link: LinkId, handshake: &Handshake) -> Result<(), CloseReason> {
        let Some(greeting) = self.greetings.get(&link) else {
            return Ok(());
        };
        if handshake.info_hash != self.info_hash {
            return Err(misbehaved("its handshake is for another torrent"));
        }
        if handshake.peer_id == self.config.peer_id {
            return Err(CloseReason::Ourselves);
        }
        if self.banned.contains(&handshake.peer_id) {
            return Err(CloseReason::WrongData);
        }
        self.resolve_duplicate(greeting.origin, handshake.peer_id)?;
        let Some(greeting) = self.greetings.remove(&link) else {
            return Ok(());
        };
        let geometry = self.content().map(Content::geometry);
        let mut peer = Peer::new(greeting, handshake, geometry, &self.config, self.now);
        if let Some(addr) = peer.reachable_at() {
            peer.earlier_score = self.acquaintances.score_of(addr);
        }
        if let Some(geometry) = geometry.filter(|_| self.hides()) {
            peer.offers = Offers::hide(geometry.pieces());
        }
        self.introduce_ourselves(&mut peer);
        let decoder = peer.decoder.take();
        self.peers.insert(link, peer);
        self.touched.insert(link);
        decoder.map_or(Ok(()), |decoder| self.handle_messages(link, decoder))
    }

    /// Of two links to one peer one is closed. Where each side opened one, both sides have to close the same:
    /// the one that the peer with the lower id opened. Otherwise the new one, unless the old one seems dead.
    fn resolve_duplicate(&mut self, origin: Origin, id: PeerId) -> Result<(), CloseReason> {
        let Origin {
            direction,
            introduced,
            ..
        } = origin;
        let is_same =
            |peer: &Peer| peer.id == id || (introduced.is_some() && peer.origin.introduced == introduced);
        let Some((old, peer)) = self.peers.iter().find(|(_, peer)| is_same(peer)) else {
            return Ok(());
        };
        let wins = if peer.origin.direction == direction {
            peer.is_quiet(self.now)
        } else {
            (direction == Direction::Outgoing) == (self.config.peer_id > id)
        };
        if !wins {
            return Err(CloseReason::Duplicate);
        }
        let old = *old;
        self.close(old, CloseReason::Duplicate);
        Ok(())
    }

    /// The messages that follow our handshake: what we have, first and exactly once where the peer speaks BEP 6,
    /// then what we speak.
    fn introduce_ourselves(&self, peer: &mut Peer) {
        let is_hidden = peer.offers.is_hidden();
        let have = self
            .content()
            .filter(|_| !is_hidden)
            .map(|content| self.shown_to(peer, content));
        match have.as_deref() {
            Some(have) if peer.has_fast() && have.is_all() => peer.outbox.push(&Message::HaveAll),
            Some(have) if have.count_ones() > 0 => peer.outbox.push(&Message::Bitfield(have.to_wire())),
            Some(_) | None if peer.has_fast() => peer.outbox.push(&Message::HaveNone),
            Some(_) | None => {}
        }
        self.send_extended_handshake(peer);
    }

    /// Sent again when the metadata has come, so that the peer can ask for it.
    pub(super) fn send_extended_handshake(&self, peer: &mut Peer) {
        if !peer.reserved.supports_extended() {
            return;
        }
        let size = self.info().map(|info| info.raw().len());
        let content = self.content().filter(|content| !content.is_checking());
        let handshake = ExtendedHandshake {
            ids: self.our_extensions(),
            upload_only: Some(content.is_some_and(|content| {
                content.is_finished() && !self.config.relay && !peer.offers.is_hidden()
            }))
            .filter(|is| *is || self.has_said_upload_only),
            metadata_size: size.and_then(|size| u32::try_from(size).ok()),
            reqq: Some(self.config.max_accepted_requests),
            client: Some(self.config.client.clone()),
            port: self.config.listen_port,
            your_ip: peer.origin.addr.map(|addr| addr.ip()),
        };
        peer.outbox.push(&Message::Extended {
            id: 0,
            payload: handshake.to_bytes(),
        });
    }
}

/// What a peer's score loses for breaking the protocol, and for wrong data.
const FAULT: i64 = 50;
const LIE: i64 = 1_000_000;
