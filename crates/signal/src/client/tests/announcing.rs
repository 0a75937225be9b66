//! When what is announced.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_socket_and_the_first_offers_are_begun_in_the_same_moment() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.run(millis(0));
    assert!(matches!(world.log[0].1, Output::Connect { .. }));
    assert_eq!(world.created(), 5);
}

#[test]
fn the_first_announce_leaves_with_the_first_offer_and_the_others_follow_when_there_are_peers() {
    let mut world = World::new();
    world.script(A).counts = (1, 3);
    world.leech(torrent(1), &[A]);
    // The socket is open, no offer is ready.
    world.run(millis(60));
    assert_eq!(world.announces(), []);
    let first = *world.connections.keys().next().expect("offers are being made");
    world.client.handle_offer(world.now, first, "early");
    world.run(millis(1));
    let announces = world.new_announces();
    assert_eq!(announces.len(), 1);
    assert_eq!(
        (announces[0].event, announces[0].offers.len()),
        (Event::Started, 1)
    );
    // Three others are there, so two more offers can find a peer.
    world.run(secs(1));
    let announces = world.new_announces();
    assert_eq!(announces.len(), 1);
    assert_eq!(
        (announces[0].event, announces[0].offers.len()),
        (Event::Update, 2)
    );
}

#[test]
fn offers_that_are_ready_together_leave_together() {
    let mut world = World::new();
    world.script(A).latency = millis(300);
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    let announces = world.announces();
    assert_eq!(announces.len(), 1);
    assert_eq!(announces[0].offers.len(), 5);
}

#[test]
fn a_leecher_whose_offers_can_not_be_had_announces_without() {
    let mut world = World::new();
    world.gathering = None;
    world.leech(torrent(1), &[A]);
    world.run(secs(20));
    let announces = world.announces();
    assert_eq!(announces.len(), 1);
    assert_eq!(
        (announces[0].event, announces[0].offers.len()),
        (Event::Started, 0)
    );
    assert!(announces[0].at - seconds(1000) <= secs(2));
    // A browser that can't make connections is not asked over and over.
    assert!(world.created() <= 5, "{}", world.created());
}

#[test]
fn offers_are_tried_again_after_they_could_not_be_made() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.gathering = None;
    world.leech(torrent(1), &[A]);
    world.run(secs(4));
    world.gathering = Some(millis(100));
    world.run(secs(3));
    assert_eq!(world.announces().last().expect("it announced").offers.len(), 1);
}

#[test]
fn a_seeder_announces_at_once_and_makes_no_offers_while_it_is_alone() {
    let mut world = World::new();
    world.script(A).counts = (1, 0);
    world.seed(torrent(1), &[A]);
    world.run(secs(300));
    let announces = world.announces();
    assert_eq!(announces[0].at, seconds(1000) + millis(50));
    assert_eq!(
        (announces[0].event, announces[0].left),
        (Event::Started, Left::Complete)
    );
    assert_eq!(announces.len(), 3);
    assert_eq!(world.created(), 0);
}

#[test]
fn a_seeder_offers_itself_to_the_leechers_that_a_tracker_counts() {
    // Complete, incomplete, offers that follow.
    for (complete, incomplete, offers) in [(1, 1, 1), (1, 3, 3), (1, 40, 5), (7, 2, 2)] {
        let mut world = World::new();
        world.script(A).counts = (complete, incomplete);
        world.seed(torrent(1), &[A]);
        world.run(secs(1));
        let announced: Vec<_> = world.announces().iter().map(|said| said.offers.len()).collect();
        assert_eq!(
            (announced[0], announced.iter().sum()),
            (0, offers),
            "{complete} {incomplete}: {announced:?}"
        );
    }
}

#[test]
fn a_seeder_makes_no_offers_to_leechers_that_it_is_connected_to() {
    let mut world = World::new();
    world.script(A).counts = (1, 3);
    world.script(A).answering = [peer(1), peer(2), peer(3)].into();
    world.seed(torrent(1), &[A]);
    world.run(secs(500));
    assert_eq!((world.created(), world.connections.len()), (3, 3));
}

#[test]
fn a_seeder_offers_itself_to_a_magnet_link_that_the_reference_counts_as_complete() {
    let mut world = World::new();
    world.script(A).counts = (2, 0);
    world.seed(torrent(1), &[A]);
    world.run(secs(1));
    assert_eq!(world.announces().last().expect("it announced").offers.len(), 1);
}

#[test]
fn the_interval_of_the_reply_is_obeyed_between_a_second_and_an_hour() {
    let table = [
        (Some(120), 120),
        (Some(1), 1),
        (Some(0), 1),
        (Some(u32::MAX), 3600),
        (None, 120),
    ];
    for (interval, expected) in table {
        let mut world = World::new();
        world.script(A).interval = interval;
        world.script(A).counts = (1, 0);
        world.seed(torrent(1), &[A]);
        world.run(secs(3 * expected) + millis(500));
        let times: Vec<_> = world
            .announces()
            .iter()
            .map(|said| (said.at - seconds(1000)).as_secs())
            .collect();
        assert_eq!(times, [0, expected, 2 * expected, 3 * expected], "{interval:?}");
    }
}

