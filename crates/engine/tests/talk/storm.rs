//! Arbitrary inputs in arbitrary order: nothing panics, and every invariant holds after each.

use bytes::Bytes;
use causeway_core::{Bitfield, PeerId, Sha1Hash, SortedMap};
use causeway_engine::{Command, FetchError, Input, Limits, LinkId, Reader, Snapshot, StorageError, Stored};
use causeway_wire::extended::{ExtendedHandshake, MetadataMessage, UT_METADATA};
use causeway_wire::{BlockRequest, Message, Reserved};
use core::time::Duration;
use fastrand::Rng;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::peer::Talk;

#[test]
fn no_order_of_inputs_breaks_a_torrent() {
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let pieces = rng.u32(1..20);
        let mut talk = match rng.u8(..5) {
            0 => Talk::magnet(pieces),
            1 => Talk::new(pieces, Stored::Unknown),
            2 => Talk::new(pieces, Stored::Everything),
            3 => Talk::new(pieces, Stored::Partly(some_snapshot(&mut rng, pieces))),
            _ => Talk::new(pieces, Stored::Nothing),
        };
        // The seed tells which run failed when an assertion is caught here.
        let mut storm = Storm {
            rng,
            links: Vec::new(),
            opened: 0,
            seed,
        };
        for _ in 0..300 {
            storm.something(&mut talk);
        }
    }
}

struct Storm {
    rng: Rng,
    links: Vec<LinkId>,
    opened: u8,
    seed: u64,
}

impl Drop for Storm {
    #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.seed);
        }
    }
}

impl Storm {
    fn something(&mut self, talk: &mut Talk) {
        match self.rng.u8(..20) {
            0 | 1 => {
                self.opened += 1;
                let reserved = if self.rng.u8(..4) == 0 {
                    Reserved::new([0; 8])
                } else {
                    Reserved::ours()
                };
                self.links.push(talk.connect_as(self.opened, reserved));
            }
            2 => {
                let command = self.command();
                talk.command(command);
            }
            4 => self.on_web_seed(talk),
            19 => {
                let number = self.rng.u32(..20);
                if let Some(piece) = talk.info.geometry().piece(number) {
                    talk.input(Input::PieceLost { piece });
                }
            }
            3 => {
                talk.now += Duration::from_millis(self.rng.u64(..20_000));
                talk.input(Input::TimedOut);
            }
            5..7 => self.answer_storage(talk),
            7..9 => {
                talk.answer_reads();
                talk.answer_writes();
                talk.answer_hashes();
            }
            _ => {
                let Some(link) = self.rng.choice(self.links.iter().copied()) else {
                    return;
                };
                self.on_link(talk, link);
            }
        }
    }

    fn on_link(&mut self, talk: &mut Talk, link: LinkId) {
        match self.rng.u8(..30) {
            0 => talk.input(Input::LinkClosed { link }),
            1 => {
                let budget = self.rng.usize(..100_000);
                talk.input(Input::Writable { link, budget });
            }
            2..15 => {
                // An honest answer to what it was asked, so that the torrent gets somewhere.
                for block in talk.asked(link) {
                    if self.rng.u8(..10) > 0 {
                        talk.say_block(link, block);
                    }
                }
            }
            _ => {
                let message = self.message(talk);
                talk.say(link, &message);
            }
        }
    }

    /// Web seeds come, send what they were asked for or more or less, fail and go.
    fn on_web_seed(&mut self, talk: &mut Talk) {
        let link = LinkId(1000 + self.rng.u64(..3));
        match self.rng.u8(..6) {
            0 => {
                let number = self.rng.u8(..6);
                let peer = (number > 2).then(|| PeerId::new([number; 20]));
                talk.input(Input::WebSeedAdded { link, peer });
            }
            1 => {
                talk.fetches.remove(&link);
                talk.input(Input::LinkClosed { link });
            }
            2 => {
                let result = match self.rng.u8(..4) {
                    0 => Ok(()),
                    1 => Err(FetchError::Useless),
                    2 => Err(FetchError::Busy(Duration::from_secs(self.rng.u64(..100)))),
                    _ => Err(FetchError::Failed),
                };
                talk.fetches.remove(&link);
                talk.input(Input::FetchEnded { link, result });
            }
            _ => {
                let bytes = vec![7; self.rng.usize(..100_000)].into();
                talk.input(Input::Fetched { link, bytes });
            }
        }
    }

