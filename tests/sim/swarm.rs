//! Everybody means well.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::storage::Storage;
use crate::with_seeds;
use crate::world::World;
use causeway_core::Bitfield;
use causeway_engine::{AnnounceEvent, CloseReason, Command, Event, Limits, Snapshot, State, Stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn one_seed_gives_one_leech_everything() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(3_000_001, 64 * 1024));
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.connect(b, a);
        world.run_until_complete(&[b], MINUTE);
        world.run_for(Duration::from_secs(1));
        let leech = world.node(b);
        assert_eq!(*leech.torrent.state(), State::Seeding);
        assert_eq!(
            leech.announced,
            [AnnounceEvent::Started, AnnounceEvent::Completed]
        );
        assert!(
            leech
                .events
                .iter()
                .any(|event| matches!(event, Event::FileCompleted(0)))
        );
        assert_eq!(leech.torrent.stats().wasted, 0);
        assert_eq!(leech.torrent.stats().downloaded, 3_000_001);
        assert_eq!(world.node(a).torrent.stats().uploaded, 3_000_001);
        assert_eq!(
            leech.closed.iter().chain(&world.node(a).closed).next(),
            Some(&CloseReason::Useless)
        );
    });
}

#[test]
fn a_flash_crowd_of_eight_shares_the_work_of_one_seed() {
    with_seeds(|seed| {
        let length = 4_000_000;
        let mut world = World::new(seed, Shared::file(length, 32 * 1024));
        let a = world.add(Start::Seed);
        let leeches: Vec<_> = (0..8).map(|_| world.add(Start::Leech)).collect();
        for party in 0..=8 {
            world.node_mut(party).up_rate = 500_000;
        }
        world.connect_all(&[&[a], &leeches[..]].concat());
        // Nobody could do it in less than 8 s, the seed's time for one copy.
        world.run_until_complete(&leeches, Duration::from_secs(17));
        let given = world.node(a).torrent.stats().uploaded;
        assert!(
            given < 2 * length as u64,
            "the seed gave {given} bytes, the leeches too little"
        );
        let wasted: u64 = leeches
            .iter()
            .map(|leech| world.node(*leech).torrent.stats().wasted)
            .sum();
        assert!(wasted < length as u64 / 10, "{wasted} bytes came twice");
    });
}

#[test]
fn two_halves_become_a_whole_on_both_sides() {
    with_seeds(|seed| {
        let shared = Shared::file(1_000_000, 16 * 1024);
        let mut world = World::new(seed, shared.clone());
        let (a, b) = (world.add(half(&shared, 0)), world.add(half(&shared, 1)));
        world.connect(a, b);
        world.run_until_complete(&[a, b], MINUTE);
    });
}

#[test]
fn the_last_blocks_of_a_slow_peer_come_from_a_fast_one() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(2_000_000, 128 * 1024));
        let (slow, fast, leech) = (
            world.add(Start::Seed),
            world.add(Start::Seed),
            world.add(Start::Leech),
        );
        world.node_mut(slow).up_rate = 10_000;
        world.connect(leech, slow);
        world.connect(leech, fast);
        world.run_until_complete(&[leech], Duration::from_secs(8));
        let wasted = world.node(leech).torrent.stats().wasted;
        assert!(wasted < 300_000, "{wasted} bytes came twice");
    });
}

#[test]
fn a_fast_link_is_kept_full_whatever_its_latency() {
    with_seeds(|seed| {
        let length = 16_000_000;
        let mut world = World::new(seed, Shared::file(length, 1024 * 1024));
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.node_mut(a).up_rate = 40_000_000;
        world.connect(b, a);
        let start = world.now;
        world.run_until_complete(&[b], MINUTE);
        let took = world.now.since(start);
        // 0.4 s at the link's rate, a few round trips of up to 60 ms to get going, and storage.
        assert!(took < Duration::from_millis(750), "{took:?}");
    });
}

