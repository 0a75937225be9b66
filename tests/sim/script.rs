//! Peers that speak the protocol and mean harm, or merely do nothing.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script cares for few messages, whatever others there may be"
)]

use bytes::{Bytes, BytesMut};
use causeway_core::{PeerId, SortedMap};
use causeway_wire::extended::{ExtendedHandshake, MetadataMessage, UT_METADATA};
use causeway_wire::{BlockRequest, Decoder, Frame, Handshake, Limits, Message, Reserved};
use fastrand::Rng;

use crate::node::Shared;

/// A peer that claims to have everything.
pub(crate) struct Script {
    shared: Shared,
    peer_id: PeerId,
    conduct: Conduct,
    decoder: Decoder,
    /// What its number for `ut_metadata` is at the other side.
    metadata_id: u8,
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
    /// Unchokes and answers no request.
    Silent,
    /// Never says a word.
    Mute,
    /// Sends noise after the handshake.
    Noise,
    /// Shakes hands for another torrent.
    Stranger,
    /// Unchokes and rejects every request.
    Reject,
    /// Unchokes and chokes again after every tenth request, forgetting them all.
    Flap,
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
    /// Has metadata, and hands out zeros for it.
    FalseMetadata,
    /// Takes what it asks for and sends nothing: a leech without an upload.
    Leech,
}

impl Conduct {
    pub(crate) const ALL: [Self; 15] = [
        Self::Corrupt(100),
        Self::Corrupt(10),
        Self::Silent,
        Self::Mute,
        Self::Noise,
        Self::Stranger,
        Self::Reject,
        Self::Flap,
        Self::Pour,
        Self::Flood,
        Self::AskNonsense,
        Self::Giant,
        Self::Boast,
        Self::FalseMetadata,
        Self::Leech,
    ];
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
            metadata_id: 0,
            requests: 0,
            rejected: 0,
            blocks: 0,
            closed: false,
        }
    }

    pub(crate) fn opened(&mut self) -> Bytes {
        self.decoder = Decoder::new(Limits::default());
        self.closed = false;
        if self.conduct == Conduct::Mute {
            return Bytes::new();
        }
        let info_hash = match self.conduct {
            Conduct::Stranger => [9; 20].into(),
            _ => self.shared.info.info_hash(),
        };
        let hello = Handshake {
            reserved: Reserved::ours(),
            info_hash,
            peer_id: self.peer_id,
        };
        Bytes::copy_from_slice(&hello.encode())
    }

    pub(crate) fn received(&mut self, bytes: Bytes, rng: &mut Rng) -> Bytes {
        if self.conduct == Conduct::Mute {
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

    fn introduce(&mut self, out: &mut BytesMut, rng: &mut Rng) {
        match self.conduct {
            Conduct::Noise => {
                let noise: Vec<u8> = (0..rng.usize(1..5000)).map(|_| rng.u8(..)).collect();
                out.extend_from_slice(&noise);
                return;
            }
            Conduct::Giant => return out.extend_from_slice(&[0x40, 0, 0, 0, 7]),
            Conduct::Leech | Conduct::Flood | Conduct::AskNonsense => Message::HaveNone.encode(out),
            _ => Message::HaveAll.encode(out),
        }
        let size = u32::try_from(self.shared.info.raw().len()).expect("small");
        let hello = ExtendedHandshake {
            ids: SortedMap::from([(UT_METADATA.to_owned(), 3)]),
            metadata_size: (self.conduct == Conduct::FalseMetadata).then_some(size),
            ..ExtendedHandshake::default()
        };
        Message::Extended {
            id: 0,
            payload: hello.to_bytes(),
        }
        .encode(out);
        match self.conduct {
            Conduct::Leech | Conduct::Flood | Conduct::AskNonsense => Message::Interested.encode(out),
            Conduct::Boast => Message::Have(self.shared.info.geometry().pieces()).encode(out),
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

    fn answer(&mut self, message: Message, out: &mut BytesMut, rng: &mut Rng) {
        match message {
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
                self.metadata_id = theirs.ids[UT_METADATA];
            }
            Message::Extended { id: 3, payload } => self.serve_metadata(&payload, out),
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
                let geometry = self.shared.info.geometry();
                let start = geometry
                    .piece(request.piece)
                    .map(|piece| geometry.start_of(piece))
                    .expect("exists");
                let start = usize::try_from(start + u64::from(request.offset)).expect("small");
                let mut data = self.shared.content[start..start + request.length as usize].to_vec();
                if rng.u8(..100) < percent {
                    data[0] ^= 1;
                }
                let data = Bytes::from(data).into();
                Message::Piece {
                    piece: request.piece,
                    offset: request.offset,
                    data,
                }
                .encode(out);
            }
            Conduct::Reject => Message::Reject(request).encode(out),
            Conduct::Flap if self.requests.is_multiple_of(10) => {
                Message::Choke.encode(out);
                Message::Unchoke.encode(out);
            }
            _ => {}
        }
    }

    fn serve_metadata(&mut self, payload: &Bytes, out: &mut BytesMut) {
        let message = MetadataMessage::from_bytes(payload).expect("well formed");
        let MetadataMessage::Request { piece } = message else {
            return;
        };
        let total_size = u32::try_from(self.shared.info.raw().len()).expect("small");
        let length = (total_size - piece * 16_384).min(16_384);
        let data = vec![0; length as usize].into();
        let payload = MetadataMessage::Data {
            piece,
            total_size,
            data,
        }
        .to_bytes();
        Message::Extended {
            id: self.metadata_id,
            payload,
        }
        .encode(out);
    }
}
