//! Tables: a word for each piece, a letter for each block.
//!
//! `.` is free, a small letter was asked of the link with that name, a capital one came from it and is being
//! written, `#` is stored. A piece in which nothing happened yet is all dots.

use super::choose::{ENOUGH_OPEN, RANDOM_FIRST};
use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: LinkId = LinkId(b'a' as u64);
const B: LinkId = LinkId(b'b' as u64);
const C: LinkId = LinkId(b'c' as u64);

/// Pieces of four blocks, all wanted, past the random beginning.
struct Table {
    picker: Picker,
    rng: Rng,
    pace: Pace,
}

impl Table {
    fn new(pieces: u32) -> Self {
        Self::with_blocks(pieces, 4)
    }

    fn with_blocks(pieces: u32, blocks: u32) -> Self {
        let length = u64::from(pieces) * u64::from(blocks * BLOCK_LENGTH);
        let geometry = Geometry::new(length, u64::from(blocks * BLOCK_LENGTH)).expect("valid");
        let mut table = Self {
            picker: Picker::new(geometry, RANDOM_FIRST),
            rng: Rng::with_seed(3),
            pace: Pace {
                now: Time::ZERO,
                arrives: Time::ZERO,
                each: Duration::ZERO,
                first: Time::ZERO,
                together: Duration::ZERO,
            },
        };
        for piece in geometry.all_pieces() {
            table.picker.want(piece, &mut table.rng);
        }
        table
    }

    /// A peer that has the pieces marked `x` is there too.
    fn peer(mut self, pieces: &str) -> Self {
        let mut have = Bitfield::none(self.picker.geometry.pieces());
        for (index, _) in pieces
            .bytes()
            .zip(0..)
            .filter(|(mark, _)| *mark == b'x')
            .map(|(mark, at)| (at, mark))
        {
            have.set_bit(index, true);
        }
        self.picker.add_peer(&have, &mut self.rng);
        self
    }

    /// Asks the link for up to so many blocks of the pieces marked `x`.
    fn pick(&mut self, link: LinkId, count: usize, pieces: &str) -> Vec<(u32, u32)> {
        self.pick_as(link, count, pieces, &[])
    }

    /// The same of a link that suggests these pieces; with everything marked it is one that has everything.
    fn pick_as(&mut self, link: LinkId, count: usize, pieces: &str, suggested: &[u32]) -> Vec<(u32, u32)> {
        let can = |piece: PieceIndex| pieces.as_bytes().get(piece.as_usize()) == Some(&b'x');
        let mut blocks = Vec::new();
        let suggested: Vec<_> = suggested.iter().map(|piece| self.piece(*piece)).collect();
        let asker = Asker {
            link,
            count,
            pace: self.pace,
            suggested: &suggested,
            is_seed: self.picker.geometry.all_pieces().all(can),
        };
        self.picker.pick(asker, can, &mut self.rng, &mut blocks);
        blocks
            .iter()
            .map(|block| (block.piece().get(), block.index()))
            .collect()
    }

    fn block(&self, piece: u32, index: u32) -> Block {
        let piece = self.picker.geometry.piece(piece).expect("in range");
        block_at(self.picker.geometry, piece, index).expect("in range")
    }

