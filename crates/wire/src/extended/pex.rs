//! Exchange of addresses between peers (BEP 11, `ut_pex`).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use serde::Serialize;

use super::{ExtensionError, UT_PEX};

/// What a peer knows of a third one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encryption.
    pub const ENCRYPTION: Self = Self(0x01);
    /// It uploads only: a seed or a partial seed.
    pub const UPLOAD_ONLY: Self = Self(0x02);
    /// It speaks uTP.
    pub const UTP: Self = Self(0x04);
    /// It speaks `ut_holepunch` (BEP 55).
    pub const HOLEPUNCH: Self = Self(0x08);
    /// The sender opened the connection to it, so it can be reached.
    pub const REACHABLE: Self = Self(0x10);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A peer that the sender is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PexPeer {
    /// Where it listens, as the sender says.
    pub addr: SocketAddr,
    /// What is known of it.
    pub flags: PexFlags,
}

/// What changed since the last message of this kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExchange {
    /// Peers that the sender connected to; IPv4 before IPv6 on the wire.
    pub added: Vec<PexPeer>,
    /// Peers that it is no longer connected to.
    pub dropped: Vec<SocketAddr>,
}

impl PeerExchange {
    /// How many addresses of each list and each address family are read; the rest is left out. BEP 11 allows 50
    /// in all, but for the first message of a link.
    pub const MAX_PEERS: usize = 200;

    /// Reads the payload of a `ut_pex` message.
    ///
    /// # Errors
    /// [`ExtensionError::Bencode`]; an address that is cut off is left out instead.
    pub fn from_bytes(payload: &[u8]) -> Result<Self, ExtensionError> {
        let (dictionary, _) = super::read(UT_PEX, payload)?;
        let bytes = |key| dictionary.string(key).unwrap_or_default();
        let flags = |key| {
            bytes(key)
                .iter()
                .copied()
                .chain(core::iter::repeat(0))
                .map(PexFlags)
        };
        let added = ipv4_addresses(bytes("added"))
            .zip(flags("added.f"))
            .chain(ipv6_addresses(bytes("added6")).zip(flags("added6.f")))
            .map(|(addr, flags)| PexPeer { addr, flags });
        let dropped = ipv4_addresses(bytes("dropped")).chain(ipv6_addresses(bytes("dropped6")));
        Ok(Self {
            added: added.collect(),
            dropped: dropped.collect(),
        })
    }

    /// Writes the payload, everything in it: who sends keeps to 50 added and 50 dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Default, Serialize)]
        struct Written {
            #[serde(with = "serde_bytes")]
            added: Vec<u8>,
            #[serde(rename = "added.f", with = "serde_bytes")]
            added_flags: Vec<u8>,
            #[serde(with = "serde_bytes")]
            added6: Vec<u8>,
            #[serde(rename = "added6.f", with = "serde_bytes")]
            added6_flags: Vec<u8>,
            #[serde(with = "serde_bytes")]
            dropped: Vec<u8>,
            #[serde(with = "serde_bytes")]
            dropped6: Vec<u8>,
        }

        let mut written = Written::default();
        for PexPeer { addr, flags } in &self.added {
            if addr.is_ipv4() {
                push_address(&mut written.added, *addr);
                written.added_flags.push(flags.0);
            } else {
                push_address(&mut written.added6, *addr);
                written.added6_flags.push(flags.0);
            }
        }
        for addr in &self.dropped {
            let list = if addr.is_ipv4() {
                &mut written.dropped
            } else {
                &mut written.dropped6
            };
            push_address(list, *addr);
        }
        super::write(&written)
    }
}

fn ipv4_addresses(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = bytes.as_chunks();
    addresses
        .iter()
        .take(PeerExchange::MAX_PEERS)
        .map(|[a, b, c, d, high, low]| {
            SocketAddr::from((Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])))
        })
}

fn ipv6_addresses(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = bytes.as_chunks();
    addresses
        .iter()
        .take(PeerExchange::MAX_PEERS)
        .map(|[ip @ .., high, low]: &[u8; 18]| {
            SocketAddr::from((Ipv6Addr::from(*ip), u16::from_be_bytes([*high, *low])))
        })
}

