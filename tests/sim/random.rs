//! Swarms of all kinds: whatever happens, everybody who stays gets everything.

use core::cell::Cell;
use core::time::Duration;
use fastrand::Rng;

use crate::scenario::{Has, Meeting, Scenario, Trouble};
use crate::script::Conduct;
use crate::web_server::Manner;
use crate::with_many_seeds;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Links break and fall silent, members pause, end, start again and lose what they stored.
const EVERYTHING: Trouble = Trouble {
    cuts: 5_000,
    deaths: 500,
    pauses: 10_000,
    restarts: 20_000,
    losses: 10_000,
    outages: 5_000,
    failures: 10,
    storms: None,
};

/// For swarms in which some things take minutes.
const LONG: Duration = Duration::from_mins(40);

#[test]
fn whoever_stays_gets_everything() {
    with_many_seeds(|seed| drop(Scenario::random(seed).run()));
}

#[test]
fn whoever_stays_gets_everything_over_links_that_break() {
    with_many_seeds(|seed| {
        let trouble = Trouble {
            cuts: 50_000,
            deaths: 2_000,
            ..Trouble::default()
        };
        let scenario = Scenario::random(seed).with(trouble);
        drop(
            Scenario {
                limit: LONG,
                ..scenario
            }
            .run(),
        );
    });
}

#[test]
fn whoever_stays_gets_everything_though_everybody_keeps_reloading() {
    with_many_seeds(|seed| {
        let trouble = Trouble {
            cuts: 5_000,
            pauses: 20_000,
            restarts: 50_000,
            losses: 20_000,
            ..Trouble::default()
        };
        drop(Scenario::random(seed).with(trouble).run());
    });
}

#[test]
fn whoever_stays_gets_everything_among_those_who_mean_harm() {
    with_many_seeds(|seed| {
        let mut rng = Rng::with_seed(seed);
        let hostile = (0..rng.usize(1..5))
            .map(|_| Conduct::ALL[rng.usize(..Conduct::ALL.len())])
            .collect();
        let scenario = Scenario::random(seed);
        drop(Scenario { hostile, ..scenario }.run());
    });
}

#[test]
fn whoever_stays_gets_everything_while_some_watch_it() {
    with_many_seeds(|seed| {
        let mut rng = Rng::with_seed(seed);
        let mut scenario = Scenario::random(seed);
        for member in &mut scenario.members {
            member.reads = (rng.u8(..3) > 0).then(|| rng.u64(1_000..200_000));
        }
        let trouble = Trouble {
            cuts: 5_000,
            losses: 10_000,
            ..Trouble::default()
        };
        drop(scenario.with(trouble).run());
    });
}

#[test]
fn whoever_stays_gets_everything_where_peers_name_each_other() {
    let met = Cell::new(0);
    with_many_seeds(|seed| {
        let mut rng = Rng::with_seed(seed);
        let scenario = Scenario {
            meeting: Meeting::Exchanged,
            hostile: [vec![], vec![Conduct::Gossip]][rng.usize(..2)].clone(),
            limit: LONG,
            ..Scenario::random(seed)
        };
        let trouble = Trouble {
            cuts: 2_000,
            restarts: 2_000,
            ..Trouble::default()
        };
        met.set(met.get() + scenario.with(trouble).run().met);
    });
    assert_some(met.get(), "named");
}

#[test]
fn whoever_stays_gets_everything_beside_web_seeds() {
    with_many_seeds(|seed| {
        let mut rng = Rng::with_seed(seed);
        let manners = [
            Manner::Well,
            Manner::Failing(2),
            Manner::Short,
            Manner::Wrong,
            Manner::Silent,
            Manner::Useless,
        ];
        let mut server = |manner| (manner, 2_000 << rng.u32(..10));
        let mut servers = vec![server(Manner::Well)];
        servers.extend(manners.map(server));
        rng.shuffle(&mut servers[1..]);
        servers.truncate(rng.usize(1..4));
        let mut scenario = Scenario::random(seed);
        if rng.bool() {
            // Nobody has it but the server.
            for member in &mut scenario.members {
                member.has = if member.has == Has::Everything {
                    Has::Metadata
                } else {
                    member.has
                };
            }
        }
        let trouble = Trouble {
            cuts: 5_000,
            pauses: 5_000,
            restarts: 5_000,
            losses: 5_000,
            ..Trouble::default()
        };
        drop(
            Scenario {
                servers,
                limit: LONG,
                ..scenario
            }
            .with(trouble)
            .run(),
        );
    });
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn whoever_stays_gets_everything_where_a_tracker_introduces_them() {
    let met = Cell::new(0);
    with_many_seeds(|seed| {
        let mut rng = Rng::with_seed(seed);
        let conducts = [vec![], vec![Conduct::ALL[rng.usize(..Conduct::ALL.len())]]];
        let scenario = Scenario {
            meeting: Meeting::Introduced,
            hostile: conducts[rng.usize(..2)].clone(),
            limit: LONG,
            ..Scenario::random(seed)
        };
        let trouble = if rng.bool() {
            EVERYTHING
        } else {
            Trouble::default()
        };
        met.set(met.get() + scenario.with(trouble).run().met);
    });
    assert_some(met.get(), "introduced");
}

/// In one run alone there may be nobody to meet.
fn assert_some(met: usize, how: &str) {
    assert!(
        met > 0 || crate::number("CAUSEWAY_SEED").is_some(),
        "somebody was {how}"
    );
}
