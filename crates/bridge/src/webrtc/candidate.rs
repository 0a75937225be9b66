//! Addresses where a peer may be reached (ICE candidates, RFC 8839 section 5.1).

use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// An address of a peer or of this machine, as a description names it.
///
/// Only what this side can use has one: UDP, the one component that data channels have, and an address in figures.
/// Names that end in `.local` are a browser's disguise for its addresses; it reaches us, and shows itself by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    pub(super) kind: Kind,
    /// The higher, the sooner it is tried.
    pub(super) priority: u32,
}

/// How its owner knows of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An interface of the machine.
    Host,
    /// A server has seen it, on the outer side of an address translation.
    Reflexive {
        /// The inner side.
        base: SocketAddr,
    },
    /// At a server that passes everything on.
    Relayed,
}

impl Candidate {
    /// An interface of this machine; `rank` is 0 for the one that is liked best.
    pub(super) fn host(address: SocketAddr, rank: u16) -> Self {
        Self {
            address,
            kind: Kind::Host,
            priority: priority(HOST_PREFERENCE, rank),
        }
    }

    /// What a server sees in place of `base`.
    pub(super) fn reflexive(address: SocketAddr, base: SocketAddr, rank: u16) -> Self {
        Self {
            address,
            kind: Kind::Reflexive { base },
            priority: priority(REFLEXIVE_PREFERENCE, rank),
        }
    }

    /// At a TURN server. What it relays for stays unsaid.
    pub(super) fn relayed(address: SocketAddr) -> Self {
        Self {
            address,
            kind: Kind::Relayed,
            priority: priority(RELAYED_PREFERENCE, 0),
        }
    }

    /// What follows `candidate:` in a stranger's description; `None` for what is of no use here.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let _foundation = fields.next()?;
        if fields.next()? != "1" || !fields.next()?.eq_ignore_ascii_case("udp") {
            return None;
        }
        let priority = fields.next()?.parse().ok()?;
        let ip: IpAddr = fields.next()?.parse().ok()?;
        let address = SocketAddr::new(ip.to_canonical(), fields.next()?.parse().ok()?);
        if fields.next()? != "typ" || !is_usable(address) {
            return None;
        }
        // What a stranger calls its address decides nothing here.
        let kind = Kind::Host;
        Some(Self {
            address,
            kind,
            priority,
        })
    }
}

/// The value of the attribute, without `a=candidate:`.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = (self.address.ip(), self.address.port());
        let family = if ip.is_ipv4() { 4 } else { 6 };
        match self.kind {
            Kind::Host => write!(f, "{family} 1 udp {} {ip} {port} typ host", self.priority),
            Kind::Reflexive { base } => write!(
                f,
                "1{family} 1 udp {} {ip} {port} typ srflx raddr {} rport {}",
                self.priority,
                base.ip(),
                base.port()
            ),
            Kind::Relayed => {
                let unsaid = if ip.is_ipv4() { "0.0.0.0" } else { "::" };
                write!(
                    f,
                    "2{family} 1 udp {} {ip} {port} typ relay raddr {unsaid} rport 0",
                    self.priority
                )
            }
        }
    }
}

/// Whether packets may be sent there on a stranger's word.
fn is_usable(address: SocketAddr) -> bool {
    let special = match address.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback(),
        // A link-local address is none without the interface that it belongs to.
        IpAddr::V6(ip) => {
            ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || ip.is_unicast_link_local()
        }
    };
    !special && address.port() != 0
}

/// RFC 8445 section 5.1.2.1, for the only component.
fn priority(kind: u32, rank: u16) -> u32 {
    (kind << 24) | (u32::from(u16::MAX - rank) << 8) | 255
}

const HOST_PREFERENCE: u32 = 126;
const REFLEXIVE_PREFERENCE: u32 = 100;
const RELAYED_PREFERENCE: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_can_be_used_is_taken_from_what_the_clients_write() {
        for (value, address) in [
            // Chromium, Firefox, libdatachannel.
            (
                "1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1",
                "192.168.0.196:46243",
            ),
            (
                "0 1 UDP 2122252543 2001:db8::7 53203 typ host",
                "[2001:db8::7]:53203",
            ),
            (
                "2 1 UDP 1686052607 203.0.113.141 57500 typ srflx raddr 10.0.0.1 rport 57500",
                "203.0.113.141:57500",
            ),
        ] {
            let parsed = Candidate::parse(value).map(|candidate| candidate.address.to_string());
            assert_eq!(parsed.as_deref(), Some(address), "{value}");
        }
    }

    #[test]
    fn what_can_not_be_used_is_passed_over() {
        for value in [
            "",
            "1 1 udp 1",
            "1 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active",
            "1 2 udp 2122260222 192.168.0.196 46244 typ host",
            "1 1 udp 2113937151 0b1d2c3e-77f1-4f6a-9c55-0123456789ab.local 53203 typ host",
            "1 1 udp 1 127.0.0.1 5000 typ host",
            "1 1 udp 1 ::ffff:127.0.0.1 5000 typ host",
            "1 1 udp 1 224.0.0.251 5353 typ host",
            "1 1 udp 1 255.255.255.255 5000 typ host",
            "1 1 udp 1 fe80::1 5000 typ host",
            "1 1 udp 1 192.0.2.1 0 typ host",
            "1 1 udp 99999999999 192.0.2.1 5000 typ host",
        ] {
            assert_eq!(Candidate::parse(value), None, "{value}");
        }
    }

    #[test]
    fn an_own_address_is_written_as_others_read_it() {
        let address = "192.0.2.2:4000".parse().expect("an address");
        let host = Candidate::host(address, 0);
        assert_eq!(host.to_string(), "4 1 udp 2130706431 192.0.2.2 4000 typ host");
        assert_eq!(Candidate::parse(&host.to_string()), Some(host));
        let outer = "203.0.113.1:4001".parse().expect("an address");
        let reflexive = Candidate::reflexive(outer, address, 1);
        assert_eq!(
            reflexive.to_string(),
            "14 1 udp 1694498559 203.0.113.1 4001 typ srflx raddr 192.0.2.2 rport 4000"
        );
        assert!(reflexive.priority < host.priority);
        let relayed = Candidate::relayed(outer);
        assert_eq!(
            relayed.to_string(),
            "24 1 udp 16777215 203.0.113.1 4001 typ relay raddr 0.0.0.0 rport 0"
        );
        assert!(relayed.priority < reflexive.priority);
    }
}
