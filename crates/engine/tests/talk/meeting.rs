//! How two peers come to know each other, and how long they stay together.

use bytes::Bytes;
use causeway_core::{BLOCK_LENGTH, Bitfield, PeerId, SortedMap};
use causeway_engine::{CloseReason, Command, Direction, Limits, LinkId, State, Stored};
use causeway_wire::extended::{MetadataMessage, UT_METADATA};
use causeway_wire::{Message, Reserved};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{PLAIN, Talk, extended_handshake, hello};

#[test]
fn the_first_message_says_what_we_have() {
    let mut some = Bitfield::none(4);
    some.set_bit(1, true);
    let partly = |have: Bitfield| {
        let snapshot = causeway_engine::Snapshot {
            have,
            partial: SortedMap::new(),
            uploaded: 0,
            downloaded: 0,
            peers: Vec::new(),
        };
        Stored::Partly(snapshot)
    };
    for (stored, reserved, expected) in [
        (Stored::Everything, Reserved::ours(), Some(Message::HaveAll)),
        (Stored::Nothing, Reserved::ours(), Some(Message::HaveNone)),
        (
            partly(some.clone()),
            Reserved::ours(),
            Some(Message::Bitfield(some.to_wire())),
        ),
        (
            Stored::Everything,
            PLAIN,
            Some(Message::Bitfield(Bitfield::all(4).to_wire())),
        ),
        (Stored::Nothing, PLAIN, None),
    ] {
        let mut talk = Talk::new(4, stored.clone());
        let link = talk.connect_as(1, reserved);
        assert_eq!(talk.heard(link).first(), expected.as_ref(), "{stored:?}");
    }
}

#[test]
fn the_extended_handshake_says_what_we_speak() {
    let mut talk = Talk::new(4, Stored::Everything);
    let link = talk.connect(1);
    let ours = extended_handshake(&talk.heard(link));
    assert!(ours.ids[UT_METADATA] > 0);
    assert_eq!(ours.metadata_size, u32::try_from(talk.info.raw().len()).ok());
    assert_eq!(ours.reqq, Some(1024));
    assert!(ours.client.is_some_and(|client| client.starts_with("Causeway ")));
    let plain = talk.connect_as(2, PLAIN);
    assert!(
        !talk
            .heard(plain)
            .iter()
            .any(|message| matches!(message, Message::Extended { .. }))
    );
}

#[test]
fn what_peers_have_is_remembered_until_the_metadata_is_there() {
    let mut talk = Talk::magnet(20);
    let (a, b, c) = (talk.connect(1), talk.connect(2), talk.connect(3));
    talk.say(a, &Message::Have(3));
    assert!(
        talk.heard(a).contains(&Message::Interested),
        "whatever it is, we will want it"
    );
    talk.say(a, &Message::Unchoke);
    talk.say(b, &Message::Bitfield(Bytes::from_static(&[0, 0, 0x10])));
    talk.say(c, &Message::Have(20));
    let raw = talk.info.raw().clone();
    talk.say(a, &hello(u32::try_from(raw.len()).ok(), None));
    let ours = extended_handshake(&talk.heard(b)).ids[UT_METADATA];
    let total_size = u32::try_from(raw.len()).expect("small");
    let payload = MetadataMessage::Data {
        piece: 0,
        total_size,
        data: raw,
    }
    .to_bytes();
    talk.say(a, &Message::Extended { id: ours, payload });
    assert_eq!(*talk.torrent.state(), State::Downloading);
    assert!(talk.asked(a).iter().all(|block| block.piece().get() == 3));
    assert!(
        matches!(talk.closed[&c], CloseReason::Misbehaved(_)),
        "there is no piece 20"
    );
    let told = talk.heard(b);
    assert_eq!(
        extended_handshake(&told).metadata_size,
        Some(total_size),
        "it may ask us now"
    );
    talk.say(b, &Message::Unchoke);
    let pieces: Vec<_> = talk.asked(b).iter().map(|block| block.piece().get()).collect();
    assert_eq!(pieces, [19, 19]);
}

