use bytes::BytesMut;
use causeway_core::{InfoHash, PeerId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::input::Sliced;
use super::*;
use crate::message::id;
use crate::{BlockRequest, Chunks, Reserved, piece_header};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HELLO: Handshake = Handshake {
    reserved: Reserved::ours(),
    info_hash: InfoHash::new(*b"an info-hash, 20 b. "),
    peer_id: PeerId::new(*b"-CW0001-abcdefghijkl"),
};

/// Every message with the bytes that its BEP gives it.
fn table() -> Vec<(Message, &'static [u8])> {
    let block = BlockRequest {
        piece: 1,
        offset: 0x4000,
        length: 0x0102_0304,
    };
    vec![
        (Message::KeepAlive, b"\0\0\0\0"),
        (Message::Choke, b"\0\0\0\x01\x00"),
        (Message::Unchoke, b"\0\0\0\x01\x01"),
        (Message::Interested, b"\0\0\0\x01\x02"),
        (Message::NotInterested, b"\0\0\0\x01\x03"),
        (Message::Have(0x0a0b_0c0d), b"\0\0\0\x05\x04\x0a\x0b\x0c\x0d"),
        (
            Message::Bitfield(Bytes::from_static(b"\xff\x80")),
            b"\0\0\0\x03\x05\xff\x80",
        ),
        (
            Message::Request(block),
            b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\x01\x02\x03\x04",
        ),
        (
            Message::Piece {
                piece: 2,
                offset: 3,
                data: Bytes::from_static(b"block").into(),
            },
            b"\0\0\0\x0e\x07\0\0\0\x02\0\0\0\x03block",
        ),
        (
            Message::Cancel(block),
            b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\x01\x02\x03\x04",
        ),
        (Message::Port(6881), b"\0\0\0\x03\x09\x1a\xe1"),
        (Message::Suggest(7), b"\0\0\0\x05\x0d\0\0\0\x07"),
        (Message::HaveAll, b"\0\0\0\x01\x0e"),
        (Message::HaveNone, b"\0\0\0\x01\x0f"),
        (
            Message::Reject(block),
            b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\x01\x02\x03\x04",
        ),
        (Message::AllowedFast(8), b"\0\0\0\x05\x11\0\0\0\x08"),
        (
            Message::Extended {
                id: 3,
                payload: Bytes::from_static(b"d8:msg_typei0e5:piecei0ee"),
            },
            b"\0\0\0\x1b\x14\x03d8:msg_typei0e5:piecei0ee",
        ),
        (Message::Unknown { id: 21 }, b"\0\0\0\x01\x15"),
    ]
}

/// What a stream says, cut into these parts.
fn decode(parts: impl IntoIterator<Item = Bytes>) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut frames = Vec::new();
    for part in parts {
        decoder.push(part);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(held(&decoder) <= bound(), "{} bytes are held", held(&decoder));
    }
    (frames, None)
}

/// A decoder that has read the handshake.
fn after_handshake(limits: Limits) -> Decoder {
    let mut decoder = Decoder::new(limits);
    decoder.push(Bytes::copy_from_slice(&HELLO.encode()));
    assert_eq!(decoder.next(), Ok(Some(Frame::Handshake(HELLO))));
    decoder
}

/// The bytes that a decoder has allocated or keeps alive, heads aside.
fn held(decoder: &Decoder) -> usize {
    let payload = match &decoder.state {
        State::Payload(payload) => payload.held(),
        State::Handshake | State::Head | State::Failed(_) => 0,
    };
    decoder.input.len() + payload
}

fn bound() -> usize {
    let Limits {
        bitfield,
        block,
        extended,
    } = Limits::default();
    2 * bitfield.max(block).max(extended) as usize
}

fn encoded(messages: &[Message]) -> Bytes {
    let mut out = BytesMut::new();
    out.extend_from_slice(&HELLO.encode());
    for message in messages {
        message.encode(&mut out);
    }
    out.freeze()
}

/// The stream in parts that share its memory, cut wherever `cuts` say.
fn cut(stream: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    let mut at: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(stream.len() + 1))
        .chain([0, stream.len()])
        .collect();
    at.sort_unstable();
    at.windows(2).map(|pair| stream.slice(pair[0]..pair[1])).collect()
}

