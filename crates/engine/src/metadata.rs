//! Fetching the `info` dictionary from peers (BEP 9).
//!
//! Its parts are asked of all peers that have it at once. Only the whole can be verified, so when it turns out
//! wrong nobody knows who lied: from then on it is fetched from one peer alone at a time, whose fault it is then.

use bytes::{Bytes, BytesMut};
use causeway_core::{InfoHash, SortedMap, Time, sha1, sort_by_key};
use causeway_wire::extended::METADATA_PIECE_LENGTH;
use core::time::Duration;

use crate::LinkId;

/// The metadata of a torrent that is known by its info-hash alone.
///
/// Invariant: `asked` of a source is the number of parts in the attempt that were asked of it.
#[derive(Debug)]
pub(crate) struct MetadataFetch {
    info_hash: InfoHash,
    sources: SortedMap<LinkId, Source>,
    attempt: Option<Attempt>,
    /// The whole was wrong once: fetch it from one peer at a time.
    alone: bool,
}

/// A peer that has the metadata.
#[derive(Debug)]
struct Source {
    size: u32,
    asked: usize,
    resting_until: Time,
    /// It contributed to metadata that was wrong.
    suspect: bool,
}

/// Invariant: there is at least one part.
#[derive(Debug)]
struct Attempt {
    size: u32,
    only: Option<LinkId>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Free,
    Asked(LinkId, Time),
    Here(LinkId, Bytes),
}

/// What came of a part that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// More is to come.
    Incomplete,
    /// All parts are there and match the info-hash.
    Complete(Bytes),
    /// All parts are there and don't; where a single peer sent them all, it is to blame.
    Wrong(Option<LinkId>),
}

impl MetadataFetch {
    /// The longest metadata that is fetched: 32 MiB, above a million pieces.
    pub(crate) const MAX_SIZE: u32 = 32 * 1024 * 1024;

