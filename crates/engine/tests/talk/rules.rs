//! The rules of the protocol, and what the deployed clients make of them.

use bytes::Bytes;
use causeway_core::{BLOCK_LENGTH, Bitfield, PeerId, SortedMap};
use causeway_engine::{CloseReason, Command, Direction, Input, Limits, LinkId, State, StorageError, Stored};
use causeway_wire::extended::{ExtendedHandshake, MetadataMessage, UT_METADATA};
use causeway_wire::{BlockRequest, Message, Reserved};
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{PIECE, Talk};

/// A peer that speaks BEP 3 alone.
const PLAIN: Reserved = Reserved::new([0; 8]);

fn extended_handshake(messages: &[Message]) -> ExtendedHandshake {
    let payload = messages.iter().rev().find_map(|message| {
        if let Message::Extended { id: 0, payload } = message {
            Some(payload)
        } else {
            None
        }
    });
    ExtendedHandshake::from_bytes(payload.expect("it was sent")).expect("well formed")
}

/// The extended handshake of a peer that wants `ut_metadata` under the number 9.
fn hello(metadata_size: Option<u32>, reqq: Option<u32>) -> Message {
    let ids = BTreeMap::from([(UT_METADATA.to_owned(), 9)]);
    let handshake = ExtendedHandshake {
        ids,
        metadata_size,
        reqq,
        ..ExtendedHandshake::default()
    };
    Message::Extended {
        id: 0,
        payload: handshake.to_bytes(),
    }
}

fn request(piece: u32, offset: u32, length: u32) -> BlockRequest {
    BlockRequest {
        piece,
        offset,
        length,
    }
}

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
fn an_interested_peer_is_unchoked_at_once_while_there_are_slots() {
    let mut talk = Talk::new(4, Stored::Everything);
    talk.command(Command::SetLimits(Limits {
        upload_slots: 2,
        ..Limits::default()
    }));
    let links: Vec<_> = (1..=3).map(|number| talk.connect(number)).collect();
    let unchoked = |talk: &mut Talk, link: LinkId| talk.heard(link).contains(&Message::Unchoke);
    for (link, expected) in links.iter().zip([true, true, false]) {
        talk.say(*link, &Message::Interested);
        assert_eq!(unchoked(&mut talk, *link), expected, "{link:?}");
    }
    talk.say(links[0], &Message::NotInterested);
    assert!(unchoked(&mut talk, links[2]), "the slot is free");
    talk.input(Input::LinkClosed { link: links[1] });
    talk.say(links[0], &Message::Interested);
    assert!(!unchoked(&mut talk, links[0]), "it was never choked");
    let late = talk.connect(4);
    talk.say(late, &Message::Interested);
    assert!(!unchoked(&mut talk, late));
    talk.input(Input::LinkClosed { link: links[2] });
    assert!(unchoked(&mut talk, late), "a slot is free again");
}

#[test]
fn a_request_is_answered_within_the_budget() {
    let mut talk = Talk::new(4, Stored::Everything);
    let link = talk.connect(1);
    talk.say(link, &Message::Interested);
    talk.heard(link);
    talk.input(Input::Writable {
        link,
        budget: 2 * BLOCK_LENGTH as usize,
    });
    for piece in 0..3 {
        talk.say(link, &Message::Request(request(piece, 0, BLOCK_LENGTH)));
    }
    talk.answer_reads();
    assert_eq!(talk.heard(link).len(), 1, "two do not fit with their headers");
    talk.input(Input::Writable {
        link,
        budget: 1 << 20,
    });
    let sent = talk.heard(link);
    let expected = |piece| {
        let data = talk.bytes_of(talk.block(piece, 0, BLOCK_LENGTH)).into();
        Message::Piece {
            piece,
            offset: 0,
            data,
        }
    };
    assert_eq!(sent, [expected(1), expected(2)]);
}