fn push_address(list: &mut Vec<u8>, addr: SocketAddr) {
    match addr {
        SocketAddr::V4(addr) => list.extend(addr.ip().octets()),
        SocketAddr::V6(addr) => list.extend(addr.ip().octets()),
    }
    list.extend(addr.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn addr(addr: &str) -> SocketAddr {
        addr.parse().expect("an address")
    }

    #[test]
    fn all_lists_of_bep_11_are_read_and_written() {
        let exchange = PeerExchange {
            added: vec![
                PexPeer {
                    addr: addr("1.2.3.4:6881"),
                    flags: PexFlags(0x12),
                },
                PexPeer {
                    addr: addr("5.6.7.8:80"),
                    flags: PexFlags(0),
                },
                PexPeer {
                    addr: addr("[2001:db8::1]:443"),
                    flags: PexFlags::UTP,
                },
            ],
            dropped: vec![addr("9.9.9.9:1"), addr("[::1]:2")],
        };
        let payload = b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x507:added.f2:\x12\x00\
            6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb8:added6.f1:\x04\
            7:dropped6:\x09\x09\x09\x09\x00\x018:dropped618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x02e";
        assert_eq!(exchange.to_bytes(), &payload[..]);
        assert_eq!(PeerExchange::from_bytes(payload), Ok(exchange));
    }

    #[test]
    fn lists_that_are_missing_or_cut_off_cost_no_more_than_themselves() {
        for (payload, added) in [
            (&b"de"[..], &[][..]),
            (b"d5:addedi5ee", &[]),
            (b"d5:added5:\x01\x02\x03\x04\x1ae", &[]),
            (b"d5:added6:\x01\x02\x03\x04\x1a\xe1e", &[("1.2.3.4:6881", 0)]),
            (
                b"d5:added8:\x01\x02\x03\x04\x1a\xe1\x01\x027:added.f3:\x01\x02\x03e",
                &[("1.2.3.4:6881", 1)],
            ),
            (b"d7:added.f2:\x01\x02e", &[]),
        ] {
            let expected = added.iter().map(|(text, flags)| PexPeer {
                addr: addr(text),
                flags: PexFlags(*flags),
            });
            let read = PeerExchange::from_bytes(payload).expect("a dictionary");
            assert_eq!(
                read.added,
                expected.collect::<Vec<_>>(),
                "{}",
                payload.escape_ascii()
            );
            assert_eq!(read.dropped, []);
        }
    }

    #[test]
    fn no_more_peers_are_read_than_the_bound() {
        let v4 = PexPeer {
            addr: addr("1.2.3.4:6881"),
            flags: PexFlags(1),
        };
        let v6 = PexPeer {
            addr: addr("[::1]:6881"),
            flags: PexFlags(2),
        };
        let flood = PeerExchange {
            added: [vec![v4; 1000], vec![v6; 1000]].concat(),
            dropped: vec![v4.addr; 1000],
        };
        let read = PeerExchange::from_bytes(&flood.to_bytes()).expect("a dictionary");
        assert_eq!(read.added, [vec![v4; 200], vec![v6; 200]].concat());
        assert_eq!(read.dropped, vec![v4.addr; 200]);
    }

    #[test]
    fn flags_are_told_apart() {
        let flags = PexFlags(0x12);
        assert!(flags.contains(PexFlags::UPLOAD_ONLY) && flags.contains(PexFlags::REACHABLE));
        assert!(!flags.contains(PexFlags::UTP));
        assert!(!flags.contains(PexFlags(0x03)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            mut added in vec(any::<(SocketAddr, u8)>(), 0..50),
            mut dropped in vec(any::<SocketAddr>().prop_map(plain), 0..50),
        ) {
            added.sort_by_key(|(addr, _)| addr.is_ipv6());
            dropped.sort_by_key(SocketAddr::is_ipv6);
            let added = added.into_iter().map(|(addr, flags)| PexPeer { addr: plain(addr), flags: PexFlags(flags) });
            let exchange = PeerExchange { added: added.collect(), dropped };
            prop_assert_eq!(PeerExchange::from_bytes(&exchange.to_bytes()), Ok(exchange));
        }

        #[test]
        fn strangers_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            drop(PeerExchange::from_bytes(&[b"d5:added", &bytes[..], b"e"].concat()));
        }
    }

    /// Without the scope and the flow that an IPv6 address may have on this machine, but not on the wire.
    fn plain(addr: SocketAddr) -> SocketAddr {
        SocketAddr::new(addr.ip(), addr.port())
    }
}
