//! The pieces that a reader waits for.

use super::{LinkId, OpenPiece, Pace, Picker};
use causeway_core::{PieceIndex, Time};
use core::time::Duration;

impl Picker {
    /// These pieces are waited for, and have to be there by then; the earliest first. What is due now and was late
    /// already stays so.
    pub(crate) fn set_urgent(&mut self, mut urgent: Vec<(PieceIndex, Time)>, now: Time) {
        for (piece, deadline) in urgent.iter_mut().filter(|(_, deadline)| *deadline <= now) {
            let before = self.urgent.iter().find(|(other, _)| other == piece);
            *deadline = before.map_or(*deadline, |(_, before)| (*deadline).min(*before));
        }
        self.urgent = urgent;
        self.epoch += 1;
    }

    /// The pieces that are waited for.
    pub(crate) fn urgent(&self) -> &[(PieceIndex, Time)] {
        &self.urgent
    }

    /// The first piece that is waited for and of which this link can deliver some in time, and that time.
    pub(super) fn urgent_for(
        &self,
        link: LinkId,
        pace: Pace,
        can: impl Fn(PieceIndex) -> bool,
    ) -> Option<(PieceIndex, Time)> {
        let mut before = self.asked;
        self.urgent.iter().find_map(|(piece, deadline)| {
            let free = self.free_in(*piece, link);
            before = before.saturating_add(free);
            let possible = pace.now + pace.together.saturating_mul(before);
            // The longer it is overdue, the slower are those who may try: the fast ones may not have it.
            let due = possible.max(*deadline).max(pace.first) + SLACK + 2 * pace.now.since(*deadline);
            (free > 0 && pace.arrives <= due && can(*piece)).then_some((*piece, due))
        })
    }

    /// How many blocks of this wanted piece the link could be asked for.
    fn free_in(&self, piece: PieceIndex, link: LinkId) -> u32 {
        if self.rarity.is_listed(piece) {
            return self.geometry.blocks_in(piece);
        }
        let is_others =
            |open: &OpenPiece| open.alone && open.workers > 0 && self.current.get(&link) != Some(&piece);
        let open = self
            .open
            .get(&piece)
            .filter(|open| open.wanted && !is_others(open));
        open.map_or(0, OpenPiece::free)
    }
}

/// What is late by less counts as in time.
const SLACK: Duration = Duration::from_millis(100);
