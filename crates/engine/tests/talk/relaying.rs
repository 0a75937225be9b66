//! Carrying a torrent over: readers, who come over WebRTC, and suppliers.

use causeway_core::{BLOCK_LENGTH, PieceIndex};
use causeway_engine::{Direction, Input, LinkId, LinkKind, PieceUse};
use causeway_wire::{Message, Reserved};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{Talk, hello, request};

const SUPPLIER: u8 = 1;
const READER: u8 = 2;

/// Four pieces of two blocks each, somebody who has them all, and somebody who wants them.
fn both() -> (Talk, LinkId, LinkId) {
    let mut talk = Talk::relaying(4);
    let supplier = talk.connect(SUPPLIER);
    talk.say(supplier, &Message::HaveAll);
    talk.say(supplier, &Message::Unchoke);
    let reader = talk.open_by(LinkKind::WebRtc, READER.into(), Direction::Incoming);
    talk.shake_hands(reader, READER, Reserved::ours());
    talk.say(reader, &hello(None, None));
    talk.say(reader, &Message::HaveNone);
    talk.say(reader, &Message::Interested);
    (talk, supplier, reader)
}

fn ask(talk: &mut Talk, reader: LinkId, piece: u32) {
    for offset in [0, BLOCK_LENGTH] {
        talk.say(reader, &Message::Request(request(piece, offset, BLOCK_LENGTH)));
    }
}

fn admit(talk: &mut Talk, piece: u32) {
    let piece = talk.block(piece, 0, 1).piece();
    talk.input(Input::PieceAdmitted { piece });
}

fn lose(talk: &mut Talk, piece: u32) {
    let piece = talk.block(piece, 0, 1).piece();
    talk.input(Input::PieceLost { piece });
}

/// What is asked for is fetched and stored.
fn supply(talk: &mut Talk, supplier: LinkId) {
    for block in talk.asked(supplier) {
        talk.say_block(supplier, block);
    }
    talk.answer_writes();
    talk.answer_hashes();
}

fn demanded(talk: &mut Talk) -> Vec<u32> {
    let pieces = core::mem::take(&mut talk.demanded);
    pieces.into_iter().map(PieceIndex::get).collect()
}

/// The pieces whose blocks this peer was sent.
fn sent(talk: &mut Talk, link: LinkId) -> Vec<u32> {
    let mut pieces = Vec::new();
    for message in talk.heard(link) {
        if let Message::Piece { piece, .. } = message {
            pieces.push(piece);
        }
    }
    pieces
}

#[test]
fn a_reader_is_told_of_all_that_suppliers_have_and_gets_what_it_asks_for() {
    let (mut talk, supplier, reader) = both();
    assert!(talk.heard(reader).contains(&Message::HaveAll));
    let heard = talk.heard(supplier);
    assert!(
        heard.contains(&Message::HaveNone),
        "a supplier is told what is here"
    );
    assert!(
        heard.contains(&Message::Interested),
        "who waits to be served says so early"
    );
    assert_eq!(
        talk.asked(supplier),
        [],
        "nothing is fetched that nobody asks for"
    );

    ask(&mut talk, reader, 2);
    assert_eq!(demanded(&mut talk), [2]);
    assert_eq!(talk.asked(supplier), [], "there has to be room first");
    assert_eq!(
        talk.torrent.use_of(talk.block(2, 0, 1).piece()),
        PieceUse::Awaited
    );
    admit(&mut talk, 2);
    supply(&mut talk, supplier);
    talk.answer_reads();
    assert_eq!(sent(&mut talk, reader), [2, 2]);
    assert_eq!(talk.torrent.use_of(talk.block(2, 0, 1).piece()), PieceUse::Idle);
    assert_eq!(
        talk.heard(supplier),
        [],
        "it could not be told when the piece goes"
    );
}

