//! Everybody means well.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::{AnnounceEvent, CloseReason, Event, State};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_secs(60);

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
        assert_eq!(leech.announced, [AnnounceEvent::Started, AnnounceEvent::Completed]);
        assert!(leech.events.iter().any(|event| matches!(event, Event::FileCompleted(0))));
        assert_eq!(leech.torrent.stats().wasted, 0);
        assert_eq!(leech.torrent.stats().downloaded, 3_000_001);
        assert_eq!(world.node(a).torrent.stats().uploaded, 3_000_001);
        assert_eq!(leech.closed.iter().chain(&world.node(a).closed).next(), Some(&CloseReason::Useless));
    });
}
