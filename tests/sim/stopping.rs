//! Pausing, failing storage, and starting again from what is there.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::storage::Storage;
use crate::with_seeds;
use crate::world::World;
use causeway_core::BLOCK_LENGTH;
use causeway_engine::{AnnounceEvent, CloseReason, Command, Event, State, StorageError, Stored};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);

/// A seed and a leech in the middle of it.
fn half_way(seed: u64) -> (World, usize, usize) {
    let mut world = World::new(seed, Shared::file(2_000_000, 128 * 1024));
    let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
    world.node_mut(a).up_rate = 1_000_000;
    world.connect(b, a);
    world.run_until(MINUTE, "half is there", |world| {
        world.node(b).torrent.stats().verified > 1_000_000
    });
    (world, a, b)
}

#[test]
fn a_paused_torrent_is_silent_and_goes_on_where_it_was() {
    with_seeds(|seed| {
        let (mut world, a, b) = half_way(seed);
        world.command(b, Command::Pause);
        assert_eq!(*world.node(b).torrent.state(), State::Paused);
        assert_eq!(world.node(b).closed, [CloseReason::Stopped]);
        assert_eq!(world.node(b).torrent.wanted_peers(), 0);
        world.connect(a, b);
        world.run_for(MINUTE);
        assert_eq!(world.node(b).closed, [CloseReason::Stopped, CloseReason::Stopped]);
        world.command(b, Command::Resume);
        world.connect(a, b);
        world.run_until_complete(&[b], MINUTE);
        let leech = world.node(b);
        assert!(
            leech.torrent.stats().downloaded <= 2_000_000,
            "nothing that was stored came again"
        );
        let told = [
            AnnounceEvent::Started,
            AnnounceEvent::Stopped,
            AnnounceEvent::Started,
            AnnounceEvent::Completed,
        ];
        assert_eq!(leech.announced, told);
    });
}

#[test]
fn a_snapshot_goes_on_without_hashing_or_fetching_what_is_there() {
    with_seeds(|seed| {
        let (mut world, a, b) = half_way(seed);
        world.run_for(Duration::from_millis(60));
        world.cut_all(b);
        world.run_for(Duration::from_secs(1));
        let snapshot = world.node(b).torrent.snapshot().expect("the metadata is known");
        let stored = snapshot.have.count_ones();
        assert!(!snapshot.partial.is_empty(), "the link broke within a piece");
        let blocks: u32 = snapshot
            .partial
            .values()
            .map(causeway_core::Bitfield::count_ones)
            .sum();
        let before = world.node(b).torrent.stats();
        let mut storage = Storage::empty(&world.shared);
        core::mem::swap(&mut storage, &mut world.node_mut(b).storage);
        let c = world.add(Start::With(Stored::Partly(snapshot), storage));
        assert_eq!(world.node(c).torrent.stats().verified, before.verified);
        world.connect(a, c);
        world.run_until_complete(&[c], MINUTE);
        let leech = world.node(c);
        assert_eq!(
            leech.hashed,
            16 - stored as usize,
            "only what came now was hashed"
        );
        let came = leech.torrent.stats().downloaded - before.downloaded;
        assert_eq!(
            came,
            2_000_000 - before.verified - u64::from(blocks * BLOCK_LENGTH)
        );
    });
}

#[test]
fn stored_bytes_of_unknown_worth_are_checked_first() {
    with_seeds(|seed| {
        let shared = Shared::file(1_000_000, 64 * 1024);
        let geometry = shared.info.geometry();
        let mut world = World::new(seed, shared.clone());
        let a = world.add(Start::Seed);
        let mut storage = Storage::full(&shared);
        storage.damage(geometry.block(1, 0, BLOCK_LENGTH).expect("in range"));
        let b = world.add(Start::With(Stored::Unknown, storage));
        assert_eq!(*world.node(b).torrent.state(), State::Checking);
        assert_eq!(world.node(b).torrent.stats().unchecked_pieces, 16);
        assert_eq!(
            world.node(b).torrent.snapshot(),
            None,
            "nobody knows what is there"
        );
        world.connect(a, b);
        world.run_until(MINUTE, "the check is over", |world| {
            *world.node(b).torrent.state() == State::Downloading
        });
        assert_eq!(world.node(b).torrent.have().expect("known").count_ones(), 15);
        world.run_until_complete(&[b], MINUTE);
        assert_eq!(world.node(b).torrent.stats().downloaded, 65_536);

        let c = world.add(Start::With(Stored::Unknown, Storage::empty(&shared)));
        let d = world.add(Start::With(Stored::Unknown, Storage::full(&shared)));
        world.run_for(Duration::from_secs(1));
        assert_eq!(*world.node(c).torrent.state(), State::Downloading);
        assert_eq!(*world.node(d).torrent.state(), State::Seeding);
        assert_eq!(
            world.node(d).announced,
            [AnnounceEvent::Started],
            "it was complete before"
        );
    });
}

#[test]
fn a_full_disk_stops_everything_until_there_is_room() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(2_000_000, 128 * 1024));
        let (a, b) = (world.add(Start::Seed), world.add(Start::Leech));
        world.node_mut(b).storage.room = 700_000;
        world.connect(b, a);
        let full = State::Failed(StorageError::Full);
        world.run_until(MINUTE, "the disk is full", |world| {
            *world.node(b).torrent.state() == full
        });
        assert_eq!(world.node(b).closed, [CloseReason::Stopped]);
        world.run_for(MINUTE);
        world.node_mut(b).storage.room = u64::MAX;
        world.command(b, Command::Resume);
        assert_eq!(*world.node(b).torrent.state(), State::Downloading);
        world.connect(b, a);
        world.run_until_complete(&[b], MINUTE);
        let failed = |event: &Event| matches!(event, Event::PieceFailed(_));
        assert!(
            !world.node(b).events.iter().any(failed),
            "no piece was taken for whole that was not"
        );
    });
}

#[test]
fn a_seed_whose_file_is_gone_says_so_and_closes_its_links() {
    with_seeds(|seed| {
        let shared = Shared::file(500_000, 64 * 1024);
        let mut world = World::new(seed, shared.clone());
        let empty = Storage::empty(&shared);
        let a = world.add(Start::With(Stored::Everything, empty));
        let b = world.add(Start::Leech);
        world.connect(b, a);
        let missing = State::Failed(StorageError::Missing);
        world.run_until(MINUTE, "the loss is noticed", |world| {
            *world.node(a).torrent.state() == missing
        });
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.node(b).torrent.stats().peers, 0);
    });
}
