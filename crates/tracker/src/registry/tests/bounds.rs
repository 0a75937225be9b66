//! What is bounded, and what holds in any order of events.

use proptest::prelude::*;

use super::*;

#[test]
fn a_socket_may_be_in_so_many_swarms_and_no_more() {
    let world = World::with(Config {
        max_torrents_per_socket: 3,
        ..Config::default()
    });
    let mut peer = World::connect(1, 1);
    let mut join =
        |number: u8, event| world.try_announce(&mut peer, InfoHash::new([number; 20]), event, false, &[]);
    for number in 1..=3 {
        assert!(join(number, Event::Started).is_ok());
    }
    assert_eq!(join(4, Event::Started), Err(Refusal::TooManyTorrents(3)));
    assert!(join(1, Event::Update).is_ok(), "those that it is in go on");
    assert!(join(1, Event::Stopped).is_ok());
    assert!(join(4, Event::Started).is_ok(), "there is room again");
}

#[test]
fn a_million_info_hashes_on_one_socket_take_no_more_room_than_one_may() {
    let world = World::new();
    let mut peer = World::connect(1, 1);
    let mut refused = 0;
    for number in 0..1_000_000_u32 {
        let mut name = [0; 20];
        name[..4].copy_from_slice(&number.to_be_bytes());
        let presence = Presence {
            info_hash: InfoHash::new(name),
            peer_id: peer.name,
            event: Event::Started,
            complete: false,
            downloaded: 0,
            wanted: None,
        };
        let joined = world
            .registry
            .announce(world.now, &mut peer.session, &presence, &[]);
        refused += usize::from(joined.is_err());
    }
    let most = Config::default().max_torrents_per_socket;
    assert_eq!(refused, 1_000_000 - most);
    assert_eq!(world.registry.size(), (most, most));
    world.check_invariants();
    world.leave(peer);
    assert_eq!(world.registry.size(), (0, 0));
}

/// libtorrent never says `stopped`, and its socket lives as long as it does.
#[test]
fn swarms_that_a_socket_was_forgotten_in_do_not_count() {
    let mut world = World::with(Config {
        max_torrents_per_socket: 2,
        ..Config::default()
    });
    let mut peer = World::connect(1, 1);
    let mut join = |world: &World, number: u8| {
        let swarm = InfoHash::new([number; 20]);
        world.try_announce(&mut peer, swarm, Event::Update, false, &[])
    };
    for round in 0..3 {
        for number in 0..2 {
            assert!(join(&world, 2 * round + number).is_ok());
        }
        assert_eq!(join(&world, 99), Err(Refusal::TooManyTorrents(2)));
        world.now += Config::default().member_timeout;
        world.registry.expire(world.now);
    }
}

/// Who asks for everything holds up nobody with what it does not get. A shard that is looked at would be waited for here.
#[test]
fn some_swarms_are_found_without_looking_at_all() {
    let world = World::new();
    let mut peer = World::connect(1, 1);
    for number in 0..=255 {
        let swarm = InfoHash::new([number; 20]);
        world
            .try_announce(&mut peer, swarm, Event::Started, false, &[])
            .expect("there is room");
    }
    let (found, finding) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let _held = world.registry.shards.last().map(lock);
        scope.spawn(|| found.send(world.registry.some_counts(10).len()));
        assert_eq!(finding.recv_timeout(Duration::from_secs(20)), Ok(10));
    });
}

/// The bound is one for all swarms, and a single swarm may have all of it.
#[test]
fn a_full_tracker_refuses_newcomers_and_keeps_its_members_while_they_announce() {
    let world = World::with(Config {
        max_members: 2,
        ..Config::default()
    });
    let (mut first, _second, mut third) = (world.leecher(1), world.leecher(2), World::connect(3, 3));
    for swarm in [SWARM, InfoHash::new([1; 20])] {
        assert_eq!(
            world.try_announce(&mut third, swarm, Event::Started, false, &[]),
            Err(Refusal::Full)
        );
    }
    assert_eq!(world.offer(&mut first, false, &[1]), [2]);
    world.leave(first);
    assert!(
        world
            .try_announce(&mut third, SWARM, Event::Started, false, &[])
            .is_ok()
    );
}

