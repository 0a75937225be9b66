//! Ordered maps and sets for what a peer has few of: links, torrents, trackers, pieces in flight.
//!
//! A sorted vector does for them what the standard library's trees do, in a tenth of the code: every kind of tree
//! that a page uses costs it some ten kilobytes of WebAssembly, and there are dozens. Looking up is logarithmic,
//! inserting and removing move what comes after: for up to thousands of entries that is no slower than a tree.
//! What a stranger can make large belongs into a tree.

use core::borrow::Borrow;
use core::fmt;
use core::ops::{Bound, Index, RangeBounds};

use serde::{Serialize, Serializer};

/// Sorts by a key, equal ones in no certain order. The standard library's sorts cost a page five kilobytes of
/// WebAssembly for each type; this is a heap sort, and for what a peer has few of no slower.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    // The greatest item is at the root of a heap, and goes to the end of what is left again and again.
    let sift_down = |items: &mut [T], mut parent: usize, end: usize| {
        while let Some(mut child) = Some(2 * parent + 1).filter(|child| *child < end) {
            if child + 1 < end && key(&items[child]) < key(&items[child + 1]) {
                child += 1;
            }
            if key(&items[child]) <= key(&items[parent]) {
                return;
            }
            items.swap(parent, child);
            parent = child;
        }
    };
    for parent in (0..items.len() / 2).rev() {
        sift_down(items, parent, items.len());
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift_down(items, 0, end);
    }
}

/// A map in the order of its keys.
///
/// Invariant: `entries` is strictly ascending by key.
#[derive(Clone, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry, in order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Every entry, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> + ExactSizeIterator {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Every key, in order.
    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// Every value, in the order of the keys.
    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Every value, in the order of the keys, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// Keeps the entries that pass.
    pub fn retain(&mut self, mut pass: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| pass(key, value));
    }

    /// Takes the entries that pass, in order.
    pub fn take_if(&mut self, mut pass: impl FnMut(&K, &mut V) -> bool) -> Vec<(K, V)> {
        self.entries
            .extract_if(.., |(key, value)| pass(key, value))
            .collect()
    }

    /// Takes the first entry.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.entries.is_empty()).then(|| self.entries.remove(0))
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        self.entries.first().map(|(key, value)| (key, value))
    }

    /// Forgets every entry.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries
            .binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// The value of this key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(self.find(key).ok()?).map(|(_, value)| value)
    }

    /// The value of this key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is an entry of this key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Puts in a value; gives back the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => self
                .entries
                .get_mut(at)
                .map(|entry| core::mem::replace(&mut entry.1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes out the value of this key.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// The value of this key, made where there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (key, make()));
                at
            }
        };
        &mut self.entries[at].1
    }

    /// The entries with keys in this range, in order.
    pub fn range(
        &self,
        range: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        let start = match range.start_bound() {
            Bound::Included(key) => self.entries.partition_point(|(other, _)| other < key),
            Bound::Excluded(key) => self.entries.partition_point(|(other, _)| other <= key),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(key) => self.entries.partition_point(|(other, _)| other <= key),
            Bound::Excluded(key) => self.entries.partition_point(|(other, _)| other < key),
            Bound::Unbounded => self.entries.len(),
        };
        self.entries
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .map(|(key, value)| (key, value))
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    /// Of two values of one key the later stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = core::iter::Map<core::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

impl<'a, K, V> IntoIterator for &'a mut SortedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter =
        core::iter::Map<core::slice::IterMut<'a, (K, V)>, fn(&'a mut (K, V)) -> (&'a K, &'a mut V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for SortedMap<K, V> {
    type Output = V;

    /// Panics where there is no entry of this key.
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the map has an entry of this key")
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

/// A set in the order of its members.
#[derive(Clone, PartialEq, Eq)]
pub struct SortedSet<K> {
    members: SortedMap<K, ()>,
}

impl<K> Default for SortedSet<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> SortedSet<K> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: SortedMap::new(),
        }
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Every member, in order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.members.keys()
    }

    /// Keeps the members that pass.
    pub fn retain(&mut self, mut pass: impl FnMut(&K) -> bool) {
        self.members.retain(|member, ()| pass(member));
    }

    /// Takes the first member.
    pub fn pop_first(&mut self) -> Option<K> {
        self.members.pop_first().map(|(member, ())| member)
    }

    /// The first member.
    #[must_use]
    pub fn first(&self) -> Option<&K> {
        self.members.first().map(|(member, ())| member)
    }

    /// Forgets every member.
    pub fn clear(&mut self) {
        self.members.clear();
    }
}

