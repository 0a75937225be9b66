//! Asking for blocks and taking them.

use super::messages::misbehaved;
use super::{CloseReason, LinkId, Metadata, Output, Timer, Torrent};
use crate::allowance::Allowance;
use crate::peer::MOST_UNASKED;
use crate::picker::{Asker, Picker, Receipt};
use crate::requests::{Answer, Requests};
use causeway_core::{Block, PieceIndex, sort_by_key};
use causeway_wire::{BlockRequest, Chunks, Message};
use core::cmp::Reverse;
use core::time::Duration;

impl Torrent {
    /// Keeps the peer busy.
    pub(super) fn request_blocks(&mut self, link: LinkId) {
        let mut room = self.request_room(link);
        if room == 0 {
            return;
        }
        if !self.allowances.down.is_open(self.now) {
            self.allowances.last = link;
            self.timers
                .start_at(Timer::Allowance, self.allowances.down.opens_at());
            return;
        }
        if !self.readers.is_empty() {
            self.help_readers(link, room);
            room = self.request_room(link);
        }
        self.request_free_blocks(link, room);
        self.help_another(link);
    }

    /// How many blocks the peer is to be asked for now.
    fn request_room(&self, link: LinkId) -> usize {
        let (Metadata::Known(content), Some(peer)) = (&self.metadata, self.peers.get(&link)) else {
            return 0;
        };
        let may_ask = !peer.them.chokes || !peer.allowed_fast.is_empty();
        let is_behind = self.is_storage_behind() || content.is_hashing_behind();
        if !may_ask || !peer.us.is_interested || is_behind || self.comes_over_http(peer) {
            return 0;
        }
        let requests = &peer.requests;
        let in_flight_room = in_flight_room(&content.picker, requests, &self.allowances.down);
        let room = requests.room(self.now).min(in_flight_room);
        if self.readers.is_empty() {
            room
        } else {
            room.min(requests.brisk_depth().saturating_sub(requests.waiting().len()))
        }
    }

    /// Asks for blocks that nobody was asked for.
    fn request_free_blocks(&mut self, link: LinkId, room: usize) {
        let pace = self.pace(link);
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some(have) = peer.pieces.known() else { return };
        // What is too late for a reader today may be the best that there is tomorrow.
        let is_dry = peer.dry_at == Some(content.picker.epoch()) && self.readers.is_empty();
        if room == 0 || is_dry {
            return;
        }
        let (chokes, allowed) = (peer.them.chokes, &peer.allowed_fast);
        let can = |piece: PieceIndex| have.has(piece) && (!chokes || allowed.contains(&piece.get()));
        let mut blocks = Vec::with_capacity(room);
        let asker = Asker {
            link,
            count: room,
            pace,
            suggested: &peer.suggested,
            is_seed: peer.pieces.is_all(),
        };
        content.picker.pick(asker, can, &mut self.rng, &mut blocks);
        peer.dry_at = (blocks.len() < room).then_some(content.picker.epoch());
        for block in blocks {
            peer.ask(block, self.now);
        }
    }

    /// Asks this peer too for what a reader waits for and others deliver too late.
    fn help_readers(&mut self, link: LinkId, room: usize) {
        for block in self.late_blocks(link, room.min(MOST_HELP)) {
            if let Metadata::Known(content) = &mut self.metadata
                && content.picker.ask_also(block, link)
                && let Some(peer) = self.peers.get_mut(&link)
            {
                peer.ask(block, self.now);
            }
        }
    }

