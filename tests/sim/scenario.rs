//! Swarms as data: who comes and goes when, with what, how fast, and what goes wrong on the way.

use core::ops::Range;
use core::time::Duration;
use fastrand::Rng;

use crate::node::{Shared, Start};
use crate::script::{Conduct, Script};
use crate::world::World;
use causeway_core::Time;
use causeway_engine::{Command, Limits, Stored};

/// A swarm.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) length: usize,
    pub(crate) piece_length: u32,
    pub(crate) members: Vec<Member>,
    /// Everybody who joins meets one of each of these.
    pub(crate) hostile: Vec<Conduct>,
    /// So many links each member looks for.
    pub(crate) degree: usize,
    pub(crate) trouble: Trouble,
    /// Everybody who stays must have everything by then.
    pub(crate) limit: Duration,
    /// See [`World::check_one_in`].
    pub(crate) check_one_in: u32,
}

/// One who means well.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) has: Has,
    /// Bytes a second.
    pub(crate) up: u64,
    /// Bytes a second.
    pub(crate) down: u64,
    pub(crate) joins: Duration,
    pub(crate) leaves: Option<Duration>,
    /// Gives nothing.
    pub(crate) is_free_rider: bool,
}

/// What a member starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    Everything,
    Metadata,
    InfoHash,
}

/// What happens each second, in thousandths of the links or members that it may happen to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// A link breaks.
    pub(crate) cuts: u32,
    /// A member is paused, or goes on.
    pub(crate) pauses: u32,
    /// A member's program ends and starts again with what it stored.
    pub(crate) restarts: u32,
}

impl Member {
    /// One that is there from start to end.
    pub(crate) fn new(has: Has, up: u64, down: u64) -> Self {
        Self {
            has,
            up,
            down,
            joins: Duration::ZERO,
            leaves: None,
            is_free_rider: false,
        }
    }
}

impl Scenario {
    /// A small swarm, with so many of everything as chance says, and a seed that stays.
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let piece_length = 16_384 << rng.u32(..4);
        let length = rng.usize(1..1_500_000);
        let rate = |rng: &mut Rng, range: Range<u32>| 1000 << rng.u32(range);
        let mut members = vec![Member::new(
            Has::Everything,
            rate(&mut rng, 7..13),
            rate(&mut rng, 10..16),
        )];
        for _ in 0..rng.usize(1..12) {
            let has = [Has::Everything, Has::Metadata, Has::Metadata, Has::InfoHash][rng.usize(..4)];
            members.push(Member {
                joins: Duration::from_millis(rng.u64(..20_000)),
                leaves: (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(..60_000))),
                is_free_rider: rng.u8(..6) == 0,
                ..Member::new(has, rate(&mut rng, 4..12), rate(&mut rng, 6..14))
            });
        }
        Self {
            seed,
            length,
            piece_length,
            members,
            hostile: Vec::new(),
            degree: rng.usize(2..8),
            trouble: Trouble::default(),
            limit: Duration::from_mins(10),
            check_one_in: 32,
        }
    }

    /// Lets it happen. Gives back the world, and for each member its number there and when it had everything.
    pub(crate) fn run(self) -> Outcome {
        let mut world = World::new(self.seed, Shared::file(self.length, self.piece_length));
        world.check_one_in = self.check_one_in;
        let mut run = Run {
            start: world.now,
            world,
            present: self.members.iter().map(|_| None).collect(),
            done: self.members.iter().map(|_| None).collect(),
            scenario: self,
        };
        while !run.is_over() {
            run.second();
        }
        run.world.check_links();
        for party in run.present.iter().flatten() {
            run.world.node(*party).check_content();
            run.world.node(*party).torrent.check_invariants();
        }
        Outcome { done: run.done }
    }
}

/// What became of a scenario.
pub(crate) struct Outcome {
    /// How long each member took from its joining on.
    pub(crate) done: Vec<Option<Duration>>,
}

struct Run {
    scenario: Scenario,
    world: World,
    start: Time,
    present: Vec<Option<usize>>,
    done: Vec<Option<Duration>>,
}

impl Run {
    fn is_over(&mut self) -> bool {
        let elapsed = self.world.now.since(self.start);
        let stays = |number: &usize| self.scenario.members[*number].leaves.is_none();
        let waiting: Vec<_> = (0..self.present.len())
            .filter(stays)
            .filter(|number| self.done[*number].is_none())
            .collect();
        assert!(
            waiting.is_empty() || elapsed < self.scenario.limit,
            "after {elapsed:?} these have not got everything: {waiting:?} of {:#?}\n{}",
            self.scenario,
            self.world.describe()
        );
        waiting.is_empty()
    }

