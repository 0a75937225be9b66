//! Trackers' sockets: down, lost, silent, many, hostile.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// When the client tried to open the socket to a tracker, in seconds since the start.
fn attempts(world: &World, wanted: &str) -> Vec<f64> {
    let attempt = |(at, output): &(Time, Output)| {
        let Output::Connect { url, .. } = output else {
            return None;
        };
        (url == wanted).then(|| (*at - seconds(1000)).as_secs_f64())
    };
    world.log.iter().filter_map(attempt).collect()
}

#[test]
fn a_tracker_that_is_down_is_tried_ever_more_rarely_up_to_five_minutes() {
    let mut world = World::new();
    world.script(A).up = false;
    world.leech(torrent(1), &[A]);
    world.run(secs(3000));
    let attempts = attempts(&world, A);
    let gaps: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0] - 0.05).collect();
    let delay = |index: usize| f64::from(1 << index.min(16)).min(300.0);
    let ratios: Vec<_> = gaps
        .iter()
        .enumerate()
        .map(|(index, gap)| gap / delay(index))
        .collect();
    assert!(
        ratios.iter().all(|ratio| (0.74..=1.26).contains(ratio)),
        "{gaps:?}"
    );
    assert!(
        gaps.len() >= 12 && gaps.iter().all(|gap| *gap <= 300.1),
        "{gaps:?}"
    );
    // All clients of a tracker that was down do not come back in the same moment.
    let (least, most) = ratios.iter().fold((f64::MAX, 0_f64), |(least, most), it| {
        (least.min(*it), most.max(*it))
    });
    assert!(most - least > 0.1, "{ratios:?}");
}

#[test]
fn a_tracker_that_is_down_costs_no_offers_and_its_status_says_why() {
    let mut world = World::new();
    world.script(A).up = false;
    world.leech(torrent(1), &[A]);
    world.run(secs(600));
    assert_eq!(world.created(), 5, "those of the first attempt");
    assert_eq!(world.connections.len(), 0);
    let now = world.now;
    let TrackerState::Waiting { reason, until } = world.status(torrent(1), A).state else {
        panic!("it is down")
    };
    assert_eq!(reason, "connection refused");
    assert!(until > now);
}

#[test]
fn a_tracker_that_is_down_stops_no_other_one() {
    let mut world = World::new();
    world.script(A).up = false;
    world.script(B).counts = (1, 1);
    world.script(B).answering = [peer(1)].into();
    world.leech(torrent(1), &[A, B]);
    world.run(secs(2));
    assert_eq!(world.announces().len(), 1);
    assert_eq!((world.completed(), world.connections.len()), (1, 1));
    let b = world.status(torrent(1), B);
    assert_eq!(
        (b.state, b.seeders, b.leechers),
        (TrackerState::Connected, Some(1), Some(1))
    );
    world.run(secs(300));
    assert_eq!(world.announces().len(), 3, "the schedule goes on");
}

#[test]
fn a_tracker_that_worked_and_is_lost_is_back_after_a_second_and_hears_started_again() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.leech(torrent(2), &[A]);
    world.run(secs(300));
    let tracker = world.tracker(A);
    for _ in 0..3 {
        world.log.clear();
        let lost = world.now;
        world.lose(tracker, "closed");
        world.run(secs(3));
        let (at, _) = world
            .log
            .iter()
            .find(|(_, output)| matches!(output, Output::Connect { .. }))
            .expect("back");
        assert!(
            (millis(740)..=millis(1260)).contains(&(*at - lost)),
            "{:?}",
            *at - lost
        );
        let told: Vec<_> = world
            .announces()
            .iter()
            .map(|said| (said.info_hash, said.event))
            .collect();
        assert_eq!(told, [(torrent(1), Event::Started), (torrent(2), Event::Started)]);
        world.run(secs(100));
    }
}

#[test]
fn a_tracker_that_closes_every_socket_at_once_is_not_hammered() {
    let mut world = World::new();
    world.seed(torrent(1), &[A]);
    for _ in 0..600 {
        world.run(secs(1));
        let open: Vec<_> = world
            .sockets
            .iter()
            .filter(|(_, (_, open))| *open)
            .map(|(id, _)| *id)
            .collect();
        for tracker in open {
            world.lose(tracker, "closed");
        }
    }
    assert!(attempts(&world, A).len() <= 12, "{:?}", attempts(&world, A));
}

