//! Peers without links, and both kinds in one swarm.

use proptest::prelude::*;

use super::*;

fn address(number: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), 1000 + number)
}

fn address6(number: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 1000 + number)
}

pub(super) fn hello(number: u8, complete: bool) -> ClassicAnnounce {
    ClassicAnnounce {
        info_hash: SWARM,
        peer_id: PeerId::new([number; 20]),
        address: address(number.into()),
        event: Event::Started,
        complete,
        downloaded: 0,
        numwant: 50,
        both_families: false,
    }
}

impl World {
    fn classic(&self, announce: &ClassicAnnounce) -> ClassicAnnounced {
        let announced = self.registry.announce_classic(self.now, announce);
        self.check_invariants();
        announced.expect("nothing is full")
    }

    /// The ports of those it is told of, as numbers.
    fn peers(&self, announce: &ClassicAnnounce) -> Vec<u16> {
        let mut ports: Vec<_> = self
            .classic(announce)
            .peers
            .iter()
            .map(|peer| peer.address.port() - 1000)
            .collect();
        ports.sort_unstable();
        ports
    }
}

#[test]
fn a_leecher_is_told_of_all_others_and_a_seeder_of_leechers_alone() {
    let world = World::new();
    for (number, complete) in [(1, true), (2, false), (3, true), (4, false)] {
        world.classic(&hello(number, complete));
    }
    assert_eq!(world.peers(&hello(2, false)), [1, 3, 4]);
    assert_eq!(world.peers(&hello(1, true)), [2, 4]);
    assert_eq!(world.counts(), (2, 2, 0));
}

#[test]
fn so_many_are_told_of_as_are_wanted_and_all_in_turn() {
    let world = World::with(Config {
        max_peers: 20,
        ..Config::default()
    });
    for number in 1..=200 {
        world.classic(&hello(number, number % 2 == 0));
    }
    let mut asking = hello(1, false);
    asking.numwant = 7;
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let peers = world.peers(&asking);
        assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), 7);
        seen.extend(peers);
    }
    assert_eq!(seen, (2..=200).collect());
    asking.numwant = usize::MAX;
    assert_eq!(world.peers(&asking).len(), 20, "the operator's bound");
    asking.numwant = 0;
    assert_eq!(world.peers(&asking).len(), 0);
}

/// One shore can't be reached from the other, but both are one swarm.
#[test]
fn counts_are_of_both_shores_and_nobody_is_introduced_across() {
    let world = World::new();
    world.classic(&hello(1, true));
    let mut browser = world.leecher(2);
    assert_eq!(world.counts(), (1, 1, 0));
    assert!(world.offer(&mut browser, false, &[1]).is_empty());
    assert_eq!(world.peers(&hello(3, false)), [1]);
    let mut shores = Vec::new();
    world.registry.visit_members(|member| shores.push(member.shore));
    shores.sort_unstable();
    assert_eq!(shores, [Shore::Classic, Shore::Classic, Shore::WebRtc]);
    world.leave(browser);
    assert_eq!(world.counts(), (1, 1, 0));
}

#[test]
fn address_families_are_kept_apart_except_for_who_can_be_told_of_both() {
    let world = World::new();
    world.classic(&hello(1, true));
    let six = ClassicAnnounce {
        address: address6(2),
        ..hello(2, true)
    };
    world.classic(&six);
    let mut asking = hello(3, false);
    assert_eq!(world.peers(&asking), [1]);
    asking.both_families = true;
    assert_eq!(world.peers(&asking), [1, 2]);
    asking.numwant = 1;
    assert_eq!(world.peers(&asking), [1], "its own family comes first");
    asking.address = address6(3);
    assert_eq!(world.peers(&asking), [2]);
    let mapped = ClassicAnnounce {
        address: "[::ffff:10.0.0.1]:1001".parse().expect("an address"),
        ..hello(1, true)
    };
    world.classic(&mapped);
    assert_eq!(world.counts(), (2, 2, 0), "a mapped address is no other peer");
}

