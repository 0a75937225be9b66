//! The picker's invariants, for tests.

use super::{BlockState, LinkId, Picker};
use causeway_core::{Block, SortedSet};

impl Picker {
    /// `availability` is what the peers' bitfields add up to; `asked` what each link owes; `links` are those of
    /// the connected peers.
    pub(crate) fn check_invariants(
        &self,
        availability: &[u32],
        asked: &SortedSet<(Block, LinkId)>,
        links: &[LinkId],
    ) {
        assert!(
            self.current.keys().all(|link| links.contains(link)),
            "only the connected work"
        );
        self.rarity.check_invariants(availability);
        let mut missing = 0;
        let mut expected = SortedSet::new();
        for (piece, open) in &self.open {
            open.check_invariants();
            assert!(!self.rarity.is_listed(*piece), "{piece:?} is open and listed");
            assert_eq!(
                self.with_free.contains(piece),
                open.wanted && open.has_free(),
                "{piece:?}"
            );
            let workers = self.current.values().filter(|current| *current == piece).count();
            assert_eq!(workers, open.workers as usize, "{piece:?}");
            missing += if open.wanted { open.missing() } else { 0 };
            let blocks = open.asked().filter_map(|(index, link)| {
                super::block_at(self.geometry, *piece, index).map(|block| (block, link))
            });
            expected.extend(blocks);
        }
        for (block, links) in &self.duplicates {
            let state = self
                .open
                .get(&block.piece())
                .and_then(|open| open.state(block.index()));
            assert!(
                matches!(state, Some(BlockState::Asked(_))),
                "{block:?} is {state:?}"
            );
            expected.extend(links.iter().map(|link| (*block, *link)));
        }
        assert_eq!(self.missing, missing, "blocks still to arrive");
        let blocks: SortedSet<_> = expected.iter().map(|(block, _)| block).collect();
        assert_eq!(self.asked as usize, blocks.len(), "blocks that were asked for");
        assert_eq!(&expected, asked, "what was asked is what the links owe");
        assert!(self.with_free.iter().all(|piece| self.open.contains_key(piece)));
    }
}
