//! Peers that were here before: what each was worth outlasts its link.

use causeway_core::{SortedMap, sort_by_key};
use core::cmp::Reverse;
use core::net::SocketAddr;

/// A peer that may be connected to, and what it has been worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// Where it takes connections.
    pub addr: SocketAddr,
    /// As [`PeerView::score`](crate::PeerView::score), over all its links.
    pub score: i64,
}

/// The scores of a bounded number of peers, the best ones.
#[derive(Debug, Default)]
pub(crate) struct Acquaintances {
    scores: SortedMap<SocketAddr, i64>,
}

impl Acquaintances {
    pub(crate) fn new(peers: &[KnownPeer]) -> Self {
        let mut known = Self::default();
        for peer in peers {
            known.remember(*peer);
        }
        known
    }

    /// The peer has been worth so much up to now. Of too many the least known one is forgotten: the one whose score is
    /// nearest to nothing.
    pub(crate) fn remember(&mut self, peer: KnownPeer) {
        self.scores.insert(peer.addr, peer.score);
        if self.scores.len() > MOST_KNOWN {
            let least = self.scores.iter().min_by_key(|(_, score)| score.unsigned_abs());
            if let Some(addr) = least.map(|(addr, _)| *addr) {
                self.scores.remove(&addr);
            }
        }
    }

    /// For tests: the bound.
    pub(crate) fn check_invariants(&self) {
        assert!(self.scores.len() <= MOST_KNOWN, "{} are known", self.scores.len());
    }

    /// What the peer at this address has been worth; nothing where it is not known.
    pub(crate) fn score_of(&self, addr: SocketAddr) -> i64 {
        self.scores.get(&addr).copied().unwrap_or(0)
    }

    /// All of them, and these, which are connected; the best first.
    pub(crate) fn with(&self, connected: impl Iterator<Item = KnownPeer>) -> Vec<KnownPeer> {
        let mut scores = self.scores.clone();
        scores.extend(connected.map(|peer| (peer.addr, peer.score)));
        let mut peers: Vec<_> = scores
            .into_iter()
            .map(|(addr, score)| KnownPeer { addr, score })
            .collect();
        sort_by_key(&mut peers, |peer| (Reverse(peer.score), peer.addr));
        peers.truncate(MOST_KNOWN);
        peers
    }
}

/// Peers whose scores are remembered.
pub(crate) const MOST_KNOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn peer(number: u8, score: i64) -> KnownPeer {
        KnownPeer {
            addr: ([1, 1, 1, number], 1).into(),
            score,
        }
    }

    #[test]
    fn the_best_come_first_and_those_connected_count_as_they_are_now() {
        let known = Acquaintances::new(&[peer(1, 5), peer(2, -3), peer(3, 9)]);
        assert_eq!(
            known.with([peer(1, 20), peer(4, 0)].into_iter()),
            [peer(1, 20), peer(3, 9), peer(4, 0), peer(2, -3)]
        );
        assert_eq!(
            (known.score_of(peer(3, 0).addr), known.score_of(peer(9, 0).addr)),
            (9, 0)
        );
    }

    #[test]
    fn of_too_many_the_one_is_forgotten_of_which_least_is_known() {
        let mut known = Acquaintances::default();
        for number in 0..=199 {
            known.remember(peer(
                number,
                if number == 7 { 0 } else { i64::from(number) - 300 },
            ));
        }
        known.remember(peer(200, -1));
        assert_eq!(known.with(core::iter::empty()).len(), MOST_KNOWN);
        assert!(!known.scores.contains_key(&peer(7, 0).addr));
        assert_eq!(known.score_of(peer(0, 0).addr), -300, "liars are not forgotten");
    }
}
