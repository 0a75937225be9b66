//! The addresses of a torrent's classic peers: which to try next, and when again.

use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use causeway_core::Time;
use causeway_engine::KnownPeer;

use crate::dial::Attempt;

/// Who named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user: it is tried whatever it is, and again and again.
    User,
    /// A tracker, the DHT, another peer.
    Stranger {
        /// Whether that one is itself in our own network. Nobody else's word makes us connect to addresses there.
        is_local: bool,
    },
}

/// The addresses that are known, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<SocketAddr, Entry>,
    /// Addresses that are us.
    own: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Entry {
    origin: Origin,
    state: State,
    /// In a row.
    failures: u32,
    /// Whether it has ever been a peer.
    has_worked: bool,
    /// What it has been worth as a peer.
    score: i64,
    /// How often it has refused to be spoken to, each time in another way.
    turn: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be tried from this moment on.
    Idle(Time),
    /// Is being tried, or is a peer.
    Busy,
}

impl Book {
    /// Learns an address; says whether it is new.
    pub(super) fn add(&mut self, address: SocketAddr, origin: Origin, now: Time) -> bool {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if !is_usable(address, origin) || self.own.contains(&address) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(&address) {
            if origin == Origin::User {
                entry.origin = origin;
            }
            return false;
        }
        if self.entries.len() >= MOST && !self.drop_one() {
            return false;
        }
        self.entries.insert(
            address,
            Entry {
                origin,
                state: State::Idle(now),
                failures: 0,
                has_worked: false,
                score: 0,
                turn: 0,
            },
        );
        true
    }

    /// Learns of a peer of an earlier run: it was found to be usable then.
    pub(super) fn recall(&mut self, peer: KnownPeer, now: Time) {
        self.add(peer.addr, Origin::Stranger { is_local: true }, now);
        if let Some(entry) = self.entries.get_mut(&peer.addr) {
            entry.score = peer.score;
            entry.has_worked = peer.score > 0;
        }
    }

    /// A peer has come to us from an address where it can be reached, too; says whether nobody else is there already.
    pub(super) fn meet(&mut self, address: SocketAddr, now: Time) -> bool {
        let is_local = is_local(address.ip());
        self.add(address, Origin::Stranger { is_local }, now);
        match self.entries.get_mut(&address) {
            Some(entry) if entry.state != State::Busy => {
                entry.state = State::Busy;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes the address that is to be tried next: those that have not failed first, of these those that were worth most.
    pub(super) fn next(&mut self, now: Time) -> Option<Attempt> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.is_due(now));
        let order = |entry: &Entry| (entry.failures, Reverse(entry.score), !entry.has_worked);
        let (address, entry) = due.min_by_key(|(_, entry)| order(entry))?;
        entry.state = State::Busy;
        Some(Attempt {
            address: *address,
            turn: entry.turn,
        })
    }

    /// When an address may be tried next.
    pub(super) fn due(&self) -> Option<Time> {
        let idle = self.entries.values().filter_map(|entry| match entry.state {
            State::Idle(due) => Some(due),
            State::Busy => None,
        });
        idle.min()
    }

    /// Nobody answers there.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Time) {
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        entry.failures += 1;
        let patience = entry.patience();
        entry.state = State::Idle(now + patience);
        if entry.origin != Origin::User && entry.failures >= MOST_FAILURES {
            self.entries.remove(&address);
        }
    }

    /// Who is there does not speak as we did. Another one of the `ways` is tried at once, until there is none.
    pub(super) fn refused(&mut self, address: SocketAddr, now: Time, ways: usize) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.turn = (entry.turn + 1) % ways.max(1);
            if entry.turn != 0 {
                entry.state = State::Idle(now);
                return;
            }
        }
        self.failed(address, now);
    }

    /// The link to this peer is gone, which has been worth so much; it may be worth a try after `rest`.
    pub(super) fn closed(&mut self, address: SocketAddr, score: i64, now: Time, rest: Duration) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.score = score;
            entry.failures = 0;
            entry.has_worked = true;
            entry.state = State::Idle(now + rest);
        }
    }

    /// This address is ourselves.
    pub(super) fn is_us(&mut self, address: SocketAddr) {
        self.entries.remove(&address);
        if self.own.len() < MOST_OWN {
            self.own.push(address);
        }
    }

    /// Drops the address that is of least use.
    fn drop_one(&mut self) -> bool {
        let idle = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.state != State::Busy);
        let worst = idle.max_by_key(|(_, entry)| (entry.failures, !entry.has_worked));
        let worst = worst
            .filter(|(_, entry)| entry.failures > 0)
            .map(|(address, _)| *address);
        worst.is_some_and(|worst| self.entries.remove(&worst).is_some())
    }
}

impl Entry {
    fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Idle(due) if due <= now)
    }

    fn patience(&self) -> Duration {
        let (first, most) = match self.origin {
            Origin::User => (Duration::from_secs(1), Duration::from_secs(30)),
            Origin::Stranger { .. } => (Duration::from_secs(30), Duration::from_hours(1)),
        };
        (first * 2u32.saturating_pow(self.failures.saturating_sub(1).min(16))).min(most)
    }
}

fn is_usable(address: SocketAddr, origin: Origin) -> bool {
    let ip = address.ip();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match origin {
        Origin::User | Origin::Stranger { is_local: true } => true,
        Origin::Stranger { is_local: false } => !is_local(ip),
    }
}