    /// The endgame: a peer that has next to nothing left to send is asked for the last blocks of those that will
    /// take longest. It starts in the middle of what such a one owes, so that they meet at the end.
    fn help_another(&mut self, link: LinkId) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let Some(peer) = self.peers.get(&link) else { return };
        let is_idle = peer.requests.is_nearly_done() && !peer.them.chokes && peer.helps_from <= self.now;
        if !is_idle || !content.picker.is_exhausted() {
            return;
        }
        let Some(have) = peer.pieces.known() else { return };
        let room = peer.requests.room(self.now).min(MOST_HELP);
        let own_time = peer.requests.time_for_more(room).max(SOON);
        let others = self.peers.iter().filter(|(other, _)| **other != link);
        let mut slower: Vec<_> = others
            .filter_map(|(_, other)| Some((other.requests.time_left(self.now)?, &other.requests)))
            .filter(|(time, _)| *time > own_time)
            .collect();
        sort_by_key(&mut slower, |(time, _)| Reverse(*time));
        let blocks: Vec<_> = slower
            .into_iter()
            .flat_map(|(_, requests)| requests.waiting().skip(requests.waiting().len() / 2))
            .filter(|block| have.has(block.piece()) && content.picker.ask_also(*block, link))
            .take(room)
            .collect();
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        if blocks.is_empty() {
            peer.helps_from = self.now + HELP_AGAIN;
        }
        for block in blocks {
            peer.ask(block, self.now);
        }
    }

    /// A block came.
    pub(super) fn block_arrived(
        &mut self,
        link: LinkId,
        piece: u32,
        offset: u32,
        data: Chunks,
    ) -> Result<(), CloseReason> {
        let Some(peer) = self.peers.get_mut(&link) else {
            return Ok(());
        };
        let length = data.len() as u64;
        self.allowances.down.charge(length);
        peer.down.add(self.now, length);
        self.totals.down.add(self.now, length);
        self.totals.carried[peer.origin.kind as usize].downloaded += length;
        let block = match &self.metadata {
            Metadata::Known(content) => {
                content
                    .geometry()
                    .block(piece, offset, u32::try_from(length).unwrap_or(u32::MAX))
            }
            Metadata::Fetching { .. } => None,
        };
        let answer = block.map_or(Answer::Unasked, |block| peer.requests.answered(block, self.now));
        let (Some(block), Answer::Expected | Answer::Late) = (block, answer) else {
            self.totals.wasted += length;
            peer.unasked += 1;
            if peer.unasked > MOST_UNASKED {
                return Err(misbehaved("it keeps sending blocks that nobody asked for"));
            }
            return Ok(());
        };
        peer.last_moved = self.now;
        self.take_block(link, block, data);
        Ok(())
    }

    /// A block is here that this link was asked for.
    pub(super) fn take_block(&mut self, link: LinkId, block: Block, data: Chunks) {
        let length = u64::from(block.length());
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        match content.picker.received(block, link) {
            Receipt::Unneeded => self.totals.wasted += length,
            Receipt::Needed(others) => {
                self.unwritten += length;
                self.out.push_back(Output::Write { block, bytes: data });
                for other in others {
                    self.cancel(other, block);
                }
            }
        }
    }

    /// The peer will not send a block that it was asked for.
    pub(super) fn peer_rejects(&mut self, link: LinkId, request: BlockRequest) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let block = content
            .geometry()
            .block(request.piece, request.offset, request.length);
        let Some(block) = block.filter(|block| peer.requests.rejected(*block)) else {
            return;
        };
        content.picker.released(block, link);
        // BEP 6: what is allowed fast is sent though the peer chokes. Who takes that back is not asked for it again, or
        // it would hold the piece for good.
        let was_allowed = peer.allowed_fast.remove(&request.piece);
        if !peer.them.chokes || was_allowed {
            peer.requests.rest(self.now);
            content.picker.leave(link);
        }
        self.touch_all();
    }

    /// The peer answers nothing from now on. Without BEP 6 it has forgotten what it was asked for; with it it
    /// says so for each.
    pub(super) fn choked(&mut self, link: LinkId) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        peer.them.chokes = true;
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        content.picker.leave(link);
        if !peer.has_fast() {
            for block in peer.requests.forgotten() {
                content.picker.released(block, link);
            }
        }
        self.touch_all();
    }

    /// What peers have owed for too long is asked of others.
    pub(super) fn give_up_overdue(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        for (link, peer) in &mut self.peers {
            let overdue = peer.requests.overdue(self.now);
            if overdue.is_empty() {
                continue;
            }
            if peer.requests.is_snubbed() {
                content.picker.leave(*link);
            }
            for block in overdue {
                content.picker.released(block, *link);
                peer.outbox.push(&Message::Cancel(BlockRequest::from(block)));
            }
        }
    }

    /// Takes back requests for pieces that nobody wants any more.
    pub(super) fn cancel_unwanted(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        for (link, peer) in &mut self.peers {
            let unwanted = |block: &Block| !content.lacks(block.piece());
            let blocks: Vec<_> = peer.requests.waiting().filter(unwanted).collect();
            for block in blocks {
                peer.requests.cancelled(block);
                content.picker.released(block, *link);
                peer.outbox.push(&Message::Cancel(BlockRequest::from(block)));
            }
        }
    }

    fn cancel(&mut self, link: LinkId, block: Block) {
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.requests.cancelled(block)
        {
            peer.outbox.push(&Message::Cancel(BlockRequest::from(block)));
            self.touched.insert(link);
        }
        if let Some(seed) = self.web_seeds.get_mut(&link) {
            seed.disown(block);
        }
    }
}

/// How many more blocks may be asked for, of all peers together; a few of each in any case.
fn in_flight_room(picker: &Picker, requests: &Requests, allowance: &Allowance) -> usize {
    let allowed = allowance.blocks_in_flight();
    let of_all = MOST_IN_FLIGHT
        .min(allowed)
        .saturating_sub(picker.asked() as usize);
    let of_one = LEAST_IN_FLIGHT
        .min(allowed.div_ceil(4))
        .saturating_sub(requests.waiting().len());
    of_all.max(of_one)
}

/// Blocks that are asked for at once, of all peers: 64 MiB arrive at the most if storage stops answering.
const MOST_IN_FLIGHT: usize = 4096;
/// Blocks that any one peer may be asked for nevertheless.
const LEAST_IN_FLIGHT: usize = 4;
/// Blocks that are asked of a second peer in one go.
const MOST_HELP: usize = 32;
/// Who will be done by then is not helped.
const SOON: Duration = Duration::from_millis(500);
/// When to look again for somebody to help after nobody was found.
const HELP_AGAIN: Duration = Duration::from_millis(100);