#[test]
fn a_page_that_sends_its_first_bitfield_late_is_understood() {
    let mut talk = Talk::new(4, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveNone);
    talk.say(link, &Message::Unchoke);
    talk.say(link, &Message::Bitfield(Bytes::from_static(&[0x40])));
    assert_eq!(talk.asked(link).len(), 2);
    talk.say(link, &Message::Bitfield(Bytes::from_static(&[0xf8])));
    assert!(
        matches!(talk.closed[&link], CloseReason::Misbehaved(_)),
        "spare bits are clear"
    );
}

#[test]
fn keep_alives_are_sent_and_a_peer_that_sends_nothing_is_closed() {
    let mut talk = Talk::new(4, Stored::Nothing);
    let link = talk.connect(1);
    talk.heard(link);
    talk.wait(179);
    assert_eq!(talk.heard(link), [Message::KeepAlive, Message::KeepAlive]);
    assert!(talk.closed.is_empty());
    talk.wait(2);
    assert_eq!(talk.closed[&link], CloseReason::Silent);
}

#[test]
fn where_all_places_are_taken_the_one_who_gives_and_takes_nothing_makes_room() {
    for places in [3, 4] {
        let mut talk = Talk::new(50, Stored::Nothing);
        talk.command(Command::SetLimits(Limits {
            peers: places,
            ..Limits::default()
        }));
        let links = [1, 2, 3].map(|number| talk.connect(number));
        for link in links {
            talk.say(link, &Message::HaveAll);
        }
        talk.say(links[0], &Message::Unchoke);
        talk.heard(links[0]);
        for minute in 0..6 {
            talk.say_block(links[0], talk.block(minute, 0, BLOCK_LENGTH));
            assert!(talk.closed.is_empty(), "{minute} minutes are no time");
            for link in links {
                talk.say(link, &Message::KeepAlive);
            }
            talk.wait(59);
        }
        let closed: Vec<_> = talk.closed.iter().collect();
        let full = [(&links[1], &CloseReason::Enough)];
        assert_eq!(closed, if places == 3 { &full[..] } else { &[] });
    }
}

#[test]
fn a_lower_limit_closes_the_links_that_are_worth_least() {
    let mut talk = Talk::new(50, Stored::Nothing);
    let [new, other, giver] = [1, 2, 3].map(|number| talk.connect(number));
    let silent = talk.open_as(4, Direction::Incoming, None);
    talk.say(giver, &Message::HaveAll);
    talk.say(giver, &Message::Unchoke);
    for block in talk.asked(giver).into_iter().take(2) {
        talk.say_block(giver, block);
    }
    talk.answer_writes();
    talk.answer_hashes();
    for (peers, closed) in [(4, vec![]), (2, vec![new, silent]), (1, vec![new, other, silent])] {
        talk.command(Command::SetLimits(Limits {
            peers,
            ..Limits::default()
        }));
        assert_eq!(talk.closed.keys().copied().collect::<Vec<_>>(), closed);
    }
}

#[test]
fn a_peer_may_call_itself_otherwise_than_it_was_introduced_but_is_known_by_both_names() {
    let mut talk = Talk::new(4, Stored::Nothing);
    let mut meet = |link: u64, introduced: u8, called: u8| {
        let expected = Some(PeerId::new([introduced; 20]));
        talk.open_as(link, Direction::Outgoing, expected);
        talk.shake_hands(LinkId(link), called, Reserved::ours());
        talk.closed.get(&LinkId(link)).cloned()
    };
    assert_eq!(meet(1, 1, 2), None);
    assert_eq!(meet(2, 1, 3), Some(CloseReason::Duplicate));
    assert_eq!(meet(3, 4, 2), Some(CloseReason::Duplicate));
    assert_eq!(meet(4, 4, 5), None);
}

#[test]
fn a_peer_that_keeps_saying_what_it_has_is_closed() {
    let mut talk = Talk::new(4, Stored::Nothing);
    let link = talk.connect(1);
    for _ in 0..2 {
        // aria2 says it instead of many `have`s.
        for _ in 0..1_000 {
            talk.say(link, &Message::HaveAll);
        }
        assert!(talk.closed.is_empty());
        talk.wait(1);
    }
    for _ in 0..1_001 {
        talk.say(link, &Message::HaveNone);
    }
    assert!(matches!(talk.closed[&link], CloseReason::Misbehaved(_)));
}