#[test]
fn one_address_can_not_fill_the_tracker_whatever_door_it_comes_through() {
    let world = World::with(Config {
        max_members: 10,
        max_members_per_address: 3,
        ..Config::default()
    });
    let mut greedy = World::connect(1, 1);
    let join = |peer: &mut Peer, swarm: u8| {
        let swarm = InfoHash::new([swarm; 20]);
        world.try_announce(peer, swarm, Event::Started, false, &[])
    };
    for swarm in 1..=3 {
        assert!(join(&mut greedy, swarm).is_ok());
    }
    assert_eq!(join(&mut greedy, 4), Err(Refusal::TooManyFromAddress(3)));
    assert_eq!(
        join(&mut World::connect(2, 2), 1),
        Err(Refusal::TooManyFromAddress(3))
    );
    let classic = |address: [u8; 4]| ClassicAnnounce {
        address: (address, 1000).into(),
        ..classic::hello(9, false)
    };
    assert_eq!(
        world
            .registry
            .announce_classic(world.now, &classic([127, 0, 0, 1])),
        Err(Refusal::TooManyFromAddress(3))
    );
    let other = world
        .registry
        .announce_classic(world.now, &classic([10, 0, 0, 1]));
    assert!(other.is_ok(), "others find room");

    assert!(join(&mut greedy, 1).is_ok(), "and what it has it keeps");
    world.leave(greedy);
    assert!(
        join(&mut World::connect(2, 2), 1).is_ok(),
        "until it gives it back"
    );
}

#[test]
fn members_that_fall_silent_are_forgotten_and_may_come_back() {
    let mut world = World::new();
    let mut silent = world.seeder(1);
    let mut talker = world.leecher(2);
    world.now += Duration::from_secs(479);
    world.offer(&mut talker, false, &[1]);
    world.registry.expire(world.now);
    assert_eq!(world.counts(), (1, 1, 0));

    world.now += Duration::from_mins(1) + Duration::from_secs(20);
    world.registry.expire(world.now);
    world.check_invariants();
    assert_eq!(world.counts(), (0, 1, 0));
    assert!(world.offer(&mut talker, false, &[1]).is_empty());

    world.announce(&mut silent, Event::Update, true, &[]);
    assert_eq!(world.counts(), (1, 1, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Announce {
        link: usize,
        name: u8,
        swarm: u8,
        event: Event,
        complete: bool,
        offers: u8,
    },
    Answer {
        link: usize,
        from: u8,
        to: u8,
        swarm: u8,
        offer: u8,
    },
    Doubt {
        link: usize,
        in_doubt: bool,
    },
    Leave {
        link: usize,
    },
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => Just(Event::Update),
        2 => Just(Event::Started),
        1 => Just(Event::Completed),
        1 => Just(Event::Stopped),
    ];
    prop_oneof![
        8 => (0..8usize, 0..5u8, 0..2u8, event, any::<bool>(), 0..6u8).prop_map(
            |(link, name, swarm, event, complete, offers)| Step::Announce { link, name, swarm, event, complete, offers }
        ),
        4 => (0..8usize, 0..5u8, 0..5u8, 0..2u8, 0..6u8)
            .prop_map(|(link, from, to, swarm, offer)| Step::Answer { link, from, to, swarm, offer }),
        1 => (0..8usize, any::<bool>()).prop_map(|(link, in_doubt)| Step::Doubt { link, in_doubt }),
        1 => (0..8usize).prop_map(|link| Step::Leave { link }),
        1 => (0..300u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the invariants hold, nobody gets two offers or one that bears its own name,
    /// and when all have left nothing is left.
    #[test]
    fn any_order_of_events_leaves_the_registry_in_order(steps in proptest::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        let mut peers: Vec<_> = (0..8).map(|number| World::connect(number, number)).collect();
        for step in steps {
            match step {
                Step::Announce { link, name, swarm, event, complete, offers } => {
                    let swarm = InfoHash::new([swarm; 20]);
                    let own_name = PeerId::new([name; 20]);
                    peers[link].name = own_name;
                    let offers: Vec<u8> = (0..offers).collect();
                    let announced = world.try_announce(&mut peers[link], swarm, event, complete, &offers);
                    let receivers = announced.expect("there is room").receivers;
                    prop_assert!(receivers.len() <= offers.len());
                    for (place, receiver) in receivers.iter().enumerate() {
                        prop_assert!(!receivers[..place].contains(receiver));
                        let joined = &peers[usize::from(receiver.0)].session.joined;
                        prop_assert_ne!(joined.get(&swarm), Some(&own_name));
                    }
                }
                Step::Answer { link, from, to, swarm, offer } => {
                    let (from, to) = (PeerId::new([from; 20]), PeerId::new([to; 20]));
                    let offer = OfferId([offer; 20]);
                    let swarm = InfoHash::new([swarm; 20]);
                    let receiver = world.registry.answer(world.now, &peers[link].session, swarm, (from, to), offer);
                    prop_assert!(receiver.is_none_or(|receiver| usize::from(receiver.0) != link && from != to));
                }
                Step::Doubt { link, in_doubt } => doubt(&peers[link], in_doubt),
                Step::Leave { link } => world.registry.leave(&mut peers[link].session),
                Step::Pass { seconds } => {
                    world.now += Duration::from_secs(seconds);
                    world.registry.expire(world.now);
                }
            }
            world.check_invariants();
        }
        for peer in peers {
            world.leave(peer);
        }
        prop_assert_eq!(world.registry.some_counts(10), []);
    }
}
