//! A WebSocket that is read and written in large pieces.
//!
//! A busy tracker's processor time goes into system calls, most of all. So what has arrived is read at once, into a buffer
//! that all connections of a thread share, and what is to be sent is collected and written at once. A connection that is
//! idle holds almost nothing.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, Cursor, ErrorKind, Read, Write};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{FrameHeader, Utf8Bytes};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message};

/// The server's end of a WebSocket. It answers pings and confirms the end by itself.
///
/// The usual message is one frame that has arrived as a whole, and is taken as it is; whatever else there is, the library
/// understands.
#[derive(Debug)]
pub(super) struct Socket<S> {
    context: WebSocketContext,
    wire: Wire<S>,
    max_message: usize,
    /// The library has something to say to what it has read last, and is to be asked next.
    has_reply: bool,
}

/// What is below the WebSocket protocol.
#[derive(Debug)]
struct Wire<S> {
    stream: S,
    /// What was read from the stream and is not taken yet, from `taken` on.
    unread: Vec<u8>,
    taken: usize,
    /// How many bytes the library was given at least for which it has given no message yet. With 0 it stands between two
    /// messages.
    owed: usize,
    /// How many of them may belong to a message that has begun and is not complete: all since the last one, without pings and
    /// the like.
    begun: usize,
    /// What is to be written to the stream, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    is_flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A WebSocket on a stream of which some bytes were read already. Longer messages than `max_message` bytes end it.
    pub(super) fn new(stream: S, unread: Vec<u8>, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            wire: Wire {
                stream,
                unread,
                taken: 0,
                owed: 0,
                begun: 0,
                unsent: Vec::new(),
                sent: 0,
                is_flushed: true,
            },
            max_message,
            has_reply: false,
        }
    }

    /// The next message; `None` where the other side has closed the connection, or the network has failed.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.wire.owed == 0
            && !self.has_reply
            && let Some(payload) = ready!(self.wire.poll_text(context, self.max_message))
        {
            let text = Utf8Bytes::try_from(payload).map_err(Error::from);
            return Poll::Ready(Some(text.map(Message::Text)));
        }
        let mut driven = Driven {
            wire: &mut self.wire,
            context,
        };
        let result = self.context.read(&mut driven);
        self.has_reply = result
            .as_ref()
            .is_ok_and(|message| message.is_ping() || message.is_close());
        Poll::Ready(match result {
            Ok(message) => {
                let header = FrameHeader {
                    mask: Some([0; 4]),
                    ..FrameHeader::default()
                };
                // A longer header than needed, or several, leave something owed for good: then nothing is taken as it is.
                let least = header.len(message.len() as u64) + message.len();
                self.wire.owed = self.wire.owed.saturating_sub(least);
                self.wire.begun = if message.is_text() || message.is_binary() {
                    0
                } else {
                    self.wire.begun.saturating_sub(least)
                };
                Some(Ok(message))
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(
                Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Io(_)
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            ) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Whether part of a message is kept until the rest of it comes; less of it than each connection has a buffer for does not
    /// count.
    pub(super) fn is_midway(&self) -> bool {
        self.wire.begun > READ_BUFFER
    }

    /// Appends frames to what is to be sent.
    pub(super) fn put(&mut self, frames: Vec<u8>) {
        if self.wire.unsent.is_empty() {
            self.wire.unsent = frames;
        } else {
            self.wire.unsent.extend_from_slice(&frames);
        }
    }

    /// Appends a ping.
    pub(super) fn ping(&mut self) {
        self.append(Message::Ping(Bytes::new()));
    }

    /// Appends the message that ends the connection.
    pub(super) fn close(&mut self, farewell: CloseFrame) {
        self.append(Message::Close(Some(farewell)));
    }

    fn append(&mut self, message: Message) {
        let mut driven = Driven {
            wire: &mut self.wire,
            context: &mut Context::from_waker(core::task::Waker::noop()),
        };
        if let Err(error) = self.context.write(&mut driven, message) {
            tracing::trace!(%error, "the connection ends already");
        }
    }

    /// Whether everything was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.wire.unsent.is_empty() && self.wire.is_flushed
    }

    /// Sends what is to be sent.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_send(context)
    }

    /// Says that nothing more is sent, and waits until the other side has seen it, or has sent too much more. Otherwise the
    /// system would throw away what the other side has not read yet, as soon as it goes on sending.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        let stream = &mut self.wire.stream;
        core::future::poll_fn(|context| Pin::new(&mut *stream).poll_shutdown(context)).await?;
        let mut patience = LEFT_UNREAD;
        core::future::poll_fn(|context| {
            loop {
                let read = with_buffer(|buffer| {
                    let mut buffer = ReadBuf::new(buffer);
                    let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
                    read.map_ok(|()| buffer.filled().len())
                });
                let length = ready!(read)?;
                patience = patience.saturating_sub(length);
                if length == 0 || patience == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The payload of the next frame, where that is a whole text message and is here as a whole. Whatever was read else waits
    /// to be taken.
    fn poll_text(&mut self, context: &mut Context<'_>, max: usize) -> Poll<Option<Vec<u8>>> {
        if self.taken < self.unread.len() {
            let text = whole_text(&self.unread[self.taken..], max);
            return Poll::Ready(text.map(|(payload, length)| {
                self.take(length);
                payload
            }));
        }
        with_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            // The end, or what went wrong, is found again by whoever reads next.
            if ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)).is_err() {
                return Poll::Ready(None);
            }
            let read = buffer.filled();
            let text = whole_text(read, max);
            let length = text.as_ref().map_or(0, |(_, length)| *length);
            self.unread = read[length..].to_vec();
            Poll::Ready(text.map(|(payload, _)| payload))
        })
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            self.is_flushed = false;
            let rest = &self.unsent[self.sent..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Wire<S> {
    /// Takes bytes off what was read.
    fn take(&mut self, length: usize) {
        self.taken += length;
        if self.taken == self.unread.len() {
            self.unread = Vec::new();
            self.taken = 0;
        }
    }
}

/// The wire, as it is within one poll: what would block says so, and has seen to it that the task is woken.
struct Driven<'a, 'b, S> {
    wire: &'a mut Wire<S>,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Driven<'_, '_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wire = &mut *self.wire;
        if wire.taken < wire.unread.len() {
            let rest = &wire.unread[wire.taken..];
            let length = rest.len().min(into.len());
            into[..length].copy_from_slice(&rest[..length]);
            wire.take(length);
            wire.owed += length;
            wire.begun += length;
            return Ok(length);
        }
        with_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match Pin::new(&mut wire.stream).poll_read(self.context, &mut buffer) {
                Poll::Pending => return Err(ErrorKind::WouldBlock.into()),
                Poll::Ready(result) => result?,
            }
            let read = buffer.filled();
            let (now, later) = read.split_at(read.len().min(into.len()));
            into[..now.len()].copy_from_slice(now);
            wire.unread = later.to_vec();
            wire.owed += now.len();
            wire.begun += now.len();
            Ok(now.len())
        })
    }
}

