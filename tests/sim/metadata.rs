//! Starting from a magnet link.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::script::{Conduct, Script};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::{CloseReason, Command, Event, State};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);

/// So many files that the metadata has several parts.
fn long_metadata() -> Shared {
    let names: Vec<_> = (0..1000)
        .map(|number| format!("a rather long name with the number {number}"))
        .collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 500)).collect();
    let shared = Shared::files(&files, 16 * 1024);
    assert!(
        shared.info.raw().len() > 3 * 16 * 1024,
        "{} bytes",
        shared.info.raw().len()
    );
    shared
}

#[test]
fn a_magnet_link_becomes_the_whole_torrent() {
    with_seeds(|seed| {
        let mut world = World::new(seed, long_metadata());
        let (a, b) = (world.add(Start::Seed), world.add(Start::Magnet));
        assert_eq!(*world.node(b).torrent.state(), State::FetchingMetadata);
        world.connect(b, a);
        world.run_until_complete(&[b], MINUTE);
        assert!(matches!(world.node(b).events[0], Event::MetadataReceived(_)));
    });
}

#[test]
fn metadata_is_passed_on_by_those_who_got_it() {
    with_seeds(|seed| {
        let mut world = World::new(seed, long_metadata());
        let (a, b, c) = (
            world.add(Start::Seed),
            world.add(Start::Magnet),
            world.add(Start::Magnet),
        );
        // The two are connected before either knows anything, and only one of them knows the seed.
        world.connect(c, b);
        world.run_for(Duration::from_secs(30));
        world.connect(b, a);
        world.run_until_complete(&[b, c], MINUTE);
        assert_eq!(
            world.node(c).closed.first(),
            Some(&CloseReason::Useless),
            "only when both were done"
        );
    });
}

#[test]
fn a_seed_without_any_interest_of_its_own_stays_for_the_metadata() {
    with_seeds(|seed| {
        let mut world = World::new(seed, long_metadata());
        let (a, b) = (world.add(Start::Seed), world.add(Start::Magnet));
        world.command(b, Command::SelectFiles(vec![false; 1500]));
        world.connect(a, b);
        world.run_until(MINUTE, "the metadata is there", |world| {
            world.node(b).torrent.info().is_some()
        });
        world.run_for(Duration::from_secs(1));
        assert_eq!(
            world.node(b).torrent.stats().downloaded,
            0,
            "nothing was selected"
        );
        assert!(!world.node(b).torrent.is_selected(0));
    });
}

#[test]
fn false_metadata_is_found_out_and_fetched_elsewhere() {
    with_seeds(|seed| {
        let shared = long_metadata();
        let mut world = World::new(seed, shared.clone());
        let (a, b) = (world.add(Start::Seed), world.add(Start::Magnet));
        let liar = world.add_script(Script::new(&shared, Conduct::FalseMetadata));
        world.connect(liar, b);
        world.connect(a, b);
        world.run_until(MINUTE, "the metadata is there", |world| {
            world.node(b).torrent.info().is_some()
        });
        world.cut_all(liar);
        world.run_until_complete(&[b], MINUTE);
    });
}

#[test]
fn a_liar_alone_is_closed_and_not_asked_again() {
    with_seeds(|seed| {
        let shared = long_metadata();
        let mut world = World::new(seed, shared.clone());
        let b = world.add(Start::Magnet);
        let liar = world.add_script(Script::new(&shared, Conduct::FalseMetadata));
        for _ in 0..3 {
            world.connect(liar, b);
            world.run_for(Duration::from_secs(2));
        }
        assert_eq!(
            world.node(b).closed,
            [
                CloseReason::WrongData,
                CloseReason::WrongData,
                CloseReason::WrongData
            ]
        );
        assert_eq!(*world.node(b).torrent.state(), State::FetchingMetadata);
    });
}
