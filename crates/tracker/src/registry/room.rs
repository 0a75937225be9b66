//! How many members there may be.

use core::hash::{Hash as _, Hasher as _};
use core::net::IpAddr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use siphasher::sip::SipHasher13;

use super::Refusal;
use crate::Config;
use crate::limit::source;

/// The places that members take: so many there are for all together, and so many for those from one address (of IPv6, from
/// one /64), lest one fills the tracker.
///
/// It takes the same memory however many addresses there are: each has one of [`BUCKETS`] buckets, chosen by a keyed hash,
/// so that nobody can choose with whom it shares one.
#[derive(Debug)]
pub(super) struct Room {
    members: AtomicUsize,
    of_sources: Vec<AtomicU32>,
    key: SipHasher13,
    max_members: usize,
    max_of_source: usize,
}

/// Whose places they are: a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source(u16);

impl Room {
    pub(super) fn new(config: &Config, key: SipHasher13) -> Self {
        Self {
            members: AtomicUsize::new(0),
            of_sources: std::iter::repeat_with(AtomicU32::default).take(BUCKETS).collect(),
            key,
            max_members: config.max_members,
            max_of_source: config.max_members_per_address,
        }
    }

    pub(super) fn source(&self, address: IpAddr) -> Source {
        let mut hasher = self.key;
        source(address).hash(&mut hasher);
        let [low, high, ..] = hasher.finish().to_le_bytes();
        Source(u16::from_le_bytes([low, high]))
    }

    /// How many places are taken.
    pub(super) fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.members() >= self.max_members
    }

    /// Takes a place for one more member.
    pub(super) fn take(&self, source: Source) -> Result<(), Refusal> {
        let of_source = &self.of_sources[usize::from(source.0)];
        let is_free = |taken: u32| ((taken as usize) < self.max_of_source).then_some(taken + 1);
        of_source
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free)
            .map_err(|taken| Refusal::TooManyFromAddress(taken as usize))?;
        let is_free = |taken: usize| (taken < self.max_members).then_some(taken + 1);
        if self
            .members
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free)
            .is_err()
        {
            of_source.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// A member is gone.
    pub(super) fn give_back(&self, source: Source) {
        self.of_sources[usize::from(source.0)].fetch_sub(1, Ordering::Relaxed);
        self.members.fetch_sub(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, mut sources: Vec<Source>) {
        assert_eq!(sources.len(), self.members(), "all members are counted");
        sources.sort_unstable();
        for same in sources.chunk_by(|a, b| a == b) {
            let counted = self.of_sources[usize::from(same[0].0)].load(Ordering::Relaxed);
            assert_eq!(same.len(), counted as usize, "and where they are from");
        }
    }
}

/// As many as [`Source`] tells apart: 256 KiB.
const BUCKETS: usize = 1 << 16;