fn any_message() -> impl Strategy<Value = Message> {
    let block = || {
        any::<(u32, u32, u32)>().prop_map(|(piece, offset, length)| BlockRequest {
            piece,
            offset,
            length,
        })
    };
    let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        Index::arbitrary().prop_map(|row| table()[row.index(table().len())].0.clone()),
        any::<u32>().prop_map(Message::Have),
        bytes().prop_map(Message::Bitfield),
        block().prop_map(Message::Request),
        (any::<u32>(), any::<u32>(), bytes()).prop_map(|(piece, offset, data)| Message::Piece {
            piece,
            offset,
            data: data.into()
        }),
        block().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(Message::Suggest),
        block().prop_map(Message::Reject),
        any::<u32>().prop_map(Message::AllowedFast),
        (any::<u8>(), bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        prop_oneof![10..13_u8, 18..20_u8, 21..=255_u8].prop_map(|id| Message::Unknown { id }),
    ]
}

#[test]
fn every_message_is_read_and_written_as_its_bep_says() {
    for (message, bytes) in table() {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        assert_eq!(out, bytes, "{message:?}");

        let mut decoder = after_handshake(Limits::default());
        decoder.push(Bytes::from_static(bytes));
        assert_eq!(decoder.next(), Ok(Some(Frame::Message(message))));
        assert_eq!(decoder.next(), Ok(None), "nothing is left");
    }
}

#[test]
fn the_handshake_is_read_and_written_as_bep_3_says() {
    let bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04an info-hash, 20 b. -CW0001-abcdefghijkl";
    assert_eq!(&HELLO.encode(), bytes);
    assert_eq!(Handshake::decode(bytes), Ok(HELLO));
    assert_eq!(
        decode([Bytes::from_static(bytes)]),
        (vec![Frame::Handshake(HELLO)], None)
    );
}

#[test]
fn the_reserved_bits_are_those_of_bep_5_6_and_10() {
    let bits = |bytes| {
        let reserved = Reserved::new(bytes);
        (
            reserved.supports_extended(),
            reserved.supports_fast(),
            reserved.supports_dht(),
        )
    };
    assert_eq!(bits([0; 8]), (false, false, false));
    assert_eq!(bits([0, 0, 0, 0, 0, 0x10, 0, 0]), (true, false, false));
    assert_eq!(bits([0, 0, 0, 0, 0, 0, 0, 0x04]), (false, true, false));
    assert_eq!(bits([0, 0, 0, 0, 0, 0, 0, 0x01]), (false, false, true));
    assert_eq!(bits(*Reserved::ours().as_bytes()), (true, true, false));
    assert_eq!(bits([0xff; 8]), (true, true, true));
}

#[test]
fn another_protocol_is_refused_from_the_first_byte_that_shows_it() {
    for (bytes, accepted) in [
        (&b"\x13BitTorrent protoco"[..], true),
        (b"\x13Bit", true),
        (b"G", false),
        (b"\x13BitTorrent protocoL", false),
        (b"\x13bit", false),
        (b"\x16\x03\x01", false),
    ] {
        let error = (!accepted).then_some(DecodeError::NotBitTorrent);
        assert_eq!(
            decode([Bytes::from_static(bytes)]),
            (Vec::new(), error),
            "{bytes:?}"
        );
    }
}

