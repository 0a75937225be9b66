//! A scenario while it happens.

use core::time::Duration;

use crate::node::{Node, Start};
use crate::scenario::{Has, Meeting, Member, Outcome, Scenario, Trouble};
use crate::script::Script;
use crate::web_server::WebServer;
use crate::world::World;
use causeway_core::Time;
use causeway_engine::{Command, Limits, Reader, Snapshot, State, Stored};

pub(crate) struct Run {
    scenario: Scenario,
    world: World,
    start: Time,
    present: Vec<Option<usize>>,
    done: Vec<Option<Duration>>,
    given: Vec<u64>,
    /// What had come to everybody together when last something came, and when that was.
    progress: (u64, Time),
    blocks: u64,
    tracker_is_back: Time,
}

impl Run {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut world = World::new(scenario.seed, scenario.shared());
        world.check_one_in = scenario.check_one_in;
        world.network = scenario.network.clone();
        if scenario.meeting == Meeting::Introduced {
            world.add_tracker(scenario.trouble.failures);
        }
        Self {
            start: world.now,
            progress: (0, world.now),
            tracker_is_back: world.now,
            world,
            present: scenario.members.iter().map(|_| None).collect(),
            done: scenario.members.iter().map(|_| None).collect(),
            given: scenario.members.iter().map(|_| 0).collect(),
            blocks: 0,
            scenario,
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        while !self.is_over() {
            self.second();
        }
        self.world.check_links();
        for number in 0..self.present.len() {
            if let Some(party) = self.present[number] {
                self.world.node(party).check_content();
                self.world.node(party).torrent.check_invariants();
                self.count(number, party);
            }
        }
        Outcome {
            done: self.done,
            given: self.given,
            met: self.world.met,
            blocks: self.blocks,
        }
    }

