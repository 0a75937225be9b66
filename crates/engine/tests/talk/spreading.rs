//! What a torrent tells peers to ask for, and what it makes of what they tell it (BEP 6 and 16).

use causeway_core::BLOCK_LENGTH;
use causeway_engine::{Command, Direction, Input, KnownPeer, Limits, LinkId, Stored};
use causeway_wire::{Message, Reserved};
use core::net::SocketAddr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{Talk, extended_handshake, request};

/// A peer that has nothing and wants something, and is served.
fn leech(talk: &mut Talk, number: u8) -> LinkId {
    let link = talk.connect(number);
    talk.say(link, &Message::HaveNone);
    talk.say(link, &Message::Interested);
    link
}

/// The pieces that the torrent has suggested.
fn suggested(talk: &mut Talk, link: LinkId) -> Vec<u32> {
    let piece = |message| {
        if let Message::Suggest(piece) = message {
            Some(piece)
        } else {
            None
        }
    };
    talk.heard(link).into_iter().filter_map(piece).collect()
}

/// The pieces that these messages say the torrent has.
fn shown(messages: &[Message]) -> Vec<u32> {
    let piece = |message: &Message| {
        if let Message::Have(piece) = message {
            Some(*piece)
        } else {
            None
        }
    };
    messages.iter().filter_map(piece).collect()
}

fn ask_for(talk: &mut Talk, link: LinkId, piece: u32) {
    for offset in [0, BLOCK_LENGTH] {
        talk.say(link, &Message::Request(request(piece, offset, BLOCK_LENGTH)));
    }
}

#[test]
fn a_seed_that_is_alone_suggests_each_piece_to_one_peer_first() {
    let mut talk = Talk::new(8, Stored::Everything);
    let a = leech(&mut talk, 1);
    assert!(
        suggested(&mut talk, a).is_empty(),
        "one peer asks for nothing twice"
    );
    let b = leech(&mut talk, 2);
    talk.wait(1);
    let (to_a, to_b) = (suggested(&mut talk, a), suggested(&mut talk, b));
    assert_eq!((to_a.len(), to_b.len()), (2, 2));
    assert!(
        to_a.iter().all(|piece| !to_b.contains(piece)),
        "{to_a:?} {to_b:?}"
    );
    ask_for(&mut talk, a, to_a[0]);
    let next = suggested(&mut talk, a);
    assert_eq!(
        next.len(),
        1,
        "the next is known before the last one is asked for"
    );
    assert!(!to_b.contains(&next[0]) && !to_a.contains(&next[0]));
    for piece in 0..8 {
        talk.say(a, &Message::Have(piece));
    }
    talk.wait(40);
    assert!(suggested(&mut talk, b).is_empty(), "a whole copy is out");
}

#[test]
fn who_passes_nothing_on_of_the_first_copy_loses_its_turn_to_who_waits() {
    let mut talk = Talk::new(50, Stored::Everything);
    talk.command(Command::SetLimits(Limits {
        upload_slots: 2,
        ..Limits::default()
    }));
    let (a, b, c) = (leech(&mut talk, 1), leech(&mut talk, 2), leech(&mut talk, 3));
    for (link, piece) in [(a, 0), (a, 1), (b, 2), (b, 3)] {
        ask_for(&mut talk, link, piece);
        talk.answer_reads();
        talk.say(link, &Message::Have(piece));
    }
    for piece in [2, 3] {
        talk.say(c, &Message::Have(piece));
    }
    let served = |talk: &Talk| {
        let peers = talk.torrent.peers().filter(|peer| peer.is_served);
        peers.map(|peer| peer.link).collect::<Vec<_>>()
    };
    talk.wait(3);
    assert_eq!(served(&talk), [a, b], "others may still get it");
    talk.wait(1);
    assert_eq!(served(&talk), [b, c]);
}

