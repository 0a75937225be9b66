//! The records that carry everything once the DTLS handshake is over (RFC 6347 section 4.1), sealed with AES-128 in GCM (RFC 5288).
//!
//! `rtc-dtls` shakes hands: who the peer is and which keys there are. Every packet after that is for this module, which copies it once where `rtc-dtls` does so five
//! times and asks the system for randomness. The ciphers come from the handshake itself, which makes them by the [`Ciphers`] that it is given.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, BufMut as _, BytesMut};
use rtc_crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm,
    KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme,
};

/// The cryptography of one handshake, of whose ciphers a second one is kept for what comes after it.
pub(super) struct Ciphers {
    base: Arc<dyn RTCCryptoProvider>,
    kept: Arc<Mutex<Kept>>,
}

/// The ciphers of both directions, once the handshake has used its own.
#[derive(Default)]
struct Kept {
    seal: Option<Direction>,
    open: Option<Direction>,
}

/// One direction.
struct Direction {
    cipher: Box<dyn AeadCipher>,
    /// The part of nonces that no record tells.
    salt: [u8; 4],
    /// The epoch and number of its latest record.
    latest: u64,
}

impl Ciphers {
    pub(super) fn new(base: Arc<dyn RTCCryptoProvider>) -> Self {
        Self {
            base,
            kept: Arc::default(),
        }
    }

    /// What goes on where the handshake ends, whose own ciphers must not be used after this; `None` before its end.
    pub(super) fn records(&self) -> Option<Records> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { seal, open } = std::mem::take(&mut *kept);
        Some(Records {
            seal: seal?,
            open: open?,
            // Whatever came before is not to come again.
            seen: u64::MAX,
        })
    }
}

impl RTCCryptoProvider for Ciphers {
    fn name(&self) -> &'static str {
        self.base.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.base.random()
    }
}

/// What a handshake with AES-GCM needs; for anything else there is an error.
impl RTCCrypto for Ciphers {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.base.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.base.crypto().hash(algorithm, data)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.base.crypto().new_hmac(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        Ok(Box::new(Watched {
            cipher: self.base.crypto().new_aead(algorithm, key)?,
            spare: Some(self.base.crypto().new_aead(algorithm, key)?),
            kept: self.kept.clone(),
        }))
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.base.crypto().start_key_exchange(algorithm)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.base
            .crypto()
            .verify_signature(scheme, public_key, message, signature)
    }
}

/// A cipher of the handshake, whose direction, salt and numbers show when it is used.
struct Watched {
    cipher: Box<dyn AeadCipher>,
    /// The same cipher again, until it is kept.
    spare: Option<Box<dyn AeadCipher>>,
    kept: Arc<Mutex<Kept>>,
}

impl Watched {
    fn note(
        &mut self,
        nonce: &[u8],
        authenticated: &[u8],
        direction: fn(&mut Kept) -> &mut Option<Direction>,
    ) {
        let (Some(salt), Some(number)) = (nonce.first_chunk(), authenticated.first_chunk()) else {
            return;
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (direction, number) = (direction(&mut kept), u64::from_be_bytes(*number));
        if let Some(cipher) = self.spare.take() {
            *direction = Some(Direction {
                cipher,
                salt: *salt,
                latest: number,
            });
        } else if let Some(direction) = direction {
            direction.latest = direction.latest.max(number);
        }
    }
}

impl AeadCipher for Watched {
    fn tag_len(&self) -> usize {
        self.cipher.tag_len()
    }

    fn seal_in_place(
        &mut self,
        nonce: &[u8],
        aad: &[u8],
        plaintext_and_ciphertext: &mut [u8],
        tag_out: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.cipher
            .seal_in_place(nonce, aad, plaintext_and_ciphertext, tag_out)?;
        self.note(nonce, aad, |kept| &mut kept.seal);
        Ok(())
    }

    fn open_in_place(
        &mut self,
        nonce: &[u8],
        aad: &[u8],
        ciphertext_and_plaintext: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.cipher
            .open_in_place(nonce, aad, ciphertext_and_plaintext, tag)?;
        self.note(nonce, aad, |kept| &mut kept.open);
        Ok(())
    }
}

/// Seals and opens records.
pub(super) struct Records {
    seal: Direction,
    open: Direction,
    /// Which of the numbers up to the latest one have come: bit 0 is the latest (RFC 6347 section 4.1.2.6).
    seen: u64,
}

impl Records {
    /// Puts a record behind what is in `packet`. `None`, and nothing put there, where the content is too long, no numbers are left, or the cipher refuses.
    pub(super) fn seal(&mut self, kind: u8, content: &[u8], packet: &mut BytesMut) -> Option<()> {
        let Direction { cipher, salt, latest } = &mut self.seal;
        let number = (*latest & NUMBERS < NUMBERS).then_some(*latest + 1)?;
        let length = u16::try_from(NONCE + content.len() + TAG).ok()?;
        let authenticated = authenticated(number.to_be_bytes(), kind, content.len())?;
        *latest = number;
        let (number, start) = (number.to_be_bytes(), packet.len());
        packet.reserve(SEAL + content.len());
        packet.put_u8(kind);
        packet.put_slice(&VERSION);
        packet.put_slice(&number);
        packet.put_u16(length);
        packet.put_slice(&number);
        packet.put_slice(content);
        let (nonce, mut tag) = (nonce(*salt, number), [0; TAG]);
        let sealed = &mut packet[start + HEADER + NONCE..];
        if cipher
            .seal_in_place(&nonce, &authenticated, sealed, &mut tag)
            .is_err()
        {
            packet.truncate(start);
            return None;
        }
        packet.put_slice(&tag);
        Some(())
    }

