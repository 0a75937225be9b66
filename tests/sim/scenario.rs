//! Swarms as data: who comes and goes when, with what, how fast, and what goes wrong on the way.

use core::ops::Range;
use core::time::Duration;
use fastrand::Rng;

use crate::node::Shared;
use crate::run::Run;
use crate::script::Conduct;
use crate::web_server::Manner;
use crate::world::Network;

/// A swarm.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) length: usize,
    pub(crate) piece_length: u32,
    pub(crate) members: Vec<Member>,
    pub(crate) meeting: Meeting,
    pub(crate) network: Network,
    /// Everybody who joins may fetch from one of each of these, at so many bytes a second.
    pub(crate) servers: Vec<(Manner, u64)>,
    /// Everybody who joins meets one of each of these.
    pub(crate) hostile: Vec<Conduct>,
    /// So many links each member looks for.
    pub(crate) degree: usize,
    pub(crate) trouble: Trouble,
    /// Everybody who stays must have everything by then.
    pub(crate) limit: Duration,
    /// See [`World::check_one_in`](crate::world::World::check_one_in).
    pub(crate) check_one_in: u32,
}

/// How members find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// Somebody who knows all names some of them to everybody, every second.
    Named,
    /// They have addresses, which they tell each other (BEP 11); who is alone is told of one other.
    Exchanged,
    /// A tracker introduces them, over sockets and with offers and answers.
    Introduced,
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
    /// Leaves once it has given so many bytes.
    pub(crate) leaves_after: Option<u64>,
    /// Gives nothing.
    pub(crate) is_free_rider: bool,
    /// Shows others one piece after the other (BEP 16), where it has everything.
    pub(crate) super_seeds: bool,
    /// Reads it while it comes, at so many bytes a second, here and there.
    pub(crate) reads: Option<u64>,
    /// Members of two of these groups meet each other only if one of them is in both.
    pub(crate) groups: u8,
}

/// What a member starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    Everything,
    Metadata,
    InfoHash,
}

/// What happens each second, in millionths of the links or members that it may happen to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// A link breaks.
    pub(crate) cuts: u32,
    /// Nothing gets through a link any more, and nobody is told.
    pub(crate) deaths: u32,
    /// A member is paused, or goes on.
    pub(crate) pauses: u32,
    /// A member's program ends and starts again with what it stored.
    pub(crate) restarts: u32,
    /// A member's storage loses a piece.
    pub(crate) losses: u32,
    /// The tracker is down for the next few seconds.
    pub(crate) outages: u32,
    /// Of a hundred introductions so many lead to nothing.
    pub(crate) failures: u32,
    /// Every so many seconds half of all programs end at once and start again.
    pub(crate) storms: Option<u64>,
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
            leaves_after: None,
            is_free_rider: false,
            super_seeds: false,
            reads: None,
            groups: 1,
        }
    }
}

impl Scenario {
    /// A calm swarm of these.
    pub(crate) fn new(seed: u64, length: usize, piece_length: u32, members: Vec<Member>) -> Self {
        Self {
            seed,
            length,
            piece_length,
            members,
            meeting: Meeting::Named,
            network: Network::default(),
            servers: Vec::new(),
            hostile: Vec::new(),
            degree: 8,
            trouble: Trouble::default(),
            limit: Duration::from_mins(10),
            check_one_in: 32,
        }
    }

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
        let network = Network {
            latency: [2..30, 1..2, 20..400][rng.usize(..3)].clone(),
            losses: [0, 0, 10, 100][rng.usize(..4)],
            buffer: [20_000, 64 * 1024, 256 * 1024][rng.usize(..3)],
        };
        members[0].super_seeds = rng.u8(..4) == 0;
        // After every single step in some, where that takes long enough for many.
        let check_one_in = if rng.u8(..8) == 0 { 1 } else { 32 };
        Self {
            degree: rng.usize(2..8),
            network,
            check_one_in,
            ..Self::new(seed, length, piece_length, members)
        }
    }

    /// The same swarm with this trouble.
    pub(crate) fn with(self, trouble: Trouble) -> Self {
        Self { trouble, ..self }
    }

    pub(crate) fn shared(&self) -> Shared {
        Shared::file(self.length, self.piece_length)
    }

    /// Lets it happen.
    pub(crate) fn run(self) -> Outcome {
        Run::new(self).run()
    }
}

/// What became of a scenario.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How long each member took from its joining on.
    pub(crate) done: Vec<Option<Duration>>,
    /// Payload bytes that each member has given.
    pub(crate) given: Vec<u64>,
    /// How often somebody met another by what a peer or the tracker said.
    pub(crate) met: usize,
    /// Blocks that were moved.
    pub(crate) blocks: u64,
}