#[test]
fn an_address_that_swallows_everything_is_given_up_after_30_seconds() {
    let mut world = World::new();
    world.script(A).latency = secs(1_000_000);
    world.leech(torrent(1), &[A]);
    world.run(secs(29));
    assert_eq!(world.status(torrent(1), A).state, TrackerState::Connecting);
    world.run(secs(2));
    assert!(
        matches!(world.status(torrent(1), A).state, TrackerState::Waiting { .. })
            || attempts(&world, A).len() == 2
    );
    assert!(
        world
            .outputs()
            .any(|output| matches!(output, Output::Disconnect { .. }))
    );
}

#[test]
fn a_tracker_that_replies_no_more_is_connected_again() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.run(secs(200));
    world.script(A).replies = false;
    world.run(secs(200));
    let told: Vec<_> = world.announces().iter().map(|said| said.event).collect();
    assert_eq!(&told[..3], [Event::Started, Event::Update, Event::Update]);
    assert_eq!(told[3], Event::Started, "on a new socket");
}

#[test]
fn any_message_shows_that_a_tracker_is_alive() {
    let mut world = World::new();
    world.script(A).replies = false;
    world.seed(torrent(1), &[A]);
    world.run(secs(1));
    for _ in 0..10 {
        world.run(secs(50));
        world.tell(A, &offer_from(torrent(1), ME, 1));
    }
    assert_eq!(attempts(&world, A).len(), 1);
}

#[test]
fn one_socket_carries_all_torrents_of_a_tracker() {
    let mut world = World::new();
    for number in 0..20 {
        world.leech(
            torrent(number),
            &[A, "wss://A.example/announce", " WSS://a.example/announce#top "],
        );
    }
    world.run(secs(10));
    assert_eq!(attempts(&world, A).len(), 1);
    assert_eq!(world.client.trackers(torrent(3)).count(), 1);
}

#[test]
fn addresses_are_used_only_if_they_are_websockets_and_two_spellings_are_one() {
    let table = [
        ("wss://t.example", Some("wss://t.example")),
        ("wss://t.example/", Some("wss://t.example")),
        (
            "WS://T.Example:8000/Announce?Key=A",
            Some("ws://t.example:8000/Announce?Key=A"),
        ),
        ("ws://t.example/a/", Some("ws://t.example/a/")),
        ("ws://t.example?key=/", Some("ws://t.example?key=/")),
        ("wss://t.example/#x", Some("wss://t.example")),
        ("udp://t.example:80", None),
        ("https://t.example/announce", None),
        ("javascript:alert(1)", None),
        ("wss:/t.example", None),
        ("wss://", None),
        ("wss:///announce", None),
        ("", None),
    ];
    for (url, expected) in table {
        assert_eq!(websocket_url(url).as_deref(), expected, "{url}");
    }
    assert_eq!(websocket_url(&format!("ws://{}", "x".repeat(3000))), None);
}

#[test]
fn a_torrent_without_usable_trackers_does_nothing() {
    let mut world = World::new();
    world.leech(torrent(1), &["udp://t.example:80", "https://t.example/announce"]);
    assert_eq!(world.perform(), None);
    assert_eq!(world.log, []);
}

#[test]
fn a_link_with_a_thousand_trackers_opens_ten_sockets() {
    let mut world = World::new();
    let urls: Vec<_> = (0..1000)
        .map(|number| format!("wss://t{number}.example"))
        .collect();
    world.leech(torrent(1), &urls.iter().map(String::as_str).collect::<Vec<_>>());
    world.run(secs(1));
    assert_eq!(world.sockets.len(), 10);
}

#[test]
fn a_hundred_torrents_with_trackers_of_their_own_open_fifty_sockets() {
    let mut world = World::new();
    for number in 0..100 {
        world.leech(torrent(number), &[&format!("wss://t{number}.example"), A]);
    }
    world.run(secs(1));
    assert_eq!(world.sockets.len(), 50);
    assert!(
        world.client.trackers(torrent(99)).any(|status| status.url == A),
        "the one that is there is shared"
    );
}

#[test]
fn trackers_that_are_added_later_are_announced_to() {
    let mut world = World::new();
    world.seed(torrent(1), &[A]);
    world.run(secs(10));
    world.new_announces();
    world
        .client
        .add_torrent(world.now, torrent(1), &[A.to_owned(), B.to_owned()]);
    world.run(secs(10));
    let told: Vec<_> = world
        .announces()
        .iter()
        .map(|said| (said.event, said.left))
        .collect();
    assert_eq!(told, [(Event::Started, Left::Complete)]);
}