    pub(crate) const fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            sources: SortedMap::new(),
            attempt: None,
            alone: false,
        }
    }

    /// This peer says that it has the metadata and how long it is. An absurd length makes it no source.
    pub(crate) fn offered(&mut self, link: LinkId, size: u32) {
        if size == 0 || size > Self::MAX_SIZE || self.sources.contains_key(&link) {
            return;
        }
        let source = Source {
            size,
            asked: 0,
            resting_until: Time::ZERO,
            suspect: false,
        };
        self.sources.insert(link, source);
    }

    /// The peer is gone.
    pub(crate) fn gone(&mut self, link: LinkId) {
        self.sources.remove(&link);
        self.free_parts(|asked, _| asked == link);
        if self
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.only == Some(link))
        {
            self.attempt = None;
            self.sources.values_mut().for_each(|source| source.asked = 0);
        }
    }

    /// Which parts to ask of whom now.
    pub(crate) fn requests(&mut self, now: Time) -> Vec<(LinkId, u32)> {
        let mut requests = Vec::new();
        if !self.is_under_way(now) {
            self.begin(now);
        }
        let Some(attempt) = &mut self.attempt else {
            return requests;
        };
        let mut free = attempt
            .parts
            .iter_mut()
            .zip(0u32..)
            .filter(|(part, _)| matches!(part, Part::Free));
        loop {
            // Each source in turn gets one part, so that all share the work.
            let mut gave = false;
            for (link, source) in &mut self.sources {
                if !is_for(attempt.only, attempt.size, *link, source)
                    || source.asked >= MOST_ASKED
                    || source.resting_until > now
                {
                    continue;
                }
                let Some((part, index)) = free.next() else {
                    return requests;
                };
                *part = Part::Asked(*link, now);
                source.asked += 1;
                requests.push((*link, index));
                gave = true;
            }
            if !gave {
                return requests;
            }
        }
    }

    /// The peer does not hand out this part.
    pub(crate) fn rejected(&mut self, link: LinkId, part: u32, now: Time) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(slot) = attempt.parts.get_mut(part as usize) else {
            return;
        };
        if matches!(slot, Part::Asked(asked, _) if *asked == link) {
            *slot = Part::Free;
            self.rest(link, now);
        }
    }

    /// Parts that were asked for too long ago become free, and whom they were asked of is left alone for a while.
    pub(crate) fn expire(&mut self, now: Time) {
        let late = self.free_parts(|_, at| now.since(at) >= PATIENCE);
        for link in late {
            self.rest(link, now);
        }
    }

    /// A part arrived; what was not asked of this peer is ignored.
    pub(crate) fn received(&mut self, link: LinkId, part: u32, data: Bytes) -> Outcome {
        let Some(attempt) = &mut self.attempt else {
            return Outcome::Incomplete;
        };
        let expected = attempt.length_of(part);
        let Some(slot) = attempt.parts.get_mut(part as usize) else {
            return Outcome::Incomplete;
        };
        if !matches!(*slot, Part::Asked(asked, _) if asked == link) {
            return Outcome::Incomplete;
        }
        if data.len() != expected as usize {
            // It can't be right, and its sender is no source any more.
            self.gone(link);
            return Outcome::Incomplete;
        }
        *slot = Part::Here(link, data);
        if let Some(source) = self.sources.get_mut(&link) {
            source.asked -= 1;
        }
        self.finish()
    }

    fn finish(&mut self) -> Outcome {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.is_complete()) else {
            return Outcome::Incomplete;
        };
        let (bytes, mut suppliers) = attempt.join();
        if sha1(&bytes).as_bytes() == self.info_hash.as_bytes() {
            return Outcome::Complete(bytes);
        }
        self.alone = true;
        sort_by_key(&mut suppliers, |link| *link);
        suppliers.dedup();
        for link in &suppliers {
            if let Some(source) = self.sources.get_mut(link) {
                source.suspect = true;
            }
        }
        match suppliers[..] {
            [liar] => Outcome::Wrong(Some(liar)),
            _ => Outcome::Wrong(None),
        }
    }

    /// Whether the attempt has a source that works on it or would.
    fn is_under_way(&self, now: Time) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| {
            let mut able = self.sources.iter().filter(|(link, source)| {
                is_for(attempt.only, attempt.size, **link, source)
                    && (source.asked > 0 || source.resting_until <= now)
            });
            able.next().is_some()
        })
    }

    /// Starts over with the peers that agree on the length that most say; or with one peer, one not suspected
    /// where there is one.
    fn begin(&mut self, now: Time) {
        let awake = self
            .sources
            .iter()
            .filter(|(_, source)| source.resting_until <= now);
        let best = if self.alone {
            awake.min_by_key(|(link, source)| (source.suspect, **link))
        } else {
            let votes = |size| self.sources.values().filter(|source| source.size == size).count();
            awake.max_by_key(|(_, source)| votes(source.size))
        };
        let Some((link, source)) = best else { return };
        let parts = source.size.div_ceil(METADATA_PIECE_LENGTH) as usize;
        self.attempt = Some(Attempt {
            size: source.size,
            only: self.alone.then_some(*link),
            parts: vec![Part::Free; parts],
        });
        self.sources.values_mut().for_each(|source| source.asked = 0);
    }

    /// Frees the parts that were asked so, and tells of whom.
    fn free_parts(&mut self, is_lost: impl Fn(LinkId, Time) -> bool) -> Vec<LinkId> {
        let mut lost = Vec::new();
        for part in self.attempt.iter_mut().flat_map(|attempt| &mut attempt.parts) {
            if let Part::Asked(link, at) = *part
                && is_lost(link, at)
            {
                *part = Part::Free;
                lost.push(link);
            }
        }
        lost
    }

    /// A part asked of this peer became free: it is asked for nothing for a while. An attempt with it alone ends.
    fn rest(&mut self, link: LinkId, now: Time) {
        if let Some(source) = self.sources.get_mut(&link) {
            source.asked = source.asked.saturating_sub(1);
            source.resting_until = now + REST;
        }
        if self
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.only == Some(link))
        {
            self.attempt = None;
            self.sources.values_mut().for_each(|source| source.asked = 0);
        }
    }
}

impl Attempt {
    fn length_of(&self, part: u32) -> u32 {
        let start = part.saturating_mul(METADATA_PIECE_LENGTH);
        self.size.saturating_sub(start).min(METADATA_PIECE_LENGTH)
    }

    fn is_complete(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Here(..)))
    }

    fn join(self) -> (Bytes, Vec<LinkId>) {
        let mut bytes = BytesMut::with_capacity(self.size as usize);
        let mut suppliers = Vec::new();
        for part in self.parts {
            if let Part::Here(link, data) = part {
                bytes.extend_from_slice(&data);
                suppliers.push(link);
            }
        }
        (bytes.freeze(), suppliers)
    }
}

/// Whether an attempt at so many bytes, with that peer only if one is named, may ask this source.
fn is_for(only: Option<LinkId>, size: u32, link: LinkId, source: &Source) -> bool {
    only.is_none_or(|only| only == link) && source.size == size
}

/// Parts that one peer is asked for at once.
const MOST_ASKED: usize = 8;
/// How long a peer may take for a part.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a peer is asked for nothing after it rejected a part or let us wait.
const REST: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
