//! Peers that speak the protocol and mean harm, or merely do nothing.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script cares for few messages, whatever others there may be"
)]

use bytes::{Bytes, BytesMut};
use causeway_core::{Bitfield, PeerId, SortedMap};
use causeway_wire::extended::{
    DontHave, ExtendedHandshake, LT_DONTHAVE, MetadataMessage, PeerExchange, PexFlags, PexPeer, UT_METADATA,
    UT_PEX,
};
use causeway_wire::{BlockRequest, Decoder, Frame, Handshake, Limits, Message, Reserved};
use fastrand::Rng;

use crate::node::Shared;

/// A peer that claims to have everything.
pub(crate) struct Script {
    shared: Shared,
    peer_id: PeerId,
    conduct: Conduct,
    decoder: Decoder,
    /// The numbers that the other side wants to see on messages of extensions.
    theirs: SortedMap<String, u8>,
    /// What goes out little by little.
    slowly: BytesMut,
    /// Requests that it got.
    pub(crate) requests: usize,
    /// Rejections that it got.
    pub(crate) rejected: usize,
    /// Blocks that it got.
    pub(crate) blocks: usize,
    pub(crate) closed: bool,
}

/// What a script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Serves every block, with this many of a hundred changed.
    Corrupt(u8),
    /// Serves other blocks than those it is asked for, as if they were those.
    Swap,
    /// Serves every block twice.
    Twice,
    /// Serves every block, half a kilobyte a second.
    Trickle,
    /// Unchokes and answers no request.
    Silent,
    /// Never says a word.
    Mute,
    /// Sends its handshake byte after byte.
    SlowHandshake,
    /// Sends noise after the handshake.
    Noise,
    /// Shakes hands for another torrent.
    Stranger,
    /// Unchokes and rejects every request.
    Reject,
    /// Unchokes and chokes again after every tenth request, forgetting them all.
    Flap,
    /// Chokes and unchokes, wants and does not want, all the time.
    Flutter,
    /// Sends blocks that nobody asked for.
    Pour,
    /// Asks for everything again after every hundred blocks.
    Flood,
    /// Asks for blocks that are too long, or don't exist.
    AskNonsense,
    /// Announces a frame of a gigabyte.
    Giant,
    /// Claims a piece that does not exist.
    Boast,
    /// Its bitfield is too long.
    Overlong,
    /// Says all the time that it has other pieces than before.
    Fickle,
    /// Takes back what it has as soon as somebody asks for it, and then has it again.
    HaveThenNot,
    /// Chokes, allows every piece fast nevertheless, and sends none.
    EmptyPromises,
    /// Has metadata, and hands out zeros for it.
    FalseMetadata,
    /// Says that the metadata is so long, and hands out zeros in parts of any length.
    MetadataOfSize(u32),
    /// Names hundreds of addresses, all the time.
    Gossip,
    /// Sends extended handshakes, unknown messages and keep-alives all the time.
    Chatter,
    /// Takes what it asks for and sends nothing: a leech without an upload.
    Leech,
}

impl Conduct {
    pub(crate) const ALL: [Self; 29] = [
        Self::Corrupt(100),
        Self::Corrupt(10),
        Self::Swap,
        Self::Twice,
        Self::Trickle,
        Self::Silent,
        Self::Mute,
        Self::SlowHandshake,
        Self::Noise,
        Self::Stranger,
        Self::Reject,
        Self::Flap,
        Self::Flutter,
        Self::Pour,
        Self::Flood,
        Self::AskNonsense,
        Self::Giant,
        Self::Boast,
        Self::Overlong,
        Self::Fickle,
        Self::HaveThenNot,
        Self::EmptyPromises,
        Self::FalseMetadata,
        Self::MetadataOfSize(1),
        Self::MetadataOfSize(100_000),
        Self::MetadataOfSize(u32::MAX),
        Self::Gossip,
        Self::Chatter,
        Self::Leech,
    ];

    const fn is_leech(self) -> bool {
        matches!(self, Self::Leech | Self::Flood | Self::AskNonsense)
    }

    /// What it says of the length of its metadata, if anything.
    fn metadata_size(self, shared: &Shared) -> Option<u32> {
        match self {
            Self::FalseMetadata => u32::try_from(shared.info.raw().len()).ok(),
            Self::MetadataOfSize(size) => Some(size),
            _ => None,
        }
    }
}

