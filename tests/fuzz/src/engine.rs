//! A whole torrent that is told arbitrary things in arbitrary order.

use bytes::{Bytes, BytesMut};
use causeway_core::{Block, CreateOptions, Draft, DraftFile, Info, PeerId, PieceIndex, Sha1Hash, Time, sha1};
use causeway_engine::{
    Command, Config, Direction, FetchError, Input, Limits, LinkId, LinkKind, Output, PexSupport, Reader,
    Snapshot, Source as Known, StorageError, Stored, Torrent,
};
use causeway_wire::extended::{ExtendedHandshake, MetadataMessage, PeerExchange, UT_METADATA, UT_PEX};
use causeway_wire::{BlockRequest, Handshake, Message, Reserved};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use crate::source::Source;

/// Nothing that happens to it breaks it.
pub(crate) fn torrent(data: &[u8]) {
    let mut source = Source(data);
    let mut world = World::new(source.byte());
    while !source.is_empty() {
        world.happen(&mut source);
        world.torrent.check_invariants();
    }
}

/// Five pieces of two blocks, the last a little shorter. Storage, which is the fuzzer itself, says what their
/// hashes are.
static INFO: LazyLock<Arc<Info>> = LazyLock::new(|| {
    let files = [("a", 60_000), ("b", 0), ("c", 5 * 32_768 - 60_100)];
    let file = |(name, length): (&str, u64)| DraftFile {
        path: vec![name.to_owned()],
        length,
    };
    let options = CreateOptions {
        piece_length: Some(32_768),
        ..CreateOptions::default()
    };
    let draft = Draft::new("folder", files.map(file).into(), options).expect("valid");
    let hashes = (0..5).map(|piece| Sha1Hash::new([piece; 20])).collect();
    Arc::clone(draft.finish(hashes).expect("a hash for each piece").info())
});

struct World {
    torrent: Torrent,
    now: Time,
    opened: u64,
    reads: Vec<Block>,
    writes: Vec<Block>,
    hashes: Vec<PieceIndex>,
}

impl World {
    fn new(kind: u8) -> Self {
        let info = Arc::clone(&INFO);
        let source = match kind % 4 {
            0 => Known::Magnet(info.info_hash()),
            1 => Known::Info {
                info,
                stored: Stored::Nothing,
            },
            2 => Known::Info {
                info,
                stored: Stored::Everything,
            },
            _ => Known::Info {
                info,
                stored: Stored::Unknown,
            },
        };
        let now = Time::from_micros(1);
        let mut config = Config::new(PeerId::new([200; 20]));
        config.peer_exchange = Some(PexSupport::new());
        let mut world = Self {
            torrent: Torrent::new(config, source, 1, now),
            now,
            opened: 0,
            reads: Vec::new(),
            writes: Vec::new(),
            hashes: Vec::new(),
        };
        world.perform();
        world
    }

    fn happen(&mut self, source: &mut Source) {
        let link = LinkId(u64::from(source.byte() % 8));
        match source.byte() % 24 {
            0 | 1 => self.open(source),
            2 => self.input(Input::LinkClosed { link }),
            3 => {
                let budget = source.number() as usize;
                self.input(Input::Writable { link, budget });
            }
            4 => {
                self.now += Duration::from_millis(u64::from(source.number()) * 100);
                self.input(Input::TimedOut);
            }
            5 | 6 => self.answer_read(source),
            7 | 8 => self.answer_write(source),
            9 | 10 => self.answer_hash(source),
            11 => {
                let command = command(source);
                self.input(Input::Command(command));
            }
            12 => {
                // Of no peer, or of one of these few.
                let number = u8::try_from(link.0).ok().filter(|number| *number > 3);
                let peer = number.map(|number| PeerId::new([number; 20]));
                self.input(Input::WebSeedAdded { link, peer });
            }
            13 => {
                let bytes = vec![0; source.number() as usize % 100_000].into();
                self.input(Input::Fetched { link, bytes });
            }
            14 => {
                let result = match source.byte() % 4 {
                    0 => Ok(()),
                    1 => Err(FetchError::Failed),
                    2 => Err(FetchError::Useless),
                    _ => Err(FetchError::Busy(Duration::from_secs(source.number().into()))),
                };
                self.input(Input::FetchEnded { link, result });
            }
            16 => {
                if let Some(piece) = INFO.geometry().piece(source.byte().into()) {
                    self.input(Input::PieceLost { piece });
                }
            }
            15 => {
                let bytes = source.bytes(200);
                self.input(Input::Received { link, bytes });
            }
            _ => {
                let mut bytes = BytesMut::new();
                message(source).encode(&mut bytes);
                let bytes = bytes.freeze();
                self.input(Input::Received { link, bytes });
            }
        }
    }