/// Whether an address means something in our own network alone.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_broadcast()
                || is_shared
                || first == 0
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Addresses in the book.
const MOST: usize = 2_000;
/// After so many failures in a row an address is forgotten.
const MOST_FAILURES: u32 = 5;
/// Addresses that are us.
const MOST_OWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Origin = Origin::Stranger { is_local: false };

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn next(book: &mut Book, now: Time) -> Option<SocketAddr> {
        book.next(now).map(|attempt| attempt.address)
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn strangers_cannot_point_us_at_our_own_network() {
        let mut book = Book::default();
        for text in [
            "127.0.0.1:80",
            "10.1.2.3:80",
            "192.168.0.1:80",
            "169.254.1.1:80",
            "100.64.0.1:80",
            "[::1]:80",
            "[fd00::1]:80",
            "[fe80::1]:80",
            "[::ffff:10.0.0.1]:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "1.2.3.4:0",
        ] {
            assert!(!book.add(address(text), FAR, at(0)), "{text}");
        }
        assert!(book.add(address("1.2.3.4:80"), FAR, at(0)));
        assert!(book.add(address("10.0.0.1:80"), Origin::Stranger { is_local: true }, at(0)));
        assert!(book.add(address("127.0.0.1:80"), Origin::User, at(0)));
        assert!(
            !book.add(address("[::ffff:1.2.3.4]:80"), FAR, at(0)),
            "known already"
        );
    }

    #[test]
    fn who_does_not_answer_is_tried_later_and_forgotten_in_the_end() {
        let (mut book, peer) = (Book::default(), address("1.2.3.4:80"));
        book.add(peer, FAR, at(0));
        let mut now = at(0);
        for wait in [30, 60, 120, 240] {
            assert_eq!(next(&mut book, now), Some(peer));
            assert_eq!(book.next(now), None, "it is being tried");
            book.failed(peer, now);
            assert_eq!(book.due(), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
        assert_eq!(next(&mut book, now), Some(peer));
        book.failed(peer, now);
        assert_eq!(book.due(), None);
    }

    #[test]
    fn who_refuses_one_way_is_tried_in_the_others_at_once_and_then_later() {
        let (mut book, peer) = (Book::default(), address("1.2.3.4:80"));
        book.add(peer, FAR, at(0));
        let attempt = |turn| Some(Attempt { address: peer, turn });
        for turn in 0..3 {
            assert_eq!(book.next(at(0)), attempt(turn));
            book.refused(peer, at(0), 3);
        }
        assert_eq!(book.next(at(29)), None);
        assert_eq!(book.next(at(30)), attempt(0));
        book.refused(peer, at(31), 3);
        assert_eq!(book.next(at(31)), attempt(1));
        book.closed(peer, 0, at(40), Duration::ZERO);
        assert_eq!(book.next(at(40)), attempt(1), "what has worked is kept");
        book.refused(peer, at(41), 1);
        assert_eq!(book.next(at(42)), None, "there is no other way");
    }

    #[test]
    fn who_has_come_to_us_is_not_connected_to_until_it_has_gone() {
        let (mut book, peer) = (Book::default(), address("1.2.3.4:80"));
        assert!(book.meet(peer, at(0)));
        assert!(!book.meet(peer, at(0)), "it is there already");
        assert_eq!(next(&mut book, at(9)), None);
        book.closed(peer, 0, at(10), Duration::ZERO);
        assert_eq!(next(&mut book, at(10)), Some(peer));
        assert!(!book.meet(peer, at(11)), "it is being connected to");
    }

    #[test]
    fn who_has_worked_comes_before_who_is_unknown() {
        let (mut book, old, new) = (Book::default(), address("1.2.3.4:80"), address("1.2.3.3:80"));
        book.add(old, FAR, at(0));
        assert_eq!(next(&mut book, at(0)), Some(old));
        book.closed(old, 0, at(1), Duration::ZERO);
        book.add(new, FAR, at(1));
        assert_eq!(next(&mut book, at(1)), Some(old));
        assert_eq!(next(&mut book, at(1)), Some(new));
    }

    #[test]
    fn who_was_worth_most_is_tried_first_and_who_lied_last() {
        let mut book = Book::default();
        let addresses = ["1.2.3.1:80", "1.2.3.2:80", "1.2.3.3:80", "1.2.3.4:80"].map(address);
        for peer in &addresses[..3] {
            book.add(*peer, FAR, at(0));
            assert_eq!(next(&mut book, at(0)), Some(*peer));
        }
        for (peer, score) in addresses.iter().zip([3, -50, 20]) {
            book.closed(*peer, score, at(1), Duration::ZERO);
        }
        let known = KnownPeer {
            addr: addresses[3],
            score: 7,
        };
        book.recall(known, at(1));
        let order: Vec<_> = core::iter::from_fn(|| next(&mut book, at(1))).collect();
        assert_eq!(order, [2, 3, 0, 1].map(|place: usize| addresses[place]));
    }

    #[test]
    fn a_full_book_gives_up_who_failed_and_nobody_else() {
        let mut book = Book::default();
        let peer = |number: u32| {
            SocketAddr::new(
                IpAddr::from(0x0100_0000u32.to_be_bytes().map(|b| b)),
                u16::try_from(number + 1).expect("small"),
            )
        };
        for number in 0..u32::try_from(MOST).expect("small") {
            assert!(book.add(peer(number), FAR, at(0)));
        }
        assert!(!book.add(peer(5_000), FAR, at(0)));
        let tried = next(&mut book, at(0)).expect("one");
        book.failed(tried, at(0));
        assert!(book.add(peer(5_000), FAR, at(0)));
        assert!(!book.add(peer(5_001), FAR, at(0)));
    }
}
