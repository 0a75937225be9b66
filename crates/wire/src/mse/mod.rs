//! Message stream encryption (MSE, also called PE): the negotiation before the handshake that hides from networks that a
//! TCP connection is BitTorrent.
//!
//! It has no BEP. What is here is what libtorrent and Transmission do: a Diffie-Hellman exchange in a group of 768 bits,
//! padding of at most 512 bytes of each side, then the name of the torrent and the methods on offer, enciphered with RC4 under keys of
//! the secret and the info-hash. Whoever knows the info-hash can still listen in by taking part, so this is no
//! privacy, only another look.
//!
//! [`Initiator`] and [`Responder`] are the two sides. Each is told what came and answers with what to send, until
//! it is [`Settled`]. Neither keeps more than padding and a few fields of what a stranger sends.

mod initiator;
mod keys;
mod responder;
#[cfg(test)]
mod tests;

use causeway_core::{InfoHash, Sha1Hash};

pub use initiator::Initiator;
pub use keys::{Cipher, Secret, torrent_key};
pub use responder::Responder;

/// How the bytes after the negotiation look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Plaintext,
    /// Enciphered with RC4.
    Rc4,
}

/// Methods that one side accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods(u32);

impl Methods {
    /// Every method.
    pub const ALL: Self = Self(0b11);
    /// RC4 alone.
    pub const RC4: Self = Self(Method::Rc4.bit());
    /// Plaintext alone, after an enciphered negotiation.
    pub const PLAINTEXT: Self = Self(Method::Plaintext.bit());

    /// Whether this method is among them.
    #[must_use]
    pub const fn has(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }
}

impl Method {
    const fn bit(self) -> u32 {
        match self {
            Self::Plaintext => 0b01,
            Self::Rc4 => 0b10,
        }
    }
}

/// What a negotiation has come to after some bytes.
#[derive(Debug)]
pub enum Step {
    /// These are to be sent, if any, and more has to come.
    Send(Vec<u8>),
    /// It is over.
    Done(Box<Settled>),
}

/// A connection after its negotiation.
#[derive(Debug)]
pub struct Settled {
    /// The torrent that it is about.
    pub info_hash: InfoHash,
    /// How it goes on.
    pub method: Method,
    /// What is to be sent first, as it is.
    pub send: Vec<u8>,
    /// What the other side has sent after its negotiation, deciphered: the start of its stream.
    pub received: Vec<u8>,
    /// Enciphers all that is sent from now on, where anything is to.
    pub encrypt: Option<Cipher>,
    /// Deciphers all that comes from now on, where anything is to.
    pub decrypt: Option<Cipher>,
}

/// What the other side did wrong, or why it is not for us. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MseError {
    /// No honest exchange has such a key: the secret would be known to everybody.
    #[error("its key makes no secret")]
    WeakKey,
    /// More padding came than there may be, or the other side has another secret.
    #[error("it does not show that it has our secret")]
    OutOfStep,
    /// No torrent of ours has this name.
    #[error("it wants a torrent that isn't here")]
    UnknownTorrent,
    /// What should be eight zeros is something else.
    #[error("its keys are not ours")]
    WrongKeys,
    /// There is no method that both accept.
    #[error("it accepts no method that we do")]
    NoMethod,
    /// Padding or the payload that comes with the negotiation is longer than anybody's.
    #[error("it announces {0} bytes where nobody has as many")]
    TooLong(u16),
}

/// The most bytes of padding in any place.
pub const MOST_PADDING: usize = 512;

/// What a stream without encryption begins with: nobody's key is taken for it.
#[must_use]
pub fn is_plain(start: &[u8]) -> bool {
    crate::Handshake::check_start(start).is_ok()
}

/// The bytes by which an initiator shows that it has the secret.
fn sync_mark(shared: &[u8; keys::KEY_LENGTH]) -> Sha1Hash {
    keys::hash(&[b"req1", shared])
}

/// Eight zeros, which show that both have the same keys.
const CONSTANT: [u8; 8] = [0; 8];

/// Takes the first `length` bytes of a buffer, once there are as many.
fn take(buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    if buffer.len() < length {
        return None;
    }
    let rest = buffer.split_off(length);
    Some(core::mem::replace(buffer, rest))
}

/// Drops everything up to the end of `mark`, if it is there after no more padding than there may be.
///
/// # Errors
/// [`MseError::OutOfStep`] once it can't come any more.
fn skip_past(buffer: &mut Vec<u8>, mark: &[u8]) -> Result<bool, MseError> {
    let place = buffer.windows(mark.len()).position(|bytes| bytes == mark);
    match place {
        Some(place) if place <= MOST_PADDING => {
            buffer.drain(..place + mark.len());
            Ok(true)
        }
        Some(_) => Err(MseError::OutOfStep),
        None if buffer.len() >= MOST_PADDING + mark.len() => Err(MseError::OutOfStep),
        None => Ok(false),
    }
}

/// A number of two bytes.
fn short(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u16::from(*byte))
}