#[test]
fn a_seed_that_leaves_and_comes_back_is_gone_on_with() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(1_500_000, 64 * 1024));
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.node_mut(a).up_rate = 1_000_000;
        let link = world.connect(b, a);
        world.run_for(Duration::from_millis(700));
        world.cut(link);
        let before = world.node(b).torrent.stats().verified;
        assert!(before > 0, "something had come");
        world.run_for(Duration::from_secs(100));
        assert_eq!(world.node(b).torrent.stats().peers, 0);
        world.connect(a, b);
        world.run_until_complete(&[b], MINUTE);
        let downloaded = world.node(b).torrent.stats().downloaded;
        assert!(downloaded < 1_500_001, "what had come was kept: {downloaded}");
    });
}

#[test]
fn one_of_two_links_to_the_same_peer_is_closed_by_both_sides_alike() {
    with_seeds(|seed| {
        for both_ways in [false, true] {
            let mut world = World::new(seed, Shared::file(500_000, 64 * 1024));
            let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
            world.connect(b, a);
            if both_ways {
                world.connect(a, b);
            } else {
                world.connect(b, a);
            }
            world.run_for(Duration::from_millis(200));
            for node in [a, b] {
                assert!(world.node(node).closed.len() <= 2);
            }
            world.run_until_complete(&[b], MINUTE);
            assert!(world.node(a).torrent.stats().wasted + world.node(b).torrent.stats().wasted < 500_000);
        }
    });
}

#[test]
fn a_link_to_itself_is_closed() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(100_000, 16 * 1024));
        let a = world.add(Start::Seed);
        world.connect(a, a);
        world.run_for(Duration::from_secs(1));
        assert!(
            world.node(a).closed.contains(&CloseReason::Ourselves),
            "{:?}",
            world.node(a).closed
        );
        assert_eq!(world.node(a).torrent.stats().peers, 0);
    });
}

#[test]
fn more_links_than_the_limit_are_closed() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(100_000, 16 * 1024));
        let a = world.add(Start::Leech);
        world.command(
            a,
            Command::SetLimits(Limits {
                peers: 2,
                ..Limits::default()
            }),
        );
        let others: Vec<_> = (0..4).map(|_| world.add(Start::Leech)).collect();
        for other in &others {
            world.connect(*other, a);
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.node(a).closed, [CloseReason::Enough, CloseReason::Enough]);
        assert_eq!(world.node(a).torrent.stats().peers, 2);
        assert_eq!(world.node(a).torrent.wanted_peers(), 0);
    });
}

#[test]
fn quiet_links_stay_open() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(100_000, 16 * 1024));
        let (a, b) = (world.add(Start::Leech), world.add(Start::Leech));
        world.connect(a, b);
        world.run_for(20 * MINUTE);
        assert_eq!(
            world.node(a).torrent.stats().peers,
            1,
            "{:?}",
            world.node(a).closed
        );
    });
}

#[test]
fn everybody_is_served_by_a_seed_with_one_slot() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(1_000_000, 64 * 1024));
        let a = world.add(Start::Seed);
        world.node_mut(a).up_rate = 30_000;
        world.command(
            a,
            Command::SetLimits(Limits {
                upload_slots: 1,
                ..Limits::default()
            }),
        );
        let leeches: Vec<_> = (0..3).map(|_| world.add(Start::Leech)).collect();
        for leech in &leeches {
            world.connect(*leech, a);
        }
        let got = |world: &World, leech: usize| world.node(leech).torrent.stats().downloaded;
        world.run_until(3 * MINUTE, "everybody has had a turn", |world| {
            leeches.iter().all(|leech| got(world, *leech) > 0)
        });
    });
}

/// Every second piece.
fn half(shared: &Shared, parity: u32) -> Start {
    let geometry = shared.info.geometry();
    let mut have = Bitfield::none(geometry.pieces());
    for piece in geometry.all_pieces().filter(|piece| piece.get() % 2 == parity) {
        have.insert(piece);
    }
    let storage = Storage::full(shared);
    let snapshot = Snapshot {
        have,
        partial: causeway_core::SortedMap::new(),
        uploaded: 0,
        downloaded: 0,
        peers: Vec::new(),
    };
    Start::With(Stored::Partly(snapshot), storage)
}
