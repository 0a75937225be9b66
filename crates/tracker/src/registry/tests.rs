use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::*;

mod bounds;
mod classic;
mod names;
mod threads;

const SWARM: InfoHash = InfoHash::new([7; 20]);

/// A link for tests: a number, and whether it is in doubt.
#[derive(Clone, Debug)]
struct Wire(u8, Arc<AtomicBool>);

impl Link for Wire {
    fn deliver(&self, _json: &[u8]) {}

    fn relay(&self, _json: &[u8]) -> bool {
        true
    }

    fn doubt(&self, _now: Time) {
        self.1.store(true, Ordering::Relaxed);
    }

    fn is_in_doubt(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

impl PartialEq for Wire {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Wire {}

/// Somebody connected, who goes by one name.
struct Peer {
    session: Session<Wire>,
    name: PeerId,
    /// How many offers it takes.
    wanted: Option<u32>,
}

/// A registry, and a clock that stands still unless told.
struct World {
    registry: Registry<Wire>,
    now: Time,
}

impl World {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self {
            registry: Registry::new(config, 1),
            now: Time::from_micros(1_000_000),
        }
    }

    /// A peer on link `number` that goes by the name `name`.
    fn connect(number: u8, name: u8) -> Peer {
        let link = Wire(number, Arc::default());
        Peer {
            session: Session::new(link, Ipv4Addr::LOCALHOST.into()),
            name: PeerId::new([name; 20]),
            wanted: None,
        }
    }

    /// A leecher that has announced, with its number for a name.
    fn leecher(&self, number: u8) -> Peer {
        let mut peer = Self::connect(number, number);
        self.announce(&mut peer, Event::Started, false, &[]);
        peer
    }

    fn seeder(&self, number: u8) -> Peer {
        let mut peer = Self::connect(number, number);
        self.announce(&mut peer, Event::Started, true, &[]);
        peer
    }

    fn announce(&self, peer: &mut Peer, event: Event, complete: bool, offers: &[u8]) -> Announced<Wire> {
        self.try_announce(peer, SWARM, event, complete, offers)
            .expect("nothing is full")
    }

    fn try_announce(
        &self,
        peer: &mut Peer,
        info_hash: InfoHash,
        event: Event,
        complete: bool,
        offers: &[u8],
    ) -> Result<Announced<Wire>, Refusal> {
        let presence = Presence {
            info_hash,
            peer_id: peer.name,
            event,
            complete,
            downloaded: 0,
            wanted: peer.wanted,
        };
        let result = self
            .registry
            .announce(self.now, &mut peer.session, &presence, &ids(offers));
        self.check_invariants();
        result
    }

    /// Who gets which offer, as numbers of links.
    fn offer(&self, peer: &mut Peer, complete: bool, offers: &[u8]) -> Vec<u8> {
        let announced = self.announce(peer, Event::Update, complete, offers);
        announced.receivers.iter().map(|link| link.0).collect()
    }

    /// The number of the link that gets the answer.
    fn answer(&self, from: &Peer, to: &Peer, offer: u8) -> Option<u8> {
        let between = (from.name, to.name);
        let link = self
            .registry
            .answer(self.now, &from.session, SWARM, between, OfferId([offer; 20]));
        link.map(|link| link.0)
    }

    fn leave(&self, mut peer: Peer) {
        self.registry.leave(&mut peer.session);
        self.check_invariants();
    }

    /// Complete, incomplete, downloaded.
    fn counts(&self) -> (u32, u32, u32) {
        let counts = self.registry.counts(SWARM);
        (counts.complete, counts.incomplete, counts.downloaded)
    }

    fn check_invariants(&self) {
        self.registry.check_invariants();
    }
}

fn ids(offers: &[u8]) -> Vec<OfferId> {
    offers.iter().map(|offer| OfferId([*offer; 20])).collect()
}

fn doubt(peer: &Peer, in_doubt: bool) {
    peer.session.link.1.store(in_doubt, Ordering::Relaxed);
}

fn sorted(mut numbers: Vec<u8>) -> Vec<u8> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn each_offer_goes_to_another_peer_and_the_surplus_is_dropped() {
    let world = World::new();
    let mut peers: Vec<_> = (1..=4).map(|number| world.leecher(number)).collect();
    assert_eq!(
        sorted(world.offer(&mut peers[0], false, &[1, 2, 3, 4, 5])),
        [2, 3, 4]
    );
    assert_eq!(world.offer(&mut peers[1], false, &[1, 2]).len(), 2);
    assert!(
        world.offer(&mut peers[2], false, &[]).is_empty(),
        "who offers nothing is introduced to nobody"
    );
}

#[test]
fn a_leecher_is_introduced_to_seeders_first() {
    let world = World::new();
    let mut leecher = world.leecher(1);
    let _others: Vec<_> = (2..=20).map(|number| world.leecher(number)).collect();
    let _seeders: Vec<_> = (21..=23).map(|number| world.seeder(number)).collect();
    for _ in 0..20 {
        let receivers = world.offer(&mut leecher, false, &[1, 2, 3, 4, 5]);
        assert_eq!(sorted(receivers[..3].to_vec()), [21, 22, 23]);
        assert!(receivers[3..].iter().all(|number| (2..=20).contains(number)));
    }
}

#[test]
fn a_seeder_is_introduced_to_leechers_alone() {
    let world = World::new();
    let mut seeder = world.seeder(1);
    let _other_seeder = world.seeder(2);
    let _leecher = world.leecher(3);
    assert_eq!(world.offer(&mut seeder, true, &[1, 2, 3]), [3]);
}

/// libtorrent drops offers beyond its `numwant` until it announces again.
#[test]
fn who_has_had_as_many_offers_as_it_takes_comes_last_until_it_announces_again() {
    let world = World::new();
    let mut modest = World::connect(1, 1);
    modest.wanted = Some(2);
    world.announce(&mut modest, Event::Started, true, &[]);
    let mut asker = world.leecher(9);
    let offer = |asker: &mut Peer| world.offer(asker, false, &[0]);
    assert_eq!([offer(&mut asker), offer(&mut asker)], [[1], [1]]);
    assert_eq!(offer(&mut asker), [1], "there is nobody else");

    world.announce(&mut modest, Event::Update, true, &[]);
    let _other = world.leecher(2);
    assert_eq!(
        [offer(&mut asker), offer(&mut asker)],
        [[1], [1]],
        "seeders first"
    );
    for _ in 0..10 {
        assert_eq!(offer(&mut asker), [2]);
    }
    assert_eq!(world.offer(&mut asker, false, &[0, 1]), [2, 1]);
    world.announce(&mut modest, Event::Update, true, &[]);
    assert_eq!(offer(&mut asker), [1]);
}

#[test]
fn nobody_gets_many_more_offers_than_it_takes_until_it_announces_again() {
    let world = World::new();
    let mut flooder = world.leecher(1);
    for (number, wanted, most) in [
        (2, Some(0), 20),
        (3, Some(10), 40),
        (4, Some(80), 200),
        (5, None, 200),
    ] {
        let mut peer = World::connect(number, number);
        peer.wanted = wanted;
        for _ in 0..2 {
            world.announce(&mut peer, Event::Started, false, &[]);
            let offers = (0..300).map(|_| world.offer(&mut flooder, false, &[1]).len());
            assert_eq!(offers.sum::<usize>(), most, "{wanted:?}");
        }
        world.leave(peer);
    }
}

#[test]
fn everybody_is_chosen_sooner_or_later_and_nobody_twice_at_once() {
    let world = World::new();
    let mut peer = world.leecher(1);
    let _others: Vec<_> = (2..=30).map(|number| world.leecher(number)).collect();
    let mut chosen = BTreeSet::new();
    for _ in 0..60 {
        let receivers: BTreeSet<u8> = world
            .offer(&mut peer, false, &[1, 2, 3, 4, 5])
            .into_iter()
            .collect();
        assert_eq!(receivers.len(), 5, "five different ones");
        chosen.extend(receivers);
    }
    assert_eq!(chosen, (2..=30).collect());
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    let run = |seed| {
        let world = World {
            registry: Registry::new(Config::default(), seed),
            now: Time::ZERO,
        };
        let mut peer = world.leecher(1);
        let _others: Vec<_> = (2..=30).map(|number| world.leecher(number)).collect();
        (0..10)
            .map(|_| world.offer(&mut peer, false, &[1, 2, 3]))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn peers_over_ipv4_and_ipv6_share_a_swarm() {
    let world = World::new();
    let mut four = World::connect(4, 4);
    let mut six = World::connect(6, 6);
    six.session = Session::new(Wire(6, Arc::default()), Ipv6Addr::LOCALHOST.into());
    world.announce(&mut four, Event::Started, false, &[]);
    assert_eq!(world.offer(&mut six, false, &[1]), [4]);
    let mut families = Vec::new();
    world
        .registry
        .visit_members(|member| families.push((member.peer_id, member.ipv4)));
    assert_eq!(families, [(four.name, true), (six.name, false)]);
}

#[test]
fn who_stops_is_gone_and_its_offers_go_nowhere() {
    let world = World::new();
    let mut peer = world.leecher(1);
    let mut other = world.seeder(2);
    let announced = world.announce(&mut peer, Event::Stopped, false, &[1, 2]);
    assert_eq!((announced.counts.complete, announced.counts.incomplete), (1, 0));
    assert_eq!(announced.receivers, []);
    assert!(world.offer(&mut other, true, &[1]).is_empty());
    world.announce(&mut peer, Event::Stopped, false, &[]);
    assert_eq!(world.counts(), (1, 0, 0), "to stop again changes nothing");
}

#[test]
fn a_download_is_counted_when_a_leecher_completes_and_once() {
    let world = World::new();
    let mut peer = world.leecher(1);
    assert_eq!(world.counts(), (0, 1, 0));
    for _ in 0..3 {
        world.announce(&mut peer, Event::Completed, true, &[]);
        assert_eq!(world.counts(), (1, 0, 1));
    }
    world.announce(&mut peer, Event::Update, false, &[]);
    world.announce(&mut peer, Event::Completed, true, &[]);
    assert_eq!(world.counts(), (1, 0, 1), "it only had to mend its files");
    let mut other = world.leecher(2);
    world.announce(&mut other, Event::Update, true, &[]);
    assert_eq!(world.counts(), (2, 0, 1), "nobody said that it was completed");
}

#[test]
fn a_page_that_made_the_torrent_says_completed_and_then_started_and_counts_as_one_seeder() {
    let world = World::new();
    let mut peer = World::connect(1, 1);
    world.announce(&mut peer, Event::Completed, true, &[]);
    world.announce(&mut peer, Event::Started, true, &[]);
    assert_eq!(world.counts(), (1, 0, 0));
}

#[test]
fn a_download_that_began_at_another_tracker_is_counted_when_it_completes() {
    let world = World::new();
    let mut peer = World::connect(1, 1);
    let presence = Presence {
        info_hash: SWARM,
        peer_id: peer.name,
        event: Event::Completed,
        complete: true,
        downloaded: 5,
        wanted: None,
    };
    let announced = world
        .registry
        .announce(world.now, &mut peer.session, &presence, &[]);
    assert_eq!(announced.map(|announced| announced.counts.downloaded), Ok(1));
    world.announce(&mut peer, Event::Completed, true, &[]);
    assert_eq!(world.counts(), (1, 0, 1));
}

#[test]
fn an_answer_is_passed_on_only_where_the_offer_went_and_once() {
    let mut world = World::new();
    let mut offerer = world.leecher(1);
    let chosen = world.leecher(2);
    assert_eq!(world.offer(&mut offerer, false, &[9]), [2]);
    let stranger = world.leecher(3);
    let mut liar = World::connect(4, 2);
    world.announce(&mut liar, Event::Started, false, &[]);

    assert_eq!(
        world.answer(&stranger, &offerer, 9),
        None,
        "it was offered to somebody else"
    );
    assert_eq!(
        world.answer(&liar, &offerer, 9),
        None,
        "that name, but another socket"
    );
    assert_eq!(
        world.answer(&chosen, &offerer, 8),
        None,
        "there was no such offer"
    );
    assert_eq!(
        world.answer(&chosen, &stranger, 9),
        None,
        "somebody else offered it"
    );
    assert_eq!(world.answer(&chosen, &offerer, 9), Some(1));
    assert_eq!(
        world.answer(&chosen, &offerer, 9),
        None,
        "it was answered already"
    );

    world.offer(&mut offerer, false, &[9, 9, 9]);
    world.now += Duration::from_mins(1);
    assert_eq!(world.answer(&chosen, &offerer, 9), None, "it came too late");
}

#[test]
fn an_offer_that_comes_again_can_be_answered_again() {
    let world = World::new();
    let mut offerer = world.leecher(1);
    let chosen = world.leecher(2);
    for _ in 0..3 {
        assert_eq!(world.offer(&mut offerer, false, &[9]), [2]);
        assert_eq!(world.answer(&chosen, &offerer, 9), Some(1));
    }
}

#[test]
fn whoever_floods_the_tracker_with_offers_pushes_out_its_own_alone() {
    let world = World::new();
    let mut flooder = world.leecher(1);
    let mut offerer = world.leecher(2);
    let chosen = world.seeder(3);
    assert_eq!(world.offer(&mut offerer, false, &[200])[0], 3);
    assert_eq!(world.offer(&mut flooder, false, &[201])[0], 3);
    for offer in 0..150 {
        world.offer(&mut flooder, false, &[offer]);
    }
    assert_eq!(world.answer(&chosen, &offerer, 200), Some(2));
    assert_eq!(
        world.answer(&chosen, &flooder, 201),
        None,
        "its own memory is bounded"
    );
    assert_eq!(world.answer(&chosen, &flooder, 149), Some(1));
}

#[test]
fn a_closed_socket_is_out_of_all_its_swarms() {
    let world = World::new();
    let mut peer = World::connect(1, 1);
    let mut other = World::connect(2, 2);
    let swarms = [[1; 20], [65; 20], [200; 20]].map(InfoHash::new);
    for swarm in swarms {
        world
            .try_announce(&mut peer, swarm, Event::Started, true, &[])
            .expect("there is room");
        world
            .try_announce(&mut other, swarm, Event::Started, false, &[])
            .expect("there is room");
    }
    assert_eq!(world.registry.some_counts(10).len(), 3);
    world.leave(peer);
    for swarm in swarms {
        assert_eq!(world.registry.counts(swarm).complete, 0);
        assert_eq!(world.registry.counts(swarm).incomplete, 1);
    }
    world.leave(other);
    assert_eq!(
        world.registry.some_counts(10),
        [],
        "nobody is in a swarm that nobody is in"
    );
}