#[test]
fn what_can_not_be_served_is_rejected_or_ends_the_link() {
    for (bad, why) in [
        (request(4, 0, 1), "no such piece"),
        (request(0, PIECE, 1), "past the end"),
        (request(0, 0, 0), "empty"),
        (request(0, 0, 256 * 1024), "too long"),
    ] {
        let mut talk = Talk::new(4, Stored::Everything);
        let fast = talk.connect(1);
        let plain = talk.connect_as(2, PLAIN);
        for link in [fast, plain] {
            talk.say(link, &Message::Interested);
            talk.heard(link);
            talk.say(link, &Message::Request(bad));
        }
        assert_eq!(talk.heard(fast), [Message::Reject(bad)], "{why}");
        assert!(matches!(talk.closed[&plain], CloseReason::Misbehaved(_)), "{why}");
        assert!(talk.reads.is_empty());
    }
}

#[test]
fn a_choked_peers_requests_are_rejected_or_ignored() {
    let mut talk = Talk::new(4, Stored::Everything);
    let (fast, plain) = (talk.connect(1), talk.connect_as(2, PLAIN));
    for link in [fast, plain] {
        talk.heard(link);
        talk.say(link, &Message::Request(request(0, 0, 16)));
    }
    assert_eq!(talk.heard(fast), [Message::Reject(request(0, 0, 16))]);
    assert_eq!(talk.heard(plain), []);
    assert!(talk.closed.is_empty() && talk.reads.is_empty());
}

#[test]
fn a_block_that_was_read_for_a_peer_is_not_sent_once_it_is_choked() {
    let mut talk = Talk::new(4, Stored::Everything);
    let link = talk.connect(1);
    talk.say(link, &Message::Interested);
    talk.say(link, &Message::Request(request(0, 0, 16)));
    talk.heard(link);
    talk.command(Command::SetLimits(Limits {
        upload_slots: 0,
        ..Limits::default()
    }));
    talk.answer_reads();
    assert_eq!(
        talk.heard(link),
        [Message::Choke, Message::Reject(request(0, 0, 16))]
    );
}

#[test]
fn a_cancelled_request_is_rejected_and_not_read() {
    let mut talk = Talk::new(200, Stored::Everything);
    let link = talk.connect(1);
    talk.say(link, &Message::Interested);
    for piece in 0..200 {
        talk.say(link, &Message::Request(request(piece, 0, BLOCK_LENGTH)));
    }
    talk.heard(link);
    talk.say(link, &Message::Cancel(request(199, 0, BLOCK_LENGTH)));
    assert_eq!(talk.heard(link), [Message::Reject(request(199, 0, BLOCK_LENGTH))]);
    for _ in 0..200 {
        talk.answer_reads();
    }
    assert_eq!(talk.heard(link).len(), 199);
}

#[test]
fn interest_follows_what_the_peer_has() {
    let mut talk = Talk::new(4, Stored::Nothing);
    let link = talk.connect(1);
    talk.heard(link);
    talk.say(link, &Message::HaveNone);
    assert_eq!(talk.heard(link), []);
    talk.say(link, &Message::Have(2));
    assert_eq!(talk.heard(link), [Message::Interested]);
    talk.say(link, &Message::Unchoke);
    let blocks = talk.asked(link);
    assert_eq!(
        blocks,
        [
            talk.block(2, 0, BLOCK_LENGTH),
            talk.block(2, BLOCK_LENGTH, BLOCK_LENGTH)
        ]
    );
    for block in blocks {
        talk.say_block(link, block);
    }
    talk.answer_writes();
    talk.answer_hashes();
    assert_eq!(talk.heard(link), [Message::Have(2), Message::NotInterested]);
}

#[test]
fn requests_go_out_in_one_part_and_no_more_than_the_peer_takes() {
    let mut talk = Talk::new(100, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &hello(None, Some(20)));
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    assert_eq!(talk.asked(link).len(), 20);
}

