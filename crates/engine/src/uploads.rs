//! What peers asked of us: their requests, the reads under way for them, the blocks that wait for room on a link.

use bytes::Bytes;
use causeway_core::{Block, PieceIndex};
use std::collections::VecDeque;

use crate::{LinkId, Output};

/// What one peer asked for and has not got. Blocks go out in the order in which they were asked for, so that
/// the peer completes piece after piece.
///
/// Invariant: `held` is the bytes of the blocks in `next`.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    /// Blocks that are being read, or at hand.
    next: VecDeque<(Block, Option<Bytes>)>,
    held: usize,
    /// Blocks that come after those.
    asked: VecDeque<Block>,
    /// Blocks of pieces that are not here yet.
    awaited: Vec<Block>,
    /// Parts of the metadata (BEP 9).
    metadata: VecDeque<u32>,
}

impl Uploads {
    /// Requests for blocks that wait.
    pub(crate) fn len(&self) -> usize {
        self.next.len() + self.asked.len() + self.awaited.len()
    }

    /// Whether nothing is asked for that is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.asked.is_empty()
    }

    /// Whether something is at hand that waits for nothing but room on the link.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_metadata() || self.next.front().is_some_and(|(_, data)| data.is_some())
    }

    /// The peer asks for this block.
    pub(crate) fn ask(&mut self, block: Block) {
        self.asked.push_back(block);
    }

    /// The peer asks for this block of a piece that is to come.
    pub(crate) fn wait_for(&mut self, block: Block) {
        self.awaited.push(block);
    }

    /// The piece is there, and what the peer asked for of it is sent.
    pub(crate) fn arrived(&mut self, piece: PieceIndex) {
        let blocks = self.awaited.extract_if(.., |block| block.piece() == piece);
        self.asked.extend(blocks);
    }

    /// The piece is gone: what the peer asked for of it waits until it comes again.
    pub(crate) fn lost(&mut self, piece: PieceIndex) {
        let asked = core::mem::take(&mut self.asked);
        let (lost, kept): (VecDeque<_>, _) = asked.into_iter().partition(|block| block.piece() == piece);
        self.asked = kept;
        self.awaited.extend(lost);
    }

    /// Takes back what the peer asked for of a piece that does not come.
    pub(crate) fn given_up(&mut self, piece: PieceIndex) -> Vec<Block> {
        self.awaited
            .extract_if(.., |block| block.piece() == piece)
            .collect()
    }

    /// Whether the peer has asked for something of this piece and not got it.
    pub(crate) fn wants(&self, piece: PieceIndex) -> bool {
        let next = self.next.iter().map(|(block, _)| block);
        let mut all = next.chain(&self.asked).chain(&self.awaited);
        all.any(|block| block.piece() == piece)
    }

    /// The peer asks for this part of the metadata. Says whether there is room for that.
    pub(crate) fn ask_metadata(&mut self, part: u32) -> bool {
        let has_room = self.metadata.len() < MOST_METADATA;
        if has_room {
            self.metadata.push_back(part);
        }
        has_room
    }

    /// Takes the next part of the metadata to send.
    pub(crate) fn next_metadata(&mut self) -> Option<u32> {
        self.metadata.pop_front()
    }

    /// Whether parts of the metadata wait to be sent.
    pub(crate) fn has_metadata(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// Takes the block that is to be sent next, if it is at hand and the link `takes` so many bytes.
    pub(crate) fn next_block(&mut self, takes: impl Fn(usize) -> bool) -> Option<(Block, Bytes)> {
        let (block, data) = self.next.front_mut()?;
        let (block, data) = (*block, data.take_if(|data| takes(data.len()))?);
        self.drop_next(0);
        Some((block, data))
    }

    /// The block was read for this peer; `None` where the peer may not have it any more.
    pub(crate) fn was_read(&mut self, block: Block, data: Option<Bytes>) {
        let Some(place) = self
            .next
            .iter()
            .position(|(next, data)| *next == block && data.is_none())
        else {
            return;
        };
        match data {
            Some(data) => self.next[place].1 = Some(data),
            None => self.drop_next(place),
        }
    }

    /// Takes a request back, unless it is being read. Says whether it was there.
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        if let Some(place) = self.asked.iter().position(|asked| *asked == block) {
            self.asked.remove(place);
            return true;
        }
        if let Some(place) = self.awaited.iter().position(|awaited| *awaited == block) {
            self.awaited.remove(place);
            return true;
        }
        let place = self
            .next
            .iter()
            .position(|(next, data)| *next == block && data.is_some());
        place.inspect(|place| self.drop_next(*place)).is_some()
    }

    /// Takes back all requests for blocks that aren't being read.
    pub(crate) fn cancel_all(&mut self) -> Vec<Block> {
        let mut blocks = Vec::with_capacity(self.len());
        self.next.retain(|(block, data)| {
            if data.is_some() {
                self.held -= block.length() as usize;
                blocks.push(*block);
            }
            data.is_none()
        });
        blocks.extend(self.asked.drain(..));
        blocks.append(&mut self.awaited);
        blocks
    }

    /// For tests: the invariant, and the bounds.
    pub(crate) fn check_invariants(&self) {
        let held: usize = self.next.iter().map(|(block, _)| block.length() as usize).sum();
        assert_eq!(self.held, held, "bytes that are read or at hand");
        // One block may be longer than the rest of the room.
        assert!(
            held < READ_AHEAD + LONGEST_BLOCK as usize,
            "{held} bytes are read ahead"
        );
        assert!(self.metadata.len() <= MOST_METADATA, "parts of the metadata");
    }

    fn drop_next(&mut self, place: usize) {
        if let Some((block, _)) = self.next.remove(place) {
            self.held -= block.length() as usize;
        }
    }
}

