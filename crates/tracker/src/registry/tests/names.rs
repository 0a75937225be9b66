//! One name on several sockets, one socket with several names.

use super::*;

#[test]
fn another_name_on_the_same_socket_leaves_no_ghost() {
    let world = World::new();
    let mut peer = world.leecher(1);
    peer.name = PeerId::new([99; 20]);
    world.announce(&mut peer, Event::Update, false, &[]);
    assert_eq!(world.counts(), (0, 1, 0));
    world.leave(peer);
    assert_eq!(world.counts(), (0, 0, 0));
}

#[test]
fn who_reconnects_while_the_old_socket_lingers_works_at_once() {
    let world = World::new();
    let old = world.leecher(1);
    let mut other = world.leecher(2);
    let mut new = World::connect(3, 1);
    let announced = world.announce(&mut new, Event::Started, false, &[7]);
    assert_eq!(
        announced.doubted,
        Some(old.session.link.clone()),
        "the old socket is asked for a sign of life"
    );
    assert_eq!(
        announced.receivers,
        [other.session.link.clone()],
        "its offers are relayed, not to its own name"
    );
    assert_eq!(
        (announced.counts.complete, announced.counts.incomplete),
        (0, 2),
        "it is counted once"
    );
    assert_eq!(
        world.answer(&other, &new, 7),
        Some(3),
        "and so are the answers to them"
    );

    doubt(&old, true);
    assert_eq!(
        world.offer(&mut other, false, &[1]),
        [3],
        "offers go to it while the old socket does not answer"
    );
    assert_eq!(world.answer(&new, &other, 1), Some(2));

    world.leave(old);
    assert_eq!(world.offer(&mut other, false, &[2]), [3]);
    assert_eq!(world.counts(), (0, 2, 0));
}

#[test]
fn a_stranger_with_the_name_of_a_live_peer_takes_nothing_from_it() {
    let world = World::new();
    let mut victim = world.leecher(1);
    let mut other = world.leecher(2);
    let mut stranger = World::connect(3, 1);
    world.announce(&mut stranger, Event::Started, true, &[]);
    assert_eq!(
        world.counts(),
        (0, 2, 0),
        "what it says of itself does not change what the victim is"
    );

    for _ in 0..10 {
        assert_eq!(
            world.offer(&mut other, false, &[1]),
            [1],
            "offers still go to the victim"
        );
        assert_eq!(
            world.answer(&stranger, &other, 1),
            None,
            "and the stranger can't answer them"
        );
        assert_eq!(world.answer(&victim, &other, 1), Some(2));
    }
    assert_eq!(world.offer(&mut victim, false, &[2]), [2]);
    assert_eq!(
        world.answer(&other, &victim, 2),
        Some(1),
        "answers to the victim reach the victim"
    );

    world.announce(&mut stranger, Event::Stopped, false, &[]);
    assert_eq!(
        world.offer(&mut other, false, &[3]),
        [1],
        "the stranger can't stop it"
    );
    world.announce(&mut stranger, Event::Started, false, &[]);
    world.leave(stranger);
    assert_eq!(
        world.offer(&mut other, false, &[4]),
        [1],
        "and takes nobody along when it leaves"
    );
    assert_eq!(world.counts(), (0, 2, 0));
}

#[test]
fn surplus_offers_go_to_the_newcomer_with_a_known_name() {
    let world = World::new();
    let _old = world.leecher(1);
    let mut other = world.leecher(2);
    let mut new = World::connect(3, 1);
    world.announce(&mut new, Event::Started, false, &[]);
    assert_eq!(world.offer(&mut other, false, &[1, 2, 3]), [1, 3]);
    assert_eq!(world.answer(&new, &other, 2), Some(2));
}

#[test]
fn a_peer_that_is_asked_already_is_not_asked_again() {
    let world = World::new();
    let old = world.leecher(1);
    doubt(&old, true);
    let mut new = World::connect(2, 1);
    assert_eq!(world.announce(&mut new, Event::Started, false, &[]).doubted, None);
    doubt(&old, false);
    assert_eq!(
        world.announce(&mut new, Event::Update, false, &[]).doubted,
        None,
        "nor by one that is known"
    );
}

#[test]
fn many_newcomers_with_one_name_push_out_each_other_but_not_the_first() {
    let world = World::new();
    let _victim = world.leecher(1);
    let mut other = world.leecher(2);
    let mut crowd: Vec<_> = (3..=20).map(|number| World::connect(number, 1)).collect();
    for stranger in &mut crowd {
        world.announce(stranger, Event::Started, false, &[]);
    }
    assert_eq!(
        world.offer(&mut other, false, &[1, 2, 3, 4, 5, 6, 7]),
        [1, 17, 18, 19, 20]
    );
    for stranger in crowd {
        world.leave(stranger);
    }
    assert_eq!(world.counts(), (0, 2, 0));
}
