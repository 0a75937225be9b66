//! Carrying a link's bytes over a stream of the operating system, whatever kind of stream that is.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use causeway_engine::Direction;
use causeway_wire::mse::Cipher;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::buffers::{Buffer, Buffers};
use crate::link::{Closed, End, Meeting, Reader, Writer, link};
use crate::session::Shared;
use crate::torrent::{Handle, Order};

/// What is done to a stream's bytes on their way.
#[derive(Debug, Default)]
pub(crate) struct Ciphers {
    /// To those that are sent.
    pub(crate) encrypt: Option<Cipher>,
    /// To those that come.
    pub(crate) decrypt: Option<Cipher>,
}

/// What is known of a stream before a torrent gets it.
#[derive(Debug)]
pub(crate) struct Opening {
    /// How the peers have met.
    pub(crate) meeting: Meeting,
    /// What has come already, in the clear.
    pub(crate) first: Bytes,
    /// For what comes and goes from now on.
    pub(crate) ciphers: Ciphers,
}

/// Gives the torrent a link, and carries its bytes until either side ends it.
pub(crate) async fn carry(
    shared: &Shared,
    torrent: &Handle,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    opening: Opening,
) {
    let Opening {
        meeting,
        first,
        ciphers: Ciphers { encrypt, decrypt },
    } = opening;
    let (link, End { incoming, outgoing }) = link(meeting, WINDOW);
    incoming.write(first);
    match meeting.direction {
        // Whoever is connected to was asked for.
        Direction::Outgoing => torrent.tell(Order::Link(link)).await,
        Direction::Incoming => torrent.open(link),
    }
    let mut sending = pin!(async {
        match encrypt {
            Some(cipher) => send_enciphered(writer, &outgoing, cipher).await,
            None => send(writer, &outgoing).await,
        }
    });
    let why = tokio::select! {
        why = receive(reader, &incoming, &shared.buffers, decrypt) => why,
        why = &mut sending => {
            incoming.close(why.0);
            return;
        }
    };
    incoming.close(why.0);
    // What was sent last may say why.
    if timeout(FAREWELL, sending).await.is_err() {
        tracing::debug!("a peer did not take the last words");
    }
}

async fn receive(
    mut stream: impl AsyncRead + Unpin,
    incoming: &Writer,
    buffers: &Arc<Buffers>,
    mut decrypt: Option<Cipher>,
) -> Closed {
    loop {
        let room = match incoming.room().await {
            Ok(room) => room,
            Err(closed) => return closed,
        };
        let result = tokio::select! {
            result = read(&mut stream, buffers, room) => result,
            closed = incoming.closed() => return closed,
        };
        match result {
            Ok((_, 0)) => return Closed("the peer has closed the connection".to_owned()),
            Ok((mut buffer, length)) => {
                if let Some(cipher) = &mut decrypt {
                    cipher.apply(&mut buffer[..length]);
                }
                incoming.write(buffer.filled(length));
            }
            Err(error) => return Closed(error.to_string()),
        }
    }
}

/// The next bytes. No buffer is held while there are none: most links are idle.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffers: &Arc<Buffers>,
    room: usize,
) -> io::Result<(Buffer, usize)> {
    poll_fn(|context| {
        let mut buffer = buffers.take();
        let length = room.clamp(LEAST_READ, buffer.len());
        let mut space = ReadBuf::new(&mut buffer[..length]);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut space))?;
        let length = space.filled().len();
        Poll::Ready(Ok((buffer, length)))
    })
    .await
}

async fn send(mut stream: impl AsyncWrite + Unpin, outgoing: &Reader) -> Closed {
    let mut parts: VecDeque<Bytes> = VecDeque::with_capacity(MOST_PARTS);
    loop {
        if parts.is_empty() {
            match outgoing.read().await {
                Ok(bytes) => parts.push_back(bytes),
                Err(closed) => {
                    // The connection may be gone already.
                    stream.shutdown().await.unwrap_or_default();
                    return closed;
                }
            }
        }
        while parts.len() < MOST_PARTS
            && let Some(bytes) = outgoing.try_read()
        {
            parts.push_back(bytes);
        }
        let mut slices = [IoSlice::new(&[]); MOST_PARTS];
        for (slice, bytes) in slices.iter_mut().zip(&parts) {
            *slice = IoSlice::new(bytes);
        }
        let mut written = match stream.write_vectored(&slices[..parts.len()]).await {
            Ok(0) => return Closed("the connection takes nothing more".to_owned()),
            Ok(written) => written,
            Err(error) => return Closed(error.to_string()),
        };
        outgoing.release(written);
        while let Some(bytes) = parts.front_mut() {
            if bytes.len() > written {
                bytes.advance(written);
                break;
            }
            written -= bytes.len();
            parts.pop_front();
        }
    }
}

/// The same through a cipher. Others look at the same bytes, so they are copied first.
async fn send_enciphered(
    mut stream: impl AsyncWrite + Unpin,
    outgoing: &Reader,
    mut cipher: Cipher,
) -> Closed {
    loop {
        let mut bytes = match outgoing.read().await {
            Ok(bytes) => bytes.to_vec(),
            Err(closed) => {
                stream.shutdown().await.unwrap_or_default();
                return closed;
            }
        };
        while bytes.len() < MOST_ENCIPHERED
            && let Some(more) = outgoing.try_read()
        {
            bytes.extend_from_slice(&more);
        }
        cipher.apply(&mut bytes);
        if let Err(error) = stream.write_all(&bytes).await {
            return Closed(error.to_string());
        }
        outgoing.release(bytes.len());
    }
}

/// Bytes of one link that wait to be sent.
const WINDOW: usize = 512 * 1024;
/// Parts that are given to the system at once.
const MOST_PARTS: usize = 64;
/// Bytes that are enciphered at once, or a few more.
const MOST_ENCIPHERED: usize = 64 * 1024;
/// Where there is little room still so much is read, rather than many small parts.
const LEAST_READ: usize = 16 * 1024;
const FAREWELL: Duration = Duration::from_secs(5);
