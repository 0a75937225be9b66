//! Connection ids that need no memory.

use core::hash::Hasher;
use core::net::IpAddr;
use core::time::Duration;
use std::net::SocketAddr;

use causeway_core::Time;
use siphasher::sip::SipHasher24;

/// Gives out connection ids and recognises them, without keeping any: an id is a keyed hash of the address that it was
/// given to, and of the time. Nobody can guess the id of an address that it does not receive packets for.
#[derive(Debug)]
pub(crate) struct Tickets {
    key: [u8; 16],
}

impl Tickets {
    /// With a key of its own.
    ///
    /// # Panics
    /// Where the system has no randomness to give.
    pub(crate) fn new() -> Self {
        let mut key = [0; 16];
        getrandom::fill(&mut key).expect("the system has randomness");
        Self { key }
    }

    /// The connection id for this address. It is good for one to two minutes (BEP 15 wants two at most).
    pub(super) fn issue(&self, now: Time, source: SocketAddr) -> u64 {
        self.at(window(now), source)
    }

    pub(super) fn is_valid(&self, now: Time, source: SocketAddr, id: u64) -> bool {
        let window = window(now);
        id == self.at(window, source)
            || window
                .checked_sub(1)
                .is_some_and(|last| id == self.at(last, source))
    }

    fn at(&self, window: u64, source: SocketAddr) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(window);
        match source.ip().to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.write_u16(source.port());
        hasher.finish()
    }
}

fn window(now: Time) -> u64 {
    now.since(Time::ZERO).as_secs() / WINDOW.as_secs()
}

const WINDOW: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_its_address_and_for_a_while() {
        let tickets = Tickets::new();
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let source: SocketAddr = "10.0.0.1:1000".parse().expect("an address");
        for begin in [0, 30, 59] {
            let id = tickets.issue(at(begin), source);
            assert!(tickets.is_valid(at(begin), source, id));
            assert!(
                tickets.is_valid(at(begin + 60), source, id),
                "BEP 15: a minute at least"
            );
            assert!(!tickets.is_valid(at(begin + 121), source, id), "and two at most");
            for other in ["10.0.0.2:1000", "10.0.0.1:1001", "[::1]:1000"] {
                assert!(
                    !tickets.is_valid(at(begin), other.parse().expect("an address"), id),
                    "{other}"
                );
            }
            let mapped = "[::ffff:10.0.0.1]:1000".parse().expect("an address");
            assert!(tickets.is_valid(at(begin), mapped, id));
            assert!(
                !Tickets::new().is_valid(at(begin), source, id),
                "another tracker's"
            );
        }
    }
}
