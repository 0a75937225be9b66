//! The side that is connected to.

use causeway_core::{InfoHash, Sha1Hash};

use super::keys::{Cipher, KEY_LENGTH, Secret, masked};
use super::{
    CONSTANT, MOST_PADDING, Method, Methods, MseError, Settled, Step, short, skip_past, sync_mark, take,
};

/// The negotiation of whoever is connected to, and learns what the connection is about.
#[derive(Debug)]
pub struct Responder {
    methods: Methods,
    preferred: Method,
    secret: Secret,
    padding: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The other side's key comes.
    Key,
    /// Its padding comes, and then proof that it has this secret.
    Proof([u8; KEY_LENGTH]),
    /// It says which torrent it wants, and what it accepts.
    Offer([u8; KEY_LENGTH]),
    /// Padding of this length comes, and then the length of the payload.
    Padding(Box<Chosen>, usize),
    /// It is over, or has failed.
    Over,
}

#[derive(Debug)]
struct Chosen {
    info_hash: InfoHash,
    method: Method,
    encrypt: Cipher,
    decrypt: Cipher,
}

impl Responder {
    /// A connection for which any of these methods will do; `preferred` is chosen where both are possible. As much of
    /// the random padding is sent as there may be.
    #[must_use]
    pub fn new(methods: Methods, preferred: Method, secret: Secret, mut padding: Vec<u8>) -> Self {
        padding.truncate(MOST_PADDING);
        Self {
            methods,
            preferred,
            secret,
            padding,
            buffer: Vec::new(),
            state: State::Key,
        }
    }

    /// These bytes have come. `find` knows which of our torrents has this [`torrent_key`](super::torrent_key).
    ///
    /// # Errors
    /// The other side doesn't take part as it should, or wants something that isn't here.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        find: impl Fn(Sha1Hash) -> Option<InfoHash>,
    ) -> Result<Step, MseError> {
        if matches!(self.state, State::Over) {
            return Err(MseError::OutOfStep);
        }
        self.buffer.extend_from_slice(bytes);
        let mut send = Vec::new();
        loop {
            match core::mem::replace(&mut self.state, State::Over) {
                State::Key => {
                    let Some(key) = take(&mut self.buffer, KEY_LENGTH) else {
                        return Ok(self.wait(State::Key, send));
                    };
                    self.state = State::Proof(self.secret.shared(&key)?);
                    send.extend_from_slice(&self.secret.public());
                    send.append(&mut self.padding);
                }
                State::Proof(shared) => {
                    if !skip_past(&mut self.buffer, sync_mark(&shared).as_bytes())? {
                        return Ok(self.wait(State::Proof(shared), send));
                    }
                    self.state = State::Offer(shared);
                }
                State::Offer(shared) => {
                    let Some(fields) = take(&mut self.buffer, OFFER) else {
                        return Ok(self.wait(State::Offer(shared), send));
                    };
                    let (chosen, padding) = self.choose(&shared, fields, &find)?;
                    self.state = State::Padding(chosen, padding);
                }
                State::Padding(mut chosen, length) => {
                    let Some(mut padding) = take(&mut self.buffer, length + 2) else {
                        return Ok(self.wait(State::Padding(chosen, length), send));
                    };
                    chosen.decrypt.apply(&mut padding);
                    let (_, payload) = padding.split_at(length);
                    let payload = short(payload);
                    if usize::from(payload) > MOST_PAYLOAD {
                        return Err(MseError::TooLong(payload));
                    }
                    return Ok(Step::Done(Box::new(self.settle(chosen, payload.into(), send))));
                }
                State::Over => return Err(MseError::OutOfStep),
            }
        }
    }

    fn wait(&mut self, state: State, send: Vec<u8>) -> Step {
        self.state = state;
        Step::Send(send)
    }

    /// Finds the torrent and the method; says how much padding follows.
    fn choose(
        &self,
        shared: &[u8; KEY_LENGTH],
        mut fields: Vec<u8>,
        find: &impl Fn(Sha1Hash) -> Option<InfoHash>,
    ) -> Result<(Box<Chosen>, usize), MseError> {
        let (key, fields) = fields.split_at_mut(20);
        let key = masked(key, shared).try_into().map(Sha1Hash::new);
        let info_hash = key.ok().and_then(find).ok_or(MseError::UnknownTorrent)?;
        let mut decrypt = Cipher::new(b"keyA", shared, info_hash);
        decrypt.apply(fields);
        let (constant, fields) = fields.split_at(CONSTANT.len());
        if constant != CONSTANT {
            return Err(MseError::WrongKeys);
        }
        let (offered, length) = fields.split_at(4);
        let offered = Methods(offered.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)));
        let mut wanted = [self.preferred, Method::Rc4, Method::Plaintext].into_iter();
        let method = wanted.find(|method| self.methods.has(*method) && offered.has(*method));
        let length = short(length);
        if usize::from(length) > MOST_PADDING {
            return Err(MseError::TooLong(length));
        }
        let chosen = Box::new(Chosen {
            info_hash,
            method: method.ok_or(MseError::NoMethod)?,
            encrypt: Cipher::new(b"keyB", shared, info_hash),
            decrypt,
        });
        Ok((chosen, length.into()))
    }

    /// Says what was chosen. The payload is enciphered in any case, what follows it as was chosen.
    fn settle(&mut self, chosen: Box<Chosen>, payload: usize, mut send: Vec<u8>) -> Settled {
        let Chosen {
            info_hash,
            method,
            mut encrypt,
            decrypt,
        } = *chosen;
        let mut fields = [&CONSTANT[..], &method.bit().to_be_bytes(), &[0; 2]].concat();
        encrypt.apply(&mut fields);
        send.append(&mut fields);
        let mut received = core::mem::take(&mut self.buffer);
        let (encrypt, mut decrypt) = match method {
            Method::Rc4 => (Some(encrypt), Some(decrypt)),
            Method::Plaintext => (None, decrypt.only(payload)),
        };
        if let Some(decrypt) = &mut decrypt {
            decrypt.apply(&mut received);
        }
        Settled {
            info_hash,
            method,
            send,
            received,
            encrypt,
            decrypt,
        }
    }
}

/// Bytes that name the torrent, prove the keys, and say what is accepted and how much padding follows.
const OFFER: usize = 20 + 8 + 4 + 2;
/// The most payload that comes with the negotiation. Everybody sends a handshake there, of 68 bytes, or nothing.
const MOST_PAYLOAD: usize = 1024;
