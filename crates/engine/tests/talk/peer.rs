//! A torrent, and one peer or several that say whatever a test lets them say.

use bytes::{Bytes, BytesMut};
use causeway_core::{Block, CreateOptions, Draft, DraftFile, Info, PeerId, PieceIndex, Sha1Hash, Time};
use causeway_engine::{
    CloseReason, Command, Config, Direction, Input, LinkId, LinkKind, Output, PexSupport, Source, Stored,
    Torrent,
};
use causeway_wire::extended::{ExtendedHandshake, UT_METADATA};
use causeway_wire::{BlockRequest, Decoder, Frame, Handshake, Limits, Message, Reserved};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length of every piece of the torrents here.
pub(crate) const PIECE: u32 = 32 * 1024;

/// A torrent of so many pieces. Its content does not matter: a piece's hash says its number, and storage, which
/// is the test itself, says that hashes are as they should be.
pub(crate) fn info(pieces: u32) -> Arc<Info> {
    let files = vec![DraftFile {
        path: vec!["file".to_owned()],
        length: u64::from(pieces) * u64::from(PIECE),
    }];
    let options = CreateOptions {
        piece_length: Some(PIECE),
        ..CreateOptions::default()
    };
    let hash = |piece: u32| {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&piece.to_be_bytes());
        Sha1Hash::new(hash)
    };
    let draft = Draft::new("file", files, options).expect("valid");
    let metainfo = draft
        .finish((1..=pieces).map(hash).collect())
        .expect("a hash for each piece");
    Arc::clone(metainfo.info())
}

/// A torrent and what it wants done.
pub(crate) struct Talk {
    pub(crate) torrent: Torrent,
    pub(crate) info: Arc<Info>,
    pub(crate) now: Time,
    decoders: BTreeMap<LinkId, Decoder>,
    said: BTreeMap<LinkId, Vec<Message>>,
    pub(crate) closed: BTreeMap<LinkId, CloseReason>,
    pub(crate) fetches: BTreeMap<LinkId, core::ops::Range<u64>>,
    /// Addresses that peers named.
    pub(crate) found: Vec<SocketAddr>,
    /// Pieces that room is wanted for.
    pub(crate) demanded: Vec<PieceIndex>,
    pub(crate) reads: Vec<Block>,
    pub(crate) writes: Vec<(Block, Bytes)>,
    pub(crate) hashes: Vec<PieceIndex>,
}

impl Talk {
    pub(crate) fn new(pieces: u32, stored: Stored) -> Self {
        let info = info(pieces);
        let source = Source::Info {
            info: Arc::clone(&info),
            stored,
        };
        Self::with(source, info, false)
    }

    /// A torrent that is only carried over.
    pub(crate) fn relaying(pieces: u32) -> Self {
        let info = info(pieces);
        let source = Source::Info {
            info: Arc::clone(&info),
            stored: Stored::Nothing,
        };
        Self::with(source, info, true)
    }

    pub(crate) fn magnet(pieces: u32) -> Self {
        let info = info(pieces);
        Self::with(Source::Magnet(info.info_hash()), info, false)
    }

    fn with(source: Source, info: Arc<Info>, relay: bool) -> Self {
        let now = Time::from_micros(5_000_000);
        let mut config = Config::new(PeerId::new([255; 20]));
        config.peer_exchange = Some(PexSupport::new());
        config.relay = relay;
        let torrent = Torrent::new(config, source, 1, now);
        let mut talk = Self {
            torrent,
            info,
            now,
            decoders: BTreeMap::new(),
            said: BTreeMap::new(),
            closed: BTreeMap::new(),
            fetches: BTreeMap::new(),
            found: Vec::new(),
            demanded: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            hashes: Vec::new(),
        };
        talk.perform();
        talk
    }

    /// A link opens, and the peer on it shakes hands with these reserved bits.
    pub(crate) fn connect_as(&mut self, number: u8, reserved: Reserved) -> LinkId {
        let link = self.open_as(number.into(), Direction::Incoming, None);
        self.shake_hands(link, number, reserved);
        link
    }

    /// The peer with this number as its id shakes hands.
    pub(crate) fn shake_hands(&mut self, link: LinkId, number: u8, reserved: Reserved) {
        let hello = Handshake {
            reserved,
            info_hash: self.torrent.info_hash(),
            peer_id: PeerId::new([number; 20]),
        };
        self.send(link, Bytes::copy_from_slice(&hello.encode()));
    }

    /// A peer that speaks all that we do.
    pub(crate) fn connect(&mut self, number: u8) -> LinkId {
        self.connect_as(number, Reserved::ours())
    }

    /// A link opens and takes as much as it is given.
    pub(crate) fn open_as(&mut self, number: u64, direction: Direction, expected: Option<PeerId>) -> LinkId {
        self.open_at(number, direction, expected, None)
    }

    /// A link opens to this address.
    pub(crate) fn open_at(
        &mut self,
        number: u64,
        direction: Direction,
        expected: Option<PeerId>,
        addr: Option<SocketAddr>,
    ) -> LinkId {
        self.open(number, LinkKind::Tcp, direction, expected, addr)
    }

    /// A link of this kind opens.
    pub(crate) fn open_by(&mut self, kind: LinkKind, number: u64, direction: Direction) -> LinkId {
        self.open(number, kind, direction, None, None)
    }