#[test]
fn a_failure_is_a_warning_and_the_schedule_goes_on() {
    let mut world = World::new();
    world.script(A).replies = false;
    world.seed(torrent(1), &[A]);
    world.run(secs(1));
    let failure = |info_hash| TrackerMessage::Failure {
        action: None,
        info_hash,
        reason: "not today".into(),
    };
    world.tell(A, &failure(None).to_json());
    assert_eq!(world.status(torrent(1), A).warning, Some("not today"));
    let long = TrackerMessage::Failure {
        action: None,
        info_hash: Some(torrent(1)),
        reason: "é".repeat(9000).into(),
    };
    world.tell(A, &long.to_json());
    assert!(world.status(torrent(1), A).warning.expect("it is shown").len() <= 300);
    world.script(A).replies = true;
    world.run(secs(250));
    assert_eq!(world.announces().len(), 3);
    assert_eq!(
        world.status(torrent(1), A).warning,
        None,
        "replies have come since"
    );
    assert_eq!(world.status(torrent(1), A).state, TrackerState::Connected);
}

#[test]
fn a_refused_announce_is_not_followed_by_more_offers() {
    let mut world = World::new();
    world.script(A).replies = false;
    world.leech(torrent(1), &[A]);
    world.run(millis(200));
    let reason = "not here".into();
    let failure = TrackerMessage::Failure {
        action: None,
        info_hash: Some(torrent(1)),
        reason,
    };
    world.tell(A, &failure.to_json());
    world.run(secs(40));
    assert_eq!(world.announces().len(), 1);
    // Perhaps it was not this announce that was refused: the offer that was sent can still be answered.
    assert_eq!(world.connections.len(), 1);
}

#[test]
fn a_warning_is_shown_until_a_reply_comes_without_one() {
    let mut world = World::new();
    world.seed(torrent(1), &[A]);
    world.run(secs(1));
    let reply = |warning: Option<&'static str>| TrackerMessage::Announced {
        info_hash: torrent(1),
        complete: Some(3),
        incomplete: None,
        interval: None,
        tracker_id: None,
        warning: warning.map(Into::into),
    };
    world.tell(A, &reply(Some("moving soon")).to_json());
    assert_eq!(world.status(torrent(1), A).warning, Some("moving soon"));
    assert_eq!(world.status(torrent(1), A).seeders, Some(3));
    world.tell(A, &reply(None).to_json());
    assert_eq!(world.status(torrent(1), A).warning, None);
}

#[test]
fn messages_that_can_not_be_understood_change_nothing_but_the_warning() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    world.log.clear();
    let giant = offer_from(torrent(1), peer(1), 1).replace("their offer", &"x".repeat(200_000));
    for text in [
        "",
        "pong",
        "[]",
        r#"{"action":"ping"}"#,
        r#"{"action":"announce"}"#,
        &giant,
    ] {
        world.tell(A, text);
        world.run(millis(10));
    }
    assert_eq!(world.log, []);
    let warning = world.status(torrent(1), A).warning.expect("it is shown");
    assert!(
        warning.contains("200") && warning.contains("too long"),
        "{warning}"
    );
}

#[test]
fn a_flood_of_replies_causes_no_flood_of_announces() {
    let mut world = World::new();
    world.script(A).replies = false;
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    for round in 0..500 {
        let reply = TrackerMessage::Announced {
            info_hash: torrent(1),
            complete: Some(round % 7),
            incomplete: Some(round % 11),
            interval: Some(1800),
            tracker_id: None,
            warning: None,
        };
        world.tell(A, &reply.to_json());
        world.run(millis(10));
    }
    assert!(world.announces().len() <= 6, "{}", world.announces().len());
    assert!(world.created() <= 20, "{}", world.created());
}

#[test]
fn what_comes_from_a_socket_that_is_not_open_is_ignored() {
    let mut world = World::new();
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    let tracker = world.tracker(A);
    world.lose(tracker, "closed");
    world
        .client
        .handle_message(world.now, tracker, &offer_from(torrent(1), peer(1), 1));
    world.client.handle_connected(world.now, TrackerId(99));
    world.client.handle_message(world.now, TrackerId(99), "{}");
    world
        .client
        .handle_disconnected(world.now, TrackerId(99), "what?");
    world.log.clear();
    world.run(millis(10));
    assert_eq!(world.accepted(), 0);
}
