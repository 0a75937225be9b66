//! Which connection a packet is for, where all of them share a port.
//!
//! A check names the connection by its user fragment, and an answer repeats the transaction of the check. All else
//! comes from the address that the connection itself sends to. A connection gets an address by sending there what it sends
//! to nobody but its peer: the answer to a check that was signed with the right password, or a packet of its handshake.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use causeway_signal::ConnectionId;

use super::connection::Path;
use super::stun::{self, Class, Packet, TransactionId};

/// Who has asked something, or is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Connection(ConnectionId),
    /// The search for the own address.
    Gathering,
}

/// Where packets go.
#[derive(Debug, Default)]
pub(super) struct Routes {
    fragments: HashMap<String, ConnectionId>,
    transactions: HashMap<TransactionId, Owner>,
    /// The same, the oldest first.
    asked: VecDeque<(Instant, TransactionId)>,
    /// By the port on this side and the address on the other.
    addresses: HashMap<(u16, SocketAddr), Address>,
}

#[derive(Debug)]
struct Address {
    owner: ConnectionId,
    /// When a packet last came from there.
    heard: Instant,
}

impl Routes {
    pub(super) fn add(&mut self, id: ConnectionId, ufrag: &str) {
        self.fragments.insert(ufrag.to_owned(), id);
    }

    /// Forgets a connection. Its addresses are its `paths`.
    pub(super) fn remove(&mut self, id: ConnectionId, ufrag: &str, paths: &[Path]) {
        self.fragments.remove(ufrag);
        for path in paths {
            let key = key(*path);
            if self
                .addresses
                .get(&key)
                .is_some_and(|address| address.owner == id)
            {
                self.addresses.remove(&key);
            }
        }
    }

    /// Whom a packet is for.
    pub(super) fn find(&mut self, now: Instant, path: Path, packet: &[u8]) -> Option<Owner> {
        match Packet::read(packet)? {
            Packet::Request { ufrag } => self.fragments.get(ufrag).copied().map(Owner::Connection),
            Packet::Response(transaction) => self.transactions.remove(&transaction),
            Packet::Dtls => {
                let address = self.addresses.get_mut(&key(path))?;
                address.heard = now;
                Some(Owner::Connection(address.owner))
            }
        }
    }

    /// Whether packets of another connection come from there.
    pub(super) fn is_taken(&self, path: Path) -> bool {
        self.addresses.contains_key(&key(path))
    }

    /// Takes note of a packet that leaves. Whether the connection has the address by it, which it can get where it `claims`
    /// one.
    pub(super) fn note(
        &mut self,
        now: Instant,
        owner: Owner,
        path: Path,
        packet: &[u8],
        claims: bool,
    ) -> bool {
        if stun::is_stun(packet) {
            match stun::class(packet) {
                Some(Class::Request) => {
                    if let Some(transaction) = stun::transaction(packet) {
                        self.ask(now, owner, transaction);
                    }
                    return false;
                }
                Some(Class::Success) => {}
                Some(Class::Indication | Class::Error) | None => return false,
            }
        }
        let Owner::Connection(id) = owner else {
            return false;
        };
        if !claims {
            return false;
        }
        let address = self.addresses.entry(key(path)).or_insert(Address {
            owner: id,
            heard: now,
        });
        if address.owner == id {
            return true;
        }
        // Whoever can forge addresses could take away the one of a peer that lives.
        if now.saturating_duration_since(address.heard) < QUIET {
            return false;
        }
        *address = Address {
            owner: id,
            heard: now,
        };
        true
    }

    fn ask(&mut self, now: Instant, owner: Owner, transaction: TransactionId) {
        while let Some((asked, oldest)) = self.asked.front()
            && (now.saturating_duration_since(*asked) > PATIENCE || self.asked.len() >= MAX_ASKED)
        {
            self.transactions.remove(oldest);
            self.asked.pop_front();
        }
        self.transactions.insert(transaction, owner);
        self.asked.push_back((now, transaction));
    }
}

fn key(path: Path) -> (u16, SocketAddr) {
    (path.local.port(), path.remote)
}