#[test]
fn a_choke_without_the_fast_extension_takes_all_requests_back() {
    let mut talk = Talk::new(1, Stored::Nothing);
    let (first, second) = (talk.connect_as(1, PLAIN), talk.connect(2));
    for link in [first, second] {
        talk.say(link, &Message::Bitfield(Bitfield::all(1).to_wire()));
    }
    talk.say(first, &Message::Unchoke);
    assert_eq!(talk.asked(first).len(), 2);
    talk.say(first, &Message::Choke);
    talk.say(second, &Message::Unchoke);
    assert_eq!(talk.asked(second).len(), 2);
    talk.say(second, &Message::Choke);
    talk.say(first, &Message::Unchoke);
    let help = [talk.block(0, BLOCK_LENGTH, BLOCK_LENGTH)];
    assert_eq!(
        talk.asked(first),
        help,
        "the other says itself what it will not send"
    );
    talk.say(second, &Message::Reject(request(0, 0, BLOCK_LENGTH)));
    assert_eq!(talk.asked(first), [talk.block(0, 0, BLOCK_LENGTH)]);
}

#[test]
fn pieces_allowed_fast_are_asked_for_while_choked() {
    let mut talk = Talk::new(8, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::AllowedFast(5));
    talk.say(link, &Message::AllowedFast(u32::MAX));
    let pieces: Vec<_> = talk.asked(link).iter().map(|block| block.piece().get()).collect();
    assert_eq!(pieces, [5, 5]);
}

#[test]
fn a_silent_peers_blocks_are_asked_of_another() {
    let mut talk = Talk::new(1, Stored::Nothing);
    let (silent, other) = (talk.connect(1), talk.connect(2));
    for link in [silent, other] {
        talk.say(link, &Message::HaveAll);
    }
    talk.say(silent, &Message::Unchoke);
    assert_eq!(talk.asked(silent).len(), 2);
    talk.wait(5);
    talk.say(other, &Message::Unchoke);
    assert!(
        !talk.asked(other).is_empty(),
        "one that waits for nothing helps at once"
    );
    talk.wait(6);
    let cancelled = talk.heard(silent);
    assert!(
        cancelled.contains(&Message::Cancel(request(0, 0, BLOCK_LENGTH))),
        "{cancelled:?}"
    );
    assert!(
        talk.torrent
            .peers()
            .any(|peer| peer.link == silent && peer.is_snubbed)
    );
}

#[test]
fn nothing_is_asked_for_while_storage_is_behind() {
    let mut talk = Talk::new(2_000, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &hello(None, Some(5_000)));
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    let mut asked = talk.asked(link);
    let mut sent = 0;
    while let Some(block) = asked.pop() {
        talk.say_block(link, block);
        asked.extend(talk.asked(link));
        sent += 1;
        assert!(sent < 3_000, "storage has 47 MB and has acknowledged none");
    }
    assert!(u64::from(sent * BLOCK_LENGTH) >= 16 * 1024 * 1024);
    talk.answer_writes();
    assert!(!talk.asked(link).is_empty());
}

