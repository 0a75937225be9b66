//! Offers and answers of other peers.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A leecher that has announced itself at `A`, where nobody else is.
fn waiting() -> World {
    let mut world = World::new();
    world.leech(torrent(1), &[A, B]);
    world.run(secs(5));
    assert_eq!(world.connections.len(), 0);
    world.log.clear();
    world
}

/// The peers to whom an answer was sent, and for which offer.
fn answered(world: &World) -> Vec<(PeerId, OfferId)> {
    let answer = |output: &Output| {
        let Output::Send { text, .. } = output else {
            return None;
        };
        let Ok(ClientMessage::Answer {
            to_peer_id, offer_id, ..
        }) = ClientMessage::parse(text)
        else {
            return None;
        };
        Some((to_peer_id, offer_id))
    };
    world.outputs().filter_map(answer).collect()
}

#[test]
fn an_offer_is_answered_by_the_tracker_that_brought_it() {
    let mut world = waiting();
    world.tell(B, &offer_from(torrent(1), peer(1), 9));
    world.run(secs(1));
    assert_eq!(answered(&world), [(peer(1), OfferId([9; 20]))]);
    let to_b = world.tracker(B);
    assert!(
        world
            .outputs()
            .any(|output| matches!(output, Output::Send { tracker, .. } if *tracker == to_b))
    );
    assert_eq!(world.connections.len(), 1);
}

#[test]
fn an_offer_of_a_peer_that_is_connected_or_about_to_be_is_ignored() {
    let mut world = waiting();
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.tell(B, &offer_from(torrent(1), peer(1), 1));
    world.tell(A, &offer_from(torrent(1), peer(1), 2));
    world.run(secs(5));
    world.tell(A, &offer_from(torrent(1), peer(1), 3));
    world.run(secs(5));
    assert_eq!((world.accepted(), world.connections.len()), (1, 1));
}

#[test]
fn a_peer_that_was_lost_may_offer_again() {
    let mut world = waiting();
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.run(secs(5));
    let connection = *world.connections.keys().next().expect("they are connected");
    world.fail(connection);
    world.tell(A, &offer_from(torrent(1), peer(1), 2));
    world.run(secs(5));
    assert_eq!((world.accepted(), world.connections.len()), (2, 1));
}

#[test]
fn one_peer_may_be_met_in_several_torrents() {
    let mut world = waiting();
    world.leech(torrent(2), &[A]);
    world.run(secs(5));
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.tell(A, &offer_from(torrent(2), peer(1), 1));
    world.run(secs(5));
    assert_eq!(world.accepted(), 2);
}

#[test]
fn our_own_peer_id_is_never_answered() {
    let mut world = waiting();
    world.tell(A, &offer_from(torrent(1), ME, 1));
    world.run(secs(5));
    assert_eq!(world.accepted(), 0);
}

#[test]
fn an_offer_for_a_torrent_that_is_unknown_or_paused_is_ignored() {
    let mut world = waiting();
    world.leech(torrent(2), &[A]);
    world.run(secs(5));
    world.announce(torrent(1), Event::Stopped);
    world.log.clear();
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.tell(A, &offer_from(torrent(7), peer(1), 1));
    world.run(secs(5));
    assert_eq!(world.accepted(), 0);
}

#[test]
fn offers_are_answered_as_long_as_peers_are_wanted_by_who_is_complete_too() {
    for (wanted_peers, accepted) in [(0, 0), (1, 1)] {
        let mut world = waiting();
        world.client.update(
            torrent(1),
            Progress {
                left: Some(0),
                wanted_peers,
                ..Progress::default()
            },
        );
        world.tell(A, &offer_from(torrent(1), peer(1), 1));
        world.run(secs(5));
        assert_eq!(world.accepted(), accepted);
    }
}

#[test]
fn a_flood_of_offers_is_bounded_for_a_torrent_and_in_all() {
    let mut world = waiting();
    world.opening = false;
    for number in 2..10 {
        world.leech(torrent(number), &[A]);
    }
    world.run(secs(5));
    for number in 1..10 {
        for stranger in 0..100 {
            world.tell(A, &offer_from(torrent(number), peer(stranger), stranger));
        }
        world.run(millis(1));
        let bound = (10 * usize::from(number)).min(20);
        assert_eq!(world.client.count(Connection::is_incoming), bound);
    }
    // Those that come to nothing make room.
    world.run(secs(40));
    assert_eq!(world.client.count(Connection::is_incoming), 0);
}

