//! What must hold between any two inputs.

use super::spreading::MOST_READ;
use super::streaming::MOST_READERS;
use super::trials::MOST_BANNED;
use super::{Metadata, Run, Torrent};
use crate::peer::{MOST_ALLOWED_FAST, MOST_SUGGESTED, MOST_UNASKED};
use crate::peer_pieces::PeerPieces;
use causeway_core::SortedSet;

impl Torrent {
    /// For tests: goes through the whole state.
    ///
    /// # Panics
    /// Where an invariant does not hold.
    pub fn check_invariants(&self) {
        let both = self
            .greetings
            .keys()
            .filter(|link| self.peers.contains_key(link))
            .count();
        assert_eq!(both, 0, "a link is before or after the handshake");
        assert!(self.peers.values().all(|peer| peer.decoder.is_some()));
        assert!(
            self.timers.next().is_none_or(|deadline| deadline > self.now),
            "no deadline has passed"
        );
        assert!(
            self.touched.is_empty(),
            "everything that follows from an input was done"
        );
        if !matches!(self.run, Run::Running) {
            assert!(
                self.peers.is_empty() && self.greetings.is_empty(),
                "nobody is connected to a stopped torrent"
            );
        }
        self.check_bounds();
        let Metadata::Known(content) = &self.metadata else {
            return;
        };
        content.check_invariants();
        let mut availability = vec![0; content.geometry().pieces() as usize];
        let mut asked = SortedSet::new();
        for (link, peer) in &self.peers {
            let PeerPieces::Known { have, is_seed } = &peer.pieces else {
                panic!("{link:?} is not counted")
            };
            assert_eq!(peer.lacking, content.lacking_of(have), "{link:?}");
            if !is_seed {
                have.iter_ones()
                    .for_each(|piece| availability[piece as usize] += 1);
            }
            asked.extend(peer.requests.waiting().map(|block| (block, *link)));
            let most = self.config.max_outstanding_requests as usize;
            assert!(peer.requests.waiting().len() <= most, "{link:?} owes too much");
            assert!(
                peer.uploads.len() <= self.config.max_accepted_requests as usize,
                "{link:?} may ask less"
            );
        }
        for (link, seed) in &self.web_seeds {
            asked.extend(seed.owed().map(|block| (block, *link)));
        }
        let links: Vec<_> = self.peers.keys().chain(self.web_seeds.keys()).copied().collect();
        content.picker.check_invariants(&availability, &asked, &links);
    }

    /// Nothing that others fill grows past its bound.
    fn check_bounds(&self) {
        assert!(
            self.banned.len() <= MOST_BANNED,
            "{} are banned",
            self.banned.len()
        );
        assert!(self.readers.len() <= MOST_READERS, "{} read", self.readers.len());
        let links = self.peers.len() + self.greetings.len();
        assert!(links <= self.config.limits.peers, "{links} links");
        assert!(self.lately_read.len() <= MOST_READ, "pieces that were read");
        self.acquaintances.check_invariants();
        self.trials.check_invariants();
        self.reads.check_invariants();
        for (link, peer) in &self.peers {
            peer.requests.check_invariants();
            peer.uploads.check_invariants();
            peer.offers.check_invariants();
            let suggested = peer.suggested.len();
            assert!(
                suggested <= MOST_SUGGESTED,
                "{link:?} suggests {suggested} pieces"
            );
            let allowed = peer.allowed_fast.len();
            assert!(allowed <= MOST_ALLOWED_FAST, "{link:?} allows {allowed} pieces");
            assert!(peer.unasked <= MOST_UNASKED, "{link:?} is a nuisance");
        }
    }
}