/// The driver gives the room of what nobody waits for to others, and is to hear when it is wanted again.
#[test]
fn what_was_asked_for_and_taken_back_is_demanded_anew_when_it_is_asked_for_again() {
    let (mut talk, _, reader) = both();
    for _ in 0..3 {
        ask(&mut talk, reader, 1);
        assert_eq!(demanded(&mut talk), [1], "once for both blocks");
        for offset in [0, BLOCK_LENGTH] {
            talk.say(reader, &Message::Cancel(request(1, offset, BLOCK_LENGTH)));
        }
        let piece = talk.block(1, 0, 1).piece();
        assert_eq!(talk.torrent.use_of(piece), PieceUse::Idle);
    }
}

#[test]
fn a_piece_that_went_comes_again_when_it_is_asked_for() {
    let (mut talk, supplier, reader) = both();
    for _ in 0..3 {
        ask(&mut talk, reader, 1);
        assert_eq!(demanded(&mut talk), [1]);
        admit(&mut talk, 1);
        supply(&mut talk, supplier);
        talk.answer_reads();
        assert_eq!(sent(&mut talk, reader), [1, 1]);
        lose(&mut talk, 1);
        assert_eq!(talk.heard(reader), [], "nobody need know");
    }
}

#[test]
fn a_piece_that_loses_its_room_while_it_comes_is_asked_of_nobody_any_more() {
    let (mut talk, supplier, reader) = both();
    ask(&mut talk, reader, 3);
    admit(&mut talk, 3);
    assert_eq!(talk.asked(supplier).len(), 2);
    let first = talk.block(3, 0, BLOCK_LENGTH);
    talk.say_block(supplier, first);
    lose(&mut talk, 3);
    assert_eq!(talk.torrent.use_of(talk.block(3, 0, 1).piece()), PieceUse::Busy);
    talk.answer_writes();
    lose(&mut talk, 3);
    assert!(matches!(talk.heard(supplier)[..], [Message::Cancel(_)]));
    assert_eq!(demanded(&mut talk), [3, 3], "it is still waited for");
    admit(&mut talk, 3);
    supply(&mut talk, supplier);
    talk.answer_reads();
    assert_eq!(sent(&mut talk, reader), [3, 3]);
}

#[test]
fn what_does_not_come_in_time_is_rejected_and_may_be_asked_for_again() {
    let (mut talk, supplier, reader) = both();
    ask(&mut talk, reader, 0);
    talk.heard(reader);
    talk.wait(21);
    let rejects = |message: &Message| matches!(message, Message::Reject(_));
    assert_eq!(talk.heard(reader).iter().filter(|it| rejects(it)).count(), 2);
    ask(&mut talk, reader, 0);
    admit(&mut talk, 0);
    supply(&mut talk, supplier);
    talk.answer_reads();
    assert_eq!(sent(&mut talk, reader), [0, 0]);
}

#[test]
fn what_a_reader_takes_back_is_not_waited_for() {
    let (mut talk, _, reader) = both();
    ask(&mut talk, reader, 0);
    for offset in [0, BLOCK_LENGTH] {
        talk.say(reader, &Message::Cancel(request(0, offset, BLOCK_LENGTH)));
    }
    assert_eq!(talk.torrent.use_of(talk.block(0, 0, 1).piece()), PieceUse::Idle);
}

#[test]
fn readers_get_nothing_for_suppliers_and_suppliers_nothing_that_is_not_here() {
    let (mut talk, supplier, reader) = both();
    talk.say(supplier, &Message::Interested);
    talk.heard(supplier);
    talk.heard(reader);
    ask(&mut talk, supplier, 0);
    assert!(demanded(&mut talk).is_empty());
    let heard = talk.heard(supplier);
    assert_eq!(heard.len(), 2);
    assert!(
        heard.iter().all(|message| matches!(message, Message::Reject(_))),
        "{heard:?}"
    );
    let other = talk.open_by(LinkKind::WebRtc, 3, Direction::Incoming);
    talk.shake_hands(other, 3, Reserved::ours());
    assert!(talk.heard(other).contains(&Message::HaveAll));
}