#[test]
fn nothing_is_asked_for_while_hashing_is_behind() {
    let mut talk = Talk::new(4_000, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    let mut asked = talk.asked(link);
    while let Some(block) = asked.pop() {
        talk.say_block(link, block);
        talk.answer_writes();
        asked.extend(talk.asked(link));
        assert!(
            talk.hashes.len() < 3_000,
            "125 MB are there and none of them was hashed"
        );
    }
    assert!(talk.hashes.len() as u64 * u64::from(PIECE) >= 64 * 1024 * 1024);
    talk.answer_hashes();
    assert!(!talk.asked(link).is_empty());
}

#[test]
fn what_is_asked_of_all_peers_together_is_bounded() {
    let mut talk = Talk::new(4_000, Stored::Nothing);
    talk.command(Command::SetLimits(Limits {
        peers: 200,
        ..Limits::default()
    }));
    let mut asked = 0;
    for number in 1..=100 {
        let link = talk.connect(number);
        talk.say(link, &Message::HaveAll);
        talk.say(link, &Message::Unchoke);
        let of_this = talk.asked(link).len();
        assert!(of_this >= 4, "each has something to do");
        asked += of_this;
    }
    assert!((4_096..4_096 + 100 * 4).contains(&asked), "{asked} blocks");
}

#[test]
fn metadata_is_served_and_what_there_is_not_is_rejected() {
    let mut talk = Talk::new(1_000, Stored::Everything);
    let link = talk.connect(1);
    let ours = extended_handshake(&talk.heard(link)).ids[UT_METADATA];
    talk.say(link, &hello(None, None));
    for piece in [0, 1, 2, u32::MAX] {
        let payload = MetadataMessage::Request { piece }.to_bytes();
        talk.say(link, &Message::Extended { id: ours, payload });
    }
    let answers: Vec<_> = talk
        .heard(link)
        .into_iter()
        .map(|message| {
            let Message::Extended { id: 9, payload } = message else {
                panic!("{message:?}")
            };
            MetadataMessage::from_bytes(&payload).expect("well formed")
        })
        .collect();
    let raw = talk.info.raw();
    let total_size = u32::try_from(raw.len()).expect("small");
    let data = |piece, range| MetadataMessage::Data {
        piece,
        total_size,
        data: raw.slice(range),
    };
    let expected = [
        data(0, 0..16_384),
        data(1, 16_384..raw.len()),
        MetadataMessage::Reject { piece: 2 },
        MetadataMessage::Reject { piece: u32::MAX },
    ];
    assert_eq!(answers, expected);
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
    for _ in 0..4 {
        talk.say(link, &Message::HaveAll);
    }
    assert!(talk.closed.is_empty());
    talk.say(link, &Message::HaveNone);
    assert!(matches!(talk.closed[&link], CloseReason::Misbehaved(_)));
}

#[test]
fn a_hash_that_storage_could_not_make_is_asked_for_again_after_resuming() {
    let broken = || StorageError::Failed("the disk is gone".to_owned());
    for stored in [Stored::Unknown, Stored::Nothing] {
        let mut talk = Talk::new(2, stored.clone());
        let link = talk.connect(1);
        talk.say(link, &Message::HaveAll);
        talk.say(link, &Message::Unchoke);
        for block in talk.asked(link) {
            talk.say_block(link, block);
        }
        talk.answer_writes();
        let asked = core::mem::take(&mut talk.hashes);
        assert_eq!(asked.len(), 2, "{stored:?}");
        for piece in asked {
            let result = Err(broken());
            talk.input(Input::PieceHashed { piece, result });
        }
        assert_eq!(*talk.torrent.state(), State::Failed(broken()));
        assert!(talk.hashes.is_empty(), "nothing goes on before somebody says so");
        talk.command(Command::Resume);
        assert_eq!(talk.hashes.len(), 2, "{stored:?}");
        talk.answer_hashes();
        assert_eq!(*talk.torrent.state(), State::Seeding);
    }
}

#[test]
fn a_piece_that_storage_has_lost_is_fetched_again_after_resuming() {
    let mut talk = Talk::new(1, Stored::Nothing);
    for number in [1, 2] {
        let link = talk.connect(number);
        talk.say(link, &Message::HaveAll);
        talk.say(link, &Message::Unchoke);
        let blocks = talk.asked(link);
        assert_eq!(blocks.len(), 2);
        for block in blocks {
            talk.say_block(link, block);
        }
        talk.answer_writes();
        let piece = talk.hashes.pop().expect("the piece is whole");
        let result = Err(StorageError::Missing);
        talk.input(Input::PieceHashed { piece, result });
        assert_eq!(*talk.torrent.state(), State::Failed(StorageError::Missing));
        talk.command(Command::Resume);
        assert_eq!(*talk.torrent.state(), State::Downloading);
    }
}