    fn answer_storage(&mut self, talk: &mut Talk) {
        let error = match self.rng.u8(..3) {
            0 => StorageError::Missing,
            1 => StorageError::Full,
            _ => StorageError::Failed("it is broken".to_owned()),
        };
        let fails = self.rng.u8(..20) == 0;
        if self.rng.u8(..200) == 0 {
            talk.input(Input::StorageFailed(error.clone()));
        }
        match self.rng.u8(..3) {
            0 => {
                let Some(block) = talk.reads.pop() else { return };
                let result = if fails {
                    Err(error)
                } else {
                    Ok(talk.bytes_of(block))
                };
                talk.input(Input::BlockRead { block, result });
            }
            1 => {
                let Some((block, _)) = talk.writes.pop() else {
                    return;
                };
                let result = if fails { Err(error) } else { Ok(()) };
                talk.input(Input::BlockWritten { block, result });
            }
            _ => {
                let Some(piece) = talk.hashes.pop() else { return };
                let wrong = self.rng.u8(..5) == 0;
                let hash = if wrong {
                    Sha1Hash::new([0; 20])
                } else {
                    talk.info.piece_hash(piece)
                };
                let result = if fails { Err(error) } else { Ok(hash) };
                talk.input(Input::PieceHashed { piece, result });
            }
        }
    }

    fn command(&mut self) -> Command {
        match self.rng.u8(..8) {
            7 => Command::PreferFiles(vec![self.rng.bool(), self.rng.bool()]),
            6 => Command::SuperSeed(self.rng.bool()),
            5 => Command::Stream(
                (0..self.rng.usize(..3))
                    .map(|_| Reader {
                        position: self.rng.u64(..1_000_000),
                        end: self.rng.u64(..1_000_000),
                        rate: self.rng.u64(..1_000_000),
                    })
                    .collect(),
            ),
            0 => Command::Pause,
            1 | 2 => Command::Resume,
            3 => Command::SelectFiles((0..self.rng.usize(..3)).map(|_| self.rng.bool()).collect()),
            _ => Command::SetLimits(Limits {
                peers: self.rng.usize(..9),
                upload_slots: self.rng.usize(..4),
                upload_rate: [0, 50_000, Limits::UNLIMITED][self.rng.usize(..3)],
                download_rate: [0, 50_000, Limits::UNLIMITED][self.rng.usize(..3)],
            }),
        }
    }

    fn message(&mut self, talk: &Talk) -> Message {
        match self.rng.u8(..20) {
            0 => Message::Choke,
            1 => Message::Unchoke,
            2 => Message::Interested,
            3 => Message::NotInterested,
            4 | 5 => Message::Have(self.number()),
            6 => Message::Bitfield(self.bytes(4)),
            7 => Message::Request(self.request()),
            8 => Message::Cancel(self.request()),
            9 => Message::Piece {
                piece: self.number(),
                offset: self.number(),
                data: self.bytes(20).into(),
            },
            10 => Message::Reject(self.request()),
            11 => Message::HaveAll,
            12 => Message::HaveNone,
            13 => Message::AllowedFast(self.number()),
            14 => Message::Suggest(self.number()),
            15 => Message::Extended {
                id: self.rng.u8(..3),
                payload: self.bytes(40),
            },
            16 => {
                let size =
                    [0, 1, u32::try_from(talk.info.raw().len()).unwrap_or(0), u32::MAX][self.rng.usize(..4)];
                let handshake = ExtendedHandshake {
                    ids: SortedMap::from([(UT_METADATA.to_owned(), self.rng.u8(..3))]),
                    metadata_size: Some(size),
                    reqq: Some(self.rng.u32(..100)),
                    ..ExtendedHandshake::default()
                };
                Message::Extended {
                    id: 0,
                    payload: handshake.to_bytes(),
                }
            }
            17 => {
                let data = if self.rng.bool() {
                    talk.info.raw().clone()
                } else {
                    self.bytes(30)
                };
                let message = MetadataMessage::Data {
                    piece: self.rng.u32(..2),
                    total_size: 1,
                    data,
                };
                Message::Extended {
                    id: 1,
                    payload: message.to_bytes(),
                }
            }
            18 => {
                let message = MetadataMessage::Request { piece: self.number() };
                Message::Extended {
                    id: 1,
                    payload: message.to_bytes(),
                }
            }
            _ => Message::KeepAlive,
        }
    }

    fn request(&mut self) -> BlockRequest {
        let offset = if self.rng.bool() { 0 } else { self.number() };
        let length = if self.rng.bool() { 16_384 } else { self.number() };
        BlockRequest {
            piece: self.number(),
            offset,
            length,
        }
    }

    /// Mostly one that exists.
    fn number(&mut self) -> u32 {
        match self.rng.u8(..20) {
            0 => u32::MAX,
            1 => self.rng.u32(..),
            _ => self.rng.u32(..20),
        }
    }

    fn bytes(&mut self, most: usize) -> Bytes {
        (0..self.rng.usize(..most)).map(|_| self.rng.u8(..)).collect()
    }
}

fn some_snapshot(rng: &mut Rng, pieces: u32) -> Snapshot {
    let mut bits = |length: u32| {
        let mut bits = Bitfield::none(length);
        for index in 0..length {
            bits.set_bit(index, rng.bool());
        }
        bits
    };
    let have = bits(pieces);
    let partial = (0..pieces + 2).map(|piece| (piece, bits(2))).collect();
    Snapshot {
        have,
        partial,
        uploaded: 1,
        downloaded: 2,
        peers: Vec::new(),
    }
}
