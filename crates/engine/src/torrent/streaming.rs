//! Readers: what they wait for comes before everything else, and in time.

use super::{LinkId, Metadata, Time, Torrent};
use crate::Reader;
use crate::content::Content;
use crate::peer::Peer;
use crate::picker::Pace;
use causeway_core::{BLOCK_LENGTH, Block, PieceIndex, sort_by_key};
use causeway_wire::{BlockRequest, Message};
use core::time::Duration;

impl Torrent {
    /// These are reading from now on.
    pub(super) fn stream(&mut self, readers: Vec<Reader>) {
        self.readers = readers;
        self.readers.truncate(MOST_READERS);
        self.plan_streaming();
        self.make_way_for_readers();
        self.touch_all();
    }

    /// Works out what the readers wait for.
    pub(super) fn plan_streaming(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let mut urgent: Vec<_> = self
            .readers
            .iter()
            .flat_map(|reader| deadlines(content, reader, self.now))
            .collect();
        // A piece that several wait for is due at the earliest.
        sort_by_key(&mut urgent, |urgent| *urgent);
        urgent.dedup_by_key(|(piece, _)| *piece);
        sort_by_key(&mut urgent, |(piece, deadline)| (*deadline, *piece));
        urgent.truncate(MOST_URGENT);
        content.picker.set_urgent(urgent, self.now);
    }

    /// How fast this peer is beside the others.
    pub(super) fn pace(&self, link: LinkId) -> Pace {
        let now = self.now;
        let mut pace = Pace {
            now,
            arrives: now,
            each: Duration::ZERO,
            first: now,
            together: Duration::ZERO,
        };
        if self.readers.is_empty() {
            return pace;
        }
        let serves = |peer: &&Peer| !peer.them.chokes && peer.us.is_interested;
        let (mut all, mut first) = (0u64, Duration::MAX);
        for peer in self.peers.values().filter(serves) {
            all = all.saturating_add(peer.requests.rate().unwrap_or(USUAL_RATE));
            first = first.min(peer.requests.time_for_more(1));
        }
        if let Some(peer) = self.peers.get(&link) {
            pace.arrives = now + peer.requests.time_for_more(1);
            pace.each = block_time(peer.requests.rate().unwrap_or(USUAL_RATE));
        }
        pace.first = now + first;
        pace.together = block_time(all);
        pace
    }

    /// Blocks that are due soon and that others will not deliver in time, of which this peer can do so much sooner.
    pub(super) fn late_blocks(&self, link: LinkId, room: usize) -> Vec<Block> {
        let Metadata::Known(content) = &self.metadata else {
            return Vec::new();
        };
        let Some(peer) = self.peers.get(&link) else {
            return Vec::new();
        };
        let Some(have) = peer.pieces.known().filter(|_| !peer.them.chokes) else {
            return Vec::new();
        };
        let own = peer.requests.time_for_more(1) + SLACK;
        let soon = self.now + SOON;
        let due = content
            .picker
            .urgent()
            .iter()
            .take_while(|(_, deadline)| *deadline <= soon);
        let blocks = due
            .filter(|(piece, _)| have.has(*piece))
            .flat_map(|(piece, _)| content.picker.asked_once(*piece));
        let is_late = |(block, other): &(Block, LinkId)| {
            let other = self.peers.get(other).filter(|_| *other != link);
            other.is_some_and(|other| other.requests.time_until(*block, self.now) > own)
        };
        blocks
            .filter(is_late)
            .map(|(block, _)| block)
            .take(room)
            .collect()
    }

    /// After a seek, peers send what was wanted before for up to a second: most of that is taken back.
    fn make_way_for_readers(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        if content.picker.urgent().is_empty() {
            return;
        }
        for (link, peer) in &mut self.peers {
            let is_urgent = |block: &Block| {
                content
                    .picker
                    .urgent()
                    .iter()
                    .any(|(piece, _)| *piece == block.piece())
            };
            let others: Vec<_> = peer
                .requests
                .waiting()
                .skip(ON_THEIR_WAY)
                .filter(|block| !is_urgent(block))
                .collect();
            for block in others {
                peer.requests.cancelled(block);
                content.picker.released(block, *link);
                peer.outbox.push(&Message::Cancel(BlockRequest::from(block)));
            }
        }
    }
}

/// The pieces that this reader waits for, and when it will need each.
fn deadlines(content: &Content, reader: &Reader, now: Time) -> impl Iterator<Item = (PieceIndex, Time)> {
    let geometry = content.geometry();
    let Reader { position, end, rate } = *reader;
    let pieces = geometry
        .pieces_of(position..end)
        .filter(|piece| content.lacks(*piece));
    pieces.take(MOST_URGENT).map(move |piece| {
        let ahead = geometry.start_of(piece).saturating_sub(position);
        let micros = u128::from(ahead) * 1_000_000 / u128::from(rate.max(1));
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        (piece, now + Duration::from_micros(micros))
    })
}

fn block_time(bytes_per_second: u64) -> Duration {
    Duration::from_micros(u64::from(BLOCK_LENGTH) * 1_000_000 / bytes_per_second.max(1))
}

/// Bytes a second that a peer is taken to deliver of which nothing is known.
const USUAL_RATE: u64 = 300_000;
/// Readers at once.
pub(super) const MOST_READERS: usize = 16;
/// Pieces that are planned ahead, of all readers.
const MOST_URGENT: usize = 256;
/// What is due by then is asked of a second peer where the first is late.
const SOON: Duration = Duration::from_secs(5);
/// Differences of time that do not matter.
const SLACK: Duration = Duration::from_millis(200);
/// The first requests of a peer are most likely being answered: their blocks fill the 64 KiB that links buffer.
const ON_THEIR_WAY: usize = 4;