#[test]
fn a_torrent_with_all_the_connections_that_it_may_have_answers_no_more() {
    let mut world = World::with_config(Config {
        connections_per_torrent: 3,
        ..Config::new(ME)
    });
    world.seed(torrent(1), &[A]);
    for stranger in 1..20 {
        world.run(secs(1));
        world.tell(A, &offer_from(torrent(1), peer(stranger), stranger));
    }
    assert_eq!(world.connections.len(), 3);
}

#[test]
fn an_answer_whose_tracker_is_gone_closes_the_connection() {
    let mut world = waiting();
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.run(millis(10));
    let tracker = world.tracker(A);
    world.lose(tracker, "gone");
    world.run(secs(1));
    assert_eq!(answered(&world), []);
    assert_eq!(world.connections.len(), 0);
}

#[test]
fn an_answer_that_the_driver_never_makes_is_given_up() {
    let mut world = waiting();
    world.gathering = Some(secs(1_000_000));
    world.tell(A, &offer_from(torrent(1), peer(1), 1));
    world.run(secs(9));
    assert_eq!(world.connections.len(), 1);
    world.run(secs(2));
    assert_eq!(world.connections.len(), 0);
}

#[test]
fn an_answer_to_an_offer_that_is_not_ours_or_not_there_any_more_is_ignored() {
    let mut world = World::new();
    world.script(A).counts = (1, 1);
    world.leech(torrent(1), &[A]);
    world.leech(torrent(2), &[A]);
    world.run(secs(1));
    let announces = world.announces();
    let said = announces
        .iter()
        .find(|said| said.info_hash == torrent(1))
        .expect("it announced");
    let ours = said.offers[0];
    world.tell(A, &answer_from(torrent(1), peer(1), OfferId([0; 20])));
    world.tell(A, &answer_from(torrent(2), peer(1), ours));
    world.tell(A, &answer_from(torrent(1), ME, ours));
    world.run(secs(1));
    assert_eq!(world.completed(), 0);
    world.run(secs(60));
    world.tell(A, &answer_from(torrent(1), peer(1), ours));
    world.run(secs(1));
    assert_eq!(world.completed(), 0);
}

#[test]
fn a_second_answer_of_one_peer_costs_the_offer_and_no_second_connection() {
    let mut world = World::new();
    world.script(A).counts = (4, 1);
    world.script(A).answering = [peer(1), peer(1), peer(2)].into();
    world.leech(torrent(1), &[A]);
    world.run(secs(5));
    let (one, two) = (world.completed(), world.connections.len());
    assert_eq!(one, 2);
    // The fourth offer is still unanswered.
    assert_eq!(two, 3);
}

/// Two peers offer to each other at the same moment; returns our offer's connection and theirs.
fn crossed(me: PeerId, other: PeerId) -> (World, ConnectionId, ConnectionId) {
    let mut world = World::with_config(Config::new(me));
    world.opening = false;
    world.script(A).counts = (1, 1);
    world.leech(torrent(1), &[A]);
    world.run(secs(1));
    let ours = *world.connections.keys().next().expect("our offer is out");
    world.tell(A, &offer_from(torrent(1), other, 1));
    world.run(secs(1));
    let theirs = *world.connections.keys().last().expect("theirs is accepted");
    let named = world.announces()[0].offers[0];
    world.tell(A, &answer_from(torrent(1), other, named));
    world.run(millis(1));
    assert_eq!(
        (world.completed(), world.connections.len()),
        (1, 2),
        "both are dialed"
    );
    (world, ours, theirs)
}

#[test]
fn of_two_crossed_connections_the_one_that_the_larger_peer_id_offered_stays() {
    for (me, other, ours_stays) in [(1, 2, false), (2, 1, true)] {
        for ours_first in [true, false] {
            let (mut world, ours, theirs) = crossed(peer(me), peer(other));
            let (first, second) = if ours_first {
                (ours, theirs)
            } else {
                (theirs, ours)
            };
            for connection in [first, second] {
                if world.connections.contains_key(&connection) {
                    world.client.handle_opened(world.now, connection);
                    world.run(millis(1));
                }
            }
            let stays = if ours_stays { ours } else { theirs };
            assert_eq!(
                world.connections.keys().collect::<Vec<_>>(),
                [&stays],
                "{me} {ours_first}"
            );
        }
    }
}

#[test]
fn of_two_crossed_connections_the_only_one_that_opens_stays() {
    let (mut world, ours, theirs) = crossed(peer(1), peer(2));
    world.client.handle_opened(world.now, ours);
    world.fail(theirs);
    world.run(secs(60));
    assert!(world.connections.contains_key(&ours));
}
