//! Which packets of a DTLS handshake say nothing new.
//!
//! Both sides repeat what they have said last until the other one goes on (RFC 6347 section 4.2.4). `rtc-dtls` forgets its own repetition when
//! the peer's arrives first, and then both wait for each other: so it does not get to see that.

use std::collections::BTreeSet;

/// The messages of the peer's that have come, as long as the handshake lasts.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// By their number and where their part begins.
    seen: BTreeSet<([u8; 2], [u8; 3])>,
}

impl Repeats {
    /// Whether all that is in the packet has come before. A server answers a client's first message as often as it comes.
    pub(super) fn contain(&mut self, mut packet: &[u8], is_server: bool) -> bool {
        let mut is_repeated = !packet.is_empty();
        while !packet.is_empty() {
            let Some((record, rest)) = split_record(packet) else {
                return false;
            };
            packet = rest;
            let mut messages = record;
            while !messages.is_empty() {
                let Some((number, part, rest)) = split_message(messages) else {
                    return false;
                };
                messages = rest;
                let is_new = self.seen.len() < MAX_SEEN && self.seen.insert((number, part));
                let is_first = is_server && number == [0, 0];
                is_repeated &= !(is_new || is_first);
            }
        }
        is_repeated
    }
}

/// The first record, where it is one of the handshake in plain (RFC 6347 section 4.1), and what follows it.
fn split_record(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = packet.split_first_chunk::<13>()?;
    let is_plain_handshake = header[0] == HANDSHAKE && header[3..5] == [0, 0];
    let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
    rest.split_at_checked(length).filter(|_| is_plain_handshake)
}

/// The number of the first message and where its part begins (RFC 6347 section 4.2.2), and what follows it.
fn split_message(messages: &[u8]) -> Option<([u8; 2], [u8; 3], &[u8])> {
    let (header, rest) = messages.split_first_chunk::<12>()?;
    let [_, _, _, _, high, low, part @ .., first, second, third] = *header;
    let length = usize::try_from(u32::from_be_bytes([0, first, second, third])).ok()?;
    Some(([high, low], part, rest.get(length..)?))
}

/// The type of a record.
const HANDSHAKE: u8 = 22;
/// Parts of messages that are remembered; a handshake has some ten.
const MAX_SEEN: usize = 64;
