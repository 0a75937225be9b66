//! Many threads at once.

use std::sync::mpsc;
use std::thread;

use super::*;

/// Each has a link and a name of its own, which some others claim, too; swarms they have in common.
#[test]
fn many_threads_in_common_swarms_leave_the_registry_in_order() {
    let world = World::new();
    thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || live(world, number));
        }
    });
    world.check_invariants();
    world.registry.retain(|_| false);
    world.check_invariants();
    assert_eq!(world.registry.size(), (0, 0));
}

fn live(world: &World, number: u8) {
    let mut rng = fastrand::Rng::with_seed(number.into());
    let mut now = world.now;
    let mut peer = World::connect(number, number);
    for _ in 0..3_000 {
        let info_hash = InfoHash::new([rng.u8(..20); 20]);
        let event = *rng.choice(&EVENTS).expect("there are some");
        match rng.u8(..100) {
            0 => {
                world.registry.leave(&mut peer.session);
                peer.name = PeerId::new([rng.u8(..8); 20]);
            }
            1 => {
                now += Duration::from_secs(100);
                world.registry.expire(now);
            }
            2..30 => {
                let from = PeerId::new([rng.u8(..8); 20]);
                let between = (peer.name, from);
                world
                    .registry
                    .answer(now, &peer.session, info_hash, between, OfferId([1; 20]));
            }
            30..60 => {
                let announce = ClassicAnnounce {
                    info_hash,
                    event,
                    ..classic::hello(number, rng.bool())
                };
                let announced = world.registry.announce_classic(now, &announce);
                announced.expect("there is room");
            }
            _ => {
                let presence = Presence {
                    info_hash,
                    peer_id: peer.name,
                    event,
                    complete: rng.bool(),
                    downloaded: 0,
                    wanted: Some(5),
                };
                let offers = ids(&[1, 2, 3]);
                let announced = world
                    .registry
                    .announce(now, &mut peer.session, &presence, &offers);
                announced.expect("there is room");
            }
        }
    }
    world.registry.leave(&mut peer.session);
}

const EVENTS: [Event; 4] = [Event::Started, Event::Update, Event::Completed, Event::Stopped];

/// Who announces in one swarm waits for those alone whose swarms share its shard.
#[test]
fn a_shard_that_is_busy_holds_up_no_other() {
    let world = World::new();
    let (done, ended) = mpsc::channel();
    thread::scope(|scope| {
        let busy = lock(&world.registry.shards[0]);
        for number in 0..=255 {
            let (world, done) = (&world, done.clone());
            scope.spawn(move || {
                let announce = ClassicAnnounce {
                    info_hash: InfoHash::new([number; 20]),
                    ..classic::hello(number, false)
                };
                done.send(world.registry.announce_classic(world.now, &announce).is_ok())
            });
        }
        // Of 256 swarms about four are in each shard.
        for _ in 0..200 {
            assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(true));
        }
        drop(busy);
    });
}