    fn open(&mut self, source: &mut Source) {
        let link = LinkId(self.opened % 8);
        self.opened += 1;
        // A name that was used before is free again only once its link is closed.
        self.input(Input::LinkClosed { link });
        let kinds = source.byte();
        self.input(Input::LinkOpened {
            link,
            direction: if kinds & 1 == 0 {
                Direction::Incoming
            } else {
                Direction::Outgoing
            },
            expected: (kinds & 2 == 0).then(|| PeerId::new([kinds; 20])),
            kind: LinkKind::ALL[usize::from(kinds >> 2) % LinkKind::ALL.len()],
            addr: (kinds & 16 == 0).then(|| ([10, 0, 0, kinds], 6881).into()),
        });
        let hello = Handshake {
            reserved: if kinds & 32 == 0 {
                Reserved::ours()
            } else {
                Reserved::new([0; 8])
            },
            info_hash: INFO.info_hash(),
            peer_id: PeerId::new([source.byte(); 20]),
        };
        let bytes = Bytes::copy_from_slice(&hello.encode());
        self.input(Input::Received { link, bytes });
        let budget = 1 << 20;
        self.input(Input::Writable { link, budget });
    }

    fn answer_read(&mut self, source: &mut Source) {
        let Some(block) = self.reads.pop() else { return };
        let result = match source.byte() {
            0 => Err(StorageError::Missing),
            1 => Ok(Bytes::new()),
            _ => Ok(vec![0; block.length() as usize].into()),
        };
        self.input(Input::BlockRead { block, result });
    }

    fn answer_write(&mut self, source: &mut Source) {
        let Some(block) = self.writes.pop() else { return };
        let result = match source.byte() {
            0 => Err(StorageError::Full),
            _ => Ok(()),
        };
        self.input(Input::BlockWritten { block, result });
    }

    fn answer_hash(&mut self, source: &mut Source) {
        let Some(piece) = self.hashes.pop() else { return };
        let result = match source.byte() {
            0 => Err(StorageError::Missing),
            1 => Err(StorageError::Failed("it is broken".to_owned())),
            2..40 => Ok(Sha1Hash::new([99; 20])),
            _ => Ok(INFO.piece_hash(piece)),
        };
        self.input(Input::PieceHashed { piece, result });
    }

    fn input(&mut self, input: Input) {
        self.torrent.handle_input(self.now, input);
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            match self.torrent.poll_output() {
                Output::Read { block } => self.reads.push(block),
                Output::Write { block, bytes } => {
                    assert_eq!(bytes.len(), block.length() as usize);
                    self.writes.push(block);
                }
                Output::Hash { piece } => self.hashes.push(piece),
                Output::Timeout(deadline) => {
                    assert!(
                        deadline.is_none_or(|deadline| deadline > self.now),
                        "the deadline lies ahead"
                    );
                    return;
                }
                Output::Send { .. }
                | Output::CloseLink { .. }
                | Output::Fetch { .. }
                | Output::StopFetch { .. }
                | Output::PeersFound { .. }
                | Output::PieceDemanded { .. }
                | Output::Announce(_)
                | Output::Event(_) => {}
            }
        }
    }
}