    fn show(&self) -> String {
        let letter = |link: LinkId| char::from(u8::try_from(link.0).expect("a letter"));
        let words = self.picker.geometry.all_pieces().map(|piece| {
            let blocks = 0..self.picker.geometry.blocks_in(piece);
            let state = |index| self.picker.open.get(&piece).and_then(|open| open.state(index));
            let show = |index| match state(index) {
                None | Some(BlockState::Free) => '.',
                Some(BlockState::Asked(link)) => letter(link),
                Some(BlockState::Writing(link)) => letter(link).to_ascii_uppercase(),
                Some(BlockState::Written(_)) => '#',
            };
            blocks.map(show).collect::<String>()
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The link sends everything that it was asked for in this piece, and storage takes it.
    fn complete(&mut self, piece: u32, link: LinkId) {
        for index in 0..4 {
            let block = self.block(piece, index);
            let asked = self
                .picker
                .open
                .get(&block.piece())
                .and_then(|open| open.state(index));
            if asked == Some(BlockState::Asked(link)) {
                assert_eq!(self.picker.received(block, link), Receipt::Needed(vec![]));
                self.picker.written(block);
            }
        }
    }

    fn piece(&self, piece: u32) -> PieceIndex {
        self.picker.geometry.piece(piece).expect("in range")
    }
}

#[test]
fn a_seed_is_asked_for_what_nobody_else_has() {
    let mut table = Table::new(3).peer("xx-");
    let begun = table.pick(B, 2, "xx-")[0].0;
    table.picker.leave(B);
    assert_eq!(
        table.pick(A, 2, "xxx"),
        [(2, 0), (2, 1)],
        "not what another can go on with"
    );
    assert_eq!(table.pick(C, 1, "xx-"), [(begun, 2)]);
    table.picker.leave(A);
    assert_eq!(
        table.pick(B, 2, "xxx"),
        [(2, 2), (2, 3)],
        "what a seed began comes first"
    );
}

#[test]
fn a_suggested_piece_comes_first_among_those_that_are_as_rare() {
    let mut table = Table::new(8);
    assert_eq!(table.pick_as(A, 5, "xxxxxxxx", &[5, 2]).last(), Some(&(2, 0)));
    assert_eq!(table.pick_as(A, 3, "xxxxxxxx", &[7, 5]).len(), 3);
    assert_eq!(table.pick_as(A, 1, "xxxxxxxx", &[5, 2, 7]), [(7, 0)]);
    let mut table = Table::new(8).peer("-xxxxxxx");
    assert_eq!(
        table.pick_as(B, 1, "xxxxxxx-", &[5]),
        [(0, 0)],
        "a rarer one comes before it"
    );
    let mut table = Table::new(8);
    table.picker.verified = 0;
    assert_eq!(
        table.pick_as(A, 1, "xxxxxxxx", &[6]),
        [(6, 0)],
        "in the random beginning too"
    );
}

#[test]
fn of_equally_rare_pieces_a_link_takes_those_beside_its_last_one() {
    // 256 pieces of 64 KiB: an extent is four of them.
    let all = "x".repeat(256);
    let mut table = Table::new(256);
    for (link, count) in [(A, 4), (B, 4), (A, 4)] {
        let first = table.pick(link, 4, &all)[0].0;
        assert_eq!(first % 4, 0, "an extent is begun at its beginning");
        for next in 1..count {
            assert_eq!(table.pick(link, 4, &all)[0].0, first + next);
        }
    }
}

#[test]
fn a_rarer_piece_comes_before_those_beside_the_last_one() {
    let all = "x".repeat(256);
    let mut table = Table::new(256);
    let first = table.pick(A, 4, &all)[0].0;
    let rare = (first + 128) % 256;
    let others: String = (0..256)
        .map(|piece| if piece == rare { '-' } else { 'x' })
        .collect();
    let mut table = table.peer(&others);
    assert_eq!(table.pick(A, 4, &all)[0].0, rare);
}

#[test]
fn a_link_asks_for_the_blocks_of_a_piece_in_order_and_goes_on_with_it() {
    let mut table = Table::new(3).peer("x-x").peer("--x");
    // The second piece is the rarest, for only seeds have it.
    assert_eq!(table.pick(A, 3, "xxx"), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(table.show(), ".... aaa. ....");
    assert_eq!(table.pick(A, 3, "xxx"), [(1, 3), (0, 0), (0, 1)]);
    assert_eq!(table.show(), "aa.. aaaa ....");
}

#[test]
fn two_links_work_on_pieces_of_their_own_while_there_are_enough() {
    let mut table = Table::new(2);
    table.pick(A, 2, "xx");
    table.pick(B, 2, "xx");
    assert!(
        ["aa.. bb..", "bb.. aa.."].contains(&table.show().as_str()),
        "{}",
        table.show()
    );
    table.pick(C, 3, "xx");
    assert!(
        table.show().matches('c').count() == 3,
        "then they share: {}",
        table.show()
    );
}

#[test]
fn only_what_the_peer_has_is_asked_of_it() {
    let mut table = Table::new(3);
    assert_eq!(table.pick(A, 9, "--x").len(), 4);
    assert_eq!(table.show(), ".... .... aaaa");
    assert_eq!(table.pick(A, 9, "---"), []);
}

#[test]
fn a_piece_that_was_begun_and_left_is_finished_before_another_is_opened() {
    let mut table = Table::new(4);
    assert_eq!(table.pick(A, 2, "--x-").len(), 2);
    table.complete(2, A);
    table.picker.leave(A);
    assert_eq!(table.pick(B, 2, "xxxx"), [(2, 2), (2, 3)]);
    assert_eq!(table.show(), ".... .... ##bb ....");
}

#[test]
fn links_share_pieces_when_enough_is_open() {
    let mut table = Table::with_blocks(3, ENOUGH_OPEN);
    table.pick(A, 1, "xxx");
    table.pick(B, 1, "xxx");
    assert_eq!(table.picker.open.len(), 1);
    assert_eq!(table.pick(C, 1, "xxx").len(), 1);
    assert_eq!(table.picker.open.len(), 1);
}

#[test]
fn a_released_block_is_asked_of_the_next() {
    let mut table = Table::new(1);
    table.pick(A, 4, "x");
    assert!(table.picker.is_exhausted());
    let before = table.picker.epoch();
    table.picker.released(table.block(0, 1), A);
    assert_ne!(table.picker.epoch(), before, "those who found nothing look again");
    assert_eq!(table.show(), "a.aa");
    table.picker.released(table.block(0, 2), B);
    assert_eq!(table.show(), "a.aa", "it was not asked of that one");
    assert_eq!(table.pick(B, 4, "x"), [(0, 1)]);
    assert_eq!(table.show(), "abaa");
}

#[test]
fn a_block_asked_of_several_is_taken_from_the_first_and_cancelled_at_the_others() {
    let mut table = Table::new(1);
    table.pick(A, 4, "x");
    let block = table.block(0, 3);
    assert!(!table.picker.ask_also(block, A), "not twice of the same");
    assert!(table.picker.ask_also(block, B));
    assert!(!table.picker.ask_also(block, B));
    assert!(table.picker.ask_also(block, C));
    assert!(!table.picker.ask_also(block, LinkId(9)), "not of everybody");
    assert_eq!(table.picker.received(block, B), Receipt::Needed(vec![C, A]));
    assert_eq!(table.picker.received(block, A), Receipt::Unneeded);
    assert_eq!(table.show(), "aaaB");
    assert!(!table.picker.ask_also(block, A), "it is there");
}

#[test]
fn when_the_first_of_several_gives_up_the_block_is_still_expected_of_the_others() {
    let mut table = Table::new(1);
    table.pick(A, 1, "x");
    let block = table.block(0, 0);
    assert!(table.picker.ask_also(block, B));
    table.picker.released(block, A);
    assert_eq!(table.show(), "b...");
    table.picker.released(block, B);
    assert_eq!(table.show(), "....");
}

#[test]
fn a_late_block_is_welcome_as_long_as_it_is_missing() {
    let mut table = Table::new(1);
    table.pick(A, 2, "x");
    table.picker.released(table.block(0, 0), A);
    assert_eq!(
        table.picker.received(table.block(0, 0), A),
        Receipt::Needed(vec![])
    );
    assert_eq!(table.show(), "Aa..");
    table.picker.released(table.block(0, 1), A);
    table.pick(B, 1, "x");
    assert_eq!(
        table.picker.received(table.block(0, 1), A),
        Receipt::Needed(vec![B])
    );
    assert_eq!(table.show(), "AA..");
}

#[test]
fn a_piece_is_whole_when_storage_has_every_block() {
    let mut table = Table::new(2);
    table.pick(A, 4, "x-");
    for index in 0..4 {
        table.picker.received(table.block(0, index), A);
    }
    for index in [3, 0, 2] {
        assert!(!table.picker.written(table.block(0, index)));
    }
    table.picker.write_failed(table.block(0, 1));
    assert_eq!(table.show(), "#.## ....");
    assert_eq!(table.pick(A, 1, "x-"), [(0, 1)]);
    table.picker.received(table.block(0, 1), A);
    assert!(table.picker.written(table.block(0, 1)));
    table.picker.verified(table.piece(0));
    assert_eq!(table.picker.received(table.block(0, 1), A), Receipt::Unneeded);
    assert_eq!(table.pick(A, 9, "x-"), [], "it is not fetched again");
}

#[test]
fn a_wrong_piece_is_fetched_again_and_says_who_supplied_it() {
    let mut table = Table::new(1);
    table.pick(A, 4, "x");
    table.complete(0, A);
    assert_eq!(table.picker.failed(table.piece(0)), [Some(A)]);
    assert_eq!(table.show(), "....");
    assert_eq!(table.pick(B, 4, "x").len(), 4);
}

#[test]
fn a_piece_that_several_got_wrong_is_fetched_again_from_one_alone() {
    let mut table = Table::new(1);
    table.pick(A, 2, "x");
    table.pick(B, 2, "x");
    table.complete(0, A);
    table.complete(0, B);
    assert_eq!(table.picker.failed(table.piece(0)), [Some(A), Some(B)]);
    table.pick(B, 2, "x");
    assert_eq!(table.pick(A, 2, "x"), [], "it is the other's alone");
    table.pick(B, 2, "x");
    assert_eq!(table.show(), "bbbb");
    assert!(!table.picker.ask_also(table.block(0, 3), A), "in the end too");
    table.complete(0, B);
    assert_eq!(table.picker.failed(table.piece(0)), [Some(B)]);
}

#[test]
fn what_an_earlier_run_left_is_not_fetched_and_nobody_is_blamed_for_it() {
    let mut table = Table::new(2);
    let mut blocks = Bitfield::none(4);
    blocks.set_bit(1, true);
    assert!(!table.picker.restore(table.piece(1), &blocks));
    assert_eq!(table.pick(A, 3, "xx"), [(1, 0), (1, 2), (1, 3)]);
    assert_eq!(table.show(), ".... a#aa");
    assert_eq!(
        table.picker.partial().collect::<Vec<_>>(),
        [(table.piece(1), blocks)]
    );
    table.complete(1, A);
    assert_eq!(table.picker.failed(table.piece(1)), [None, Some(A)]);
    assert!(
        table.picker.restore(table.piece(0), &Bitfield::all(4)),
        "it is whole"
    );
}

#[test]
fn what_is_not_wanted_any_more_is_not_asked_for_but_kept() {
    let mut table = Table::new(2);
    table.pick(A, 2, "x-");
    table.complete(0, A);
    table.picker.unwant(table.piece(0));
    table.picker.unwant(table.piece(1));
    assert!(table.picker.is_exhausted());
    assert_eq!(table.pick(A, 4, "xx"), []);
    assert_eq!(table.show(), "##.. ....");
    table.picker.want(table.piece(0), &mut table.rng);
    assert_eq!(table.pick(A, 4, "xx"), [(0, 2), (0, 3)]);
}

#[test]
fn the_first_pieces_are_random_and_the_others_the_rarest() {
    let mut first = SortedSet::new();
    for seed in 0..20 {
        let mut table = Table::new(8).peer("-xxxxxxx");
        table.picker.verified = 0;
        table.rng = Rng::with_seed(seed);
        first.extend(table.pick(A, 1, "xxxxxxxx"));
    }
    assert!(first.len() > 3, "{first:?}");
    let mut table = Table::new(8).peer("-xxxxxxx");
    assert_eq!(table.pick(A, 1, "xxxxxxxx"), [(0, 0)]);
}

#[test]
fn any_sequence_of_happenings_keeps_the_invariants() {
    for seed in 0..20 {
        let mut table = Table::new(6);
        let mut rng = Rng::with_seed(seed);
        let mut asked: SortedSet<(Block, LinkId)> = SortedSet::new();
        let links = [A, B, C];
        for _ in 0..500 {
            let link = links[rng.usize(..3)];
            let some = rng.choice(asked.iter().copied());
            match (rng.u8(..10), some) {
                (0..3, _) => {
                    let picked = table.pick(link, rng.usize(..4), "xxxxxx");
                    asked.extend(
                        picked
                            .into_iter()
                            .map(|(piece, index)| (table.block(piece, index), link)),
                    );
                }
                (3, Some((block, _))) => {
                    let also = table.picker.ask_also(block, link);
                    asked.extend(also.then_some((block, link)));
                }
                (4, Some((block, link))) => {
                    table.picker.released(block, link);
                    asked.remove(&(block, link));
                }
                (5..9, Some((block, link))) => {
                    assert!(matches!(table.picker.received(block, link), Receipt::Needed(_)));
                    asked.retain(|(other, _)| *other != block);
                    if rng.u8(..10) == 0 {
                        table.picker.write_failed(block);
                    } else if table.picker.written(block) {
                        if rng.bool() {
                            table.picker.verified(block.piece());
                        } else {
                            table.picker.failed(block.piece());
                        }
                    }
                }
                (9, _) => table.picker.leave(link),
                _ => {}
            }
            table.picker.check_invariants(&[0; 6], &asked, &links);
        }
    }
}

#[test]
fn what_is_waited_for_comes_first_and_from_all() {
    let mut table = Table::new(4);
    table.pick(A, 1, "x---");
    let due = |piece, seconds: u64| (table.piece(piece), Time::from_micros(seconds * 1_000_000));
    let urgent = vec![due(2, 10), due(3, 20)];
    table.picker.set_urgent(urgent, Time::ZERO);
    assert_eq!(
        table.pick(A, 2, "xxxx"),
        [(2, 0), (2, 1)],
        "it leaves what it has begun"
    );
    assert_eq!(table.pick(B, 3, "xxxx"), [(2, 2), (2, 3), (3, 0)]);
    assert_eq!(table.pick(C, 1, "xxx-"), [(0, 1)], "it has none of them");
    table.picker.set_urgent(Vec::new(), Time::ZERO);
    assert_eq!(table.pick(A, 1, "-xx-"), [(1, 0)]);
}

#[test]
fn each_gets_as_much_of_what_is_waited_for_as_it_delivers_in_time() {
    let mut table = Table::new(4);
    let due = |piece, seconds: u64| (table.piece(piece), Time::from_micros(seconds * 1_000_000));
    let urgent = vec![due(2, 10), due(3, 20)];
    table.picker.set_urgent(urgent, Time::ZERO);
    // Two blocks by the first deadline, one more by the second.
    table.pace.arrives = Time::from_micros(5_000_000);
    table.pace.each = Duration::from_secs(5);
    assert_eq!(table.pick(A, 3, "xxxx"), [(2, 0), (2, 1), (3, 0)]);
    table.pace.arrives = Time::from_micros(25_000_000);
    assert!(table.pick(B, 1, "xxxx")[0].0 < 2, "too late for both");
    table.pace.first = table.pace.arrives;
    assert_eq!(table.pick(B, 1, "xxxx"), [(2, 2)], "nobody would be earlier");
}
