//! Who has room in the cache, who gets some next, and which piece goes for it. No I/O: how much room there is it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use causeway_core::PieceIndex;

/// A torrent in the cache.
pub(super) type Key = u64;

/// What the owner of a piece is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room for this piece that was asked for.
    Granted(PieceIndex),
    /// The room of this piece is wanted: give it back, or say that it is in use.
    Wanted(PieceIndex),
}

/// The pieces in the cache, and those that wait to get in.
///
/// Invariant: `order` has each held piece once, under the count of its last use; `Member::held` adds up the lengths of the
/// pieces that it holds, and `coming` those of the pieces that are leaving.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: BTreeMap<(Key, PieceIndex), Held>,
    /// The one that was wanted least recently comes first.
    order: BTreeMap<u64, (Key, PieceIndex)>,
    uses: u64,
    members: BTreeMap<Key, Member>,
    last_key: Key,
    /// The lengths of those whose owners were asked for them, together.
    coming: u32,
    /// What owners have said is in use: it is left alone until this round is over.
    in_use: BTreeSet<(Key, PieceIndex)>,
}

#[derive(Debug)]
struct Held {
    used: u64,
    length: u32,
    /// Its owner was asked to give it up.
    is_leaving: bool,
}

#[derive(Debug, Default)]
struct Member {
    held: u64,
    waiting: VecDeque<(PieceIndex, u32)>,
    known: BTreeSet<PieceIndex>,
}

/// What follows from a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Make room for a piece of that length.
    Grant(Key, PieceIndex, u32),
    /// Ask its owner for it.
    Evict(Key, PieceIndex),
}

impl Ledger {
    pub(super) fn join(&mut self) -> Key {
        self.last_key += 1;
        self.members.insert(self.last_key, Member::default());
        self.last_key
    }

    /// The torrent ends: what it held is free.
    pub(super) fn leave(&mut self, key: Key) {
        self.members.remove(&key);
        let pieces: Vec<_> = self.of(key).collect();
        for piece in pieces {
            self.remove(key, piece);
        }
    }

    /// The torrent wants to hold a piece of that length (in whatever unit room is counted).
    pub(super) fn ask(&mut self, key: Key, piece: PieceIndex, length: u32) {
        let is_held = self.held.contains_key(&(key, piece));
        if let Some(member) = self.members.get_mut(&key).filter(|_| !is_held)
            && member.known.insert(piece)
        {
            member.waiting.push_back((piece, length));
        }
    }

    /// It does not want to any more.
    pub(super) fn withdraw(&mut self, key: Key, piece: PieceIndex) {
        if let Some(member) = self.members.get_mut(&key)
            && member.known.remove(&piece)
        {
            member.waiting.retain(|(waiting, _)| *waiting != piece);
        }
    }

    /// Somebody has asked for it.
    pub(super) fn touch(&mut self, key: Key, piece: PieceIndex) {
        if let Some(held) = self.held.get_mut(&(key, piece)) {
            self.order.remove(&held.used);
            self.uses += 1;
            held.used = self.uses;
            self.order.insert(self.uses, (key, piece));
        }
    }

    /// The torrent gives a piece up.
    pub(super) fn release(&mut self, key: Key, piece: PieceIndex) {
        self.remove(key, piece);
    }

    /// The torrent needs a piece that it was asked for.
    pub(super) fn refuse(&mut self, key: Key, piece: PieceIndex) {
        self.touch(key, piece);
        if let Some(held) = self.held.get_mut(&(key, piece)) {
            if std::mem::take(&mut held.is_leaving) {
                self.coming -= held.length;
            }
            self.in_use.insert((key, piece));
        }
    }

    /// A while has passed: what was in use may not be any more.
    pub(super) fn tick(&mut self) {
        self.in_use.clear();
    }

    /// The next thing to be done, where so much room is free. Whoever holds the least is served first, so that nobody who
    /// holds much can keep others waiting; and what was wanted least recently goes first, whosever it is.
    pub(super) fn decide(&mut self, free: u32) -> Option<Decision> {
        let waiting = self
            .members
            .iter()
            .filter(|(_, member)| !member.waiting.is_empty());
        let (key, _) = waiting.min_by_key(|(_, member)| member.held)?;
        let key = *key;
        let (piece, length) = *self.members.get(&key)?.waiting.front()?;
        if length <= free {
            self.withdraw(key, piece);
            self.insert(key, piece, length);
            return Some(Decision::Grant(key, piece, length));
        }
        if free.saturating_add(self.coming) >= length {
            return None;
        }
        let goes = self.order.values().find(|place| {
            let stays = self.held.get(*place).is_some_and(|held| !held.is_leaving);
            stays && !self.in_use.contains(*place)
        });
        let (owner, goes) = *goes?;
        let held = self.held.get_mut(&(owner, goes))?;
        held.is_leaving = true;
        self.coming += held.length;
        Some(Decision::Evict(owner, goes))
    }

    /// Whether somebody waits for room.
    pub(super) fn is_wanted(&self) -> bool {
        self.members.values().any(|member| !member.waiting.is_empty())
    }

    /// What a torrent holds, and what all do, in units of room; and how many torrents there are.
    pub(super) fn shares(&self, key: Key) -> (u64, u64, u64) {
        let own = self.members.get(&key).map_or(0, |member| member.held);
        let all = self.members.values().map(|member| member.held).sum();
        (own, all, self.members.len() as u64)
    }