    /// Everything that is to happen in a second, and the second itself.
    fn second(&mut self) {
        let elapsed = self.world.now.since(self.start);
        for number in 0..self.present.len() {
            let Member { joins, leaves, .. } = self.scenario.members[number];
            let is_due = joins <= elapsed && leaves.is_none_or(|leaves| elapsed < leaves);
            match self.present[number] {
                None if is_due => self.join(number),
                Some(party) if !is_due => {
                    drop(self.world.end(party));
                    self.present[number] = None;
                }
                Some(party) => self.disturb(number, party),
                None => {}
            }
        }
        for number in 0..self.present.len() {
            if let Some(party) = self.present[number] {
                self.meet(party);
            }
        }
        let end = self.world.now + Duration::from_secs(1);
        while self.world.step(end) {
            self.note();
        }
        self.world.run_for(end - self.world.now);
        self.world.check_links();
    }

    /// Notes who has got everything.
    fn note(&mut self) {
        let Some(changed) = self.world.take_verified() else {
            return;
        };
        let number = self.present.iter().position(|party| *party == Some(changed));
        if let Some(number) = number.filter(|_| self.world.node(changed).is_complete()) {
            let joined = self.start + self.scenario.members[number].joins;
            self.done[number].get_or_insert(self.world.now.since(joined));
        }
    }

    fn join(&mut self, number: usize) {
        let member = &self.scenario.members[number];
        let (has, is_free_rider, up, down) = (member.has, member.is_free_rider, member.up, member.down);
        let start = match has {
            Has::Everything => Start::Seed,
            Has::Metadata => Start::Leech,
            Has::InfoHash => Start::Magnet,
        };
        let party = self.world.add(start);
        self.present[number] = Some(party);
        self.done[number] = (has == Has::Everything).then_some(Duration::ZERO);
        self.equip(party, up, down, is_free_rider);
    }

    fn equip(&mut self, party: usize, up: u64, down: u64, is_free_rider: bool) {
        let node = self.world.node_mut(party);
        (node.up_rate, node.down_rate) = (up, down);
        let limits = Limits {
            peers: 200,
            upload_slots: if is_free_rider { 0 } else { 8 },
            ..Limits::default()
        };
        self.world.command(party, Command::SetLimits(limits));
        for conduct in self.scenario.hostile.clone() {
            let script = self.world.add_script(Script::new(&self.world.shared, conduct));
            self.world.connect(party, script);
        }
    }

    fn disturb(&mut self, number: usize, party: usize) {
        let Trouble {
            cuts,
            pauses,
            restarts,
        } = self.scenario.trouble;
        for link in self.world.links_of(party) {
            if self.world.rng.u32(..1000) < cuts {
                self.world.cut(link);
            }
        }
        if self.world.rng.u32(..1000) < pauses {
            self.world.command(party, Command::Pause);
        } else {
            self.world.command(party, Command::Resume);
        }
        if self.world.rng.u32(..1000) < restarts {
            self.restart(number, party);
        }
    }

    /// The program ends and starts again: what it had asked for is lost, what it stored is not.
    fn restart(&mut self, number: usize, party: usize) {
        let snapshot = self.world.node(party).torrent.snapshot();
        let storage = self.world.end(party);
        let stored = match snapshot {
            // Sometimes the snapshot is lost, too.
            Some(snapshot) if self.world.rng.u8(..4) > 0 => Stored::Partly(snapshot),
            _ => Stored::Unknown,
        };
        let again = self.world.add(Start::With(stored, storage));
        self.present[number] = Some(again);
        let member = &self.scenario.members[number];
        let (up, down, is_free_rider) = (member.up, member.down, member.is_free_rider);
        self.equip(again, up, down, is_free_rider);
    }

    /// What a tracker does: names some others.
    fn meet(&mut self, party: usize) {
        let mut others: Vec<_> = self.present.iter().flatten().copied().collect();
        self.world.rng.shuffle(&mut others);
        for other in others {
            if self.world.links_of(party).len() >= self.scenario.degree + self.scenario.hostile.len() {
                return;
            }
            let is_any_use = !self.world.node(party).is_complete() || !self.world.node(other).is_complete();
            if other != party && is_any_use && !self.world.are_linked(party, other) {
                self.world.connect(party, other);
            }
        }
    }
}
