//! Players: what they read comes in time.

use core::time::Duration;

use crate::node::{Shared, Start};
use crate::with_seeds;
use crate::world::World;
use causeway_core::Time;
use causeway_engine::{Command, Reader};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 4 Mbit/s.
const BITRATE: u64 = 500_000;
const PIECE: u32 = 256 * 1024;
const PIECES: u32 = 400;

/// Plays from some place on as soon as the first piece is there, and stops where the next one is not.
struct Player {
    node: usize,
    position: u64,
    plays: bool,
}

impl Player {
    fn seek(world: &mut World, node: usize, position: u64) -> Self {
        let player = Self {
            node,
            position,
            plays: false,
        };
        player.tell(world);
        player
    }

    fn tell(&self, world: &mut World) {
        let end = world.shared.info.geometry().total_length();
        let reader = Reader {
            position: self.position,
            end,
            rate: BITRATE,
        };
        world.command(self.node, Command::Stream(vec![reader]));
    }

    /// Whether the piece is there that is to be read now.
    fn has_next(&self, world: &World) -> bool {
        let geometry = world.shared.info.geometry();
        let piece = geometry.pieces_of(self.position..self.position + 1).next();
        let have = world
            .node(self.node)
            .torrent
            .have()
            .expect("the metadata is known");
        piece.is_none_or(|piece| have.has(piece))
    }

    /// How long it takes until something is to be seen.
    fn start(&mut self, world: &mut World) -> Duration {
        let asked = world.now;
        while !self.has_next(world) {
            assert!(world.step(asked + Duration::from_mins(1)), "it never starts");
        }
        self.plays = true;
        world.now.since(asked)
    }

    /// Plays for so long, in steps of a quarter of a second. Says for how long it stood still.
    fn play(&mut self, world: &mut World, seconds: u64) -> Duration {
        let step = Duration::from_millis(250);
        let end: Time = world.now + Duration::from_secs(seconds);
        let mut stalled = Duration::ZERO;
        while world.now < end {
            world.run_for(step);
            if self.has_next(world) {
                self.position += BITRATE / 4;
            } else {
                stalled += step;
            }
            self.tell(world);
        }
        stalled
    }
}

/// Five sources of unequal speed, together twice as fast as the film is played.
fn cinema(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, Shared::file((PIECES * PIECE) as usize, PIECE));
    world.check_one_in = 500;
    let viewer = world.add(Start::Leech);
    for percent in [5, 10, 15, 30, 40] {
        let source = world.add(Start::Seed);
        world.node_mut(source).up_rate = 2 * BITRATE * percent / 100;
        world.connect(viewer, source);
    }
    (world, viewer)
}

/// What three pieces take to be played.
fn time_of_three_pieces() -> Duration {
    Duration::from_micros(3 * u64::from(PIECE) * 1_000_000 / BITRATE)
}

#[test]
fn a_film_starts_at_once_and_after_every_seek_and_never_stalls() {
    with_seeds(|seed| {
        let (mut world, viewer) = cinema(seed);
        // The places lie so far apart that nothing of one is there when it is sought.
        let mut places: Vec<u64> = (1..=10).map(|place| place * u64::from(PIECES) / 11).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut places);
        let mut waited = Vec::new();
        let mut stalls = Vec::new();
        for piece in core::iter::once(0).chain(places) {
            let mut player = Player::seek(&mut world, viewer, piece * u64::from(PIECE));
            waited.push(player.start(&mut world));
            stalls.push(player.play(&mut world, 6));
        }
        let longest = waited.iter().max().expect("eleven");
        assert!(*longest <= time_of_three_pieces(), "{waited:?}");
        assert!(stalls.iter().all(Duration::is_zero), "{waited:?} {stalls:?}");
    });
}