/// An answer to a check that comes later is of no use.
const PATIENCE: Duration = Duration::from_secs(5);
/// Checks that may wait for an answer at once.
const MAX_ASKED: usize = 16 * 1024;
/// After so long without a packet a peer is gone: all of them ask more often whether the other one is there.
const QUIET: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConnectionId = ConnectionId(1);
    const TWO: ConnectionId = ConnectionId(2);
    const DATA: &[u8] = &[23, 254, 253, 0];

    fn path(remote: &str) -> Path {
        Path {
            local: "192.0.2.1:4000".parse().expect("an address"),
            remote: remote.parse().expect("an address"),
        }
    }

    fn message(class: [u8; 2], transaction: u8, username: &str) -> Vec<u8> {
        let mut message = stun::binding_request(&[transaction; 12]).to_vec();
        message[..2].copy_from_slice(&class);
        message.extend([0, 6, 0, u8::try_from(username.len()).expect("short")]);
        message.extend(username.bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    fn a_check_finds_its_connection_by_name_and_an_answer_by_its_transaction() {
        let (mut routes, now, path) = (Routes::default(), Instant::now(), path("198.51.100.1:5000"));
        routes.add(ONE, "aaaa");
        routes.add(TWO, "bbbb");
        let mut find = |packet: &[u8]| routes.find(now, path, packet);
        assert_eq!(
            find(&message([0, 1], 1, "bbbb:cccc")),
            Some(Owner::Connection(TWO))
        );
        assert_eq!(find(&message([0, 1], 1, "cccc:bbbb")), None);
        assert_eq!(find(&message([1, 1], 1, "")), None, "nobody has asked");
        assert!(!routes.note(now, Owner::Connection(ONE), path, &message([0, 1], 7, ""), true));
        assert!(!routes.note(now, Owner::Gathering, path, &message([0, 1], 8, ""), true));
        assert_eq!(
            routes.find(now, path, &message([1, 1], 7, "")),
            Some(Owner::Connection(ONE))
        );
        assert_eq!(
            routes.find(now, path, &message([1, 1], 7, "")),
            None,
            "a second answer"
        );
        assert_eq!(
            routes.find(now, path, &message([1, 1], 8, "")),
            Some(Owner::Gathering)
        );
        let late = now + PATIENCE * 2;
        assert!(!routes.note(now, Owner::Connection(ONE), path, &message([0, 1], 9, ""), true));
        assert!(!routes.note(late, Owner::Connection(ONE), path, &message([0, 1], 10, ""), true));
        assert_eq!(routes.find(late, path, &message([1, 1], 9, "")), None, "too late");
    }

    #[test]
    fn data_goes_to_whom_its_sender_is_the_peer_of() {
        let (mut routes, now) = (Routes::default(), Instant::now());
        let (here, there) = (path("198.51.100.1:5000"), path("198.51.100.2:5000"));
        assert_eq!(routes.find(now, here, DATA), None);
        assert!(routes.note(now, Owner::Connection(ONE), here, &message([1, 1], 1, ""), true));
        assert!(routes.note(now, Owner::Connection(TWO), there, DATA, true));
        assert_eq!(routes.find(now, here, DATA), Some(Owner::Connection(ONE)));
        assert_eq!(routes.find(now, there, DATA), Some(Owner::Connection(TWO)));
        routes.remove(ONE, "aaaa", &[here, there]);
        assert_eq!(routes.find(now, here, DATA), None);
        assert_eq!(
            routes.find(now, there, DATA),
            Some(Owner::Connection(TWO)),
            "not its own"
        );
    }

    #[test]
    fn an_address_stays_with_a_peer_that_is_heard() {
        let (mut routes, now, path) = (Routes::default(), Instant::now(), path("198.51.100.1:5000"));
        assert!(routes.note(now, Owner::Connection(ONE), path, DATA, true));
        assert!(!routes.note(now + QUIET / 2, Owner::Connection(TWO), path, DATA, true));
        assert_eq!(
            routes.find(now + QUIET / 2, path, DATA),
            Some(Owner::Connection(ONE))
        );
        assert!(routes.note(now + QUIET * 2, Owner::Connection(TWO), path, DATA, true));
        assert_eq!(routes.find(now, path, DATA), Some(Owner::Connection(TWO)));
    }
}