    fn open(
        &mut self,
        number: u64,
        kind: LinkKind,
        direction: Direction,
        expected: Option<PeerId>,
        addr: Option<SocketAddr>,
    ) -> LinkId {
        let link = LinkId(number);
        self.decoders.insert(link, Decoder::new(Limits::default()));
        self.input(Input::LinkOpened {
            link,
            direction,
            expected,
            kind,
            addr,
        });
        self.input(Input::Writable {
            link,
            budget: 1 << 30,
        });
        link
    }

    /// The peer says something.
    pub(crate) fn say(&mut self, link: LinkId, message: &Message) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.send(link, bytes.freeze());
    }

    pub(crate) fn send(&mut self, link: LinkId, bytes: Bytes) {
        self.input(Input::Received { link, bytes });
    }

    /// The peer sends this block as it should be.
    pub(crate) fn say_block(&mut self, link: LinkId, block: Block) {
        let data = self.bytes_of(block).into();
        self.say(
            link,
            &Message::Piece {
                piece: block.piece().get(),
                offset: block.offset(),
                data,
            },
        );
    }

    /// What the torrent has said since it was last looked at.
    pub(crate) fn heard(&mut self, link: LinkId) -> Vec<Message> {
        self.said.remove(&link).unwrap_or_default()
    }

    /// The blocks that the torrent has asked for since it was last looked at.
    pub(crate) fn asked(&mut self, link: LinkId) -> Vec<Block> {
        let geometry = self.info.geometry();
        let block = |message: Message| {
            let Message::Request(request) = message else {
                return None;
            };
            geometry.block(request.piece, request.offset, request.length)
        };
        self.heard(link).into_iter().filter_map(block).collect()
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.torrent.handle_input(self.now, input);
        self.perform();
        // Going through thousands of pieces after every input would take most of the time.
        if self.info.geometry().pieces() < 500 {
            self.torrent.check_invariants();
        }
    }

    /// Time passes, second by second.
    pub(crate) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.input(Input::TimedOut);
        }
    }

    /// Storage answers every read.
    pub(crate) fn answer_reads(&mut self) {
        for block in core::mem::take(&mut self.reads) {
            let result = Ok(self.bytes_of(block));
            self.input(Input::BlockRead { block, result });
        }
    }

    /// Storage answers every write.
    pub(crate) fn answer_writes(&mut self) {
        for (block, _) in core::mem::take(&mut self.writes) {
            self.input(Input::BlockWritten {
                block,
                result: Ok(()),
            });
        }
    }

    /// Every piece is as it should be.
    pub(crate) fn answer_hashes(&mut self) {
        for piece in core::mem::take(&mut self.hashes) {
            let result = Ok(self.info.piece_hash(piece));
            self.input(Input::PieceHashed { piece, result });
        }
    }

    pub(crate) fn block(&self, piece: u32, offset: u32, length: u32) -> Block {
        self.info
            .geometry()
            .block(piece, offset, length)
            .expect("in range")
    }

    /// What is stored in this block: its piece's number, so that blocks can be told apart.
    pub(crate) fn bytes_of(&self, block: Block) -> Bytes {
        let number = self.info.piece_hash(block.piece()).as_bytes()[3];
        vec![number; block.length() as usize].into()
    }

    fn perform(&mut self) {
        loop {
            match self.torrent.poll_output() {
                Output::Send { link, bytes } => {
                    let Some(decoder) = self.decoders.get_mut(&link) else {
                        continue;
                    };
                    decoder.push(bytes);
                    while let Some(frame) = decoder.next().expect("the torrent speaks well") {
                        if let Frame::Message(message) = frame {
                            self.said.entry(link).or_default().push(message);
                        }
                    }
                }
                Output::CloseLink { link, reason } => drop(self.closed.insert(link, reason)),
                Output::Read { block } => self.reads.push(block),
                Output::Write { block, bytes } => self.writes.push((block, bytes.into_bytes())),
                Output::Hash { piece } => self.hashes.push(piece),
                Output::Fetch { link, bytes } => drop(self.fetches.insert(link, bytes)),
                Output::StopFetch { link } => drop(self.fetches.remove(&link)),
                Output::PeersFound { addrs, .. } => self.found.extend(addrs),
                Output::PieceDemanded { piece } => self.demanded.push(piece),
                Output::Announce(_) | Output::Event(_) => {}
                Output::Timeout(deadline) => {
                    assert!(
                        deadline.is_none_or(|deadline| deadline > self.now),
                        "the deadline lies ahead"
                    );
                    return;
                }
            }
        }
    }
}

/// A peer that speaks BEP 3 alone.
pub(crate) const PLAIN: Reserved = Reserved::new([0; 8]);

/// The last extended handshake among these messages.
pub(crate) fn extended_handshake(messages: &[Message]) -> ExtendedHandshake {
    let payload = messages.iter().rev().find_map(|message| {
        if let Message::Extended { id: 0, payload } = message {
            Some(payload)
        } else {
            None
        }
    });
    ExtendedHandshake::from_bytes(payload.expect("it was sent")).expect("well formed")
}

/// The extended handshake of a peer that wants `ut_metadata` under the number 9.
pub(crate) fn hello(metadata_size: Option<u32>, reqq: Option<u32>) -> Message {
    let handshake = ExtendedHandshake {
        ids: [(UT_METADATA.to_owned(), 9)].into(),
        metadata_size,
        reqq,
        ..ExtendedHandshake::default()
    };
    Message::Extended {
        id: 0,
        payload: handshake.to_bytes(),
    }
}

pub(crate) fn request(piece: u32, offset: u32, length: u32) -> BlockRequest {
    BlockRequest {
        piece,
        offset,
        length,
    }
}