#[test]
fn only_itself_can_take_a_peer_out() {
    let world = World::new();
    world.classic(&hello(1, true));
    let stop = ClassicAnnounce {
        event: Event::Stopped,
        ..hello(1, true)
    };
    let forged = [
        ClassicAnnounce {
            address: address(9),
            ..stop
        },
        ClassicAnnounce {
            peer_id: PeerId::new([9; 20]),
            ..stop
        },
    ];
    for forged in forged {
        assert_eq!(world.classic(&forged).peers, []);
        assert_eq!(world.counts(), (1, 0, 0));
    }
    world.classic(&stop);
    assert_eq!(world.registry.size(), (0, 0), "nothing is left of an empty swarm");
    world.classic(&stop);
    assert_eq!(world.registry.size(), (0, 0), "nor is it made by one who leaves");
}

#[test]
fn a_client_that_starts_again_takes_its_own_place() {
    let world = World::new();
    world.classic(&hello(1, true));
    let again = ClassicAnnounce {
        peer_id: PeerId::new([77; 20]),
        ..hello(1, false)
    };
    world.classic(&again);
    assert_eq!(world.counts(), (0, 1, 0));
}

#[test]
fn who_can_not_be_connected_to_is_told_of_others_but_others_not_of_it() {
    let world = World::new();
    world.classic(&hello(1, true));
    let mut hidden = hello(2, false);
    hidden.address.set_port(0);
    assert_eq!(world.peers(&hidden), [1]);
    assert_eq!(world.counts(), (1, 0, 0));
}

#[test]
fn a_classic_download_is_counted_when_it_completes_and_once() {
    let world = World::new();
    world.classic(&hello(1, false));
    let completed = ClassicAnnounce {
        event: Event::Completed,
        downloaded: 5,
        ..hello(1, true)
    };
    for _ in 0..3 {
        world.classic(&completed);
        assert_eq!(world.counts(), (1, 0, 1));
    }
    world.classic(&hello(1, false));
    world.classic(&completed);
    assert_eq!(world.counts(), (1, 0, 1), "it only had to mend its files");
    let creator = ClassicAnnounce {
        event: Event::Completed,
        ..hello(2, true)
    };
    world.classic(&creator);
    assert_eq!(world.counts(), (2, 0, 1), "it has not downloaded anything");
}

#[test]
fn classic_peers_that_fall_silent_are_forgotten_soon_after_their_time_and_not_before() {
    let config = Config::default();
    let mut world = World::new();
    world.classic(&hello(1, true));
    let begin = world.now;
    let mut forgotten = None;
    while forgotten.is_none() && world.now.since(begin) < 2 * config.classic_timeout {
        world.now += Duration::from_secs(10);
        if world.now.since(begin) < config.classic_timeout {
            world.classic(&hello(2, false));
        }
        world.registry.expire(world.now);
        world.check_invariants();
        forgotten = (world.counts().0 == 0).then(|| world.now.since(begin));
    }
    let after = forgotten.expect("it is forgotten some time");
    assert!(after >= config.classic_timeout, "{after:?}");
    assert!(
        after <= config.classic_timeout * 9 / 8 + Duration::from_secs(40),
        "{after:?}"
    );
}

#[test]
fn a_full_tracker_sheds_the_idlest_and_nobody_who_announced_lately() {
    let mut world = World::with(Config {
        max_members: 2,
        ..Config::default()
    });
    world.classic(&hello(1, true));
    let mut browser = world.leecher(2);
    let third = hello(3, false);
    assert_eq!(
        world.registry.announce_classic(world.now, &third),
        Err(Refusal::Full),
        "all have announced lately"
    );
    world.registry.expire(world.now);
    assert_eq!(
        world.registry.announce_classic(world.now, &third),
        Err(Refusal::Full),
        "which does not change by looking again"
    );
    world.now += Config::default().interval / 2;
    world.registry.expire(world.now);
    world.check_invariants();
    assert_eq!(
        world.peers(&third),
        [1],
        "the browser has missed half its interval"
    );
    assert_eq!(world.counts(), (1, 1, 0));

    world.now += Config::default().classic_interval / 2 + Duration::from_mins(1);
    world.peers(&third);
    world.registry.expire(world.now);
    world.check_invariants();
    assert_eq!(world.counts(), (0, 1, 0), "the seeder has missed half of its own");
    assert_eq!(world.offer(&mut browser, false, &[1]), [0; 0]);
    assert_eq!(world.counts(), (0, 2, 0));
}