#[test]
fn what_is_missing_is_announced_as_it_stands() {
    let mut world = World::new();
    for (left, expected) in [
        (None, Left::Incomplete(None)),
        (Some(9), Left::Incomplete(Some(9))),
        (Some(0), Left::Complete),
    ] {
        world.add(
            torrent(1),
            &[A],
            Progress {
                left,
                ..Progress::default()
            },
        );
        world.run(secs(130));
        assert_eq!(world.new_announces().last().expect("it announced").left, expected);
    }
}

#[test]
fn completed_is_told_once_at_once_and_without_offers() {
    let mut world = World::new();
    world.script(A).counts = (1, 0);
    world.leech(torrent(1), &[A]);
    world.run(secs(10));
    world.new_announces();
    world.client.update(
        torrent(1),
        Progress {
            left: Some(0),
            wanted_peers: 50,
            ..Progress::default()
        },
    );
    world.announce(torrent(1), Event::Completed);
    world.run(secs(250));
    let told: Vec<_> = world
        .announces()
        .iter()
        .map(|said| (said.event, said.offers.len(), said.left))
        .collect();
    let regular = (Event::Update, 0, Left::Complete);
    assert_eq!(told, [(Event::Completed, 0, Left::Complete), regular, regular]);
}

#[test]
fn who_completes_before_the_tracker_is_there_starts_as_a_seeder() {
    let mut world = World::new();
    world.script(A).up = false;
    world.leech(torrent(1), &[A]);
    world.run(millis(10));
    world.client.update(
        torrent(1),
        Progress {
            left: Some(0),
            ..Progress::default()
        },
    );
    world.announce(torrent(1), Event::Completed);
    world.script(A).up = true;
    world.run(secs(10));
    let told: Vec<_> = world
        .announces()
        .iter()
        .map(|said| (said.event, said.left))
        .collect();
    assert_eq!(told, [(Event::Started, Left::Complete)]);
}

#[test]
fn who_completes_while_the_first_announce_waits_for_offers_starts_first() {
    let mut world = World::new();
    world.gathering = Some(secs(5));
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    world.announce(torrent(1), Event::Completed);
    world.run(secs(1));
    let told: Vec<_> = world.announces().iter().map(|said| said.event).collect();
    assert_eq!(told, [Event::Started]);
}

#[test]
fn a_pause_stops_everything_and_a_resume_starts_again() {
    let mut world = World::new();
    world.script(A).counts = (1, 4);
    world.leech(torrent(1), &[A]);
    world.run(secs(10));
    world.new_announces();
    world.announce(torrent(1), Event::Stopped);
    world.run(secs(1000));
    let told: Vec<_> = world
        .announces()
        .iter()
        .map(|said| (said.event, said.offers.len()))
        .collect();
    assert_eq!(told, [(Event::Stopped, 0)]);
    assert_eq!(world.connections.len(), 0);
    assert_eq!(world.sockets.len(), 0, "nobody needs the socket");
    assert_eq!(world.status(torrent(1), A).state, TrackerState::Idle);
    world.new_announces();

    world.announce(torrent(1), Event::Started);
    world.run(secs(1));
    let announces = world.announces();
    assert_eq!(announces[0].event, Event::Started);
    assert!(!announces[0].offers.is_empty());
}

#[test]
fn a_pause_of_one_torrent_leaves_the_socket_to_the_other() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.leech(torrent(2), &[A]);
    world.run(secs(10));
    world.announce(torrent(1), Event::Stopped);
    world.run(secs(1));
    world.new_announces();
    world.run(secs(130));
    assert!(world.announces().iter().all(|said| said.info_hash == torrent(2)));
    assert_eq!(world.announces().len(), 1);
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn a_torrent_that_is_paused_before_anything_was_done_does_nothing() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.announce(torrent(1), Event::Stopped);
    world.run(secs(1000));
    assert_eq!(world.log, []);
}

#[test]
fn a_removed_torrent_says_goodbye_and_closes_what_it_had() {
    let mut world = World::new();
    world.script(A).counts = (1, 4);
    world.script(A).answering = [peer(1)].into();
    world.leech(torrent(1), &[A]);
    world.run(secs(10));
    assert!(world.connections.len() > 1);
    world.new_announces();
    world.client.remove_torrent(world.now, torrent(1));
    world.run(secs(1000));
    let told: Vec<_> = world.announces().iter().map(|said| said.event).collect();
    assert_eq!(told, [Event::Stopped]);
    assert!(
        matches!(world.log.last(), Some((_, Output::Disconnect { .. }))),
        "the goodbye goes first"
    );
    assert_eq!((world.connections.len(), world.sockets.len()), (0, 0));
    assert_eq!(world.client.trackers(torrent(1)).count(), 0);
}

