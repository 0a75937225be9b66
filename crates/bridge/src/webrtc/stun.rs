//! As much of STUN (RFC 8489) as telling connections apart and asking for the own address takes.

use core::str;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a request and its response have in common.
pub(super) type TransactionId = [u8; 12];

/// A packet's meaning to whoever has to pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A check for the connection with this user fragment.
    Request { ufrag: &'a str },
    /// An answer to this side's request.
    Response(TransactionId),
    /// Part of a handshake, or data.
    Dtls,
}

impl<'a> Packet<'a> {
    /// `None` for what no connection sends (RFC 7983 section 7).
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        if matches!(bytes.first()?, 20..=63) {
            return Some(Self::Dtls);
        }
        if !is_stun(bytes) {
            return None;
        }
        match class(bytes)? {
            Class::Request => {
                let username = attribute(bytes, USERNAME)?;
                let (ufrag, _) = str::from_utf8(username).ok()?.split_once(':')?;
                Some(Self::Request { ufrag })
            }
            Class::Success | Class::Error => Some(Self::Response(transaction(bytes)?)),
            Class::Indication => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// The class of a message about binding.
pub(super) fn class(bytes: &[u8]) -> Option<Class> {
    match bytes.first_chunk::<2>()? {
        [0x00, 0x01] => Some(Class::Request),
        [0x00, 0x11] => Some(Class::Indication),
        [0x01, 0x01] => Some(Class::Success),
        [0x01, 0x11] => Some(Class::Error),
        _ => None,
    }
}

/// Whether a packet is STUN, by its first byte and its magic number.
pub(super) fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4) && bytes.get(4..8) == Some(&COOKIE)
}

/// The transaction of a message.
pub(super) fn transaction(bytes: &[u8]) -> Option<TransactionId> {
    bytes.get(8..20)?.try_into().ok()
}

/// Asks a server how it sees this side.
pub(super) fn binding_request(transaction: &TransactionId) -> [u8; 20] {
    let mut message = [0; 20];
    message[1] = 1;
    message[4..8].copy_from_slice(&COOKIE);
    message[8..].copy_from_slice(transaction);
    message
}

/// How a server sees this side, by its response.
pub(super) fn mapped_address(bytes: &[u8]) -> Option<SocketAddr> {
    if class(bytes)? != Class::Success {
        return None;
    }
    let value = attribute(bytes, XOR_MAPPED_ADDRESS)?;
    let port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?) ^ 0x2112;
    // Both families are combined with what follows the length: the magic number and the transaction.
    let mask = bytes.get(4..20)?;
    let masked = |ip: &[u8]| -> Vec<u8> { ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect() };
    let ip = match value.get(1)? {
        1 => IpAddr::from(
            <[u8; 4]>::try_from(masked(value.get(4..8)?))
                .map(Ipv4Addr::from)
                .ok()?,
        ),
        2 => IpAddr::from(
            <[u8; 16]>::try_from(masked(value.get(4..20)?))
                .map(Ipv6Addr::from)
                .ok()?,
        ),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = bytes.get(20..)?;
    loop {
        let (header, after) = rest.split_first_chunk::<4>()?;
        let [kind, length] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
        let length = usize::from(length);
        if kind == wanted {
            return after.get(..length);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 sections 2.1 to 2.3.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5\
        b2d3f249c1b571a280280004e57a3bcf";
    const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001\
        a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002\
        a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("a byte"))
            .collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let transaction = transaction(&bytes(REQUEST)).expect("a transaction");
        assert_eq!(
            Packet::read(&bytes(REQUEST)),
            Some(Packet::Request { ufrag: "evtj" })
        );
        for (response, address) in [
            (RESPONSE_V4, "192.0.2.1:32853"),
            (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
        ] {
            assert_eq!(
                Packet::read(&bytes(response)),
                Some(Packet::Response(transaction))
            );
            assert_eq!(
                mapped_address(&bytes(response))
                    .map(|address| address.to_string())
                    .as_deref(),
                Some(address)
            );
        }
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        for message in [REQUEST, RESPONSE_V4, RESPONSE_V6] {
            let message = bytes(message);
            for length in 0..message.len() {
                let cut = &message[..length];
                assert!(!matches!(Packet::read(cut), Some(Packet::Dtls)), "{length}");
                assert!(length >= 40 || mapped_address(cut).is_none(), "{length}");
            }
        }
    }

    #[test]
    fn other_packets_are_told_apart_by_their_first_byte() {
        assert_eq!(Packet::read(&[22, 254, 253]), Some(Packet::Dtls));
        assert_eq!(Packet::read(&[23]), Some(Packet::Dtls));
        for other in [&[][..], &[0; 20], &[128; 40], &[64, 1, 2, 3], b"hello"] {
            assert_eq!(Packet::read(other), None, "{other:?}");
        }
        let request = binding_request(&[7; 12]);
        assert!(is_stun(&request));
        assert_eq!(class(&request), Some(Class::Request));
        assert_eq!(transaction(&request), Some([7; 12]));
    }
}