impl Script {
    pub(crate) fn new(shared: &Shared, conduct: Conduct) -> Self {
        let mut id = *b"-XX0000-000000000000";
        id[19] = format!("{conduct:?}")
            .bytes()
            .fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte));
        Self {
            shared: shared.clone(),
            peer_id: PeerId::new(id),
            conduct,
            decoder: Decoder::new(Limits::default()),
            theirs: SortedMap::new(),
            slowly: BytesMut::new(),
            requests: 0,
            rejected: 0,
            blocks: 0,
            closed: false,
        }
    }

    /// Whether it does things of its own accord.
    pub(crate) const fn is_restless(&self) -> bool {
        matches!(
            self.conduct,
            Conduct::Trickle
                | Conduct::SlowHandshake
                | Conduct::Flutter
                | Conduct::Fickle
                | Conduct::Gossip
                | Conduct::Chatter
        )
    }

    pub(crate) fn opened(&mut self) -> Bytes {
        self.decoder = Decoder::new(Limits::default());
        self.slowly.clear();
        self.closed = false;
        let info_hash = match self.conduct {
            Conduct::Mute => return Bytes::new(),
            Conduct::Stranger => [9; 20].into(),
            _ => self.shared.info.info_hash(),
        };
        let hello = Handshake {
            reserved: Reserved::ours(),
            info_hash,
            peer_id: self.peer_id,
        };
        let hello = hello.encode();
        if self.conduct == Conduct::SlowHandshake {
            self.slowly.extend_from_slice(&hello);
            return Bytes::new();
        }
        Bytes::copy_from_slice(&hello)
    }

    pub(crate) fn received(&mut self, bytes: Bytes, rng: &mut Rng) -> Bytes {
        if matches!(self.conduct, Conduct::Mute | Conduct::SlowHandshake) {
            return Bytes::new();
        }
        self.decoder.push(bytes);
        let mut out = BytesMut::new();
        while let Some(frame) = self.decoder.next().expect("a torrent speaks well") {
            match frame {
                Frame::Handshake(_) => self.introduce(&mut out, rng),
                Frame::Message(message) => self.answer(message, &mut out, rng),
            }
        }
        out.freeze()
    }

    /// It is its turn to do something.
    pub(crate) fn nudged(&mut self, rng: &mut Rng) -> Bytes {
        let mut out = BytesMut::new();
        match self.conduct {
            Conduct::SlowHandshake => return self.slowly.split_to(self.slowly.len().min(1)).freeze(),
            Conduct::Trickle => return self.slowly.split_to(self.slowly.len().min(256)).freeze(),
            _ if self.theirs.is_empty() => {}
            Conduct::Flutter => {
                for _ in 0..20 {
                    for message in [
                        Message::Choke,
                        Message::Unchoke,
                        Message::Interested,
                        Message::NotInterested,
                    ] {
                        message.encode(&mut out);
                    }
                }
            }
            Conduct::Fickle => {
                let mut have = Bitfield::none(self.shared.info.geometry().pieces());
                for piece in 0..have.len() {
                    have.set_bit(piece, rng.bool());
                }
                Message::Bitfield(have.to_wire()).encode(&mut out);
            }
            Conduct::Gossip => self.gossip(&mut out, rng),
            Conduct::Chatter => {
                for id in 0..50 {
                    let payload = Bytes::from_static(b"de");
                    Message::Extended { id, payload }.encode(&mut out);
                    Message::KeepAlive.encode(&mut out);
                }
                self.shake_hands(&mut out);
            }
            _ => {}
        }
        out.freeze()
    }

    fn gossip(&self, out: &mut BytesMut, rng: &mut Rng) {
        let Some(id) = self.theirs.get(UT_PEX).copied() else {
            return;
        };
        // Half of them are where our peers live, and one of them is us or somebody who is there.
        let addr = |rng: &mut Rng| {
            let network = if rng.bool() { 10 } else { rng.u8(1..) };
            ([network, 0, 0, rng.u8(..)], rng.u16(1..)).into()
        };
        let peer = |rng: &mut Rng| PexPeer {
            addr: addr(rng),
            flags: PexFlags(rng.u8(..)),
        };
        let exchange = PeerExchange {
            added: (0..200).map(|_| peer(rng)).collect(),
            dropped: (0..200).map(|_| addr(rng)).collect(),
        };
        let payload = exchange.to_bytes();
        Message::Extended { id, payload }.encode(out);
    }

    fn introduce(&mut self, out: &mut BytesMut, rng: &mut Rng) {
        let geometry = self.shared.info.geometry();
        match self.conduct {
            Conduct::Noise => {
                let noise: Vec<u8> = (0..rng.usize(1..5000)).map(|_| rng.u8(..)).collect();
                out.extend_from_slice(&noise);
                return;
            }
            Conduct::Giant => return out.extend_from_slice(&[0x40, 0, 0, 0, 7]),
            Conduct::Overlong => Message::Bitfield(vec![0; geometry.pieces() as usize].into()).encode(out),
            conduct if conduct.is_leech() => Message::HaveNone.encode(out),
            _ => Message::HaveAll.encode(out),
        }
        self.shake_hands(out);
        match self.conduct {
            conduct if conduct.is_leech() => Message::Interested.encode(out),
            Conduct::Boast => Message::Have(geometry.pieces()).encode(out),
            Conduct::EmptyPromises => {
                (0..geometry.pieces()).for_each(|piece| Message::AllowedFast(piece).encode(out));
                (0..geometry.pieces()).for_each(|piece| Message::Suggest(piece).encode(out));
            }
            Conduct::Pour => {
                let data = Bytes::from_static(&[0; 100]);
                let piece = Message::Piece {
                    piece: 0,
                    offset: 0,
                    data: data.into(),
                };
                (0..100).for_each(|_| piece.encode(out));
            }
            _ => {}
        }
    }

    fn shake_hands(&self, out: &mut BytesMut) {
        let ids = [
            (UT_METADATA, OUR_METADATA),
            (UT_PEX, OUR_PEX),
            (LT_DONTHAVE, OUR_DONT_HAVE),
        ];
        let hello = ExtendedHandshake {
            ids: ids.into_iter().map(|(name, id)| (name.to_owned(), id)).collect(),
            metadata_size: self.conduct.metadata_size(&self.shared),
            ..ExtendedHandshake::default()
        };
        let payload = hello.to_bytes();
        Message::Extended { id: 0, payload }.encode(out);
    }

    fn answer(&mut self, message: Message, out: &mut BytesMut, rng: &mut Rng) {
        match message {
            Message::Interested if self.conduct == Conduct::EmptyPromises => {}
            Message::Interested => Message::Unchoke.encode(out),
            Message::Unchoke => self.ask(out),
            Message::Request(request) => self.serve(request, out, rng),
            Message::Reject(_) => self.rejected += 1,
            Message::Piece { .. } => {
                self.blocks += 1;
                if self.conduct == Conduct::Flood && self.blocks.is_multiple_of(100) {
                    self.ask(out);
                }
            }
            Message::Extended { id: 0, payload } => {
                let theirs = ExtendedHandshake::from_bytes(&payload).expect("well formed");
                self.theirs = theirs.ids;
            }
            Message::Extended {
                id: OUR_METADATA,
                payload,
            } => self.serve_metadata(&payload, out, rng),
            _ => {}
        }
    }

    fn ask(&mut self, out: &mut BytesMut) {
        let geometry = self.shared.info.geometry();
        match self.conduct {
            Conduct::Leech | Conduct::Flood => {
                for block in geometry.all_pieces().flat_map(|piece| geometry.blocks_of(piece)) {
                    Message::Request(block.into()).encode(out);
                }
            }
            Conduct::AskNonsense => {
                for (piece, offset, length) in
                    [(u32::MAX, 0, 1), (0, u32::MAX, 9), (0, 0, 1 << 18), (0, 0, 0)]
                {
                    Message::Request(BlockRequest {
                        piece,
                        offset,
                        length,
                    })
                    .encode(out);
                }
            }
            _ => {}
        }
    }

    fn serve(&mut self, request: BlockRequest, out: &mut BytesMut, rng: &mut Rng) {
        self.requests += 1;
        match self.conduct {
            Conduct::Corrupt(percent) => {
                let mut data = self.content_of(request).to_vec();
                if rng.u8(..100) < percent {
                    data[0] ^= 1;
                }
                piece(request, data.into()).encode(out);
            }
            Conduct::Swap => {
                let mut other = request;
                other.piece = request.piece.saturating_sub(1);
                piece(request, self.content_of(other)).encode(out);
            }
            Conduct::Twice => {
                (0..2).for_each(|_| piece(request, self.content_of(request)).encode(out));
            }
            Conduct::Trickle => piece(request, self.content_of(request)).encode(&mut self.slowly),
            Conduct::Reject | Conduct::EmptyPromises => Message::Reject(request).encode(out),
            Conduct::HaveThenNot => {
                Message::Reject(request).encode(out);
                if let Some(id) = self.theirs.get(LT_DONTHAVE).copied() {
                    let payload = DontHave(request.piece).to_bytes();
                    Message::Extended { id, payload }.encode(out);
                }
                Message::Have(request.piece).encode(out);
            }
            Conduct::Flap if self.requests.is_multiple_of(10) => {
                Message::Choke.encode(out);
                Message::Unchoke.encode(out);
            }
            _ => {}
        }
    }

    fn content_of(&self, request: BlockRequest) -> Bytes {
        let BlockRequest {
            piece,
            offset,
            length,
        } = request;
        let block = self
            .shared
            .info
            .geometry()
            .block(piece, offset, length)
            .expect("it exists");
        self.shared.bytes_of(block)
    }

    fn serve_metadata(&mut self, payload: &Bytes, out: &mut BytesMut, rng: &mut Rng) {
        let message = MetadataMessage::from_bytes(payload).expect("well formed");
        let (MetadataMessage::Request { piece }, Some(total_size)) =
            (message, self.conduct.metadata_size(&self.shared))
        else {
            return;
        };
        let length = match self.conduct {
            Conduct::FalseMetadata => (total_size - piece * 16_384).min(16_384),
            _ => rng.u32(..20_000),
        };
        let payload = MetadataMessage::Data {
            piece,
            total_size,
            data: vec![0; length as usize].into(),
        }
        .to_bytes();
        let id = self.theirs.get(UT_METADATA).copied().unwrap_or(1);
        Message::Extended { id, payload }.encode(out);
    }
}

fn piece(request: BlockRequest, data: Bytes) -> Message {
    Message::Piece {
        piece: request.piece,
        offset: request.offset,
        data: data.into(),
    }
}

/// The numbers that messages to a script bear.
const OUR_METADATA: u8 = 3;
const OUR_PEX: u8 = 4;
const OUR_DONT_HAVE: u8 = 5;