/// The payload of the frame at the beginning, and the length of the frame, where it is a text message that is here as a
/// whole.
fn whole_text(bytes: &[u8], max: usize) -> Option<(Vec<u8>, usize)> {
    let mut cursor = Cursor::new(bytes);
    let (header, length) = FrameHeader::parse(&mut cursor).ok()??;
    let is_plain = header.is_final && !header.rsv1 && !header.rsv2 && !header.rsv3;
    let mask = header.mask?;
    let length = usize::try_from(length).ok().filter(|length| *length <= max)?;
    if !is_plain || header.opcode != OpCode::Data(Data::Text) {
        return None;
    }
    let begin = usize::try_from(cursor.position()).ok()?;
    let mut payload = bytes.get(begin..begin + length)?.to_vec();
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    Some((payload, begin + length))
}

impl<S> Write for Driven<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.unsent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SHARED_BUFFER]);
    }
    BUFFER.with_borrow_mut(|buffer| read(buffer))
}

/// So much is read at once, in bytes; an announce with ten offers is shorter.
const SHARED_BUFFER: usize = 64 * 1024;

/// So much of what comes after the end is passed over, in bytes.
const LEFT_UNREAD: usize = 16 << 20;

/// Each connection has a buffer of its own of this size, for what is no whole message yet.
const READ_BUFFER: usize = 1024;

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::Frame;

    use super::*;

    /// A masked frame, as clients send them.
    fn frame(kind: Data, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::message(payload.to_vec(), OpCode::Data(kind), is_final);
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).expect("a vector takes it");
        bytes
    }

    #[test]
    fn a_whole_text_frame_is_taken_as_it_is_and_nothing_else() {
        for length in [0, 1, 125, 126, 1_000] {
            let payload = vec![b'x'; length];
            let mut bytes = frame(Data::Text, true, &payload);
            let whole = bytes.len();
            assert_eq!(whole_text(&bytes, 1_000), Some((payload.clone(), whole)));
            bytes.extend(b"more");
            assert_eq!(whole_text(&bytes, 1_000), Some((payload, whole)));
            for cut in 0..whole {
                assert_eq!(whole_text(&bytes[..cut], 1_000), None);
            }
            assert_eq!(whole_text(&frame(Data::Text, false, b"x"), 1_000), None);
            assert_eq!(whole_text(&frame(Data::Continue, true, b"x"), 1_000), None);
            assert_eq!(whole_text(&frame(Data::Binary, true, b"x"), 1_000), None);
        }
        assert_eq!(
            whole_text(&frame(Data::Text, true, &[0; 1_001]), 1_000),
            None,
            "too long"
        );
        assert_eq!(whole_text(b"\x81\x01x", 1_000), None, "not masked");
        assert_eq!(whole_text(b"\xc1\x81\0\0\0\0x", 1_000), None, "an extension's");
    }

    /// However the stream is cut, the messages are the same: whole ones, parts of one with a ping among them, binary ones.
    #[tokio::test]
    async fn messages_are_the_same_however_they_arrive() {
        let ping = b"\x89\x81\0\0\0\0p".to_vec();
        let stream = [
            frame(Data::Text, true, b"one"),
            frame(Data::Text, true, b"two"),
            ping.clone(),
            frame(Data::Text, true, &[b'3'; 3_000]),
            frame(Data::Binary, true, b"four"),
            frame(Data::Text, false, b"fi"),
            ping,
            frame(Data::Continue, true, b"ve"),
            frame(Data::Text, true, b"six"),
        ]
        .concat();
        let long = "3".repeat(3_000);
        for step in [1, 2, 3, 7, 100, 1_024, 2_000, stream.len()] {
            let (client, server) = tokio::io::duplex(step);
            let mut socket = Socket::new(server, Vec::new(), 10_000);
            let sent = stream.clone();
            let writing = tokio::spawn(async move {
                let mut client = client;
                tokio::io::AsyncWriteExt::write_all(&mut client, &sent)
                    .await
                    .expect("it reads");
                client
            });
            let mut texts = Vec::new();
            while texts.len() < 6 {
                let message = core::future::poll_fn(|context| socket.poll_read(context)).await;
                let message = message.expect("it goes on").expect("it is a message");
                if message.is_ping() {
                    assert_eq!(message.into_data(), "p");
                } else {
                    texts.push(message.into_text().expect("it is text").to_string());
                }
            }
            assert_eq!(
                texts,
                ["one", "two", &long, "four", "five", "six"],
                "{step} bytes at a time"
            );
            let pongs = socket
                .wire
                .unsent
                .windows(3)
                .filter(|window| *window == b"\x8a\x01p");
            assert_eq!(pongs.count(), 2, "pings are answered");
            drop(writing.await);
        }
    }

    #[tokio::test]
    async fn the_end_is_confirmed_and_then_it_is_the_end() {
        let (mut client, server) = tokio::io::duplex(100);
        let mut socket = Socket::new(server, Vec::new(), 1_000);
        let sent = [frame(Data::Text, true, b"one"), b"\x88\x80\0\0\0\0".to_vec()].concat();
        tokio::io::AsyncWriteExt::write_all(&mut client, &sent)
            .await
            .expect("it reads");
        let mut kinds = Vec::new();
        while let Some(message) = core::future::poll_fn(|context| socket.poll_read(context)).await {
            kinds.push(message.expect("it is a message").is_close());
        }
        assert_eq!(kinds, [false, true]);
        assert_eq!(socket.wire.unsent, b"\x88\0");
    }
}
