//! What peers say.

use bytes::{Bytes, BytesMut};
use causeway_core::{InfoHash, PeerId};
use causeway_wire::extended::{DontHave, ExtendedHandshake, MetadataMessage, PeerExchange};
use causeway_wire::{DecodeError, Decoder, Frame, Handshake, Limits, Reserved};

use crate::source::Source;

/// A stream, behind a handshake where the first byte is even: however it is cut, it is the same messages, and written
/// again it is the same messages, too.
pub(crate) fn decoder(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(8));
    let hello = Handshake {
        reserved: Reserved::ours(),
        info_hash: InfoHash::new([1; 20]),
        peer_id: PeerId::new([2; 20]),
    };
    let is_greeted = cuts.first().is_some_and(|first| first.is_multiple_of(2));
    let hello = if is_greeted { &hello.encode()[..] } else { &[] };
    let stream = [hello, stream].concat();
    let whole = decode(&stream, &[]);
    assert_eq!(
        whole,
        decode(&stream, cuts),
        "where a stream is cut has no meaning"
    );

    let mut again = BytesMut::new();
    for frame in &whole.0 {
        match frame {
            Frame::Handshake(handshake) => again.extend_from_slice(&handshake.encode()),
            Frame::Message(message) => message.encode(&mut again),
        }
    }
    assert_eq!(decode(&again, &[]).0, whole.0, "what was read is written");
}

fn decode(stream: &[u8], cuts: &[u8]) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut frames = Vec::new();
    let mut rest = Bytes::copy_from_slice(stream);
    let mut cuts = cuts.iter().cycle();
    loop {
        let part = match cuts.next() {
            Some(cut) if !rest.is_empty() => rest.split_to(rest.len().min(usize::from(*cut) + 1)),
            _ => core::mem::take(&mut rest),
        };
        decoder.push(part);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        if rest.is_empty() {
            return (frames, None);
        }
    }
}

/// The payload of an extension's message: what was read is written so that it is read again as the same.
pub(crate) fn extensions(data: &[u8]) {
    let mut source = Source(data);
    let kind = source.byte();
    let payload = Bytes::copy_from_slice(source.0);
    match kind % 4 {
        0 => {
            if let Ok(handshake) = ExtendedHandshake::from_bytes(&payload) {
                assert_eq!(
                    ExtendedHandshake::from_bytes(&handshake.to_bytes()),
                    Ok(handshake)
                );
            }
        }
        1 => {
            if let Ok(message) = MetadataMessage::from_bytes(&payload)
                && message != MetadataMessage::Unknown
            {
                assert_eq!(MetadataMessage::from_bytes(&message.to_bytes()), Ok(message));
            }
        }
        2 => {
            if let Ok(exchange) = PeerExchange::from_bytes(&payload) {
                assert_eq!(PeerExchange::from_bytes(&exchange.to_bytes()), Ok(exchange));
            }
        }
        _ => {
            if let Ok(piece) = DontHave::from_bytes(&payload) {
                assert_eq!(piece.to_bytes(), payload);
            }
        }
    }
}
