//! What becomes of our own offers.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn an_offer_is_closed_after_50_seconds_without_an_answer() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.leech(torrent(1), &[A]);
    world.run(millis(150));
    let made = world.now;
    world.run(secs(49));
    assert_eq!(world.connections.len(), 1);
    world.log.clear();
    world.run(secs(2));
    let closed = world
        .log
        .iter()
        .find(|(_, output)| matches!(output, Output::Close { .. }));
    let after = closed.expect("it is closed").0 - made;
    assert!(after >= millis(49_900) && after <= millis(50_100), "{after:?}");
}

#[test]
fn offers_that_a_tracker_had_nobody_for_are_closed() {
    // Complete, incomplete, offers that may have found somebody.
    for (complete, incomplete, kept) in [(0, 1, 0), (0, 0, 0), (1, 1, 1), (1, 3, 3), (30, 10, 5)] {
        let mut world = World::new();
        world.script(A).counts = (complete, incomplete);
        world.leech(torrent(1), &[A]);
        world.run(secs(5));
        assert_eq!(
            world.connections.len(),
            kept,
            "{complete} complete, {incomplete} incomplete"
        );
    }
}

#[test]
fn offers_whose_tracker_is_lost_are_closed_because_no_answer_can_come() {
    let mut world = World::new();
    world.script(A).counts = (1, 3);
    world.leech(torrent(1), &[A]);
    world.run(secs(5));
    assert_eq!(world.connections.len(), 3);
    let tracker = world.tracker(A);
    world.lose(tracker, "closed");
    world.run(millis(1));
    assert_eq!(world.connections.len(), 0);
}

#[test]
fn a_leecher_that_was_alone_has_one_offer_in_hand_when_it_asks_again() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.run(secs(60));
    world.script(A).counts = (1, 1);
    world.script(A).answering = [peer(1)].into();
    world.log.clear();
    world.run(secs(65));
    assert_eq!(
        (world.created(), world.completed(), world.announces().len()),
        (1, 1, 1)
    );
}

#[test]
fn a_leecher_that_has_met_everybody_makes_one_offer_an_interval() {
    let mut world = World::new();
    world.script(A).counts = (2, 2);
    world.script(A).answering = [peer(1), peer(2), peer(3)].into();
    world.leech(torrent(1), &[A]);
    world.run(secs(60));
    assert_eq!(world.connections.len(), 3);
    world.log.clear();
    world.run(secs(360));
    assert_eq!((world.created(), world.announces().len()), (3, 3));
}

#[test]
fn an_offer_goes_to_every_tracker_and_the_first_answer_takes_it() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.script(B).counts = (1, 1);
    world.script(B).latency = millis(400);
    world.leech(torrent(1), &[A, B]);
    world.run(secs(2));
    let announces = world.announces();
    assert_eq!(announces.len(), 2);
    assert_ne!(announces[0].tracker, announces[1].tracker);
    let shared = announces[0].offers[0];
    assert!(announces[1].offers.contains(&shared));
    assert_eq!(world.created(), 5);

    world.tell(B, &answer_from(torrent(1), peer(1), shared));
    world.tell(A, &answer_from(torrent(1), peer(2), shared));
    world.run(millis(10));
    let answer = |output: &Output| {
        let Output::AcceptAnswer { peer_id, .. } = output else {
            return None;
        };
        Some(*peer_id)
    };
    let answers: Vec<_> = world.outputs().filter_map(answer).collect();
    assert_eq!(answers, [peer(1)]);
}

#[test]
fn an_unanswered_offer_is_sent_again_while_it_is_worth_it() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.script(A).interval = Some(10);
    world.leech(torrent(1), &[A]);
    world.run(secs(56));
    let announces = world.announces();
    let first = announces[0].offers[0];
    let with_first: Vec<_> = announces
        .iter()
        .filter(|said| said.offers.contains(&first))
        .map(|said| (said.at - seconds(1000)).as_secs())
        .collect();
    // Whoever got it at 40 s could not answer in time.
    assert_eq!(with_first, [0, 10, 20, 30]);
    let later = announces
        .iter()
        .find(|said| (said.at - seconds(1000)).as_secs() == 40);
    assert_eq!(
        later.expect("it announced").offers.len(),
        1,
        "a new one takes its place"
    );
}

#[test]
fn twenty_torrents_take_turns_at_the_budget() {
    let mut world = World::new();
    world.script(A).counts = (5, 5);
    let budget = world.client.config.offer_budget;
    let started = world.now;
    for number in 0..20 {
        world.leech(torrent(number), &[A]);
    }
    let mut offered: BTreeMap<InfoHash, usize> = BTreeMap::new();
    for _ in 0..360 {
        world.run(secs(1));
        let unanswered = world.client.count(Connection::is_offer);
        assert!(unanswered <= budget, "{unanswered} unanswered offers");
        assert!(world.connections.len() <= budget);
    }
    for said in world.announces() {
        if said.event == Event::Started {
            assert!(
                said.at - started <= secs(2),
                "nobody waits for the budget to say hello"
            );
        }
        *offered.entry(said.info_hash).or_default() += said.offers.len();
    }
    let (least, most) = (
        offered.values().min().expect("some"),
        offered.values().max().expect("some"),
    );
    assert_eq!(offered.len(), 20);
    assert!(*least >= 2 && most <= &(least * 4), "{offered:?}");
}