#[test]
fn wanting_peers_again_announces_early_but_does_not_hammer() {
    let mut world = World::new();
    world.script(A).counts = (1, 9);
    world.script(A).answering = [peer(1)].into();
    let full = Progress {
        left: Some(5),
        wanted_peers: 0,
        ..Progress::default()
    };
    let hungry = Progress {
        wanted_peers: 1,
        ..full
    };
    world.add(torrent(1), &[A], hungry);
    world.run(secs(1));
    assert_eq!(world.connections.len(), 1);
    world.client.update(torrent(1), full);
    world.run(secs(40));
    assert_eq!(world.new_announces().len(), 1);
    world.client.update(torrent(1), hungry);
    world.run(secs(5));
    let announces = world.new_announces();
    assert_eq!(announces.len(), 1);
    assert_eq!(
        announces[0].offers.len(),
        1,
        "an early announce waits for its offer"
    );
    for _ in 0..20 {
        world.client.update(torrent(1), full);
        world.client.update(torrent(1), hungry);
        world.run(secs(1));
    }
    assert!(world.new_announces().len() <= 1);
}

#[test]
fn who_lost_its_peers_and_finds_new_ones_each_time_is_not_held_back() {
    let mut world = World::new();
    world.script(A).interval = Some(1800);
    world.script(A).counts = (1, 1);
    world.leech(torrent(1), &[A]);
    for number in 1..8 {
        world.script(A).answering = [peer(number)].into();
        world.run(secs(20));
        assert_eq!(world.connections.len(), 1, "peer {number} was found");
        let connection = *world.connections.keys().next().expect("they are connected");
        world.fail(connection);
    }
}

#[test]
fn a_leecher_that_reached_nobody_tries_again_before_the_interval_and_ever_more_rarely() {
    let mut world = World::new();
    world.script(A).interval = Some(1800);
    world.script(A).counts = (1, 1);
    world.script(A).answering = (1..20).map(peer).collect();
    world.opening = false;
    world.leech(torrent(1), &[A]);
    world.run(secs(1700));
    let times: Vec<_> = world
        .announces()
        .iter()
        .map(|said| (said.at - seconds(1000)).as_secs())
        .collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 4 && gaps.iter().all(|gap| *gap >= 15), "{gaps:?}");
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1] + 1), "{gaps:?}");
    assert!(gaps.len() <= 8, "{gaps:?}");
}

#[test]
fn what_is_said_without_the_time_is_done_when_the_time_is_told() {
    let mut world = World::new();
    world.seed(torrent(1), &[A]);
    world.run(secs(10));
    world.now += secs(5);
    world.client.update(
        torrent(1),
        Progress {
            left: Some(7),
            ..Progress::default()
        },
    );
    let Output::Timeout(Some(deadline)) = world.client.poll_output() else {
        panic!("nothing is done yet")
    };
    assert!(deadline <= world.now);
    world.run(millis(0));
    assert!(
        world
            .client
            .deadline()
            .is_some_and(|deadline| deadline > world.now)
    );
}

#[test]
fn statistics_alone_are_no_reason_to_wake_up() {
    let mut world = World::new();
    world.seed(torrent(1), &[A]);
    world.run(secs(10));
    let before = world.client.poll_output();
    let seeding = Progress {
        left: Some(0),
        wanted_peers: 50,
        ..Progress::default()
    };
    world.client.update(
        torrent(1),
        Progress {
            uploaded: 5,
            ..seeding
        },
    );
    assert_eq!(world.client.poll_output(), before);
    world.run(secs(120));
    assert!(
        world
            .sent()
            .last()
            .expect("it announced")
            .contains(r#""uploaded":5"#)
    );
}

#[test]
fn a_tracker_id_comes_back_in_the_next_announce() {
    let mut world = World::new();
    world.script(A).counts = (1, 0);
    world.seed(torrent(1), &[A]);
    world.run(secs(1));
    let id = serde_json::value::to_raw_value(&["any", "value"]).expect("it is JSON");
    let huge = serde_json::value::to_raw_value(&"x".repeat(1000)).expect("it is JSON");
    for tracker_id in [&id, &huge] {
        let reply = TrackerMessage::Announced {
            info_hash: torrent(1),
            complete: None,
            incomplete: None,
            interval: None,
            tracker_id: Some(tracker_id),
            warning: None,
        };
        world.tell(A, &reply.to_json());
    }
    world.run(secs(130));
    let sent = world.sent();
    let last = sent.last().expect("it announced");
    assert!(last.contains(r#""trackerid":["any","value"]"#), "{last}");
}