    /// Opens the next record of a packet that is of any use, and takes it out. `None` where there is none.
    pub(super) fn open(&mut self, packet: &mut BytesMut) -> Option<(u8, BytesMut)> {
        while let Some(record) = split_record(packet) {
            if let Some(opened) = self.open_record(record) {
                return Some(opened);
            }
        }
        None
    }

    fn open_record(&mut self, mut record: BytesMut) -> Option<(u8, BytesMut)> {
        let (kind, number) = (*record.first()?, *record.get(3..)?.first_chunk()?);
        let (is_of_this_version, order) = (record[1..3] == VERSION, u64::from_be_bytes(number));
        if !is_of_this_version || self.is_seen(order) {
            return None;
        }
        record.advance(HEADER);
        let explicit = *record.first_chunk()?;
        record.advance(NONCE);
        let tag = record.split_off(record.len().checked_sub(TAG)?);
        let authenticated = authenticated(number, kind, record.len())?;
        let opened = self.open.cipher.open_in_place(
            &nonce(self.open.salt, explicit),
            &authenticated,
            &mut record,
            &tag,
        );
        opened.ok()?;
        self.see(order);
        Some((kind, record))
    }

    /// Whether a record with this epoch and number has come, or is too old or of another epoch.
    fn is_seen(&self, order: u64) -> bool {
        let latest = self.open.latest;
        if order & !NUMBERS != latest & !NUMBERS {
            return true;
        }
        match latest.checked_sub(order) {
            Some(age) => age >= u64::BITS.into() || self.seen >> age & 1 == 1,
            None => false,
        }
    }

    fn see(&mut self, order: u64) {
        if let Some(ahead) = order.checked_sub(self.open.latest).filter(|ahead| *ahead > 0) {
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0);
            self.open.latest = order;
        }
        self.seen |= 1 << (self.open.latest - order);
    }
}

/// Whether a packet has a change of ciphers that belongs to no handshake. It is in plain, so that anybody can have made it, and yet `rtc-dtls` would believe it.
pub(super) fn has_stray_change(mut packet: &[u8]) -> bool {
    while let Some((header, rest)) = packet.split_first_chunk::<HEADER>() {
        if header[0] == CHANGE_CIPHER_SPEC && header[3..5] != [0, 0] {
            return true;
        }
        let length = u16::from_be_bytes([header[11], header[12]]);
        packet = rest.get(length.into()..).unwrap_or_default();
    }
    false
}

/// Takes the first record out of a packet, if it is there as a whole.
fn split_record(packet: &mut BytesMut) -> Option<BytesMut> {
    let length = HEADER + usize::from(u16::from_be_bytes(*packet.get(HEADER - 2..)?.first_chunk()?));
    (length <= packet.len()).then(|| packet.split_to(length))
}

/// What seals a record beside its key: a part that is told, and one that is not.
fn nonce(salt: [u8; 4], explicit: [u8; NONCE]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&salt);
    nonce[4..].copy_from_slice(&explicit);
    nonce
}

/// What of a record is in plain and yet can't be changed (RFC 5246 section 6.2.3.3).
fn authenticated(number: [u8; 8], kind: u8, length: usize) -> Option<[u8; 13]> {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&number);
    bytes[8] = kind;
    bytes[9..11].copy_from_slice(&VERSION);
    bytes[11..].copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    Some(bytes)
}

