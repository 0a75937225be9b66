//! A WebSocket that is read and written in large pieces.
//!
//! A busy tracker's processor time goes into system calls, most of all. So what has arrived is read at once, into a buffer
//! that all connections of a thread share, and what is to be sent is collected and written at once. A connection that is
//! idle holds almost nothing.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind, Read, Write};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message};

/// The server's end of a WebSocket. It answers pings and confirms the end by itself.
#[derive(Debug)]
pub(super) struct Socket<S> {
    context: WebSocketContext,
    wire: Wire<S>,
}

/// What is below the WebSocket protocol.
#[derive(Debug)]
struct Wire<S> {
    stream: S,
    /// What was read from the stream and is not taken yet, from `taken` on.
    unread: Vec<u8>,
    taken: usize,
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
                unsent: Vec::new(),
                sent: 0,
                is_flushed: true,
            },
        }
    }

    /// The next message; `None` where the other side has closed the connection, or the network has failed.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        let mut driven = Driven {
            wire: &mut self.wire,
            context,
        };
        Poll::Ready(match self.context.read(&mut driven) {
            Ok(message) => Some(Ok(message)),
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
            wire.taken += length;
            if wire.taken == wire.unread.len() {
                wire.unread = Vec::new();
                wire.taken = 0;
            }
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
            Ok(now.len())
        })
    }
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
