//! Whatever happens, in whatever order: the world checks every effect, the client its invariants.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Something that a user, a tracker, a peer or a network does.
#[derive(Clone, Debug)]
enum Deed {
    Add {
        number: u8,
        both: bool,
        progress: Progress,
    },
    Update {
        number: u8,
        progress: Progress,
    },
    Announce {
        number: u8,
        event: Event,
    },
    Remove {
        number: u8,
    },
    Pass {
        time: Duration,
    },
    Behave {
        url: &'static str,
        up: bool,
        replies: bool,
        interval: u32,
        counts: (u32, u32),
    },
    Answering {
        url: &'static str,
        peers: Vec<u8>,
    },
    Offer {
        url: &'static str,
        number: u8,
        peer: u8,
        offer: u8,
    },
    Answer {
        url: &'static str,
        number: u8,
        peer: u8,
        offer: Index,
    },
    Say {
        url: &'static str,
        text: String,
    },
    Lose {
        which: Index,
    },
    Fail {
        which: Index,
    },
    /// Reports that nobody asked for.
    Rave {
        which: Index,
        stranger: u32,
    },
    Browser {
        gathering: Option<u64>,
        opening: bool,
    },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let number = || 0..4_u8;
    let url = || select(vec![A, B]);
    let progress = || {
        let left = select(vec![None, Some(0), Some(1000)]);
        (left, 0..8_usize).prop_map(|(left, wanted_peers)| Progress {
            left,
            wanted_peers,
            ..Progress::default()
        })
    };
    let event = select(vec![
        Event::Update,
        Event::Started,
        Event::Completed,
        Event::Stopped,
        Event::Paused,
    ]);
    let text = prop_oneof![
        any::<String>(),
        Just(r#"{"action":"announce","failure reason":"no"}"#.to_owned())
    ];
    let deed = prop_oneof![
        3 => (number(), any::<bool>(), progress())
            .prop_map(|(number, both, progress)| Deed::Add { number, both, progress }),
        2 => (number(), progress()).prop_map(|(number, progress)| Deed::Update { number, progress }),
        2 => (number(), event).prop_map(|(number, event)| Deed::Announce { number, event }),
        1 => number().prop_map(|number| Deed::Remove { number }),
        6 => (0..200_000_u64).prop_map(|time| Deed::Pass { time: millis(time) }),
        6 => (0..400_u64).prop_map(|time| Deed::Pass { time: millis(time) }),
        2 => (url(), any::<bool>(), any::<bool>(), 0..200_u32, (0..9_u32, 0..9_u32)).prop_map(
            |(url, up, replies, interval, counts)| Deed::Behave { url, up, replies, interval, counts }
        ),
        2 => (url(), vec(0..6_u8, 0..6)).prop_map(|(url, peers)| Deed::Answering { url, peers }),
        4 => (url(), number(), 0..6_u8, any::<u8>())
            .prop_map(|(url, number, peer, offer)| Deed::Offer { url, number, peer, offer }),
        2 => (url(), number(), 0..6_u8, any::<Index>())
            .prop_map(|(url, number, peer, offer)| Deed::Answer { url, number, peer, offer }),
        1 => (url(), text).prop_map(|(url, text)| Deed::Say { url, text }),
        1 => any::<Index>().prop_map(|which| Deed::Lose { which }),
        2 => any::<Index>().prop_map(|which| Deed::Fail { which }),
        1 => (any::<Index>(), any::<u32>()).prop_map(|(which, stranger)| Deed::Rave { which, stranger }),
        1 => (prop::option::of(0..12_000_u64), any::<bool>())
            .prop_map(|(gathering, opening)| Deed::Browser { gathering, opening }),
    ];
    vec(deed, 1..60)
}

fn do_it(world: &mut World, deed: Deed) {
    let now = world.now;
    match deed {
        Deed::Add {
            number,
            both,
            progress,
        } => {
            world.add(torrent(number), if both { &[A, B] } else { &[A] }, progress);
        }
        Deed::Update { number, progress } => world.client.update(torrent(number), progress),
        Deed::Announce { number, event } => world.announce(torrent(number), event),
        Deed::Remove { number } => world.client.remove_torrent(now, torrent(number)),
        Deed::Pass { time } => world.run(time),
        Deed::Behave {
            url,
            up,
            replies,
            interval,
            counts,
        } => {
            let script = world.script(url);
            *script = Script {
                up,
                replies,
                interval: Some(interval),
                counts,
                ..script.clone()
            };
        }
        Deed::Answering { url, peers } => {
            world.script(url).answering = peers.into_iter().map(peer).collect();
        }
        Deed::Offer {
            url,
            number,
            peer: from,
            offer,
        } => {
            tell_if_open(world, url, &offer_from(torrent(number), peer(from), offer));
        }
        Deed::Answer {
            url,
            number,
            peer: from,
            offer,
        } => {
            let offers: Vec<_> = world
                .announces()
                .into_iter()
                .flat_map(|said| said.offers)
                .collect();
            if !offers.is_empty() {
                tell_if_open(
                    world,
                    url,
                    &answer_from(torrent(number), peer(from), *offer.get(&offers)),
                );
            }
        }
        Deed::Say { url, text } => tell_if_open(world, url, &text),
        Deed::Lose { which } => {
            let sockets: Vec<_> = world.sockets.keys().copied().collect();
            if !sockets.is_empty() {
                world.lose(*which.get(&sockets), "lost");
            }
        }
        Deed::Fail { which } => {
            let connections: Vec<_> = world.connections.keys().copied().collect();
            if !connections.is_empty() {
                world.fail(*which.get(&connections));
            }
        }
        Deed::Rave { which, stranger } => {
            let connections: Vec<_> = world.connections.keys().copied().collect();
            let known = (!connections.is_empty()).then(|| *which.get(&connections));
            for connection in known.into_iter().chain([ConnectionId(stranger)]) {
                world.client.handle_opened(now, connection);
                world.client.handle_answer(now, connection, "unasked");
                world.client.handle_offer(now, connection, "unasked");
            }
            let tracker = TrackerId(stranger);
            if !world.sockets.contains_key(&tracker) {
                world.client.handle_connected(now, tracker);
                world
                    .client
                    .handle_message(now, tracker, &offer_from(torrent(0), peer(1), 1));
                world.client.handle_disconnected(now, tracker, "unasked");
            }
        }
        Deed::Browser { gathering, opening } => {
            (world.gathering, world.opening) = (gathering.map(millis), opening);
        }
    }
}

fn tell_if_open(world: &mut World, url: &str, text: &str) {
    let open = world
        .sockets
        .iter()
        .find(|(_, (name, open))| name == url && *open);
    if let Some(tracker) = open.map(|(tracker, _)| *tracker) {
        world.client.handle_message(world.now, tracker, text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_that_happens_breaks_an_invariant_and_work_goes_on_when_it_can(deeds in deeds()) {
        let mut world = World::new();
        for deed in deeds {
            let before = world.log.len();
            let time = if let Deed::Pass { time } = deed { time } else { Duration::ZERO };
            do_it(&mut world, deed);
            world.perform();
            let bound = 150 + 60 * usize::try_from(time.as_secs()).expect("it is short");
            prop_assert!(world.log.len() - before <= bound, "{} effects", world.log.len() - before);
        }

        // All is well again: after the longest wait for a tracker every torrent that runs is announced again.
        for url in [A, B] {
            *world.script(url) = Script { interval: Some(60), counts: (1, 1), ..Script::default() };
        }
        (world.gathering, world.opening) = (Some(millis(100)), true);
        world.run(secs(800));
        let since = world.now;
        world.log.clear();
        world.run(secs(130));
        let running: Vec<_> =
            world.client.torrents.iter().filter(|(_, it)| it.running).map(|(hash, _)| *hash).collect();
        for info_hash in running {
            for status in world.client.trackers(info_hash) {
                prop_assert_eq!(status.state, TrackerState::Connected);
            }
            let said = world.announces().into_iter().filter(|said| said.info_hash == info_hash);
            prop_assert!(said.count() >= 2, "silent since {since:?}");
        }
    }
}
