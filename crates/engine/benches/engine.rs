//! The engine's own cost: blocks moved between two torrents in one process, and torrents that do nothing.
//!
//! `cargo xtask bench engine` runs it. There is no link, disk or clock in it: what is measured is picking, requesting,
//! encoding, decoding and bookkeeping on both sides.

#![expect(clippy::print_stdout, reason = "figures are for people")]
#![expect(clippy::disallowed_types, reason = "a benchmark looks at the clock")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use causeway_core::{
    BLOCK_LENGTH, CreateOptions, Draft, DraftFile, Info, PeerId, Sha1, Sha1Hash, Time, sha1,
};
use causeway_engine::{Config, Direction, Input, LinkId, LinkKind, Output, Source, Stored, Torrent};
use core::time::Duration;

/// Counts what is allocated.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "there is no other way to count allocations")]
// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PIECE: u32 = 256 * 1024;

fn main() {
    let hash = piece_hash();
    for round in 1..=3 {
        let (nanos, allocations) = per_block(10_000_000_000, hash, false);
        println!(
            "round {round}: 10 GB without hashing: {nanos:.0} ns and {allocations:.2} allocations a block"
        );
    }
    let alone = rate_of(&mut || {
        core::hint::black_box(piece_hash());
    });
    let (nanos, _) = per_block(2_000_000_000, hash, true);
    let with_engine = f64::from(BLOCK_LENGTH) / nanos * 1000.0;
    println!(
        "2 GB with hashing: {with_engine:.0} MB/s, {:.3} of the {alone:.0} MB/s of SHA-1 alone",
        with_engine / alone
    );
    idle_torrents();
}

/// MB/s of something that goes through a piece.
fn rate_of(work: &mut dyn FnMut()) -> f64 {
    let start = cpu_time();
    for _ in 0..4000 {
        work();
    }
    f64::from(PIECE) * 4000.0 / (cpu_time() - start) / 1e6
}

/// Seconds that this thread was on a processor: what others do on the machine is no part of it. The clock, where
/// the system does not say.
fn cpu_time() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse::<u64>().ok());
    nanos.map_or_else(|| START.elapsed().as_secs_f64(), |nanos| as_f64(nanos) / 1e9)
}

/// The hash of a piece of zeros, taken block by block.
fn piece_hash() -> Sha1Hash {
    static BLOCK: [u8; BLOCK_LENGTH as usize] = [0; BLOCK_LENGTH as usize];
    let mut hash = Sha1::new();
    for _ in 0..PIECE / BLOCK_LENGTH {
        hash.update(&BLOCK);
    }
    hash.finish()
}

/// A torrent of zeros.
fn info(length: u64, name: &str, hash: Sha1Hash) -> Arc<Info> {
    let file = DraftFile {
        path: vec![name.to_owned()],
        length,
    };
    let options = CreateOptions {
        piece_length: Some(PIECE),
        ..CreateOptions::default()
    };
    let pieces = usize::try_from(length.div_ceil(PIECE.into())).expect("few");
    let draft = Draft::new(name, vec![file], options).expect("valid");
    Arc::clone(
        draft
            .finish(vec![hash; pieces])
            .expect("a hash for each piece")
            .info(),
    )
}

fn torrent(info: &Arc<Info>, stored: Stored, id: u8) -> Torrent {
    let source = Source::Info {
        info: Arc::clone(info),
        stored,
    };
    Torrent::new(Config::new(PeerId::new([id; 20])), source, id.into(), Time::ZERO)
}

/// Nanoseconds and allocations for each block that moves from one torrent to another.
fn per_block(length: u64, hash: Sha1Hash, hashes: bool) -> (f64, f64) {
    let length = length / u64::from(PIECE) * u64::from(PIECE);
    let info = info(length, "zeros", hash);
    let block = Bytes::from_static(&[0; BLOCK_LENGTH as usize]);
    let mut sides = [
        torrent(&info, Stored::Everything, 1),
        torrent(&info, Stored::Nothing, 2),
    ];
    let mut now = Time::ZERO;
    let mut inputs = VecDeque::new();
    for (side, direction) in [(0, Direction::Incoming), (1, Direction::Outgoing)] {
        let opened = Input::LinkOpened {
            link: LINK,
            direction,
            expected: None,
            kind: LinkKind::Tcp,
            addr: None,
        };
        inputs.push_back((side, opened));
        inputs.push_back((side, writable()));
    }
    let start = cpu_time();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    while let Some((side, input)) = inputs.pop_front() {
        now += Duration::from_micros(1);
        let torrent: &mut Torrent = &mut sides[side];
        torrent.handle_input(now, input);
        let mut sent = false;
        loop {
            match torrent.poll_output() {
                Output::Send { link, bytes } => {
                    sent = true;
                    inputs.push_back((1 - side, Input::Received { link, bytes }));
                }
                Output::Read { block: wanted } => {
                    let result = Ok(block.slice(..wanted.length() as usize));
                    inputs.push_back((
                        side,
                        Input::BlockRead {
                            block: wanted,
                            result,
                        },
                    ));
                }
                Output::Write { block, .. } => {
                    let result = Ok(());
                    inputs.push_back((side, Input::BlockWritten { block, result }));
                }
                Output::Hash { piece } => {
                    let result = Ok(if hashes { piece_hash() } else { hash });
                    inputs.push_back((side, Input::PieceHashed { piece, result }));
                }
                Output::Timeout(_) => break,
                Output::CloseLink { .. }
                | Output::Fetch { .. }
                | Output::StopFetch { .. }
                | Output::PeersFound { .. }
                | Output::PieceDemanded { .. }
                | Output::Announce(_)
                | Output::Event(_) => {}
            }
        }
        if sent {
            inputs.push_back((side, writable()));
        }
    }
    let blocks = as_f64(length / u64::from(BLOCK_LENGTH));
    let allocations = as_f64(ALLOCATIONS.load(Ordering::Relaxed) - before);
    let have = sides[1].have().expect("the metadata is known");
    assert!(have.is_all(), "everything has come");
    ((cpu_time() - start) * 1e9 / blocks, allocations / blocks)
}

/// Memory of torrents that are complete and have no peers, and what it costs to leave them alone.
fn idle_torrents() {
    let before = LIVE.load(Ordering::Relaxed);
    let hash = sha1(b"");
    let mut torrents: Vec<_> = (0..5000u32)
        .map(|number| {
            let info = info(1000 * u64::from(PIECE), &number.to_string(), hash);
            torrent(&info, Stored::Everything, 3)
        })
        .collect();
    let mut wakes = 0;
    for torrent in &mut torrents {
        loop {
            if let Output::Timeout(deadline) = torrent.poll_output() {
                wakes += usize::from(deadline.is_some());
                break;
            }
        }
    }
    let each = (LIVE.load(Ordering::Relaxed) - before) / 5000;
    println!("5,000 idle torrents of 1,000 pieces: {each} bytes each; {wakes} of them want to be woken");
}

const fn writable() -> Input {
    Input::Writable {
        link: LINK,
        budget: 8 << 20,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

const LINK: LinkId = LinkId(1);
