//! How much may be given to whom in a day.

use core::net::IpAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use causeway_core::InfoHash;

/// Bytes that browsers may be given in a day, which begins when the gateway is started; no bound where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// To one address; in IPv6, to a network of 2^64 of them.
    pub per_address: Option<u64>,
    /// Of one torrent.
    pub per_torrent: Option<u64>,
    /// In all.
    pub total: Option<u64>,
}

/// What was given in this day.
#[derive(Debug)]
pub(crate) struct Quotas {
    quota: Quota,
    origin: Instant,
    given: Mutex<Given>,
    refusals: AtomicU64,
}

#[derive(Debug, Default)]
struct Given {
    day: u64,
    total: u64,
    addresses: BTreeMap<IpAddr, u64>,
    torrents: BTreeMap<InfoHash, u64>,
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    #[error("this address has been given its {0} bytes for today")]
    Address(u64),
    #[error("of this torrent the {0} bytes for today have been given")]
    Torrent(u64),
    #[error("the gateway has given its {0} bytes for today")]
    Total(u64),
}

impl Quotas {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            origin: Instant::now(),
            given: Mutex::default(),
            refusals: AtomicU64::new(0),
        }
    }

    /// Whether this address may be given anything of this torrent. A refusal is counted.
    pub(crate) fn admit(&self, host: Option<IpAddr>, torrent: InfoHash) -> Result<(), Exhausted> {
        let allowed = self.check_at(self.origin.elapsed(), host, torrent);
        if allowed.is_err() {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// How often somebody was refused.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// It was given so much.
    pub(crate) fn charge(&self, host: Option<IpAddr>, torrent: InfoHash, bytes: u64) {
        self.charge_at(self.origin.elapsed(), host, torrent, bytes);
    }

    fn check_at(&self, now: Duration, host: Option<IpAddr>, torrent: InfoHash) -> Result<(), Exhausted> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.day != day(now) {
            return Ok(());
        }
        let of_address = host.and_then(|host| given.addresses.get(&network(host)));
        let of_torrent = given.torrents.get(&torrent);
        let over = |given: u64, most: Option<u64>| most.filter(|most| given >= *most);
        if let Some(most) = over(given.total, self.quota.total) {
            Err(Exhausted::Total(most))
        } else if let Some(most) = over(of_torrent.copied().unwrap_or_default(), self.quota.per_torrent) {
            Err(Exhausted::Torrent(most))
        } else if let Some(most) = over(of_address.copied().unwrap_or_default(), self.quota.per_address) {
            Err(Exhausted::Address(most))
        } else {
            Ok(())
        }
    }

    fn charge_at(&self, now: Duration, host: Option<IpAddr>, torrent: InfoHash, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.day != day(now) {
            *given = Given {
                day: day(now),
                ..Given::default()
            };
        }
        given.total = given.total.saturating_add(bytes);
        if self.quota.per_address.is_some()
            && let Some(host) = host
        {
            add(&mut given.addresses, network(host), bytes);
        }
        if self.quota.per_torrent.is_some() {
            add(&mut given.torrents, torrent, bytes);
        }
    }
}

/// Where too many are known the one that was given the least is forgotten.
fn add<K: Ord + Copy>(given: &mut BTreeMap<K, u64>, who: K, bytes: u64) {
    if given.len() >= MOST
        && !given.contains_key(&who)
        && let Some(least) = given.iter().min_by_key(|(_, bytes)| **bytes)
    {
        let least = *least.0;
        given.remove(&least);
    }
    let sum = given.entry(who).or_default();
    *sum = sum.saturating_add(bytes);
}

/// Whoever has an IPv6 address has a network of them.
pub(super) fn network(host: IpAddr) -> IpAddr {
    match host.to_canonical() {
        IpAddr::V6(host) => {
            let [a, b, c, d, ..] = host.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        host @ IpAddr::V4(_) => host,
    }
}

fn day(now: Duration) -> u64 {
    now.as_secs() / (24 * 60 * 60)
}

/// Addresses, and torrents, that are counted in a day.
const MOST: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    const A: InfoHash = InfoHash::new([1; 20]);
    const B: InfoHash = InfoHash::new([2; 20]);
    const NOW: Duration = Duration::from_secs(100);

    fn host(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn each_quota_holds_by_itself_and_until_the_next_day() {
        let quotas = Quotas::new(Quota {
            per_address: Some(100),
            per_torrent: Some(150),
            total: Some(220),
        });
        let (one, two, three) = (host("10.0.0.1"), host("10.0.0.2"), host("10.0.0.3"));
        quotas.charge_at(NOW, one, A, 99);
        assert_eq!(quotas.check_at(NOW, one, A), Ok(()));
        quotas.charge_at(NOW, one, A, 1);
        assert_eq!(quotas.check_at(NOW, one, B), Err(Exhausted::Address(100)));
        assert_eq!(quotas.check_at(NOW, two, A), Ok(()));
        quotas.charge_at(NOW, two, A, 50);
        assert_eq!(quotas.check_at(NOW, two, A), Err(Exhausted::Torrent(150)));
        assert_eq!(quotas.check_at(NOW, two, B), Ok(()));
        quotas.charge_at(NOW, three, B, 70);
        assert_eq!(quotas.check_at(NOW, two, B), Err(Exhausted::Total(220)));
        let tomorrow = NOW + Duration::from_hours(24);
        assert_eq!(quotas.check_at(tomorrow, one, A), Ok(()));
        quotas.charge_at(tomorrow, one, A, 1);
        assert_eq!(quotas.check_at(tomorrow, one, A), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one() {
        let quotas = Quotas::new(Quota {
            per_address: Some(1),
            ..Quota::default()
        });
        quotas.charge_at(NOW, host("2001:db8:0:1::1"), A, 1);
        assert!(quotas.check_at(NOW, host("2001:db8:0:1:ffff::2"), A).is_err());
        assert!(quotas.check_at(NOW, host("2001:db8:0:2::1"), A).is_ok());
        assert!(
            quotas.check_at(NOW, None, A).is_ok(),
            "unknown addresses count in all"
        );
    }
}