/// The reads under way, of all peers; a block that several ask for is read once.
///
/// Invariant: `bytes` adds up the blocks in `waiting`, which is strictly ascending by block.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Reads nearly always start at one end and finish at the other.
    waiting: VecDeque<(Block, Readers)>,
    bytes: usize,
}

/// Whom a block is read for, each once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readers {
    first: LinkId,
    /// Nearly always empty.
    others: Vec<LinkId>,
}

impl Readers {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = LinkId> {
        core::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// Says whether it was none of them.
    fn insert(&mut self, link: LinkId) -> bool {
        let is_new = self.iter().all(|reader| reader != link);
        if is_new {
            self.others.push(link);
        }
        is_new
    }
}

impl Reads {
    /// Starts reading what this peer asked for, within the bounds.
    pub(crate) fn start(&mut self, link: LinkId, uploads: &mut Uploads, out: &mut VecDeque<Output>) {
        while uploads.held < READ_AHEAD && self.bytes < MOST_READING {
            let Some(block) = uploads.asked.pop_front() else {
                return;
            };
            match self.join(block, link) {
                Join::First => out.push_back(Output::Read { block }),
                Join::Further => {}
                // The peer asked twice: one answer is enough.
                Join::Already => continue,
            }
            uploads.next.push_back((block, None));
            uploads.held += block.length() as usize;
        }
    }

    /// This block is to be read for ourselves, too. Says whether it has to be read for that.
    pub(crate) fn inspect(&mut self, block: Block) -> bool {
        self.join(block, INSPECTOR) == Join::First
    }

    /// The block was read or could not be: tells whom it was read for, if for anybody.
    pub(crate) fn finish(&mut self, block: Block) -> Option<Readers> {
        let (_, readers) = match self.waiting.front() {
            Some((first, _)) if *first == block => self.waiting.pop_front()?,
            _ => self.waiting.remove(self.find(block).ok()?)?,
        };
        self.bytes -= block.length() as usize;
        Some(readers)
    }

    /// Whether nothing more is read before something has been: others than those read for may wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= MOST_READING
    }

    /// For tests: the invariant, and the bounds.
    pub(crate) fn check_invariants(&self) {
        assert!(self.waiting.iter().is_sorted_by(|(a, _), (b, _)| a < b));
        let bytes = self.waiting.iter().map(|(block, _)| block.length() as usize);
        let bytes: usize = bytes.sum();
        assert_eq!(self.bytes, bytes, "bytes that are being read");
        // What is read to find a liar comes on top.
        let most = MOST_READING + READ_AHEAD + LONGEST_BLOCK as usize;
        assert!(bytes < most, "{bytes} bytes are being read");
    }

    fn find(&self, block: Block) -> Result<usize, usize> {
        if self.waiting.back().is_none_or(|(last, _)| *last < block) {
            return Err(self.waiting.len());
        }
        self.waiting.binary_search_by_key(&block, |(block, _)| *block)
    }

    fn join(&mut self, block: Block, link: LinkId) -> Join {
        match self.find(block) {
            Ok(place) if self.waiting[place].1.insert(link) => Join::Further,
            Ok(_) => Join::Already,
            Err(place) => {
                let readers = Readers {
                    first: link,
                    others: Vec::new(),
                };
                self.waiting.insert(place, (block, readers));
                self.bytes += block.length() as usize;
                Join::First
            }
        }
    }
}

/// What asking for a block came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// It has to be read.
    First,
    /// It is being read for others.
    Further,
    /// It is being read for this one.
    Already,
}