fn command(source: &mut Source) -> Command {
    match source.byte() % 6 {
        0 => Command::Pause,
        5 => Command::SuperSeed(source.byte().is_multiple_of(2)),
        1 => Command::Resume,
        2 => {
            let bits = source.byte();
            let files = (0..3).map(|file| bits >> file & 1 == 0).collect();
            if bits < 128 {
                Command::SelectFiles(files)
            } else {
                Command::PreferFiles(files)
            }
        }
        3 => Command::SetLimits(Limits {
            peers: usize::from(source.byte()),
            upload_slots: usize::from(source.byte() % 4),
            upload_rate: rate(source),
            download_rate: rate(source),
        }),
        _ => Command::Stream(
            (0..source.byte() % 3)
                .map(|_| Reader {
                    position: u64::from(source.number()) * 1000,
                    end: u64::from(source.number()) * 1000,
                    rate: rate(source),
                })
                .collect(),
        ),
    }
}

fn rate(source: &mut Source) -> u64 {
    match source.byte() {
        255 => Limits::UNLIMITED,
        rate => u64::from(rate) * 1000,
    }
}

fn message(source: &mut Source) -> Message {
    match source.byte() % 20 {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::Have(source.number()),
        5 => Message::Bitfield(source.bytes(3)),
        6 => Message::Request(request(source)),
        7 => Message::Cancel(request(source)),
        8..=10 => {
            let BlockRequest {
                piece,
                offset,
                length,
            } = request(source);
            Message::Piece {
                piece,
                offset,
                data: Bytes::from(vec![source.byte(); length as usize % 20_000]).into(),
            }
        }
        11 => Message::Reject(request(source)),
        12 => Message::HaveAll,
        13 => Message::HaveNone,
        14 => Message::AllowedFast(source.number()),
        15 => Message::Suggest(source.number()),
        16 => {
            let handshake = ExtendedHandshake {
                ids: [
                    (UT_METADATA.to_owned(), source.byte() % 3),
                    (UT_PEX.to_owned(), source.byte() % 3),
                ]
                .into(),
                metadata_size: Some(if source.byte().is_multiple_of(2) {
                    u32::try_from(INFO.raw().len()).unwrap_or(0)
                } else {
                    source.number()
                }),
                reqq: Some(source.number()),
                upload_only: Some(source.byte().is_multiple_of(2)),
                ..ExtendedHandshake::default()
            };
            let payload = handshake.to_bytes();
            Message::Extended { id: 0, payload }
        }
        17 => {
            let message = match source.byte() % 3 {
                0 => MetadataMessage::Request {
                    piece: source.number(),
                },
                1 => MetadataMessage::Reject {
                    piece: source.number(),
                },
                _ => MetadataMessage::Data {
                    piece: source.number(),
                    total_size: source.number(),
                    data: if source.byte().is_multiple_of(2) {
                        INFO.raw().clone()
                    } else {
                        source.bytes(300)
                    },
                },
            };
            let payload = message.to_bytes();
            Message::Extended { id: 1, payload }
        }
        18 => {
            let exchange = PeerExchange::from_bytes(&source.bytes(100)).unwrap_or_default();
            let payload = exchange.to_bytes();
            Message::Extended { id: 2, payload }
        }
        _ => Message::Extended {
            id: source.byte() % 5,
            payload: source.bytes(60),
        },
    }
}

/// Mostly a block that exists.
fn request(source: &mut Source) -> BlockRequest {
    let piece = source.number() % 6;
    match source.byte() {
        255 => BlockRequest {
            piece: source.number(),
            offset: source.number(),
            length: source.number(),
        },
        second => BlockRequest {
            piece,
            offset: u32::from(second % 2) * 16_384,
            length: 16_384,
        },
    }
}

/// The record of a download, whose sum is right: one that was read is written so that it is read again as the same.
pub(crate) fn snapshot(data: &[u8]) {
    let body = [INFO.info_hash().as_bytes(), data].concat();
    let bytes = [b"CWS\x01", &sha1(&body).as_bytes()[..], &body].concat();
    if let Ok(snapshot) = Snapshot::from_bytes(&bytes, &INFO) {
        assert_eq!(
            Snapshot::from_bytes(&snapshot.to_bytes(&INFO), &INFO),
            Ok(snapshot)
        );
    }
}
