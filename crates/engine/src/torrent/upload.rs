//! Serving blocks.

use super::messages::misbehaved;
use super::{Bytes, CloseReason, Content, LinkId, Metadata, Timer, Torrent};
use crate::allowed_fast::{MOST_GRANTED, allowed_pieces};
use crate::uploads::{INSPECTOR, LONGEST_BLOCK, Readers};
use causeway_core::Block;
use causeway_wire::{BlockRequest, Message};
use core::net::IpAddr;

impl Torrent {
    /// The peer asks for a block. What it can't have is rejected where the peer speaks BEP 6.
    pub(super) fn peer_asks(&mut self, link: LinkId, request: BlockRequest) -> Result<(), CloseReason> {
        let block = self.content().and_then(|content| servable(content, request));
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let most = self.config.max_accepted_requests as usize;
        let has_room = !peer.us.chokes && peer.uploads.len() < most;
        match block {
            Some(block) if peer.uploads.len() < most && (!peer.us.chokes || peer.grants.take(block)) => {
                peer.uploads.ask(block);
                peer.offers.asked(block);
                Ok(())
            }
            None if has_room && self.config.relay && self.demand(link, request) => Ok(()),
            Some(_) | None => self.refuse(link, request, block),
        }
    }

    /// The peer can't have the block.
    fn refuse(
        &mut self,
        link: LinkId,
        request: BlockRequest,
        block: Option<Block>,
    ) -> Result<(), CloseReason> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let most = self.config.max_accepted_requests as usize;
        match block {
            _ if peer.has_fast() => {
                peer.outbox.push(&Message::Reject(request));
                Ok(())
            }
            // The request and our choke crossed.
            Some(_) if peer.us.chokes => Ok(()),
            Some(_) => Err(misbehaved(format!("it has more than {most} requests waiting"))),
            // It may have gone since.
            None if self.config.relay => Ok(()),
            None => Err(misbehaved(
                "it asked for what we don't have or nobody sends in one go",
            )),
        }
    }

    /// A new peer has nothing to give yet: it may have some pieces although we choke it (BEP 6), unless the user gives
    /// nothing.
    pub(super) fn grant_pieces(&mut self, link: LinkId) {
        let (Metadata::Known(content), Some(peer)) = (&self.metadata, self.peers.get_mut(&link)) else {
            return;
        };
        let is_new = peer
            .pieces
            .known()
            .is_some_and(|have| have.count_ones() < MOST_GRANTED);
        let addr = peer.origin.addr.map(|addr| addr.ip().to_canonical());
        let gives = self.config.limits.upload_slots > 0 && self.config.limits.upload_rate > 0;
        let (true, Some(IpAddr::V4(addr))) = (is_new && gives && peer.has_fast(), addr) else {
            return;
        };
        if !peer.us.chokes || !peer.grants.is_due() || peer.offers.is_hidden() {
            return;
        }
        let have = content.have();
        let mut pieces = allowed_pieces(addr, self.info_hash, content.geometry());
        pieces.retain(|piece| have.has(*piece));
        for piece in &pieces {
            peer.outbox.push(&Message::AllowedFast(piece.get()));
        }
        peer.grants.give(&pieces, content.geometry());
    }

    /// The peer takes a request back. A block that is being read is sent nonetheless.
    pub(super) fn peer_cancels(&mut self, link: LinkId, request: BlockRequest) {
        let is_relayed = self.config.relay;
        let block = self.content().and_then(|content| {
            let exists = content
                .geometry()
                .block(request.piece, request.offset, request.length);
            servable(content, request).or(exists.filter(|_| is_relayed))
        });
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if block.is_some_and(|block| peer.uploads.cancel(block)) && peer.has_fast() {
            peer.outbox.push(&Message::Reject(request));
        }
    }

    /// Storage answers a read.
    pub(super) fn block_read(&mut self, block: Block, result: Result<Bytes, crate::StorageError>) {
        let was_full = self.reads.is_full();
        let result = match result {
            Ok(data) if data.len() == block.length() as usize => Ok(data),
            Ok(data) => {
                let (wanted, found) = (block.length(), data.len());
                let text =
                    format!("{found} bytes were read where {wanted} were asked for: the file was changed");
                Err(crate::StorageError::Failed(text))
            }
            Err(error) => Err(error),
        };
        let readers = self.reads.finish(block);
        for link in readers.iter().flat_map(Readers::iter) {
            if link == INSPECTOR {
                self.evidence_read(block, result.as_ref().ok().map(|data| &data[..]));
            }
            let Some(peer) = self.peers.get_mut(&link) else {
                continue;
            };
            let may_have = !peer.us.chokes || peer.grants.has(block.piece());
            let data = result.as_ref().ok().filter(|_| may_have).cloned();
            if data.is_none() && peer.has_fast() {
                peer.outbox.push(&Message::Reject(BlockRequest::from(block)));
            }
            peer.uploads.was_read(block, data);
            self.touched.insert(link);
        }
        if was_full {
            self.touch_all();
        }
        if result.is_ok() && readers.is_some() {
            self.was_read_whole(block);
        }
        let is_had = self
            .content()
            .is_some_and(|content| content.have().has(block.piece()));
        if let Err(error) = result
            && readers.is_some()
            && is_had
        {
            self.fail(error);
        }
    }

    /// Sends what is at hand within what the link takes, and starts reading what comes after it.
    pub(super) fn send_blocks(&mut self, link: LinkId) {
        self.send_metadata(link);
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        loop {
            if !self.allowances.up.is_open(self.now) {
                if !peer.uploads.is_empty() {
                    self.allowances.last = link;
                    self.timers
                        .start_at(Timer::Allowance, self.allowances.up.opens_at());
                }
                break;
            }
            let next = peer.uploads.next_block(|length| peer.outbox.takes(length));
            let Some((block, data)) = next else { break };
            self.allowances.up.charge(block.length().into());
            peer.outbox.send_block(link, block, data, &mut self.out);
            (peer.last_sent, peer.last_moved) = (self.now, self.now);
            peer.up.add(self.now, block.length().into());
            self.totals.up.add(self.now, block.length().into());
            self.totals.carried[peer.origin.kind as usize].uploaded += u64::from(block.length());
        }
        self.reads.start(link, &mut peer.uploads, &mut self.out);
    }
}

/// The block, if it exists, is verified, and is no longer than what everybody takes.
fn servable(content: &Content, request: BlockRequest) -> Option<Block> {
    let block = content
        .geometry()
        .block(request.piece, request.offset, request.length)?;
    (request.length <= LONGEST_BLOCK && content.have().has(block.piece())).then_some(block)
}