#[test]
fn a_suggestion_is_followed_and_one_that_makes_no_sense_is_not() {
    let mut talk = Talk::new(100, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    for piece in [u32::MAX, 100, 41, 40] {
        talk.say(link, &Message::Suggest(piece));
    }
    talk.say(link, &Message::Unchoke);
    let asked: Vec<_> = talk.asked(link).iter().map(|block| block.piece().get()).collect();
    assert_eq!(asked[..4], [41, 41, 40, 40]);
}

#[test]
fn what_was_read_for_one_is_suggested_to_the_next() {
    let mut talk = Talk::new(4, Stored::Everything);
    let (a, b) = (leech(&mut talk, 1), leech(&mut talk, 2));
    for piece in 0..4 {
        talk.say(a, &Message::Have(piece));
    }
    talk.say(b, &Message::Have(3));
    ask_for(&mut talk, b, 2);
    talk.answer_reads();
    let c = leech(&mut talk, 3);
    assert_eq!(suggested(&mut talk, c), [2]);
}

#[test]
fn a_super_seed_shows_the_next_piece_once_another_peer_has_the_last() {
    let mut talk = Talk::new(8, Stored::Everything);
    talk.command(Command::SuperSeed(true));
    let a = talk.connect(1);
    let first = talk.heard(a);
    assert!(first.contains(&Message::HaveNone) && !first.contains(&Message::HaveAll));
    assert_eq!(
        extended_handshake(&first).upload_only,
        None,
        "it would not be asked"
    );
    let one = shown(&first);
    assert_eq!(one.len(), 1);
    talk.say(a, &Message::HaveNone);
    talk.say(a, &Message::Interested);
    let two = shown(&talk.heard(a));
    assert_eq!(two.len(), 1, "one is being sent, one follows");
    let b = leech(&mut talk, 2);
    let to_b = shown(&talk.heard(b));
    assert!(to_b.len() == 2 && to_b.iter().all(|piece| ![one[0], two[0]].contains(piece)));
    ask_for(&mut talk, a, one[0]);
    talk.say(a, &Message::Have(one[0]));
    talk.wait(5);
    assert!(shown(&talk.heard(a)).is_empty(), "it has passed nothing on");
    talk.say(b, &Message::Have(one[0]));
    talk.wait(1);
    assert_eq!(shown(&talk.heard(a)).len(), 1);
}

#[test]
fn a_super_seed_shows_the_last_pieces_to_one_peer_each() {
    let mut talk = Talk::new(3, Stored::Everything);
    talk.command(Command::SuperSeed(true));
    let (a, b, c) = (leech(&mut talk, 1), leech(&mut talk, 2), leech(&mut talk, 3));
    let mut to = |link| shown(&talk.heard(link));
    let (to_a, to_b, to_c) = (to(a), to(b), to(c));
    assert_eq!((to_a.len(), to_b.len(), to_c.len()), (2, 1, 0));
    talk.wait(31);
    assert!(
        !shown(&talk.heard(c)).is_empty(),
        "what they don't ask for goes to others"
    );
}

#[test]
fn a_super_seed_brings_out_again_what_left_with_the_only_one_who_had_it() {
    let mut talk = Talk::new(4, Stored::Everything);
    talk.command(Command::SuperSeed(true));
    let (a, b) = (leech(&mut talk, 1), leech(&mut talk, 2));
    let (to_a, to_b) = (shown(&talk.heard(a)), shown(&talk.heard(b)));
    talk.say(a, &Message::Have(to_a[0]));
    talk.wait(2);
    talk.input(Input::LinkClosed { link: a });
    for piece in [to_b[0], to_b[1], to_a[1]] {
        talk.say(b, &Message::Have(piece));
    }
    talk.wait(1);
    assert!(shown(&talk.heard(b)).contains(&to_a[0]));
    assert!(
        talk.torrent.peers().all(|peer| !peer.is_seed),
        "and not because everything is out"
    );
    let late = talk.connect(3);
    assert!(talk.heard(late).contains(&Message::HaveNone));
}

#[test]
fn a_super_seed_gives_one_piece_after_the_other_where_there_is_one_alone_to_give_to() {
    let mut talk = Talk::new(16, Stored::Everything);
    talk.command(Command::SuperSeed(true));
    let link = leech(&mut talk, 1);
    for _ in 0..6 {
        let pieces = shown(&talk.heard(link));
        assert!(!pieces.is_empty(), "there is nobody to pass anything on to");
        for piece in pieces {
            ask_for(&mut talk, link, piece);
            talk.say(link, &Message::Have(piece));
        }
    }
}

#[test]
fn a_super_seed_tells_everything_once_a_copy_is_out() {
    let mut talk = Talk::new(8, Stored::Everything);
    talk.command(Command::SuperSeed(true));
    let (a, b) = (leech(&mut talk, 1), leech(&mut talk, 2));
    for piece in 0..8 {
        talk.say([a, b][piece as usize % 2], &Message::Have(piece));
    }
    talk.wait(2);
    for link in [a, b] {
        let said = talk.heard(link);
        let mut pieces = shown(&said);
        pieces.sort_unstable();
        assert_eq!(pieces, (0..8).collect::<Vec<_>>(), "each once");
        assert_eq!(extended_handshake(&said).upload_only, Some(true));
    }
    let late = talk.connect(3);
    assert!(talk.heard(late).contains(&Message::HaveAll));
}

#[test]
fn a_new_peer_may_have_some_pieces_although_it_is_choked() {
    let mut talk = Talk::new(4, Stored::Everything);
    talk.command(Command::SetLimits(Limits {
        upload_slots: 1,
        ..Limits::default()
    }));
    leech(&mut talk, 1);
    let at = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
    let link = talk.open_at(2, Direction::Incoming, None, at("1.2.3.4:5"));
    talk.shake_hands(link, 2, Reserved::ours());
    talk.say(link, &Message::HaveNone);
    talk.say(link, &Message::Interested);
    let said = talk.heard(link);
    assert!(!said.contains(&Message::Unchoke));
    for piece in 0..4 {
        assert!(said.contains(&Message::AllowedFast(piece)), "{said:?}");
    }
    ask_for(&mut talk, link, 3);
    talk.answer_reads();
    let blocks = talk.heard(link);
    assert_eq!(blocks.len(), 2);
    assert!(
        blocks
            .iter()
            .all(|message| matches!(message, Message::Piece { piece: 3, .. }))
    );
    ask_for(&mut talk, link, 3);
    let refused = talk.heard(link);
    let whole = [0, BLOCK_LENGTH].map(|offset| Message::Reject(request(3, offset, BLOCK_LENGTH)));
    assert_eq!(refused, whole, "each piece is given once");
}

#[test]
fn nothing_is_granted_by_who_gives_nothing_or_to_who_has_something() {
    for (slots, has) in [(0, 0), (1, 10)] {
        let mut talk = Talk::new(20, Stored::Everything);
        talk.command(Command::SetLimits(Limits {
            upload_slots: slots,
            ..Limits::default()
        }));
        leech(&mut talk, 1);
        let addr = "1.2.3.4:5".parse().expect("an address");
        let link = talk.open_at(2, Direction::Incoming, None, Some(addr));
        talk.shake_hands(link, 2, Reserved::ours());
        (0..has).for_each(|piece| talk.say(link, &Message::Have(piece)));
        talk.say(link, &Message::Interested);
        let granted = |message: &Message| matches!(message, Message::AllowedFast(_));
        assert!(!talk.heard(link).iter().any(granted), "{slots} {has}");
    }
}

#[test]
fn what_a_peer_was_worth_outlasts_its_link() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let addr: SocketAddr = "1.2.3.4:5".parse().expect("an address");
    let link = talk.open_at(1, Direction::Outgoing, None, Some(addr));
    talk.shake_hands(link, 1, Reserved::ours());
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    for block in talk.asked(link).into_iter().take(2) {
        talk.say_block(link, block);
    }
    talk.answer_writes();
    talk.answer_hashes();
    assert_eq!(talk.torrent.score_of(addr), 1);
    talk.input(Input::LinkClosed { link });
    assert_eq!(talk.torrent.known_peers(), [KnownPeer { addr, score: 1 }]);
    let stored = talk.torrent.snapshot().expect("the metadata is known");
    let mut talk = Talk::new(2, Stored::Partly(stored));
    let again = talk.open_at(1, Direction::Outgoing, None, Some(addr));
    talk.shake_hands(again, 1, Reserved::ours());
    assert_eq!(
        talk.torrent.peers().map(|peer| peer.score).collect::<Vec<_>>(),
        [1]
    );
    talk.say(again, &Message::Have(77));
    assert!(talk.torrent.score_of(addr) < 0, "it broke the protocol");
}