#[test]
fn messages_of_a_wrong_length_are_refused_by_name() {
    for (bytes, sentence) in [
        (
            &b"\0\0\0\x02\x00"[..],
            "the peer's `choke` message has 1 bytes of payload in place of 0",
        ),
        (
            b"\0\0\0\x04\x04",
            "the peer's `have` message has 3 bytes of payload in place of 4",
        ),
        (
            b"\0\0\0\x0e\x06",
            "the peer's `request` message has 13 bytes of payload in place of 12",
        ),
        (
            b"\0\0\0\x02\x09",
            "the peer's `port` message has 1 bytes of payload in place of 2",
        ),
        (
            b"\0\0\0\x01\x10",
            "the peer's `reject request` message has 0 bytes of payload in place of 12",
        ),
        (
            b"\0\0\0\x08\x07",
            "the peer's `piece` message has 7 bytes of payload, fewer than the 8 it needs",
        ),
        (
            b"\0\0\0\x01\x14",
            "the peer's `extended` message has 0 bytes of payload, fewer than the 1 it needs",
        ),
    ] {
        let mut decoder = after_handshake(Limits::default());
        decoder.push(Bytes::from_static(bytes));
        let error = decoder.next().expect_err(sentence);
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn a_frame_over_its_limit_is_refused_from_its_first_five_bytes_and_one_at_the_limit_is_not() {
    let limits = Limits {
        bitfield: 100,
        block: 300,
        extended: 200,
    };
    for (id, message, fields, limit) in [
        (id::BITFIELD, "bitfield", 0, 100),
        (id::PIECE, "piece", 8, 300),
        (id::EXTENDED, "extended", 1, 200),
        (99, "unknown", 0, 300),
    ] {
        let most = fields + limit;
        for (actual, accepted) in [(most, true), (most + 1, false), (u32::MAX - 1, false)] {
            let mut decoder = after_handshake(limits);
            let mut head = (actual + 1).to_be_bytes().to_vec();
            head.push(id);
            decoder.push(head.into());
            let expected = if accepted {
                Ok(None)
            } else {
                Err(DecodeError::TooLong {
                    message,
                    most,
                    actual,
                })
            };
            assert_eq!(decoder.next(), expected, "{message} {actual}");
            assert_eq!(held(&decoder), 0, "nothing is allocated for what has not arrived");
        }
    }
}

#[test]
fn an_error_stays_and_nothing_is_held_after_it() {
    let mut decoder = after_handshake(Limits::default());
    decoder.push(Bytes::from_static(b"\0\0\0\x02\x00\0\0\0\0"));
    let error = decoder.next().expect_err("a choke has no payload");
    decoder.push(Bytes::from_static(b"\0\0\0\x01\x01"));
    assert_eq!(held(&decoder), 0);
    assert_eq!(decoder.next(), Err(error));
}

#[test]
fn the_payload_of_an_unknown_message_is_skipped_without_being_held() {
    let mut decoder = after_handshake(Limits::default());
    decoder.push(Bytes::from_static(b"\0\x01\0\x01\x63"));
    for _ in 0..0x100 {
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(held(&decoder), 0);
        decoder.push(vec![1; 0x100].into());
    }
    decoder.push(Bytes::from_static(b"\0\0\0\x01\x01"));
    assert_eq!(
        decoder.next(),
        Ok(Some(Frame::Message(Message::Unknown { id: 99 })))
    );
    assert_eq!(decoder.next(), Ok(Some(Frame::Message(Message::Unchoke))));
}

#[test]
fn a_block_sent_apart_from_its_head_as_webtorrent_does_is_the_very_buffer_that_was_pushed() {
    let mut decoder = after_handshake(Limits::default());
    let block = Bytes::from(vec![7; 16384]);
    decoder.push(Bytes::copy_from_slice(&piece_header(4, 32768, 16384)));
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(block.clone());
    let Ok(Some(Frame::Message(Message::Piece {
        piece: 4,
        offset: 32768,
        data,
    }))) = decoder.next()
    else {
        panic!("a piece message is complete");
    };
    assert_eq!(data, Chunks::from(block.clone()));
    assert_eq!(data.into_bytes().as_ptr(), block.as_ptr());
}

#[test]
fn several_blocks_in_one_message_are_slices_of_it() {
    let blocks = [0, 1, 2, 3].map(|offset| Message::Piece {
        piece: 0,
        offset,
        data: Bytes::from(vec![7; 16384]).into(),
    });
    let stream = encoded(&blocks);
    let (frames, error) = decode([stream.clone()]);
    assert_eq!(error, None);
    for (frame, start) in frames
        .into_iter()
        .skip(1)
        .zip((Handshake::LENGTH + 13..).step_by(16384 + 13))
    {
        let Frame::Message(Message::Piece { data, .. }) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(data.parts(), 1);
        assert_eq!(data.into_bytes().as_ptr(), stream[start..].as_ptr());
    }
}

#[test]
fn a_page_without_metadata_says_nothing_of_its_pieces_and_that_is_no_error() {
    let messages = [
        Message::Extended {
            id: 0,
            payload: Bytes::from_static(b"de"),
        },
        Message::Interested,
    ];
    let (frames, error) = decode([encoded(&messages)]);
    assert_eq!(frames[1..], messages.map(Frame::Message));
    assert_eq!(error, None);
}

#[test]
fn a_block_that_drips_in_byte_by_byte_is_held_in_few_parts() {
    let block: Bytes = (0..=255_u8)
        .cycle()
        .take(Limits::default().block as usize)
        .collect();
    let mut decoder = after_handshake(Limits::default());
    decoder.push(Bytes::copy_from_slice(&piece_header(
        0,
        0,
        Limits::default().block,
    )));
    for byte in block.chunks(1) {
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(Bytes::copy_from_slice(byte));
        assert!(
            held(&decoder) <= 2 * block.len(),
            "{} bytes are held",
            held(&decoder)
        );
    }
    let Ok(Some(Frame::Message(Message::Piece { data, .. }))) = decoder.next() else {
        panic!("a piece message is complete");
    };
    assert_eq!(data.parts(), Sliced::MAX_SLICES + 1);
    assert_eq!(data, Chunks::from(block));
}

#[test]
fn a_payload_that_is_gathered_holds_at_most_twice_its_limit() {
    let limit = Limits::default().bitfield as usize;
    let mut decoder = after_handshake(Limits::default());
    let mut stream = BytesMut::new();
    Message::Bitfield(vec![0xaa; limit].into()).encode(&mut stream);
    let mut frame = None;
    for part in stream.chunks(1000) {
        assert_eq!(frame, None);
        decoder.push(Bytes::copy_from_slice(part));
        frame = decoder.next().expect("nothing is wrong");
        assert!(held(&decoder) <= 2 * limit, "{} bytes are held", held(&decoder));
    }
    assert_eq!(
        frame,
        Some(Frame::Message(Message::Bitfield(vec![0xaa; limit].into())))
    );
}

#[test]
fn the_head_of_a_block_is_the_beginning_of_its_message() {
    let mut out = BytesMut::new();
    Message::Piece {
        piece: 0x0102_0304,
        offset: 5,
        data: Bytes::from_static(b"abc").into(),
    }
    .encode(&mut out);
    assert_eq!([&piece_header(0x0102_0304, 5, 3)[..], b"abc"].concat(), out);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(messages in vec(any_message(), 0..20)) {
        let (frames, error) = decode([encoded(&messages)]);
        prop_assert_eq!(error, None);
        prop_assert_eq!(&frames[0], &Frame::Handshake(HELLO));
        let read: Vec<_> = frames.into_iter().skip(1).collect();
        prop_assert_eq!(read, messages.into_iter().map(Frame::Message).collect::<Vec<_>>());
    }

    #[test]
    fn where_a_stream_is_cut_has_no_meaning(
        messages in vec(any_message(), 0..10),
        garbage in vec(any::<u8>(), 0..50),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let stream = Bytes::from([&encoded(&messages)[..], &garbage].concat());
        prop_assert_eq!(decode(cut(&stream, &cuts)), decode([stream.clone()]));
        let bytes: Vec<_> = stream.chunks(1).map(Bytes::copy_from_slice).collect();
        prop_assert_eq!(decode(bytes), decode([stream]));
    }

    #[test]
    fn a_block_in_any_parts_shares_memory_with_them(
        length in 1..40_000_u32,
        cuts in vec(any::<Index>(), 0..Sliced::MAX_SLICES - 1),
    ) {
        let data = Bytes::from(vec![7; length as usize]);
        let stream = encoded(&[Message::Piece { piece: 1, offset: 2, data: data.clone().into() }]);
        let (frames, _) = decode(cut(&stream, &cuts));
        let Some(Frame::Message(Message::Piece { data: read, .. })) = frames.get(1) else {
            panic!("{frames:?}");
        };
        let mut expected = stream[Handshake::LENGTH + 13..].as_ptr();
        for part in read {
            prop_assert_eq!(part.as_ptr(), expected);
            expected = expected.wrapping_add(part.len());
        }
        prop_assert_eq!(read, &Chunks::from(data));
    }

    #[test]
    fn garbage_never_panics_nor_is_more_of_it_held_than_the_limits_allow(
        garbage in vec(any::<u8>(), 0..2000),
        handshake: bool,
        cuts in vec(any::<Index>(), 0..5),
    ) {
        let start = if handshake { encoded(&[]) } else { Bytes::new() };
        // `decode` checks the bound after each part.
        decode(cut(&Bytes::from([&start[..], &garbage].concat()), &cuts));
    }

    #[test]
    fn garbage_with_plausible_heads_never_panics_nor_is_more_of_it_held_than_the_limits_allow(
        frames in vec((0..30_u8, 0..200_u32, vec(any::<u8>(), 0..200)), 0..20),
        cuts in vec(any::<Index>(), 0..5),
    ) {
        let mut stream = BytesMut::from(&encoded(&[])[..]);
        for (id, length, payload) in frames {
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend_from_slice(&[id]);
            stream.extend_from_slice(&payload);
        }
        decode(cut(&stream.freeze(), &cuts));
    }
}
