use causeway_core::InfoHash;
use proptest::prelude::*;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const TORRENT: InfoHash = InfoHash::new([7; 20]);

fn initiator(methods: Methods) -> Initiator {
    Initiator::new(TORRENT, methods, Secret::new([1; 20]))
}

fn responder(methods: Methods, preferred: Method) -> Responder {
    Responder::new(methods, preferred, Secret::new([2; 20]), vec![9; 600])
}

fn find(key: Sha1Hash) -> Option<InfoHash> {
    (key == torrent_key(TORRENT)).then_some(TORRENT)
}

/// Lets both talk, in parts of this length, and says what each has come to.
fn talk(a: &mut Initiator, b: &mut Responder, part: usize) -> Result<(Settled, Settled), MseError> {
    let (mut to_b, mut to_a) = (a.hello(&[5; 600]), Vec::new());
    let (mut of_a, mut of_b) = (None, None);
    while of_a.is_none() || of_b.is_none() {
        assert!(
            !to_a.is_empty() || !to_b.is_empty(),
            "neither has anything to say"
        );
        for bytes in core::mem::take(&mut to_b).chunks(part) {
            match b.receive(bytes, find)? {
                Step::Send(send) => to_a.extend(send),
                Step::Done(settled) => {
                    to_a.extend_from_slice(&settled.send);
                    of_b = Some(*settled);
                }
            }
        }
        for bytes in core::mem::take(&mut to_a).chunks(part) {
            match a.receive(bytes)? {
                Step::Send(send) => to_b.extend(send),
                Step::Done(settled) => of_a = Some(*settled),
            }
        }
    }
    Ok((of_a.expect("settled"), of_b.expect("settled")))
}

#[test]
fn both_sides_find_the_torrent_and_the_method_however_the_stream_is_cut() {
    for part in [1, 7, 100, 10_000] {
        for (offered, accepted, preferred, chosen) in [
            (Methods::ALL, Methods::ALL, Method::Rc4, Method::Rc4),
            (Methods::ALL, Methods::ALL, Method::Plaintext, Method::Plaintext),
            (Methods::RC4, Methods::ALL, Method::Plaintext, Method::Rc4),
            (Methods::PLAINTEXT, Methods::ALL, Method::Rc4, Method::Plaintext),
            (Methods::ALL, Methods::RC4, Method::Rc4, Method::Rc4),
        ] {
            let (mut a, mut b) = (initiator(offered), responder(accepted, preferred));
            let (a, b) = talk(&mut a, &mut b, part).expect("they agree");
            assert_eq!((a.method, b.method, b.info_hash), (chosen, chosen, TORRENT));
            let (mut there, mut back) = (b"there".to_vec(), b"and back".to_vec());
            if chosen == Method::Rc4 {
                a.encrypt.expect("a cipher").apply(&mut there);
                assert_ne!(there, b"there");
                b.decrypt.expect("a cipher").apply(&mut there);
                b.encrypt.expect("a cipher").apply(&mut back);
                a.decrypt.expect("a cipher").apply(&mut back);
            } else {
                assert!(
                    a.encrypt.is_none() && a.decrypt.is_none() && b.encrypt.is_none() && b.decrypt.is_none()
                );
            }
            assert_eq!((&there[..], &back[..]), (&b"there"[..], &b"and back"[..]));
        }
    }
}

#[test]
fn who_accepts_nothing_that_is_offered_is_refused() {
    let (mut a, mut b) = (
        initiator(Methods::PLAINTEXT),
        responder(Methods::RC4, Method::Rc4),
    );
    assert_eq!(talk(&mut a, &mut b, 50).err(), Some(MseError::NoMethod));
}

#[test]
fn who_wants_another_torrent_is_refused() {
    let mut a = Initiator::new(InfoHash::new([8; 20]), Methods::ALL, Secret::new([1; 20]));
    let mut b = responder(Methods::ALL, Method::Rc4);
    assert_eq!(talk(&mut a, &mut b, 50).err(), Some(MseError::UnknownTorrent));
}

#[test]
fn a_key_that_makes_no_secret_is_refused() {
    let mut prime = [0xff; 96];
    prime[8..].copy_from_slice(&{
        let hex = "C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B\
            302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563";
        let hex: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal");
        let bytes: Vec<u8> = hex.chunks(2).map(byte).collect();
        <[u8; 88]>::try_from(bytes).expect("88 bytes")
    });
    let mut before = prime;
    before[95] -= 1;
    let mut one = [0; 96];
    one[95] = 1;
    for key in [[0; 96], one, before, prime, [0xff; 96]] {
        let refused = responder(Methods::ALL, Method::Rc4).receive(&key, find).err();
        assert_eq!(refused, Some(MseError::WeakKey));
    }
    before[95] -= 1;
    assert!(
        responder(Methods::ALL, Method::Rc4)
            .receive(&before, find)
            .is_ok()
    );
}