/// Stands for ourselves among those that blocks are read for; no link has this name.
pub(crate) const INSPECTOR: LinkId = LinkId(u64::MAX);
/// Deployed clients close the link at requests for longer blocks.
pub(crate) const LONGEST_BLOCK: u32 = 128 * 1024;
/// Bytes that are read for one peer before it takes them.
const READ_AHEAD: usize = 1024 * 1024;
/// Bytes that are read at once for all peers.
const MOST_READING: usize = 16 * 1024 * 1024;
/// Parts of the metadata that one peer may ask for at once: those of 16 MiB.
const MOST_METADATA: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::{BLOCK_LENGTH, Geometry};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const A: LinkId = LinkId(1);
    const B: LinkId = LinkId(2);

    fn block(index: u32) -> Block {
        let geometry = Geometry::new(1 << 32, 1 << 22).expect("valid");
        geometry
            .block(index / 256, index % 256 * BLOCK_LENGTH, BLOCK_LENGTH)
            .expect("in range")
    }

    fn data() -> Bytes {
        vec![0; BLOCK_LENGTH as usize].into()
    }

    fn asking(blocks: core::ops::Range<u32>) -> Uploads {
        let mut uploads = Uploads::default();
        blocks.for_each(|index| uploads.ask(block(index)));
        uploads
    }

    fn finished(reads: &mut Reads, block: Block) -> Vec<LinkId> {
        let readers = reads.finish(block);
        readers.iter().flat_map(Readers::iter).collect()
    }

    #[test]
    fn a_block_that_two_ask_for_is_read_once_and_given_to_both() {
        let (mut reads, mut out) = (Reads::default(), VecDeque::new());
        let (mut a, mut b) = (asking(0..2), asking(1..3));
        reads.start(A, &mut a, &mut out);
        reads.start(B, &mut b, &mut out);
        assert_eq!(out.len(), 3, "{out:?}");
        assert_eq!(finished(&mut reads, block(1)), [A, B]);
        assert_eq!(finished(&mut reads, block(1)), [], "it was answered");
        assert_eq!(finished(&mut reads, block(0)), [A]);
        assert_eq!(finished(&mut reads, block(2)), [B]);
        assert_eq!(reads.bytes, 0);
    }

    #[test]
    fn reading_ahead_is_bounded_until_the_link_takes_blocks() {
        let (mut reads, mut out) = (Reads::default(), VecDeque::new());
        let mut uploads = asking(0..1000);
        reads.start(A, &mut uploads, &mut out);
        let first = out.len();
        assert_eq!(first, READ_AHEAD / BLOCK_LENGTH as usize);
        for index in 0..4 {
            finished(&mut reads, block(index));
            uploads.was_read(block(index), Some(data()));
        }
        reads.start(A, &mut uploads, &mut out);
        assert_eq!(out.len(), first, "what is ready counts");
        assert_eq!(uploads.next_block(|_| false), None, "the link takes nothing");
        assert_eq!(
            uploads.next_block(|_| true).map(|(block, _)| block),
            Some(block(0))
        );
        reads.start(A, &mut uploads, &mut out);
        assert_eq!(out.len(), first + 1);
        assert_eq!(uploads.len(), 999);
    }

    #[test]
    fn blocks_go_out_in_the_order_in_which_they_were_asked_for() {
        let (mut reads, mut out) = (Reads::default(), VecDeque::new());
        let mut uploads = asking(0..3);
        reads.start(A, &mut uploads, &mut out);
        uploads.was_read(block(2), Some(data()));
        uploads.was_read(block(1), Some(data()));
        assert_eq!(uploads.next_block(|_| true), None);
        uploads.was_read(block(0), Some(data()));
        let next = || uploads.next_block(|_| true).map(|(block, _)| block);
        assert_eq!(
            core::iter::from_fn(next).collect::<Vec<_>>(),
            [block(0), block(1), block(2)]
        );
    }

    #[test]
    fn the_reads_of_all_peers_are_bounded_together() {
        let (mut reads, mut out) = (Reads::default(), VecDeque::new());
        for peer in 0..100u32 {
            reads.start(
                LinkId(peer.into()),
                &mut asking(peer * 1000..peer * 1000 + 1000),
                &mut out,
            );
        }
        assert!(reads.is_full());
        assert_eq!(out.len(), MOST_READING / BLOCK_LENGTH as usize);
    }

    #[test]
    fn what_is_taken_back_is_not_sent_and_no_longer_counts() {
        let (mut reads, mut out) = (Reads::default(), VecDeque::new());
        let mut uploads = asking(0..3);
        reads.start(A, &mut uploads, &mut out);
        uploads.was_read(block(0), Some(data()));
        uploads.ask(block(9));
        assert!(uploads.cancel(block(0)) && uploads.cancel(block(9)));
        assert!(!uploads.cancel(block(1)), "it is being read");
        uploads.was_read(block(1), Some(data()));
        uploads.ask(block(5));
        assert_eq!(uploads.cancel_all(), [block(1), block(5)]);
        uploads.was_read(block(2), None);
        assert_eq!((uploads.len(), uploads.held), (0, 0));
    }
}
