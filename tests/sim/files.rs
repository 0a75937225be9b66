//! Some files of many.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::{CloseReason, Command, Event, State};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);
const PIECE: u32 = 32 * 1024;

/// Three files; the border of the first two lies within a piece.
fn folder() -> Shared {
    Shared::files(&[("a", 400_000), ("b", 300_000), ("c", 500_000)], PIECE)
}

fn completed(world: &World, node: usize) -> Vec<usize> {
    let file = |event: &Event| {
        if let Event::FileCompleted(file) = event {
            Some(*file)
        } else {
            None
        }
    };
    let mut files: Vec<_> = world.node(node).events.iter().filter_map(file).collect();
    files.sort_unstable();
    files
}

#[test]
fn preferred_files_are_there_before_the_others_are_begun() {
    with_seeds(|seed| {
        for start in [Start::Leech, Start::Magnet] {
            // What is asked for at first of a link of unknown speed is small beside that.
            let files = [("a", 8_000_000), ("b", 6_000_000), ("c", 10_000_000)];
            let mut world = World::new(seed, Shared::files(&files, 16 * PIECE));
            let (a, b, c) = (world.add(Start::Seed), world.add(Start::Seed), world.add(start));
            world.command(c, Command::PreferFiles(vec![false, false, true]));
            for seed in [a, b] {
                world.node_mut(seed).up_rate = 1_000_000;
                world.connect(c, seed);
            }
            world.run_until(MINUTE, "the last file is there", |world| {
                world.node(c).torrent.file_progress(2) == 10_000_000
            });
            let others = [0, 1].map(|file| world.node(c).torrent.file_progress(file));
            assert!(others.iter().sum::<u64>() < 2_500_000, "{others:?}");
            world.command(c, Command::PreferFiles(vec![true]));
            world.run_until(MINUTE, "then the first", |world| {
                world.node(c).torrent.file_progress(0) == 8_000_000
            });
            let other = world.node(c).torrent.file_progress(1);
            assert!(other < 3_000_000, "{other}");
            world.run_until_complete(&[c], MINUTE);
        }
    });
}

#[test]
fn only_the_pieces_of_selected_files_are_fetched() {
    with_seeds(|seed| {
        let mut world = World::new(seed, folder());
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.command(b, Command::SelectFiles(vec![false, true, false]));
        world.connect(b, a);
        world.run_until(MINUTE, "it is done", |world| {
            *world.node(b).torrent.state() == State::Seeding
        });
        let leech = world.node(b);
        leech.check_content();
        assert_eq!(completed(&world, b), [1]);
        assert_eq!(leech.torrent.file_progress(1), 300_000);
        let border = leech.torrent.file_progress(0);
        assert!(
            border > 0 && border < u64::from(PIECE),
            "the piece at the border: {border}"
        );
        // Pieces 12 to 21 hold the bytes from 400,000 to 700,000.
        let wanted = 10 * u64::from(PIECE);
        assert_eq!(
            (leech.torrent.stats().wanted, leech.torrent.stats().downloaded),
            (wanted, wanted)
        );
        world.run_for(Duration::from_secs(1));
        assert_eq!(
            world.node(b).closed,
            [CloseReason::Useless],
            "a seed has nothing more to give"
        );
    });
}

#[test]
fn a_selection_may_change_at_any_time() {
    with_seeds(|seed| {
        let mut world = World::new(seed, folder());
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.node_mut(a).up_rate = 1_000_000;
        world.connect(b, a);
        world.run_for(Duration::from_millis(300));
        world.command(b, Command::SelectFiles(vec![false, false, true]));
        world.run_until(MINUTE, "the third is there", |world| {
            *world.node(b).torrent.state() == State::Seeding
        });
        assert!(completed(&world, b).contains(&2));
        world.command(b, Command::SelectFiles(vec![]));
        assert_eq!(*world.node(b).torrent.state(), State::Downloading);
        world.run_for(Duration::from_secs(1));
        world.connect(b, a);
        world.run_until_complete(&[b], MINUTE);
        assert_eq!(completed(&world, b), [0, 1, 2]);
        assert!(
            world.node(b).torrent.stats().downloaded <= 1_200_000,
            "nothing came twice"
        );
    });
}

#[test]
fn peers_with_different_files_selected_help_each_other() {
    with_seeds(|seed| {
        let mut world = World::new(seed, folder());
        let a = world.add(Start::Seed);
        let (b, c) = (world.add(Start::Leech), world.add(Start::Leech));
        world.command(b, Command::SelectFiles(vec![true, false, false]));
        world.command(c, Command::SelectFiles(vec![true, true, false]));
        world.connect_all(&[a, b, c]);
        for node in [b, c] {
            world.run_until(MINUTE, "it is done", |world| {
                *world.node(node).torrent.state() == State::Seeding
            });
            world.node(node).check_content();
        }
        // Now one has what the other wants, and it is not a seed.
        world.cut_all(a);
        world.run_for(Duration::from_secs(1));
        assert_eq!(
            world.node(b).torrent.stats().peers,
            0,
            "neither wanted anything more (BEP 21)"
        );
        world.command(b, Command::SelectFiles(vec![true, true, false]));
        world.connect(b, c);
        world.run_until(MINUTE, "it is done again", |world| {
            *world.node(b).torrent.state() == State::Seeding
        });
        assert_eq!(completed(&world, b), [0, 1]);
    });
}

#[test]
fn a_torrent_with_nothing_selected_serves_what_it_has() {
    with_seeds(|seed| {
        let mut world = World::new(seed, folder());
        let (a, b, c) = (
            world.add(Start::Seed),
            world.add(Start::Leech),
            world.add(Start::Leech),
        );
        world.connect(b, a);
        world.run_until(MINUTE, "half is there", |world| {
            world.node(b).torrent.stats().verified > 600_000
        });
        world.command(b, Command::SelectFiles(vec![false; 3]));
        assert_eq!(*world.node(b).torrent.state(), State::Seeding);
        world.cut_all(a);
        world.connect(c, b);
        let has = |world: &World| world.node(b).torrent.stats().verified;
        world.run_until(MINUTE, "the other has it too", |world| {
            world.node(c).torrent.stats().verified == has(world)
        });
        world.node(c).check_content();
    });
}