/// Kinds of records.
const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const APPLICATION_DATA: u8 = 23;
/// By how much a record is longer than what it carries.
pub(super) const SEAL: usize = HEADER + NONCE + TAG;
const HEADER: usize = 13;
const NONCE: usize = 8;
const TAG: usize = 16;
/// DTLS 1.2.
const VERSION: [u8; 2] = [0xfe, 0xfd];
/// The bits of a number; those above are the epoch.
const NUMBERS: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = (1 << 48) + 6;

    /// Both ends of a connection, after a handshake that sealed one record on each side.
    fn pair() -> [Records; 2] {
        let crypto = rtc_crypto::default_provider().expect("there is one");
        let ciphers = [0, 1].map(|_| Ciphers::new(crypto.clone()));
        let keys = [[1; 16], [2; 16]];
        for side in [0, 1] {
            let (number, salt) = (FIRST.to_be_bytes(), [[3, 4, 5, 6], [7, 8, 9, 10]]);
            let (aad, random) = (authenticated(number, 22, 4).expect("it is short"), [11; NONCE]);
            let (mut content, mut tag) = (*b"done", [0; TAG]);
            let cipher_of = |ciphers: &Ciphers| ciphers.new_aead(AeadAlgorithm::Aes128Gcm, &keys[side]);
            let nonce = nonce(salt[side], random);
            cipher_of(&ciphers[side])
                .and_then(|mut cipher| cipher.seal_in_place(&nonce, &aad, &mut content, &mut tag))
                .expect("it can be sealed");
            cipher_of(&ciphers[1 - side])
                .and_then(|mut cipher| cipher.open_in_place(&nonce, &aad, &mut content, &tag))
                .expect("it can be opened");
        }
        ciphers.map(|ciphers| ciphers.records().expect("the handshake is over"))
    }

    fn seal(records: &mut Records, kind: u8, content: &[u8]) -> BytesMut {
        let mut packet = BytesMut::new();
        records.seal(kind, content, &mut packet).expect("a record");
        packet
    }

    fn opened(records: &mut Records, packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut packet = BytesMut::from(packet);
        let mut opened = Vec::new();
        while let Some((kind, content)) = records.open(&mut packet) {
            opened.push((kind, content.to_vec()));
        }
        opened
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_other_end_alone() {
        let [mut one, mut other] = pair();
        let mut packet = seal(&mut one, APPLICATION_DATA, b"hello");
        assert_eq!(packet.len(), 5 + SEAL);
        assert_eq!(packet[..3], [23, 0xfe, 0xfd], "RFC 6347 section 4.1");
        assert_eq!(
            packet[3..11],
            (FIRST + 1).to_be_bytes(),
            "the handshake had the first one"
        );
        one.seal(ALERT, &[1, 0], &mut packet).expect("a record");
        assert_eq!(opened(&mut one, &packet), [], "it is not for this one");
        let both = [(23, b"hello".to_vec()), (21, vec![1, 0])];
        assert_eq!(opened(&mut other, &packet), both);
        let answer = seal(&mut other, APPLICATION_DATA, &[]);
        assert_eq!(opened(&mut one, &answer), [(23, Vec::new())]);
    }

    #[test]
    fn no_record_is_opened_twice_and_none_that_is_too_old() {
        let [mut one, mut other] = pair();
        let sent: Vec<_> = (0..200_u8)
            .map(|byte| seal(&mut one, APPLICATION_DATA, &[byte]))
            .collect();
        // Up to 63 behind the latest one are taken, in any order.
        for (index, is_taken) in [
            (100, true),
            (37, true),
            (36, false),
            (99, true),
            (199, true),
            (135, false),
            (136, true),
        ] {
            assert_eq!(!opened(&mut other, &sent[index]).is_empty(), is_taken, "{index}");
            assert_eq!(opened(&mut other, &sent[index]), [], "{index} again");
        }
    }

    #[test]
    fn what_was_sealed_in_the_handshake_does_not_come_again() {
        let [mut one, mut other] = pair();
        one.seal.latest = FIRST - 1;
        let again = seal(&mut one, APPLICATION_DATA, b"again");
        assert_eq!(again[3..11], FIRST.to_be_bytes());
        assert_eq!(opened(&mut other, &again), []);
    }

    #[test]
    fn records_of_another_epoch_are_left_out() {
        for epoch in [0, 2, u64::from(u16::MAX)] {
            let [mut one, mut other] = pair();
            one.seal.latest = (epoch << 48) + 100;
            let stray = seal(&mut one, APPLICATION_DATA, b"stray");
            assert_eq!(opened(&mut other, &stray), [], "epoch {epoch}");
        }
    }

    #[test]
    fn records_that_were_changed_or_cut_off_are_left_out() {
        let [mut one, mut other] = pair();
        let whole = seal(&mut one, APPLICATION_DATA, b"some bytes");
        for length in 0..whole.len() {
            assert_eq!(opened(&mut other, &whole[..length]), [], "{length} bytes");
            let mut short = whole[..length].to_vec();
            if let Some(rest) = length.checked_sub(HEADER) {
                short[HEADER - 2..HEADER]
                    .copy_from_slice(&u16::try_from(rest).expect("it is short").to_be_bytes());
            }
            assert_eq!(opened(&mut other, &short), [], "{length} bytes, as they say");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Behind one that is no use there may be one that is, unless it seems to be longer.
            changed.extend(&whole);
            let opened = opened(&mut pair()[1], &changed);
            let (is_length, right) = (matches!(bit / 8, 11 | 12), vec![(23, b"some bytes".to_vec())]);
            assert!(
                opened == right || is_length && opened.is_empty(),
                "bit {bit}: {opened:?}"
            );
        }
        assert_eq!(
            opened(&mut other, &whole).len(),
            1,
            "nothing was taken for it before"
        );
    }

    #[test]
    fn numbers_come_to_an_end() {
        let [mut one, mut other] = pair();
        one.seal.latest = FIRST | (NUMBERS - 1);
        let last = seal(&mut one, APPLICATION_DATA, b"last");
        let mut packet = BytesMut::from(&last[..]);
        assert!(one.seal(APPLICATION_DATA, b"one more", &mut packet).is_none());
        assert_eq!(packet, last, "nothing was put there");
        assert_eq!(opened(&mut other, &last).len(), 1);
    }
}
