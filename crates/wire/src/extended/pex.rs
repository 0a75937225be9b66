//! Exchange of addresses between peers (BEP 11, `ut_pex`).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use serde::Serialize;

use super::bencode::Dictionary;
use super::{ExtensionError, UT_PEX, bencode};

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
        let (dictionary, _) = Dictionary::read(payload).map_err(|error| ExtensionError::Bencode {
            extension: UT_PEX,
            error,
        })?;
        let bytes = |key| dictionary.bytes(key).unwrap_or_default();
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
        bencode::write(&written)
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