    fn of(&self, key: Key) -> impl Iterator<Item = PieceIndex> {
        let held = self.held.keys();
        held.filter(move |(owner, _)| *owner == key)
            .map(|(_, piece)| *piece)
    }

    fn insert(&mut self, key: Key, piece: PieceIndex, length: u32) {
        self.uses += 1;
        let held = Held {
            used: self.uses,
            length,
            is_leaving: false,
        };
        self.held.insert((key, piece), held);
        self.order.insert(self.uses, (key, piece));
        if let Some(member) = self.members.get_mut(&key) {
            member.held += u64::from(length);
        }
    }

    fn remove(&mut self, key: Key, piece: PieceIndex) {
        let Some(held) = self.held.remove(&(key, piece)) else {
            return;
        };
        self.order.remove(&held.used);
        self.in_use.remove(&(key, piece));
        self.coming -= if held.is_leaving { held.length } else { 0 };
        if let Some(member) = self.members.get_mut(&key) {
            member.held -= u64::from(held.length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::Geometry;

    fn piece(number: u32) -> PieceIndex {
        let geometry = Geometry::new(1 << 30, 1 << 16).expect("valid");
        geometry.piece(number).expect("in range")
    }

    /// Room for some pieces, and owners that do as they are told.
    struct World {
        ledger: Ledger,
        free: u32,
        granted: Vec<(Key, PieceIndex)>,
        evicted: Vec<(Key, PieceIndex)>,
        in_use: BTreeSet<(Key, PieceIndex)>,
    }

    impl World {
        fn new(free: u32) -> Self {
            Self {
                ledger: Ledger::default(),
                free,
                granted: Vec::new(),
                evicted: Vec::new(),
                in_use: BTreeSet::new(),
            }
        }

        fn settle(&mut self) {
            while let Some(decision) = self.ledger.decide(self.free) {
                match decision {
                    Decision::Grant(key, piece, length) => {
                        assert!(length <= self.free, "no more is given than there is");
                        self.free -= length;
                        self.granted.push((key, piece));
                    }
                    Decision::Evict(key, piece) if self.in_use.contains(&(key, piece)) => {
                        self.ledger.refuse(key, piece);
                    }
                    Decision::Evict(key, piece) => {
                        let length = self.ledger.held[&(key, piece)].length;
                        self.ledger.release(key, piece);
                        self.free += length;
                        self.evicted.push((key, piece));
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_wanted_least_recently_goes_first_whosever_it_is() {
        let mut world = World::new(3);
        let (a, b) = (world.ledger.join(), world.ledger.join());
        for number in 0..2 {
            world.ledger.ask(a, piece(number), 1);
        }
        world.settle();
        world.ledger.ask(b, piece(9), 1);
        world.settle();
        assert!(world.evicted.is_empty(), "there is room for all");
        world.ledger.touch(a, piece(0));
        world.ledger.ask(b, piece(10), 1);
        world.settle();
        assert_eq!(world.evicted, [(a, piece(1))]);
        world.ledger.ask(b, piece(11), 1);
        world.settle();
        assert_eq!(world.evicted[1..], [(b, piece(9))], "its own was wanted before");
        assert_eq!(world.granted.len(), 5);
    }

    #[test]
    fn what_is_in_use_stays_and_is_asked_for_again_after_a_while() {
        let mut world = World::new(1);
        let (a, b) = (world.ledger.join(), world.ledger.join());
        world.ledger.ask(a, piece(0), 1);
        world.settle();
        world.in_use.insert((a, piece(0)));
        world.ledger.ask(b, piece(1), 1);
        world.settle();
        assert_eq!((world.granted.len(), world.evicted.len()), (1, 0));
        world.in_use.clear();
        world.settle();
        assert_eq!(world.granted.len(), 1, "it was asked a moment ago");
        world.ledger.tick();
        world.settle();
        assert_eq!(world.granted, [(a, piece(0)), (b, piece(1))]);
    }

    #[test]
    fn nobody_who_asks_for_much_keeps_others_waiting() {
        let mut world = World::new(4);
        let (greedy, modest) = (world.ledger.join(), world.ledger.join());
        for number in 0..1000 {
            world.ledger.ask(greedy, piece(number), 1);
        }
        world.ledger.ask(modest, piece(7), 1);
        world
            .in_use
            .extend((0..1000).map(|number| (greedy, piece(number))));
        world.in_use.extend([(modest, piece(7))]);
        world.settle();
        assert_eq!(world.granted.iter().filter(|(key, _)| *key == modest).count(), 1);
        assert_eq!(world.granted.len(), 4);
    }

    #[test]
    fn who_leaves_or_withdraws_holds_nothing() {
        let mut world = World::new(2);
        let (a, b) = (world.ledger.join(), world.ledger.join());
        for number in 0..4 {
            world.ledger.ask(a, piece(number), 1);
        }
        world.ledger.withdraw(a, piece(0));
        world.settle();
        assert_eq!(world.granted, [(a, piece(1)), (a, piece(2)), (a, piece(3))]);
        assert_eq!(world.evicted, [(a, piece(1))]);
        world.ledger.leave(a);
        world.free = 2;
        world.ledger.ask(b, piece(0), 2);
        world.settle();
        assert_eq!(world.granted.last(), Some(&(b, piece(0))));
        assert_eq!(world.ledger.shares(b), (2, 2, 1));
    }
}
