//! As much of STUN (RFC 8489) as telling connections apart, asking for the own address and talking to a relay takes.

use core::ops::Range;
use core::str;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut as _, BytesMut};

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

/// The method and class of a message, as they stand in its first two bytes.
pub(super) fn kind(bytes: &[u8]) -> Option<u16> {
    is_stun(bytes).then_some(u16::from_be_bytes(*bytes.first_chunk()?))
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
    address(bytes, XOR_MAPPED_ADDRESS)
}

/// An address that a message names in an attribute of this kind.
pub(super) fn address(bytes: &[u8], attribute: u16) -> Option<SocketAddr> {
    let value = self::attribute(bytes, attribute)?;
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

/// The value of the first attribute of this kind.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    bytes.get(place(bytes, wanted)?)
}

/// Where the value of the first attribute of this kind stands.
fn place(bytes: &[u8], wanted: u16) -> Option<Range<usize>> {
    let mut at = HEADER;
    loop {
        let header = bytes.get(at..)?.first_chunk::<4>()?;
        let [kind, length] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
        let (from, length) = (at + 4, usize::from(length));
        if kind == wanted {
            return Some(from..from + length);
        }
        at = from + length.next_multiple_of(4);
    }
}

/// Why a request is refused.
pub(super) fn error_code(bytes: &[u8]) -> Option<u16> {
    let [_, _, hundreds, rest] = attribute(bytes, ERROR_CODE)?.first_chunk::<4>()?;
    Some(u16::from(hundreds & 7) * 100 + u16::from(*rest))
}

/// What the signature of a message covers, and the signature.
pub(super) fn signature(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let place = place(bytes, MESSAGE_INTEGRITY).filter(|place| place.len() == SIGNATURE)?;
    let mut signed = bytes.get(..place.start - 4)?.to_vec();
    set_length(&mut signed, 4 + SIGNATURE);
    Some((signed, bytes.get(place)?))
}

/// A message that is being written.
pub(super) struct Message(BytesMut);

impl Message {
    /// Its method and class are `kind`.
    pub(super) fn new(kind: u16, transaction: &TransactionId) -> Self {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_u16(kind);
        bytes.put_u16(0);
        bytes.extend_from_slice(&COOKIE);
        bytes.extend_from_slice(transaction);
        Self(bytes)
    }

    /// Adds an attribute of 65,535 bytes at the most.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.0.put_u16(kind);
        #[expect(clippy::cast_possible_truncation, reason = "it is cut to that")]
        self.0.put_u16(value.len() as u16);
        self.0.extend_from_slice(value);
        self.0.put_bytes(0, value.len().next_multiple_of(4) - value.len());
    }

    /// Adds an address, combined with the magic number and the transaction.
    pub(super) fn address(&mut self, kind: u16, address: SocketAddr) {
        let (family, ip) = match address.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend((address.port() ^ 0x2112).to_be_bytes());
        value.extend(ip.iter().zip(&self.0[4..20]).map(|(byte, mask)| byte ^ mask));
        self.attribute(kind, &value);
    }

    /// The message, signed with what `mac` makes of it.
    pub(super) fn sign(mut self, mac: impl FnOnce(&[u8]) -> Option<[u8; SIGNATURE]>) -> Option<BytesMut> {
        set_length(&mut self.0, 4 + SIGNATURE);
        let tag = mac(&self.0)?;
        self.attribute(MESSAGE_INTEGRITY, &tag);
        Some(self.finish())
    }

    /// The message.
    pub(super) fn finish(mut self) -> BytesMut {
        set_length(&mut self.0, 0);
        self.0
    }
}

/// Says in the header how much follows it: what is there, and so many bytes beyond.
fn set_length(message: &mut [u8], beyond: usize) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "packets are shorter than 65,536 bytes"
    )]
    let length = (message.len() - HEADER + beyond) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Bytes before the attributes, and of a signature (HMAC-SHA1).
const HEADER: usize = 20;
const SIGNATURE: usize = 20;

/// Kinds of attributes (RFC 8489 section 18.3, RFC 8656 section 18).
pub(super) const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
pub(super) const LIFETIME: u16 = 0x000d;
pub(super) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(super) const DATA: u16 = 0x0013;
pub(super) const REALM: u16 = 0x0014;
pub(super) const NONCE: u16 = 0x0015;
pub(super) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(super) const REQUESTED_TRANSPORT: u16 = 0x0019;
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
