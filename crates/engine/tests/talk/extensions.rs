//! Extensions of the protocol (BEP 10): what is said of pieces, addresses and intentions.

use bytes::Bytes;
use causeway_engine::{CloseReason, Command, Direction, Input, LinkId, Stored};
use causeway_wire::extended::{
    DontHave, ExtendedHandshake, LT_DONTHAVE, PeerExchange, PexFlags, PexPeer, UT_PEX,
};
use causeway_wire::{Message, Reserved};
use core::net::SocketAddr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{Talk, extended_handshake};

/// The extended handshake of a peer that speaks this extension under the number 9.
fn speaks(name: &str) -> ExtendedHandshake {
    ExtendedHandshake {
        ids: [(name.to_owned(), 9)].into(),
        ..ExtendedHandshake::default()
    }
}

fn say_hello(talk: &mut Talk, link: LinkId, handshake: &ExtendedHandshake) {
    let payload = handshake.to_bytes();
    talk.say(link, &Message::Extended { id: 0, payload });
}

/// The payloads that the torrent has sent under the number 9.
fn said(talk: &mut Talk, link: LinkId) -> Vec<Bytes> {
    let payload = |message| {
        if let Message::Extended { id: 9, payload } = message {
            Some(payload)
        } else {
            None
        }
    };
    talk.heard(link).into_iter().filter_map(payload).collect()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A peer at this address, whose link we opened.
fn connect_to(talk: &mut Talk, number: u8, text: &str) -> LinkId {
    let link = talk.open_at(number.into(), Direction::Outgoing, None, Some(addr(text)));
    talk.shake_hands(link, number, Reserved::ours());
    link
}

#[test]
fn a_piece_that_a_peer_lost_is_not_asked_of_it() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    let ours = extended_handshake(&talk.heard(link));
    let id = ours.ids[LT_DONTHAVE];
    let payload = DontHave(0).to_bytes();
    talk.say(link, &Message::Extended { id, payload });
    talk.say(link, &Message::Unchoke);
    let asked = talk.asked(link);
    assert!(
        !asked.is_empty() && asked.iter().all(|block| block.piece().get() == 1),
        "{asked:?}"
    );
    talk.say(link, &Message::Have(0));
    assert!(!talk.asked(link).is_empty(), "it has it again");
}

#[test]
fn a_piece_that_we_lost_is_taken_back_and_fetched_again() {
    let mut talk = Talk::new(2, Stored::Everything);
    let (knows, other) = (talk.connect(1), talk.connect(2));
    talk.say(knows, &Message::HaveNone);
    talk.say(other, &Message::HaveNone);
    say_hello(&mut talk, knows, &speaks(LT_DONTHAVE));
    talk.heard(knows);
    let piece = talk.info.geometry().piece(1).expect("there are two");
    talk.input(Input::PieceLost { piece });
    assert_eq!(said(&mut talk, knows), [DontHave(1).to_bytes()]);
    assert_eq!(
        talk.torrent.stats().wanted_verified,
        u64::from(crate::peer::PIECE)
    );
    talk.say(other, &Message::Have(1));
    talk.say(other, &Message::Unchoke);
    assert_eq!(talk.asked(other).len(), 2);
}

#[test]
fn two_that_download_nothing_part() {
    let mut talk = Talk::new(2, Stored::Everything);
    let link = talk.connect(1);
    assert_eq!(extended_handshake(&talk.heard(link)).upload_only, Some(true));
    talk.say(link, &Message::Have(0));
    assert!(talk.closed.is_empty(), "it may want the rest");
    let partial_seed = ExtendedHandshake {
        upload_only: Some(true),
        ..ExtendedHandshake::default()
    };
    say_hello(&mut talk, link, &partial_seed);
    assert_eq!(talk.closed.get(&link), Some(&CloseReason::Useless));
}

#[test]
fn who_wants_nothing_more_says_so_and_takes_it_back() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let link = talk.connect(1);
    assert_eq!(extended_handshake(&talk.heard(link)).upload_only, None);
    talk.command(Command::SelectFiles(vec![false]));
    assert_eq!(extended_handshake(&talk.heard(link)).upload_only, Some(true));
    talk.command(Command::SelectFiles(vec![true]));
    assert_eq!(extended_handshake(&talk.heard(link)).upload_only, Some(false));
}

#[test]
fn peers_are_told_of_each_other_where_they_can_be_reached() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let a = connect_to(&mut talk, 1, "1.2.3.4:100");
    connect_to(&mut talk, 2, "5.6.7.8:200");
    let incoming = talk.open_at(3, Direction::Incoming, None, Some(addr("9.9.9.9:50000")));
    talk.shake_hands(incoming, 3, Reserved::ours());
    say_hello(&mut talk, a, &speaks(UT_PEX));
    let told = |talk: &mut Talk| {
        said(talk, a)
            .iter()
            .map(|payload| PeerExchange::from_bytes(payload))
            .collect::<Vec<_>>()
    };
    talk.wait(1);
    let second = PexPeer {
        addr: addr("5.6.7.8:200"),
        flags: PexFlags::REACHABLE,
    };
    let first_message = PeerExchange {
        added: vec![second],
        dropped: Vec::new(),
    };
    assert_eq!(
        told(&mut talk),
        [Ok(first_message)],
        "not itself, and not where nobody listens"
    );
    say_hello(
        &mut talk,
        incoming,
        &ExtendedHandshake {
            port: Some(300),
            ..ExtendedHandshake::default()
        },
    );
    talk.input(Input::LinkClosed { link: LinkId(2) });
    talk.wait(59);
    assert!(told(&mut talk).is_empty(), "once a minute");
    talk.wait(2);
    let third = PexPeer {
        addr: addr("9.9.9.9:300"),
        flags: PexFlags::default(),
    };
    let second_message = PeerExchange {
        added: vec![third],
        dropped: vec![addr("5.6.7.8:200")],
    };
    assert_eq!(told(&mut talk), [Ok(second_message)]);
}

#[test]
fn what_peers_tell_of_others_is_passed_on_within_bounds() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let link = talk.connect(1);
    let id = extended_handshake(&talk.heard(link)).ids[UT_PEX];
    let peers = (0..150).map(|number| PexPeer {
        addr: ([1, 2, 3, number], 1).into(),
        flags: PexFlags::default(),
    });
    let exchange = PeerExchange {
        added: peers.collect(),
        dropped: Vec::new(),
    };
    for _ in 0..10 {
        let payload = exchange.to_bytes();
        talk.say(link, &Message::Extended { id, payload });
    }
    assert_eq!(talk.found.len(), 100, "of one message alone");
    talk.wait(30);
    let payload = exchange.to_bytes();
    talk.say(link, &Message::Extended { id, payload });
    assert_eq!(talk.found.len(), 200);
}

#[test]
fn causeway_peers_know_each_other() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let (ours, other) = (talk.connect(1), talk.connect(2));
    let hello = extended_handshake(&talk.heard(ours));
    say_hello(&mut talk, ours, &hello);
    say_hello(&mut talk, other, &speaks("something_else"));
    let known: Vec<_> = talk
        .torrent
        .peers()
        .map(|peer| (peer.link, peer.is_causeway))
        .collect();
    assert_eq!(known, [(ours, true), (other, false)]);
}
