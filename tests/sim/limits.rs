//! Rates that a user allows.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::{Command, Limits, LinkKind};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);
const LENGTH: usize = 2_000_000;

fn up(upload_rate: u64) -> Command {
    Command::SetLimits(Limits {
        upload_rate,
        ..Limits::default()
    })
}

fn down(download_rate: u64) -> Command {
    Command::SetLimits(Limits {
        download_rate,
        ..Limits::default()
    })
}

/// A seed, and so many leeches that are connected to it alone.
fn star(seed: u64, leeches: usize) -> (World, usize, Vec<usize>) {
    let mut world = World::new(seed, Shared::file(LENGTH, 64 * 1024));
    let a = world.add(Start::Seed);
    let leeches: Vec<_> = (0..leeches).map(|_| world.add(Start::Leech)).collect();
    for leech in &leeches {
        world.connect(*leech, a);
    }
    (world, a, leeches)
}

/// Seconds until these have everything.
fn time_to_complete(world: &mut World, nodes: &[usize]) -> f64 {
    let start = world.now;
    world.run_until_complete(nodes, 2 * MINUTE);
    world.now.since(start).as_secs_f64()
}

#[test]
fn a_limited_upload_takes_as_long_as_it_must_and_no_longer() {
    with_seeds(|seed| {
        let (mut world, a, leeches) = star(seed, 1);
        world.command(a, up(200_000));
        let took = time_to_complete(&mut world, &leeches);
        assert!((9.5..10.8).contains(&took), "{took} s");
        let carried = world.node(a).torrent.stats().carried_by(LinkKind::WebRtc);
        assert_eq!((carried.uploaded, carried.downloaded), (LENGTH as u64, 0));
    });
}

#[test]
fn a_limited_download_takes_as_long_as_it_must_and_no_longer() {
    with_seeds(|seed| {
        let (mut world, _, leeches) = star(seed, 1);
        world.command(leeches[0], down(200_000));
        let took = time_to_complete(&mut world, &leeches);
        assert!((9.3..11.0).contains(&took), "{took} s");
    });
}

#[test]
fn several_share_a_limited_upload() {
    with_seeds(|seed| {
        let (mut world, a, leeches) = star(seed, 3);
        world.command(a, up(300_000));
        world.run_for(Duration::from_secs(10));
        for leech in &leeches {
            let got = world.node(*leech).torrent.stats().downloaded;
            assert!((700_000..1_300_000).contains(&got), "{got} of 1,000,000 bytes");
        }
        let took = 10.0 + time_to_complete(&mut world, &leeches);
        assert!((19.0..22.0).contains(&took), "{took} s");
    });
}

#[test]
fn several_sources_share_a_limited_download() {
    with_seeds(|seed| {
        let mut world = World::new(seed, Shared::file(LENGTH, 64 * 1024));
        let leech = world.add(Start::Leech);
        world.command(leech, down(200_000));
        for _ in 0..4 {
            let source = world.add(Start::Seed);
            world.connect(leech, source);
        }
        let took = time_to_complete(&mut world, &[leech]);
        assert!((9.0..11.0).contains(&took), "{took} s");
    });
}

#[test]
fn limits_change_while_it_runs() {
    with_seeds(|seed| {
        let (mut world, a, leeches) = star(seed, 1);
        world.command(a, up(0));
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.node(leeches[0]).torrent.stats().downloaded, 0);
        world.command(a, up(100_000));
        world.run_for(Duration::from_secs(5));
        let got = world.node(leeches[0]).torrent.stats().downloaded;
        assert!((400_000..600_000).contains(&got), "{got} bytes");
        world.command(a, up(Limits::UNLIMITED));
        let took = time_to_complete(&mut world, &leeches);
        assert!(took < 1.0, "{took} s");
        world.command(leeches[0], down(0));
    });
}

#[test]
fn a_little_upload_goes_to_few_at_once() {
    with_seeds(|seed| {
        let (mut world, a, _) = star(seed, 6);
        world.command(a, up(50_000));
        world.run_for(Duration::from_secs(15));
        let served = world
            .node(a)
            .torrent
            .peers()
            .filter(|peer| peer.is_served)
            .count();
        assert_eq!(served, 3, "16 KB a second each");
    });
}