#[test]
fn an_open_connection_leaves_the_budget() {
    let mut world = World::with_config(Config {
        offer_budget: 2,
        ..Config::new(ME)
    });
    world.script(A).counts = (9, 1);
    world.script(A).answering = (1..=9).map(peer).collect();
    world.leech(torrent(1), &[A]);
    world.run(secs(20));
    assert_eq!(
        world.connections.len(),
        5,
        "as many as offers may go out between two regular announces"
    );
    assert_eq!(world.client.count(Connection::is_offer), 0);
}

#[test]
fn a_connection_that_does_not_open_is_closed_after_25_seconds() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.script(A).interval = Some(1800);
    world.script(A).answering = [peer(1)].into();
    world.opening = false;
    world.leech(torrent(1), &[A]);
    world.run(secs(24));
    assert_eq!((world.completed(), world.connections.len()), (1, 1));
    let dialed = *world.connections.keys().next().expect("it is being dialed");
    world.run(secs(2));
    assert!(!world.connections.contains_key(&dialed));
}

#[test]
fn an_offer_that_the_driver_never_makes_is_given_up() {
    let mut world = World::new();
    world.gathering = Some(secs(1_000_000));
    world.leech(torrent(1), &[A]);
    world.run(secs(11));
    assert_eq!(world.connections.len(), 0);
    assert_eq!(world.announces().len(), 1);
}

#[test]
fn no_offers_are_made_when_no_peers_are_wanted() {
    let mut world = World::new();
    world.script(A).counts = (5, 5);
    world.add(
        torrent(1),
        &[A],
        Progress {
            left: Some(5),
            wanted_peers: 0,
            ..Progress::default()
        },
    );
    world.run(secs(300));
    assert_eq!((world.created(), world.announces().len()), (0, 3));
}

#[test]
fn no_more_offers_are_made_than_peers_are_wanted() {
    let mut world = World::new();
    world.script(A).counts = (5, 5);
    world.script(A).latency = millis(300);
    world.add(
        torrent(1),
        &[A],
        Progress {
            left: Some(5),
            wanted_peers: 2,
            ..Progress::default()
        },
    );
    world.run(secs(10));
    assert_eq!((world.created(), world.announces()[0].offers.len()), (2, 2));
}

#[test]
fn an_announce_stays_below_what_aquatic_takes_in_a_frame() {
    let mut world = World::new();
    world.script(A).counts = (9, 1);
    world.script(A).latency = millis(300);
    world.leech(torrent(1), &[A]);
    world.run(millis(10));
    let connections: Vec<_> = world.connections.keys().copied().collect();
    for connection in connections {
        world
            .client
            .handle_offer(world.now, connection, "a=candidate\r\n".repeat(400));
    }
    world.run(secs(5));
    let sent: Vec<_> = world.sent().iter().map(|text| text.len()).collect();
    assert!(sent.iter().all(|length| *length < 16 * 1024), "{sent:?}");
    let offers: usize = world.announces().iter().map(|said| said.offers.len()).sum();
    assert_eq!(offers, 5, "those that did not fit follow");
}

#[test]
fn a_description_of_our_own_that_could_not_be_sent_is_given_up() {
    let mut world = World::new();
    world.gathering = Some(secs(1_000_000));
    world.leech(torrent(1), &[A]);
    world.run(millis(10));
    for _ in 0..100 {
        let Some(connection) = world.connections.keys().next().copied() else {
            break;
        };
        world
            .client
            .handle_offer(world.now, connection, "x".repeat(100_000));
        world.run(millis(1));
        assert!(!world.connections.contains_key(&connection));
    }
    assert_eq!(world.created(), 5, "no new ones are made in their place at once");
}

#[test]
fn labels_and_names_are_never_the_same() {
    let mut world = World::new();
    world.script(A).counts = (5, 5);
    world.leech(torrent(1), &[A]);
    world.run(secs(600));
    let label = |output: &Output| {
        let Output::CreateOffer { label, .. } = output else {
            return None;
        };
        Some(label.clone())
    };
    let labels: Vec<_> = world.outputs().filter_map(label).collect();
    assert!(labels.len() >= 20);
    assert!(
        labels
            .iter()
            .all(|label| label.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
    assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len());
    let names: BTreeSet<_> = world
        .announces()
        .into_iter()
        .flat_map(|said| said.offers)
        .collect();
    assert!(names.len() >= 20);
}