impl<K: Ord> SortedSet<K> {
    /// Whether it is a member.
    pub fn contains<Q: Ord + ?Sized>(&self, member: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.members.contains_key(member)
    }

    /// Puts it in; says whether it was not there.
    pub fn insert(&mut self, member: K) -> bool {
        self.members.insert(member, ()).is_none()
    }

    /// Takes it out; says whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, member: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.members.remove(member).is_some()
    }

    /// The members in this range, in order.
    pub fn range(
        &self,
        range: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.members.range(range).map(|(member, ())| member)
    }
}

impl<K: Ord> FromIterator<K> for SortedSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(members: I) -> Self {
        let mut set = Self::new();
        set.extend(members);
        set
    }
}

impl<K: Ord> Extend<K> for SortedSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, members: I) {
        for member in members {
            self.insert(member);
        }
    }
}

impl<K: Ord, const N: usize> From<[K; N]> for SortedSet<K> {
    fn from(members: [K; N]) -> Self {
        members.into_iter().collect()
    }
}

impl<K> IntoIterator for SortedSet<K> {
    type Item = K;
    type IntoIter = core::iter::Map<std::vec::IntoIter<(K, ())>, fn((K, ())) -> K>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter().map(|(member, ())| member)
    }
}

impl<'a, K> IntoIterator for &'a SortedSet<K> {
    type Item = &'a K;
    type IntoIter = core::iter::Map<core::slice::Iter<'a, (K, ())>, fn(&'a (K, ())) -> &'a K>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.entries.iter().map(|(member, ())| member)
    }
}

impl<K: fmt::Debug> fmt::Debug for SortedSet<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn sorting_is_what_the_standard_library_calls_so(mut items in proptest::collection::vec(any::<(u8, u8)>(), 0..50)) {
            let mut expected: Vec<u8> = items.iter().map(|item| item.0).collect();
            let mut all = items.clone();
            sort_by_key(&mut items, |item| item.0);
            expected.sort_unstable();
            prop_assert_eq!(items.iter().map(|item| item.0).collect::<Vec<_>>(), expected);
            items.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(items, all, "nothing is lost");
        }

        #[test]
        fn it_does_what_a_tree_does(steps in prop::collection::vec((0..3u8, 0..20u8, any::<u16>()), 0..200)) {
            let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(map.insert(key, value), tree.insert(key, value)),
                    1 => prop_assert_eq!(map.remove(&key), tree.remove(&key)),
                    _ => prop_assert_eq!(map.get_or_insert_with(key, || value), tree.entry(key).or_insert(value)),
                }
                prop_assert!(map.iter().eq(tree.iter()));
                prop_assert_eq!(map.get(&key), tree.get(&key));
                prop_assert!(map.range(..key).eq(tree.range(..key)));
                prop_assert!(map.range(key..).eq(tree.range(key..)));
                let after = (Bound::Excluded(key), Bound::Unbounded);
                prop_assert!(map.range(after).eq(tree.range(after)));
            }
            let taken: BTreeMap<_, _> = map.take_if(|key, _| key % 2 == 0).into_iter().collect();
            prop_assert!(taken.iter().eq(tree.iter().filter(|(key, _)| *key % 2 == 0)));
            map.retain(|key, _| key % 3 != 0);
            prop_assert!(map.iter().eq(tree.iter().filter(|(key, _)| *key % 2 != 0 && *key % 3 != 0)));
        }
    }

    #[test]
    fn the_first_goes_first() {
        let mut set = SortedSet::from([3, 1, 2, 1]);
        assert_eq!(set.len(), 3);
        assert_eq!(set.first(), Some(&1));
        assert_eq!(
            core::iter::from_fn(|| set.pop_first()).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(set.pop_first(), None);
    }
}
