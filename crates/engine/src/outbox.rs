//! What is to be sent on one link.

use bytes::{Bytes, BytesMut};
use causeway_core::Block;
use causeway_wire::{Message, piece_header};
use std::collections::VecDeque;

use crate::{LinkId, Output};

/// The small messages of one input go out together; a block goes out as it lies in memory, after its header.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    small: BytesMut,
    budget: usize,
    /// Bytes of small messages that were sent although the link took none.
    debt: usize,
}

impl Outbox {
    /// The link takes so many bytes from now on.
    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        if budget > 0 {
            self.debt = 0;
        }
    }

    /// Whether the link takes a message with so many bytes of payload now.
    pub(crate) fn takes(&self, payload: usize) -> bool {
        self.budget >= self.small.len().saturating_add(payload).saturating_add(OVERHEAD)
    }

    /// Whether the peer has let more small messages pile up than any honest one would.
    pub(crate) fn is_stuck(&self) -> bool {
        self.debt > MOST_DEBT
    }

    /// Writes a small message.
    pub(crate) fn push(&mut self, message: &Message) {
        self.make_room();
        message.encode(&mut self.small);
    }

    /// Writes bytes that are not a message.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// Sends a block, after everything that was written before.
    pub(crate) fn send_block(&mut self, link: LinkId, block: Block, data: Bytes, out: &mut VecDeque<Output>) {
        self.make_room();
        let header = piece_header(block.piece().get(), block.offset(), block.length());
        self.small.extend_from_slice(&header);
        self.flush(link, out);
        self.budget = self.budget.saturating_sub(data.len());
        out.push_back(Output::Send { link, bytes: data });
    }

    /// Takes memory for many small messages at once: what is sent of it is split off, not copied.
    fn make_room(&mut self) {
        if self.small.capacity() - self.small.len() < OVERHEAD {
            self.small.reserve(CHUNK);
        }
    }

    /// Sends what was written. Says whether that was anything.
    pub(crate) fn flush(&mut self, link: LinkId, out: &mut VecDeque<Output>) -> bool {
        if self.small.is_empty() {
            return false;
        }
        let bytes = self.small.split().freeze();
        self.debt += bytes.len().saturating_sub(self.budget);
        self.budget = self.budget.saturating_sub(bytes.len());
        out.push_back(Output::Send { link, bytes });
        true
    }
}

/// Room for the header of a block or of an extension message.
const OVERHEAD: usize = 64;
/// Memory for small messages that is taken at once.
const CHUNK: usize = 1024;
/// Small messages beyond the budget: 1 MiB.
const MOST_DEBT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::Geometry;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const LINK: LinkId = LinkId(1);

    fn sent(out: &mut VecDeque<Output>) -> Vec<Bytes> {
        let bytes = |output| {
            let Output::Send { link: LINK, bytes } = output else {
                panic!("{output:?}")
            };
            bytes
        };
        out.drain(..).map(bytes).collect()
    }

    #[test]
    fn small_messages_go_out_in_one_part_and_a_block_as_it_lies() {
        let (mut outbox, mut out) = (Outbox::default(), VecDeque::new());
        outbox.push(&Message::Unchoke);
        outbox.push(&Message::Have(3));
        let data = Bytes::from(vec![7; 100]);
        let block = Geometry::new(100, 100)
            .expect("valid")
            .block(0, 0, 100)
            .expect("in range");
        outbox.send_block(LINK, block, data.clone(), &mut out);
        let parts = sent(&mut out);
        assert_eq!(
            parts.iter().map(Bytes::len).collect::<Vec<_>>(),
            [5 + 9 + 13, 100]
        );
        assert_eq!(parts[1].as_ptr(), data.as_ptr(), "not copied");
        assert!(!outbox.flush(LINK, &mut out));
    }

    #[test]
    fn the_budget_is_used_up_by_all_that_is_sent() {
        let (mut outbox, mut out) = (Outbox::default(), VecDeque::new());
        assert!(!outbox.takes(0), "zero until something else is said");
        outbox.set_budget(1000);
        assert!(outbox.takes(900));
        (0..20).for_each(|piece| outbox.push(&Message::Have(piece)));
        assert!(!outbox.takes(900), "what waits counts");
        outbox.flush(LINK, &mut out);
        assert!(!outbox.takes(900), "what was sent counts");
        assert!(outbox.takes(700));
    }

    #[test]
    fn a_peer_that_reads_nothing_is_noticed() {
        let (mut outbox, mut out) = (Outbox::default(), VecDeque::new());
        outbox.push_bytes(&vec![0; MOST_DEBT]);
        outbox.flush(LINK, &mut out);
        assert!(!outbox.is_stuck());
        outbox.push(&Message::Unchoke);
        outbox.flush(LINK, &mut out);
        assert!(outbox.is_stuck());
        outbox.set_budget(1);
        assert!(!outbox.is_stuck());
    }
}
