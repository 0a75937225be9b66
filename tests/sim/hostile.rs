//! Some mean harm: it is theirs, not the swarm's.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::script::{Conduct, Script};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::CloseReason;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);

/// An honest seed, a leech, and a peer with this conduct, all connected.
fn beside(seed: u64, conduct: Conduct) -> (World, usize, usize) {
    let shared = Shared::file(1_000_000, 64 * 1024);
    let mut world = World::new(seed, shared.clone());
    let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
    let bad = world.add_script(Script::new(&shared, conduct));
    world.node_mut(a).up_rate = 500_000;
    world.connect(b, bad);
    world.connect(b, a);
    (world, b, bad)
}

fn fault_of(world: &World, node: usize) -> &CloseReason {
    world
        .node(node)
        .closed
        .iter()
        .find(|reason| **reason != CloseReason::Useless)
        .expect("a link was closed")
}

#[test]
fn nobody_keeps_a_leech_from_an_honest_seed() {
    for conduct in Conduct::ALL {
        with_seeds(|seed| {
            let (mut world, leech, _) = beside(seed, conduct);
            world.run_until_complete(&[leech], MINUTE);
        });
    }
}

#[test]
fn who_breaks_the_protocol_is_closed_with_the_reason() {
    for (conduct, reason) in [
        (Conduct::Stranger, "another torrent"),
        (Conduct::Noise, "the peer sent a"),
        (Conduct::Giant, "more than the"),
        (Conduct::Boast, "does not exist"),
        (Conduct::Pour, "nobody asked for"),
    ] {
        with_seeds(|seed| {
            let (mut world, leech, bad) = beside(seed, conduct);
            world.run_until(MINUTE, "the link is closed", |world| world.script(bad).closed);
            let fault = fault_of(&world, leech).to_string();
            // Noise may happen to look like anything.
            assert!(fault.contains(reason) || conduct == Conduct::Noise, "{fault}");
        });
    }
}

#[test]
fn who_never_shakes_hands_is_closed() {
    with_seeds(|seed| {
        let (mut world, leech, bad) = beside(seed, Conduct::Mute);
        world.run_until(MINUTE, "the link is closed", |world| world.script(bad).closed);
        assert_eq!(*fault_of(&world, leech), CloseReason::Silent);
    });
}

#[test]
fn who_alone_supplied_a_wrong_piece_is_closed_and_stays_out() {
    with_seeds(|seed| {
        let shared = Shared::file(1_000_000, 64 * 1024);
        let mut world = World::new(seed, shared.clone());
        let leech = world.add(Start::Leech);
        let bad = world.add_script(Script::new(&shared, Conduct::Corrupt(100)));
        world.connect(leech, bad);
        world.run_until(MINUTE, "the link is closed", |world| world.script(bad).closed);
        assert_eq!(*fault_of(&world, leech), CloseReason::WrongData);
        let before = world.script(bad).requests;
        world.connect(leech, bad);
        world.run_for(Duration::from_secs(5));
        assert_eq!(
            world.script(bad).requests,
            before,
            "it is asked for nothing any more"
        );
        assert!(world.node(leech).torrent.stats().verified < 1_000_000);
    });
}

#[test]
fn one_liar_among_several_in_every_piece_is_found_in_the_end() {
    with_seeds(|seed| {
        // One piece of 64 blocks: all three work on it.
        let shared = Shared::file(1_000_000, 1024 * 1024);
        let mut world = World::new(seed, shared.clone());
        let leech = world.add(Start::Leech);
        let bad = world.add_script(Script::new(&shared, Conduct::Corrupt(100)));
        let seeds = [world.add(Start::Seed), world.add(Start::Seed)];
        for seed in seeds {
            world.node_mut(seed).up_rate = 200_000;
        }
        world.connect(leech, bad);
        for seed in seeds {
            world.connect(leech, seed);
        }
        world.run_until_complete(&[leech], 2 * MINUTE);
    });
}

#[test]
fn the_liar_is_banned_and_nobody_who_sent_the_rest_of_the_piece() {
    with_seeds(|seed| {
        let shared = Shared::file(4_000_000, 512 * 1024);
        let mut world = World::new(seed, shared.clone());
        let leech = world.add(Start::Leech);
        let bad = world.add_script(Script::new(&shared, Conduct::Corrupt(100)));
        let seeds = [
            world.add(Start::Seed),
            world.add(Start::Seed),
            world.add(Start::Seed),
        ];
        for seed in seeds {
            world.node_mut(seed).up_rate = 150_000;
            world.connect(leech, seed);
        }
        world.connect(leech, bad);
        world.run_until_complete(&[leech], 2 * MINUTE);
        world.run_for(Duration::from_secs(1));
        let faults = |reason: &&CloseReason| **reason == CloseReason::WrongData;
        assert_eq!(world.node(leech).closed.iter().filter(faults).count(), 1);
        assert!(world.script(bad).closed);
        for seed in seeds {
            assert!(
                world.node(seed).torrent.stats().uploaded > 500_000,
                "an honest one"
            );
        }
    });
}

#[test]
fn a_flood_of_requests_is_bounded() {
    with_seeds(|seed| {
        let shared = Shared::file(20_000_000, 1024 * 1024);
        let mut world = World::new(seed, shared.clone());
        let a = world.add(Start::Seed);
        let bad = world.add_script(Script::new(&shared, Conduct::Flood));
        world.connect(bad, a);
        world.run_for(Duration::from_secs(2));
        // The torrent has 2,442 blocks; what is more than may wait is rejected at once.
        assert!(
            world.script(bad).rejected >= 1_221 - 1_024,
            "{}",
            world.script(bad).rejected
        );
    });
}

#[test]
fn nonsense_is_rejected_and_served_to_nobody() {
    with_seeds(|seed| {
        let shared = Shared::file(1_000_000, 64 * 1024);
        let mut world = World::new(seed, shared.clone());
        let a = world.add(Start::Seed);
        let bad = world.add_script(Script::new(&shared, Conduct::AskNonsense));
        world.connect(bad, a);
        world.run_for(Duration::from_secs(2));
        assert_eq!((world.script(bad).rejected, world.script(bad).blocks), (4, 0));
    });
}
