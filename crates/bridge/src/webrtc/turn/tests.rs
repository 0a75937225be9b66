//! The relay's side of the conversation, in virtual time; `tests/tests/relay.rs` has it with coturn.

use super::*;
use crate::webrtc::stun::Packet;

const SERVER: &str = "192.0.2.9:3478";
const OWN: &str = "203.0.113.5:50000";
const PEER: &str = "198.51.100.7:4000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Numbers that don't repeat.
fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("there is randomness");
}

fn relay(now: Instant) -> Relay {
    let account = TurnServer {
        host: "turn.example:3478".to_owned(),
        user: "me".to_owned(),
        password: "secret".to_owned(),
    };
    let crypto = rtc_crypto::default_provider().expect("a provider");
    let mut relay = Relay::new(now, address(SERVER), account, crypto, random);
    relay.handle_timeout(now);
    relay
}

fn next(relay: &mut Relay) -> BytesMut {
    relay.poll().expect("a packet to the server")
}

/// The server's answer to a request, signed as the session has it.
fn answer(relay: &Relay, request: &[u8], class: u16, fill: impl FnOnce(&mut Message)) -> BytesMut {
    let kind = stun::kind(request).expect("a message") | class;
    let mut message = Message::new(kind, &stun::transaction(request).expect("a transaction"));
    fill(&mut message);
    if class == SUCCESS {
        message.sign(|bytes| relay.mac(bytes)).expect("a session")
    } else {
        message.finish()
    }
}

fn refusal(relay: &Relay, request: &[u8], code: u16, nonce: &[u8]) -> BytesMut {
    let (hundreds, rest) = (code / 100, code % 100);
    answer(relay, request, ERROR, |message| {
        let code = [0, 0, hundreds.to_be_bytes()[1], rest.to_be_bytes()[1]];
        message.attribute(0x0009, &code);
        message.attribute(stun::REALM, b"example.org");
        message.attribute(stun::NONCE, nonce);
    })
}

fn granted(relay: &Relay, request: &[u8], lifetime: u32) -> BytesMut {
    answer(relay, request, SUCCESS, |message| {
        message.address(stun::XOR_RELAYED_ADDRESS, address(OWN));
        message.attribute(stun::LIFETIME, &lifetime.to_be_bytes());
    })
}

/// One that has its address.
fn open(now: Instant) -> Relay {
    let mut relay = relay(now);
    let request = next(&mut relay);
    let refusal = refusal(&relay, &request, UNAUTHORIZED, b"one");
    assert_eq!(relay.handle_packet(now, &refusal), Received::Handled);
    let request = next(&mut relay);
    assert_eq!(stun::attribute(&request, stun::USERNAME), Some(&b"me"[..]));
    assert_eq!(stun::attribute(&request, stun::NONCE), Some(&b"one"[..]));
    let granted = granted(&relay, &request, 600);
    assert_eq!(relay.handle_packet(now, &granted), Received::Handled);
    assert_eq!(relay.address(), Some(address(OWN)));
    relay
}

#[test]
fn the_example_of_the_rfc_is_signed_as_it_says() {
    // RFC 5769 section 2.4.
    let hex = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c\
               662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700\
               00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| core::str::from_utf8(pair).expect("ASCII"));
    let example: Vec<u8> = pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("a byte"))
        .collect();
    let mut relay = relay(Instant::now());
    relay.account.user = "マトリックス".to_owned();
    relay.account.password = "TheMatrIX".to_owned();
    assert!(relay.begin_session(&example));
    assert!(relay.is_signed(&example));
    let mut changed = example.clone();
    changed[30] ^= 1;
    assert!(!relay.is_signed(&changed));
    assert_eq!(Packet::read(&example), None, "it names no peer");
}

#[test]
fn an_address_is_asked_for_and_kept() {
    let now = Instant::now();
    let mut relay = open(now);
    assert!(!relay.is_awaited(now));
    assert_eq!(relay.deadline(now), now + Duration::from_mins(5));
    let later = now + Duration::from_mins(5);
    relay.handle_timeout(later);
    let request = next(&mut relay);
    assert_eq!(stun::kind(&request), Some(REFRESH));
    let stale = refusal(&relay, &request, STALE_NONCE, b"two");
    relay.handle_packet(later, &stale);
    let request = next(&mut relay);
    assert_eq!(stun::attribute(&request, stun::NONCE), Some(&b"two"[..]));
    let granted = granted(&relay, &request, 600);
    relay.handle_packet(later, &granted);
    assert_eq!(relay.deadline(later), later + Duration::from_mins(5));
    relay.close();
    let goodbye = next(&mut relay);
    assert_eq!(stun::attribute(&goodbye, stun::LIFETIME), Some(&[0; 4][..]));
}

#[test]
fn packets_are_wrapped_and_unwrapped() {
    let now = Instant::now();
    let mut relay = open(now);
    relay.send(now, address(PEER), b"hello");
    let permission = next(&mut relay);
    assert_eq!(stun::kind(&permission), Some(CREATE_PERMISSION));
    let sent = next(&mut relay);
    assert_eq!(stun::kind(&sent), Some(SEND | INDICATION));
    assert_eq!(stun::address(&sent, stun::XOR_PEER_ADDRESS), Some(address(PEER)));
    assert_eq!(stun::attribute(&sent, stun::DATA), Some(&b"hello"[..]));
    let yes = answer(&relay, &permission, SUCCESS, |_| {});
    assert_eq!(relay.handle_packet(now, &yes), Received::Handled);
    // Another port of the same machine needs no permission of its own.
    relay.send(now, address("198.51.100.7:4001"), b"x");
    assert_eq!(stun::kind(&next(&mut relay)), Some(SEND | INDICATION));
    assert_eq!(relay.poll(), None);
    let mut came = Message::new(DATA | INDICATION, &[1; 12]);
    came.address(stun::XOR_PEER_ADDRESS, address(PEER));
    came.attribute(stun::DATA, b"answer");
    let came = came.finish();
    let received = Received::Packet(address(OWN), address(PEER), b"answer");
    assert_eq!(relay.handle_packet(now, &came), received);
    // IPv6 is not what this address is for.
    relay.send(now, address("[2001:db8::1]:4000"), b"x");
    assert_eq!(relay.poll(), None);
}