    fn is_over(&mut self) -> bool {
        let elapsed = self.world.now.since(self.start);
        let stays = |number: &usize| {
            let member = &self.scenario.members[*number];
            member.leaves.is_none() && member.leaves_after.is_none()
        };
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
            let party = self.present[number];
            let is_due = self.is_due(number, elapsed);
            match party {
                None if is_due => self.join(number),
                Some(party) if !is_due => {
                    self.count(number, party);
                    drop(self.world.end(party));
                    self.present[number] = None;
                }
                Some(party) => self.disturb(number, party),
                None => {}
            }
        }
        self.disturb_all(elapsed);
        for number in 0..self.present.len() {
            if let Some(party) = self.present[number] {
                self.meet(number, party);
            }
        }
        let end = self.world.now + Duration::from_secs(1);
        while self.world.step(end) {
            self.note();
        }
        self.world.run_for(end - self.world.now);
        self.world.check_links();
        self.world.check_tracker();
        self.check_progress();
    }

    /// Whether this member is to be there.
    fn is_due(&self, number: usize, elapsed: Duration) -> bool {
        let Member {
            joins,
            leaves,
            leaves_after,
            ..
        } = self.scenario.members[number];
        let gives = self.present[number].map(|party| self.world.node(party).torrent.stats().uploaded);
        let has_given = match (gives, leaves_after) {
            (Some(gives), Some(most)) => gives >= most,
            (None, Some(_)) => elapsed > joins,
            (_, None) => false,
        };
        joins <= elapsed && leaves.is_none_or(|leaves| elapsed < leaves) && !has_given
    }

    /// While somebody could give another what that lacks, something comes to somebody.
    fn check_progress(&mut self) {
        let mut sum = 0;
        for party in self.present.iter().flatten() {
            let torrent = &self.world.node(*party).torrent;
            sum += torrent.stats().downloaded + u64::from(torrent.info().is_some());
        }
        let now = self.world.now;
        if sum != self.progress.0 {
            self.progress = (sum, now);
        }
        if now.since(self.progress.1) < SILENCE {
            return;
        }
        let gives = |party| {
            let member = self.present.iter().position(|other| *other == Some(party));
            member.is_some_and(|number| !self.scenario.members[number].is_free_rider)
        };
        assert!(
            !self.world.could_go_on(SILENCE, gives),
            "for {SILENCE:?} nothing has come to anybody, though there is work: {:#?}\n{}",
            self.scenario,
            self.world.describe()
        );
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

    /// This program is about to end: what it has moved counts.
    fn count(&mut self, number: usize, party: usize) {
        let stats = self.world.node(party).torrent.stats();
        // After a restart it goes on with what it had.
        self.given[number] = stats.uploaded;
        self.blocks += self.world.node(party).blocks;
    }

    fn join(&mut self, number: usize) {
        let member = &self.scenario.members[number];
        let has = member.has;
        let start = match has {
            Has::Everything => Start::Seed,
            Has::Metadata => Start::Leech,
            Has::InfoHash => Start::Magnet,
        };
        let name = self.world.rng.u64(..);
        let party = self.world.add_named(start, name, self.is_classic());
        self.present[number] = Some(party);
        self.done[number] = (has == Has::Everything).then_some(Duration::ZERO);
        self.equip(number, party);
    }

    fn is_classic(&self) -> bool {
        self.scenario.meeting == Meeting::Exchanged
    }

    fn equip(&mut self, number: usize, party: usize) {
        let Member {
            up,
            down,
            is_free_rider,
            ..
        } = self.scenario.members[number];
        let node = self.world.node_mut(party);
        (node.up_rate, node.down_rate) = (up, down);
        let limits = Limits {
            peers: match self.scenario.meeting {
                Meeting::Named => 200,
                Meeting::Exchanged | Meeting::Introduced => {
                    2 * self.scenario.degree + self.scenario.hostile.len()
                }
            },
            upload_slots: if is_free_rider { 0 } else { 8 },
            ..Limits::default()
        };
        self.world.command(party, Command::SetLimits(limits));
        if self.scenario.members[number].super_seeds {
            self.world.command(party, Command::SuperSeed(true));
        }
        for (manner, rate) in self.scenario.servers.clone() {
            self.world.add_web_seed(party, WebServer::new(manner, rate));
        }
        for conduct in self.scenario.hostile.clone() {
            let script = self.world.add_script(Script::new(&self.world.shared, conduct));
            self.world.connect(party, script);
        }
        if self.scenario.meeting == Meeting::Introduced {
            self.world.enlist(party);
        }
    }

    /// Whether what happens to so many of a million happens now.
    fn happens(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.world.rng.u32(..1_000_000) < millionths
    }

    fn disturb(&mut self, number: usize, party: usize) {
        let Trouble {
            cuts,
            deaths,
            pauses,
            restarts,
            losses,
            ..
        } = self.scenario.trouble;
        for link in self.world.links_of(party) {
            if self.happens(cuts) {
                self.world.cut(link);
            } else if self.happens(deaths) {
                self.world.kill(link);
            }
        }
        if self.happens(pauses) {
            self.world.command(party, Command::Pause);
        } else if *self.world.node(party).torrent.state() == State::Paused {
            self.world.command(party, Command::Resume);
        }
        if self.scenario.members[number].has != Has::Everything && self.happens(losses) {
            self.lose_a_piece(party);
        }
        if let Some(rate) = self.scenario.members[number].reads {
            self.read(party, rate);
        }
        if self.happens(restarts) {
            self.restart(number, party);
        }
    }

    fn disturb_all(&mut self, elapsed: Duration) {
        let Trouble { outages, storms, .. } = self.scenario.trouble;
        if storms.is_some_and(|every| elapsed.as_secs() % every == every - 1) {
            for number in 0..self.present.len() {
                if let Some(party) = self.present[number].filter(|_| self.world.rng.bool()) {
                    self.restart(number, party);
                }
            }
        }
        if self.happens(outages) {
            self.world.set_tracker_down(true);
            self.tracker_is_back = self.world.now + Duration::from_secs(self.world.rng.u64(1..60));
        } else if self.world.now >= self.tracker_is_back {
            self.world.set_tracker_down(false);
        }
    }

    /// Only what it has told others that it has, and what does not end the scenario.
    fn lose_a_piece(&mut self, party: usize) {
        let node: &Node = self.world.node(party);
        let Some(have) = node.torrent.have().filter(|have| !have.is_all()) else {
            return;
        };
        let pieces: Vec<_> = have.iter_ones().collect();
        let geometry = self.world.shared.info.geometry();
        if let Some(piece) = self
            .world
            .rng
            .choice(pieces)
            .and_then(|piece| geometry.piece(piece))
        {
            self.world.lose(party, piece);
        }
    }

    /// Somebody watches: mostly goes on, sometimes looks elsewhere, sometimes stops.
    fn read(&mut self, party: usize, rate: u64) {
        let end = self.scenario.length as u64;
        let position = match (self.world.node(party).position, self.world.rng.u8(..20)) {
            (_, 0) => None,
            (None, _) | (_, 1) => Some(self.world.rng.u64(..end)),
            (Some(position), _) => Some(position + rate).filter(|position| *position < end),
        };
        self.world.node_mut(party).position = position;
        let reader = |position| Reader { position, end, rate };
        let readers = position.map(reader).into_iter().collect();
        self.world.command(party, Command::Stream(readers));
    }

    /// The program ends and starts again: what it had asked for is lost, what it stored is not.
    fn restart(&mut self, number: usize, party: usize) {
        // As it would lie on a disk.
        let info = self.world.shared.info.clone();
        let written = self.world.node(party).torrent.snapshot();
        let written = written.map(|snapshot| snapshot.to_bytes(&info));
        let name = self.world.node(party).name;
        self.blocks += self.world.node(party).blocks;
        let storage = self.world.end(party);
        let is_known = written.is_some();
        let stored = match written {
            // Sometimes the snapshot is lost, too.
            Some(bytes) if self.world.rng.u8(..4) > 0 => {
                Stored::Partly(Snapshot::from_bytes(&bytes, &info).expect("what was written is read"))
            }
            _ => Stored::Unknown,
        };
        // Who had no metadata stored nothing, and has none again.
        let had_nothing = !is_known && storage.is_empty();
        let start = if had_nothing && self.scenario.members[number].has == Has::InfoHash {
            Start::Magnet
        } else {
            Start::With(stored, storage)
        };
        let name = if self.world.rng.bool() {
            name
        } else {
            self.world.rng.u64(..)
        };
        let again = self.world.add_named(start, name, self.is_classic());
        self.present[number] = Some(again);
        self.equip(number, again);
    }

    /// What somebody who knows all does: names some others.
    fn meet(&mut self, number: usize, party: usize) {
        let degree = match self.scenario.meeting {
            Meeting::Named => self.scenario.degree,
            Meeting::Exchanged => 1,
            Meeting::Introduced => return,
        };
        let mut others: Vec<_> = (0..self.present.len()).filter(|other| *other != number).collect();
        self.world.rng.shuffle(&mut others);
        for other in others {
            if self.world.links_of(party).len() >= degree + self.scenario.hostile.len() {
                return;
            }
            let members = &self.scenario.members;
            let Some(there) =
                self.present[other].filter(|_| members[other].groups & members[number].groups != 0)
            else {
                continue;
            };
            let is_any_use = !self.world.node(party).is_complete() || !self.world.node(there).is_complete();
            if is_any_use && !self.world.are_linked(party, there) {
                self.world.connect(party, there);
            }
        }
    }
}

/// For so long it may be that nothing comes.
const SILENCE: Duration = Duration::from_mins(1);
