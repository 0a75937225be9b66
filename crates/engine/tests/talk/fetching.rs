//! What a torrent asks for, of whom, and when it stops.

use causeway_core::{BLOCK_LENGTH, Bitfield, PeerId, Sha1Hash};
use causeway_engine::{Command, FetchError, Input, Limits, LinkId, State, StorageError, Stored};
use causeway_wire::Message;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::{PIECE, PLAIN, Talk, hello, request};

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
fn a_promise_that_was_not_kept_is_not_believed_again() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let (first, second) = (talk.connect(1), talk.connect(2));
    for link in [first, second] {
        talk.say(link, &Message::HaveAll);
    }
    talk.say(first, &Message::AllowedFast(0));
    let asked = talk.asked(first);
    assert_eq!(asked.len(), 2);
    for block in &asked {
        talk.say(first, &Message::Reject((*block).into()));
    }
    talk.wait(5);
    assert_eq!(
        talk.asked(first),
        [],
        "it chokes, and will not send what it allowed"
    );
    talk.say(second, &Message::Unchoke);
    assert_eq!(talk.asked(second).len(), 4);
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
fn two_silent_peers_do_not_pass_a_piece_to_and_fro_that_one_alone_may_supply() {
    let mut talk = Talk::new(1, Stored::Nothing);
    let (silent, mute, other) = (talk.connect(1), talk.connect(2), talk.connect(3));
    for link in [silent, mute, other] {
        talk.say(link, &Message::HaveAll);
    }
    talk.say(silent, &Message::Unchoke);
    let blocks = talk.asked(silent);
    talk.say(other, &Message::Unchoke);
    talk.say_block(silent, blocks[0]);
    talk.say_block(other, blocks[1]);
    talk.answer_writes();
    let piece = talk.hashes.pop().expect("the piece is whole");
    let result = Ok(Sha1Hash::new([9; 20]));
    talk.input(Input::PieceHashed { piece, result });
    talk.say(mute, &Message::Unchoke);
    talk.answer_reads();
    assert_eq!(talk.asked(silent).len(), 2, "it is alone with the piece");
    talk.heard(other);
    talk.wait(25);
    assert_eq!(
        talk.asked(mute).len(),
        2,
        "one turn is for a peer that nobody knows"
    );
    assert_eq!(talk.asked(other).len(), 2, "the next is for one that delivers");
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
fn a_disk_that_turns_out_to_be_full_later_stops_the_torrent_until_it_is_resumed() {
    let mut talk = Talk::new(2, Stored::Nothing);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    for block in talk.asked(link) {
        talk.say_block(link, block);
    }
    talk.answer_writes();
    talk.answer_hashes();
    assert_eq!(*talk.torrent.state(), State::Seeding);
    talk.input(Input::StorageFailed(StorageError::Full));
    assert_eq!(*talk.torrent.state(), State::Failed(StorageError::Full));
    talk.command(Command::Resume);
    assert_eq!(
        *talk.torrent.state(),
        State::Seeding,
        "what was verified is still there"
    );
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

const OVER_HTTP: LinkId = LinkId(1000);

/// The web seed of the peer with this number is known.
fn add_web_seed_of(talk: &mut Talk, number: u8) {
    talk.input(Input::WebSeedAdded {
        link: OVER_HTTP,
        peer: Some(PeerId::new([number; 20])),
    });
}

#[test]
fn what_a_peer_gives_comes_over_its_web_seed_while_it_serves_us_and_over_the_link_while_that_rests() {
    let mut talk = Talk::new(4, Stored::Nothing);
    add_web_seed_of(&mut talk, 1);
    assert!(talk.fetches.is_empty(), "the peer is not there");
    let link = talk.connect(1);
    talk.say(link, &Message::HaveNone);
    talk.say(link, &Message::Have(1));
    talk.say(link, &Message::Have(2));
    assert!(talk.fetches.is_empty(), "the peer does not serve us");
    talk.say(link, &Message::Unchoke);
    let range = u64::from(PIECE)..u64::from(3 * PIECE);
    assert_eq!(
        talk.fetches.get(&OVER_HTTP),
        Some(&range),
        "what it has, and no more"
    );
    assert_eq!(talk.asked(link), [], "nothing comes twice");

    let result = Err(FetchError::Busy(core::time::Duration::from_secs(3)));
    talk.fetches.clear();
    talk.input(Input::FetchEnded {
        link: OVER_HTTP,
        result,
    });
    assert_eq!(talk.asked(link).len(), 4, "it rests");
    assert!(talk.fetches.is_empty());
    talk.wait(4);
    talk.say(link, &Message::Have(3));
    assert_eq!(
        talk.fetches.get(&OVER_HTTP),
        Some(&(u64::from(3 * PIECE)..u64::from(4 * PIECE)))
    );
    assert_eq!(talk.asked(link), []);
}

#[test]
fn a_web_seed_goes_with_its_peer_and_others_give_what_it_owed() {
    let mut talk = Talk::new(1, Stored::Nothing);
    add_web_seed_of(&mut talk, 1);
    let (first, second) = (talk.connect(1), talk.connect(2));
    for link in [first, second] {
        talk.say(link, &Message::HaveAll);
        talk.say(link, &Message::Unchoke);
    }
    assert_eq!(talk.fetches.len(), 1);
    assert_eq!(talk.asked(second), [], "all of it is on its way");
    talk.input(Input::LinkClosed { link: first });
    assert!(talk.fetches.is_empty());
    assert_eq!(talk.asked(second).len(), 2);
}

#[test]
fn a_web_seed_that_is_of_no_use_leaves_its_peer_to_be_asked() {
    let mut talk = Talk::new(1, Stored::Nothing);
    add_web_seed_of(&mut talk, 1);
    let link = talk.connect(1);
    talk.say(link, &Message::HaveAll);
    talk.say(link, &Message::Unchoke);
    let result = Err(FetchError::Useless);
    talk.input(Input::FetchEnded {
        link: OVER_HTTP,
        result,
    });
    assert_eq!(talk.asked(link).len(), 2);
}