#[test]
fn padding_without_end_is_given_up() {
    let mut a = initiator(Methods::ALL);
    let key = Secret::new([3; 20]).public();
    assert!(matches!(a.receive(&key), Ok(Step::Send(send)) if !send.is_empty()));
    assert!(a.receive(&[0; MOST_PADDING]).is_ok());
    assert_eq!(a.receive(&[0; 8]).err(), Some(MseError::OutOfStep));
    let mut b = responder(Methods::ALL, Method::Rc4);
    assert!(b.receive(&key, find).is_ok());
    assert!(b.receive(&[0; MOST_PADDING], find).is_ok());
    assert_eq!(b.receive(&[0; 20], find).err(), Some(MseError::OutOfStep));
}

/// What an initiator says after its key, with these lengths of padding and of payload.
fn offer(
    shared: &[u8; keys::KEY_LENGTH],
    padding: u16,
    payload: &[u8],
    announced: u16,
    methods: Methods,
) -> (Vec<u8>, Cipher) {
    let mut cipher = Cipher::new(b"keyA", shared, TORRENT);
    let mut fields = [&CONSTANT[..], &methods.0.to_be_bytes(), &padding.to_be_bytes()].concat();
    fields.extend(vec![4; padding.into()]);
    fields.extend_from_slice(&announced.to_be_bytes());
    fields.extend_from_slice(payload);
    cipher.apply(&mut fields);
    let mut bytes = sync_mark(shared).as_bytes().to_vec();
    bytes.extend(keys::masked(torrent_key(TORRENT).as_bytes(), shared));
    bytes.extend(fields);
    (bytes, cipher)
}

#[test]
fn the_payload_of_the_negotiation_is_deciphered_and_what_follows_in_plaintext_is_left() {
    let secret = Secret::new([6; 20]);
    let shared = secret.shared(&Secret::new([2; 20]).public()).expect("a secret");
    for methods in [Methods::PLAINTEXT, Methods::RC4] {
        for part in [1, 30, 4000] {
            let mut b = responder(Methods::ALL, Method::Rc4);
            assert!(b.receive(&secret.public(), find).is_ok());
            let (mut bytes, mut cipher) = offer(&shared, 512, b"hello", 5, methods);
            let mut rest = b" world".to_vec();
            if methods == Methods::RC4 {
                cipher.apply(&mut rest);
            }
            bytes.extend(rest);
            let (mut received, mut decrypt) = (Vec::new(), None::<Cipher>);
            let mut is_settled = false;
            for bytes in bytes.chunks(part) {
                if is_settled {
                    let mut bytes = bytes.to_vec();
                    if let Some(decrypt) = &mut decrypt {
                        decrypt.apply(&mut bytes);
                    }
                    received.extend(bytes);
                } else if let Step::Done(settled) = b.receive(bytes, find).expect("it is in order") {
                    is_settled = true;
                    received.extend_from_slice(&settled.received);
                    decrypt = settled.decrypt;
                }
            }
            assert_eq!(received, b"hello world");
        }
    }
}

#[test]
fn lengths_that_nobody_has_are_refused_before_anything_is_kept() {
    let secret = Secret::new([6; 20]);
    let shared = secret.shared(&Secret::new([2; 20]).public()).expect("a secret");
    for (padding, payload) in [(513, 0), (0, 1025), (65_535, 0), (0, 65_535)] {
        let mut b = responder(Methods::ALL, Method::Rc4);
        assert!(b.receive(&secret.public(), find).is_ok());
        let (bytes, _) = offer(&shared, padding, &[], payload, Methods::ALL);
        let wrong = if padding > 0 { padding } else { payload };
        assert_eq!(b.receive(&bytes, find).err(), Some(MseError::TooLong(wrong)));
        assert_eq!(
            b.receive(&[0], find).err(),
            Some(MseError::OutOfStep),
            "it stays refused"
        );
    }
}

#[test]
fn a_handshake_is_no_key() {
    assert!(is_plain(b"\x13BitTorrent protocol"));
    assert!(!is_plain(&Secret::new([1; 20]).public()[..20]));
}

proptest! {
    #[test]
    fn nothing_that_comes_breaks_either_side(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let (mut a, mut b) = (initiator(Methods::ALL), responder(Methods::ALL, Method::Rc4));
        for part in &parts {
            a.receive(part).ok();
            b.receive(part, find).ok();
            prop_assert!(a.buffer.len() + b.buffer.len() < 4 * MOST_PADDING);
        }
    }
}
