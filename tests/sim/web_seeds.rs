//! Web seeds (BEP 19): servers beside peers, and in their place.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::web_server::{Manner, WebServer};
use crate::with_seeds;
use crate::world::World;
use causeway_engine::{CloseReason, Command, LinkKind, State};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_mins(1);
const LENGTH: usize = 8_000_000;

fn lone_leech(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, Shared::file(LENGTH, 64 * 1024));
    let leech = world.add(Start::Leech);
    (world, leech)
}

#[test]
fn a_server_alone_is_enough_and_is_asked_for_long_ranges() {
    with_seeds(|seed| {
        let (mut world, leech) = lone_leech(seed);
        let server = world.add_web_seed(leech, WebServer::new(Manner::Well, 1_000_000));
        world.run_until_complete(&[leech], Duration::from_secs(12));
        let (requests, bytes) = world.served_by(server);
        assert!(requests < 20, "{requests} requests for {bytes} bytes");
        assert_eq!(bytes, LENGTH as u64, "nothing twice");
        let carried = world.node(leech).torrent.stats().carried_by(LinkKind::Http);
        assert_eq!(carried.downloaded, LENGTH as u64);
    });
}

#[test]
fn peers_and_servers_share_the_work() {
    with_seeds(|seed| {
        let (mut world, leech) = lone_leech(seed);
        let a = world.add(Start::Seed);
        world.node_mut(a).up_rate = 500_000;
        world.connect(leech, a);
        let servers = [
            world.add_web_seed(leech, WebServer::new(Manner::Well, 300_000)),
            world.add_web_seed(leech, WebServer::new(Manner::Well, 200_000)),
        ];
        let start = world.now;
        world.run_until_complete(&[leech], Duration::from_secs(12));
        let took = world.now.since(start).as_secs_f64();
        assert!(took < 11.0, "{took} s in place of 8");
        assert!(servers.iter().all(|server| world.served_by(*server).1 > 500_000));
        let wasted = world.node(leech).torrent.stats().wasted;
        assert!(wasted < 1_000_000, "{wasted} bytes came twice");
    });
}

#[test]
fn no_server_keeps_a_leech_from_an_honest_seed() {
    for manner in [
        Manner::Failing(3),
        Manner::Short,
        Manner::Wrong,
        Manner::Silent,
        Manner::Useless,
    ] {
        with_seeds(|seed| {
            let (mut world, leech) = lone_leech(seed);
            let a = world.add(Start::Seed);
            world.node_mut(a).up_rate = 500_000;
            world.connect(leech, a);
            let server = world.add_web_seed(leech, WebServer::new(manner, 500_000));
            world.run_until_complete(&[leech], 2 * MINUTE);
            let requests = world.served_by(server).0;
            assert!(requests < 30, "{manner:?} was asked {requests} times");
        });
    }
}

#[test]
fn a_server_that_recovers_is_used_again() {
    with_seeds(|seed| {
        let (mut world, leech) = lone_leech(seed);
        let server = world.add_web_seed(leech, WebServer::new(Manner::Failing(3), 1_000_000));
        // After 5, 10 and 20 seconds.
        world.run_until_complete(&[leech], MINUTE);
        assert!(world.served_by(server).0 > 3);
    });
}

#[test]
fn a_server_with_other_bytes_is_not_asked_again() {
    with_seeds(|seed| {
        let (mut world, leech) = lone_leech(seed);
        let server = world.add_web_seed(leech, WebServer::new(Manner::Wrong, 1_000_000));
        world.run_for(MINUTE);
        assert_eq!(world.node(leech).closed, [CloseReason::WrongData]);
        assert!(world.served_by(server).0 <= 2);
    });
}

#[test]
fn a_paused_torrent_fetches_nothing_and_goes_on_where_it_was() {
    with_seeds(|seed| {
        let (mut world, leech) = lone_leech(seed);
        let server = world.add_web_seed(leech, WebServer::new(Manner::Well, 1_000_000));
        world.run_for(Duration::from_secs(3));
        world.command(leech, Command::Pause);
        let before = world.served_by(server);
        world.run_for(MINUTE);
        assert_eq!(world.served_by(server), before);
        assert_eq!(*world.node(leech).torrent.state(), State::Paused);
        world.command(leech, Command::Resume);
        world.run_until_complete(&[leech], MINUTE);
    });
}
