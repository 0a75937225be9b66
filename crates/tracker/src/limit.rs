//! How much one address may ask for.

use core::hash::BuildHasher;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use causeway_core::Time;

/// A bound on how many requests a second come from one address: so many at once, so many a second for long.
///
/// It takes the same memory however many addresses there are: each has one of [`BUCKETS`] buckets, chosen by a keyed
/// hash, so that nobody can choose with whom it shares one.
#[derive(Debug)]
pub(crate) struct Rates {
    /// For each bucket until when its requests are paid for, in microseconds.
    paid: Vec<AtomicU64>,
    hasher: RandomState,
    /// How long one request is paid with, in microseconds; 0 where there is no bound.
    price: u64,
    /// How far ahead of time an address may get, in microseconds.
    credit: u64,
}

impl Rates {
    /// `per_second` 0 is no bound.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let price = 1_000_000u64.checked_div(per_second.into()).unwrap_or(0);
        let buckets = if price == 0 { 0 } else { BUCKETS };
        Self {
            paid: std::iter::repeat_with(AtomicU64::default).take(buckets).collect(),
            hasher: RandomState::new(),
            price,
            credit: price * u64::from(burst.max(1)),
        }
    }

    /// Whether one more request from this address is to be served now. One that is not costs nothing.
    pub(crate) fn admit(&self, now: Time, address: IpAddr) -> bool {
        let Some(paid) = self.paid.get(self.bucket(address).0) else {
            return true;
        };
        let now = now.as_micros();
        let pay = |paid: u64| {
            let paid = paid.max(now) + self.price;
            (paid <= now + self.credit).then_some(paid)
        };
        paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
            .is_ok()
    }

    /// Where an address pays.
    pub(crate) fn bucket(&self, address: IpAddr) -> Bucket {
        let hash = self.hasher.hash_one(source(address));
        Bucket(usize::try_from(hash % BUCKETS as u64).unwrap_or(0))
    }

    /// Takes note of what was served already, and counts as so many requests.
    pub(crate) fn charge(&self, now: Time, bucket: Bucket, requests: u32) {
        if let Some(paid) = self.paid.get(bucket.0) {
            let price = self.price * u64::from(requests);
            let pay = |paid: u64| Some(paid.max(now.as_micros()) + price);
            // It always takes it.
            paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
                .unwrap_or_default();
        }
    }

    /// When more is to be served, where that is not now.
    pub(crate) fn waits_until(&self, now: Time, bucket: Bucket) -> Option<Time> {
        let paid = self.paid.get(bucket.0)?.load(Ordering::Relaxed);
        let until = Time::from_micros(paid.saturating_sub(self.credit));
        (until > now).then_some(until)
    }
}

/// Where an address pays for its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket(usize);

/// 512 KiB.
const BUCKETS: usize = 1 << 16;

/// How many connections each address has. Clones count together.
#[derive(Clone, Debug)]
pub struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    refused: Arc<AtomicU64>,
    max_per_address: usize,
}

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub struct Counted {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl Connections {
    /// So many may come from one address.
    #[must_use]
    pub fn new(max_per_address: usize) -> Self {
        Self {
            open: Arc::default(),
            refused: Arc::default(),
            max_per_address,
        }
    }

    /// Counts one more; `None` where this address has as many as it may have.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Counted> {
        let source = source(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&source).copied().unwrap_or(0);
        if count >= self.max_per_address {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        open.insert(source, count + 1);
        Some(Counted {
            open: Arc::clone(&self.open),
            source,
        })
    }

    /// How many were not admitted so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.source) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who can be told from whom: an IPv6 customer has a whole /64.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_gets_its_burst_and_then_its_rate_and_others_are_not_held_up() {
        let rates = Rates::new(2, 5);
        let admitted = |second| {
            (0..100)
                .filter(|_| rates.admit(at(second), address("10.0.0.1")))
                .count()
        };
        assert_eq!(admitted(10), 5);
        assert_eq!(admitted(11), 2);
        assert_eq!(admitted(1000), 5);
        assert!(rates.admit(at(1000), address("10.0.0.2")));
    }

    #[test]
    fn what_was_served_beyond_the_burst_is_waited_for() {
        let rates = Rates::new(2, 5);
        let bucket = rates.bucket(address("10.0.0.1"));
        rates.charge(at(10), bucket, 5);
        assert_eq!(rates.waits_until(at(10), bucket), None);
        rates.charge(at(10), bucket, 4);
        assert_eq!(rates.waits_until(at(10), bucket), Some(at(12)));
        assert_eq!(rates.waits_until(at(12), bucket), None);
        let other = rates.bucket(address("10.0.0.2"));
        assert_eq!(rates.waits_until(at(10), other), None);
    }

    #[test]
    fn a_network_of_one_customer_is_one_address() {
        let rates = Rates::new(1, 1);
        assert!(rates.admit(at(1), address("2001:db8::1")));
        assert!(!rates.admit(at(1), address("2001:db8::2")));
        assert!(rates.admit(at(1), address("2001:db8:0:1::1")));
        assert!(rates.admit(at(1), address("10.0.0.1")));
        assert!(!rates.admit(at(1), address("::ffff:10.0.0.1")));
    }

    #[test]
    fn no_bound_is_no_bound() {
        let rates = Rates::new(0, 0);
        assert!((0..1000).all(|_| rates.admit(at(1), address("10.0.0.1"))));
    }

    #[test]
    fn connections_are_counted_until_they_are_gone() {
        let connections = Connections::new(2);
        let first = connections.admit(address("10.0.0.1")).expect("one");
        let _second = connections.admit(address("::ffff:10.0.0.1")).expect("two");
        assert!(connections.admit(address("10.0.0.1")).is_none());
        assert_eq!(connections.refused(), 1);
        assert!(connections.admit(address("10.0.0.2")).is_some());
        drop(first);
        assert!(connections.admit(address("10.0.0.1")).is_some());
    }
    #[test]
    fn who_is_refused_leaves_nothing_behind() {
        let connections = Connections::new(0);
        for last in 0..10 {
            assert!(connections.admit(IpAddr::from([10, 0, 0, last])).is_none());
        }
        assert_eq!(connections.open.lock().map(|open| open.len()).ok(), Some(0));
    }
}
