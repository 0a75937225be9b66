//! What a torrent gives, to whom, and what it refuses.

use causeway_core::BLOCK_LENGTH;
use causeway_engine::{CloseReason, Command, Input, Limits, LinkId, Stored};
use causeway_wire::Message;
use causeway_wire::extended::{MetadataMessage, UT_METADATA};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{PIECE, PLAIN, Talk, extended_handshake, hello, request};

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
        }
        talk.wait(1);
        for link in [fast, plain] {
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