#[test]
fn a_permission_is_renewed_while_packets_go_on_and_refusals_are_heeded() {
    let now = Instant::now();
    let mut relay = open(now);
    relay.send(now, address(PEER), b"1");
    let (lost, _) = (next(&mut relay), next(&mut relay));
    let soon = now + FIRST_INTERVAL;
    relay.send(soon, address(PEER), b"2");
    let (asked, _) = (next(&mut relay), next(&mut relay));
    assert_ne!(stun::transaction(&lost), stun::transaction(&asked));
    let no = refusal(&relay, &asked, 403, b"one");
    relay.handle_packet(soon, &no);
    relay.send(soon, address(PEER), b"3");
    assert_eq!(relay.poll(), None, "it was refused");
    let late = soon + PERMISSION_FRESH;
    relay.send(late, address(PEER), b"4");
    let asked = next(&mut relay);
    let yes = answer(&relay, &asked, SUCCESS, |_| {});
    relay.handle_packet(late, &yes);
    relay.send(late, address(PEER), b"5");
    assert_eq!(stun::kind(&next(&mut relay)), Some(SEND | INDICATION));
}

#[test]
fn permissions_are_bounded_and_forgotten() {
    let now = Instant::now();
    let mut relay = open(now);
    let peer = |number: usize| {
        let [high, low] = u16::try_from(number).expect("small").to_be_bytes();
        SocketAddr::from(([198, 18, high, low], 4000))
    };
    for number in 0..MAX_PERMISSIONS + 10 {
        relay.send(now, peer(number), b"x");
    }
    assert_eq!(relay.permissions.len(), MAX_PERMISSIONS);
    relay.send(now + PERMISSION_UNUSED, address(PEER), b"x");
    assert_eq!(relay.permissions.len(), 1);
}

#[test]
fn a_server_that_is_silent_or_refuses_is_asked_again_later_and_awaited_by_nobody() {
    let now = Instant::now();
    let mut silent = relay(now);
    assert!(silent.is_awaited(now) && !silent.is_awaited(now + PATIENCE));
    let mut time = now;
    let mut packets = 0;
    while silent.request.is_some() {
        while silent.poll().is_some() {
            packets += 1;
        }
        time = silent.deadline(time);
        silent.handle_timeout(time);
    }
    assert_eq!(packets, 5);
    assert_eq!(silent.next, time + AFTER_FAILURE);

    let mut refused = relay(now);
    for nonce in [b"one", b"two"] {
        let request = next(&mut refused);
        let no = refusal(&refused, &request, UNAUTHORIZED, nonce);
        refused.handle_packet(now, &no);
    }
    assert_eq!(
        (refused.poll(), refused.address()),
        (None, None),
        "a wrong password"
    );
    assert!(!refused.is_awaited(now));

    // One that names a new session each time doesn't keep us busy for ever.
    let mut playing = relay(now);
    for _ in 0..=MAX_SESSIONS {
        let request = next(&mut playing);
        let no = refusal(&playing, &request, STALE_NONCE, b"new");
        playing.handle_packet(now, &no);
    }
    assert_eq!(playing.poll(), None);
}

#[test]
fn an_address_that_has_run_out_is_asked_for_anew() {
    let now = Instant::now();
    let mut relay = open(now);
    let end = now + Duration::from_mins(10);
    relay.handle_timeout(end);
    assert_eq!(relay.address(), None);
    relay.send(end, address(PEER), b"x");
    assert_eq!(stun::kind(&next(&mut relay)), Some(ALLOCATE));
    assert_eq!(relay.poll(), None);

    let mut relay = open(now);
    let later = now + Duration::from_mins(5);
    relay.handle_timeout(later);
    let request = next(&mut relay);
    let gone = refusal(&relay, &request, ALLOCATION_MISMATCH, b"one");
    relay.handle_packet(later, &gone);
    relay.handle_timeout(later);
    assert_eq!(stun::kind(&next(&mut relay)), Some(ALLOCATE));
}

#[test]
fn what_is_forged_or_cut_short_changes_nothing() {
    let now = Instant::now();
    let mut relay = relay(now);
    let request = next(&mut relay);
    let first = refusal(&relay, &request, UNAUTHORIZED, b"one");
    relay.handle_packet(now, &first);
    let request = next(&mut relay);
    let right = granted(&relay, &request, 600);
    for length in 0..right.len() {
        relay.handle_packet(now, &right[..length]);
        let mut forged = right.clone();
        forged[length] ^= 0x55;
        // Another kind of message is none of the relay's, and its length is known without it.
        if length >= 4 {
            relay.handle_packet(now, &forged);
        }
        assert_eq!(relay.address(), None, "{length}");
    }
    relay.handle_packet(now, &right);
    assert_eq!(relay.address(), Some(address(OWN)));
    let mut binding = Message::new(0x0101, &[3; 12]);
    binding.address(0x0020, address(OWN));
    assert_eq!(relay.handle_packet(now, &binding.finish()), Received::Other);
}
