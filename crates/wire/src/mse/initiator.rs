//! The side that opens the connection.

use causeway_core::InfoHash;

use super::keys::{Cipher, KEY_LENGTH, Secret, masked, torrent_key};
use super::{
    CONSTANT, MOST_PADDING, Method, Methods, MseError, Settled, Step, short, skip_past, sync_mark, take,
};

/// The negotiation of whoever opens a connection, and knows what it is about.
#[derive(Debug)]
pub struct Initiator {
    info_hash: InfoHash,
    methods: Methods,
    secret: Secret,
    pub(super) buffer: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The other side's key comes.
    Key,
    /// Its padding comes, and then these bytes, which are its first ones.
    Constant { mark: [u8; 8], ciphers: Ciphers },
    /// It says which method it is.
    Choice(Ciphers),
    /// Padding of this length comes.
    Padding(Ciphers, Method, usize),
    /// It is over, or has failed.
    Over,
}

#[derive(Debug)]
struct Ciphers {
    encrypt: Cipher,
    decrypt: Cipher,
}

impl Initiator {
    /// A connection about this torrent, for which any of these methods will do.
    #[must_use]
    pub const fn new(info_hash: InfoHash, methods: Methods, secret: Secret) -> Self {
        Self {
            info_hash,
            methods,
            secret,
            buffer: Vec::new(),
            state: State::Key,
        }
    }

    /// What is to be sent first: our key, and as much of this random padding as there may be.
    #[must_use]
    pub fn hello(&self, padding: &[u8]) -> Vec<u8> {
        let padding = padding.iter().take(MOST_PADDING);
        self.secret.public().iter().chain(padding).copied().collect()
    }

    /// These bytes have come.
    ///
    /// # Errors
    /// The other side doesn't take part as it should.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Step, MseError> {
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
                    let shared = self.secret.shared(&key)?;
                    self.state = self.answer(&shared, &mut send);
                }
                State::Constant { mark, ciphers } => {
                    if !skip_past(&mut self.buffer, &mark)? {
                        return Ok(self.wait(State::Constant { mark, ciphers }, send));
                    }
                    self.state = State::Choice(ciphers);
                }
                State::Choice(mut ciphers) => {
                    let Some(mut fields) = take(&mut self.buffer, CHOICE) else {
                        return Ok(self.wait(State::Choice(ciphers), send));
                    };
                    ciphers.decrypt.apply(&mut fields);
                    let (choice, length) = fields.split_at(4);
                    let all = [Method::Rc4, Method::Plaintext];
                    let is_it = |method: &Method| choice == method.bit().to_be_bytes();
                    let method = all
                        .into_iter()
                        .find(is_it)
                        .filter(|method| self.methods.has(*method));
                    let length = short(length);
                    if usize::from(length) > MOST_PADDING {
                        return Err(MseError::TooLong(length));
                    }
                    self.state = State::Padding(ciphers, method.ok_or(MseError::NoMethod)?, length.into());
                }
                State::Padding(mut ciphers, method, length) => {
                    let Some(mut padding) = take(&mut self.buffer, length) else {
                        return Ok(self.wait(State::Padding(ciphers, method, length), send));
                    };
                    ciphers.decrypt.apply(&mut padding);
                    return Ok(Step::Done(Box::new(self.settle(ciphers, method, send))));
                }
                State::Over => return Err(MseError::OutOfStep),
            }
        }
    }

    fn wait(&mut self, state: State, send: Vec<u8>) -> Step {
        self.state = state;
        Step::Send(send)
    }

    /// Shows that we have the secret, and says what we want.
    fn answer(&self, shared: &[u8; KEY_LENGTH], send: &mut Vec<u8>) -> State {
        send.extend_from_slice(sync_mark(shared).as_bytes());
        send.extend_from_slice(&masked(torrent_key(self.info_hash).as_bytes(), shared));
        let mut encrypt = Cipher::new(b"keyA", shared, self.info_hash);
        // Neither padding nor payload comes with it: nobody's padding is read by anybody, and the method is open yet.
        let mut fields = [&CONSTANT[..], &self.methods.0.to_be_bytes(), &[0; 2], &[0; 2]].concat();
        encrypt.apply(&mut fields);
        send.append(&mut fields);
        let mut mark = CONSTANT;
        let mut decrypt = Cipher::new(b"keyB", shared, self.info_hash);
        decrypt.apply(&mut mark);
        let ciphers = Ciphers { encrypt, decrypt };
        State::Constant { mark, ciphers }
    }

    fn settle(&mut self, ciphers: Ciphers, method: Method, send: Vec<u8>) -> Settled {
        let mut received = core::mem::take(&mut self.buffer);
        let is_enciphered = method == Method::Rc4;
        let mut decrypt = is_enciphered.then_some(ciphers.decrypt);
        if let Some(decrypt) = &mut decrypt {
            decrypt.apply(&mut received);
        }
        Settled {
            info_hash: self.info_hash,
            method,
            send,
            received,
            encrypt: is_enciphered.then_some(ciphers.encrypt),
            decrypt,
        }
    }
}

/// Bytes that say which method was chosen, and how much padding follows.
const CHOICE: usize = 4 + 2;