#[test]
fn the_subscriber_hears_who_asks_for_what() {
    struct Ear(std::sync::mpsc::Sender<Heard>);
    impl Subscriber for Ear {
        fn handle_heard(&self, heard: Heard) {
            self.0.send(heard).expect("the test listens");
        }
    }
    let (ear, heard) = std::sync::mpsc::channel();
    let world = World::new();
    world.registry.subscribe(Box::new(Ear(ear)));
    let browser = world.leecher(1);
    world.classic(&hello(2, true));
    world.leave(browser);
    let heard: Vec<_> = heard
        .try_iter()
        .map(|heard| {
            (
                heard.announcer,
                heard.event,
                heard.complete,
                heard.counts.incomplete,
            )
        })
        .collect();
    let browser = Announcer::WebRtc(PeerId::new([1; 20]));
    let classic = Announcer::Classic(PeerId::new([2; 20]), address(2));
    assert_eq!(
        heard,
        [
            (browser, Event::Started, false, 1),
            (classic, Event::Started, true, 1),
            (browser, Event::Stopped, false, 0),
        ]
    );
}

#[test]
fn dropped_swarms_are_gone_with_their_members() {
    let world = World::new();
    world.classic(&hello(1, true));
    let browser = world.leecher(2);
    world.registry.retain(|info_hash| info_hash != SWARM);
    world.check_invariants();
    assert_eq!(world.registry.size(), (0, 0));
    world.leave(browser);
}

#[test]
fn whatever_was_dropped_before_all_swarms_can_be_dropped() {
    let world = World::new();
    let swarm = |number: u16, event| {
        let mut announce = hello(1, false);
        let [high, low] = number.to_be_bytes();
        announce.info_hash = InfoHash::new([[high; 10], [low; 10]].concat().try_into().expect("20 bytes"));
        announce.event = event;
        world.classic(&announce);
    };
    (0..1_000).for_each(|number| swarm(number, Event::Started));
    (0..500).for_each(|number| swarm(2 * number, Event::Stopped));
    assert_eq!(world.registry.size(), (500, 500));
    world.registry.retain(|_| false);
    assert_eq!(world.registry.size(), (0, 0));
    world.check_invariants();
}

#[derive(Clone, Debug)]
enum Step {
    Classic {
        number: u8,
        swarm: u8,
        six: bool,
        event: Event,
        complete: bool,
    },
    Browser {
        number: usize,
        swarm: u8,
        stop: bool,
    },
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => Just(Event::Update),
        1 => Just(Event::Completed),
        1 => Just(Event::Stopped),
    ];
    prop_oneof![
        30 => (0..200u8, 0..2u8, any::<bool>(), event, any::<bool>())
            .prop_map(|(number, swarm, six, event, complete)| Step::Classic { number, swarm, six, event, complete }),
        3 => (0..4usize, 0..2u8, any::<bool>()).prop_map(|(number, swarm, stop)| Step::Browser { number, swarm, stop }),
        1 => (0..2000u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order, with swarms that are large and small: the invariants hold, and everybody is
    /// told of different peers, none of which is itself.
    #[test]
    fn any_order_of_classic_and_webrtc_announces_leaves_the_registry_in_order(
        steps in proptest::collection::vec(step(), 0..400)
    ) {
        let mut world = World::new();
        let mut browsers: Vec<_> = (0..4).map(|number| World::connect(number, number)).collect();
        for step in steps {
            match step {
                Step::Classic { number, swarm, six, event, complete } => {
                    let announce = ClassicAnnounce {
                        info_hash: InfoHash::new([swarm; 20]),
                        address: if six { address6(number.into()) } else { address(number.into()) },
                        event,
                        both_families: true,
                        ..hello(number, complete)
                    };
                    let announced = world.registry.announce_classic(world.now, &announce).expect("there is room");
                    let told: BTreeSet<_> = announced.peers.iter().map(|peer| peer.address).collect();
                    prop_assert_eq!(told.len(), announced.peers.len());
                    prop_assert!(!told.contains(&announce.address));
                    prop_assert!(told.len() <= 50);
                }
                Step::Browser { number, swarm, stop } => {
                    let event = if stop { Event::Stopped } else { Event::Update };
                    world.try_announce(&mut browsers[number], InfoHash::new([swarm; 20]), event, false, &[1, 2])
                        .expect("there is room");
                }
                Step::Pass { seconds } => {
                    world.now += Duration::from_secs(seconds);
                    world.registry.expire(world.now);
                }
            }
            world.check_invariants();
        }
    }
}
