//! Links over TCP (BEP 3).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use causeway_engine::{Direction, LinkKind};
use causeway_wire::Handshake;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::buffers::Buffers;
use crate::link::{Closed, End, Meeting, Reader, Writer, link};
use crate::session::Shared;
use crate::torrent::{Handle, Order};

/// Takes connections and hands each to the torrent that its handshake names, for as long as it is polled.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let waiting = Arc::new(Semaphore::new(MOST_WAITING));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Nearly always: no file handle is free. Somebody will close one.
                tracing::warn!("a connection can't be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = waiting.clone().try_acquire_owned() else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let greeted = timeout(GREETING, greet(&shared, stream)).await;
            drop(permit);
            match greeted {
                Ok(Ok((torrent, stream, first))) => {
                    let meeting = Meeting {
                        kind: LinkKind::Tcp,
                        direction: Direction::Incoming,
                        remote: Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
                        expected: None,
                    };
                    carry(&shared, &torrent, stream, meeting, first).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, "turned away: {error}"),
                Err(_) => tracing::debug!(%address, "turned away: it did not say which torrent it wants"),
            }
        });
    }
}

/// Reads the handshake, which says which torrent the connection is about.
async fn greet(shared: &Shared, mut stream: TcpStream) -> io::Result<(Handle, TcpStream, Bytes)> {
    let mut first = [0; Handshake::LENGTH];
    stream.read_exact(&mut first).await?;
    let handshake = Handshake::decode(&first).map_err(io::Error::other)?;
    let torrent = shared.torrent(handshake.info_hash);
    let torrent = torrent.ok_or_else(|| io::Error::other("it wants a torrent that isn't here"))?;
    Ok((torrent, stream, Bytes::copy_from_slice(&first)))
}

/// Connects to a peer of this torrent.
pub(crate) async fn connect(shared: Arc<Shared>, torrent: Handle, address: SocketAddr) {
    match timeout(CONNECTING, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            let meeting = Meeting {
                kind: LinkKind::Tcp,
                direction: Direction::Outgoing,
                remote: Some(address),
                expected: None,
            };
            carry(&shared, &torrent, stream, meeting, Bytes::new()).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, "can't be reached: {error}");
            torrent.try_tell(Order::Unreachable(address));
        }
        Err(_) => {
            tracing::debug!(%address, "does not answer");
            torrent.try_tell(Order::Unreachable(address));
        }
    }
}

/// Carries a link's bytes until either side ends it.
async fn carry(shared: &Shared, torrent: &Handle, stream: TcpStream, meeting: Meeting, first: Bytes) {
    // Small messages matter now; the large ones fill packets anyway.
    stream.set_nodelay(true).unwrap_or_default();
    let (link, End { incoming, outgoing }) = link(meeting, WINDOW);
    incoming.write(first);
    torrent.open(link);
    let (reader, writer) = stream.into_split();
    let mut sending = core::pin::pin!(send(writer, &outgoing));
    let why = tokio::select! {
        why = receive(reader, &incoming, &shared.buffers) => why,
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

async fn receive(stream: OwnedReadHalf, incoming: &Writer, buffers: &Arc<Buffers>) -> Closed {
    loop {
        let room = match incoming.room().await {
            Ok(room) => room,
            Err(closed) => return closed,
        };
        let readable = tokio::select! {
            readable = stream.readable() => readable,
            closed = incoming.closed() => return closed,
        };
        if let Err(error) = readable {
            return Closed(error.to_string());
        }
        let mut buffer = buffers.take();
        let length = room.clamp(LEAST_READ, buffer.len());
        match stream.try_read(&mut buffer[..length]) {
            Ok(0) => return Closed("the peer has closed the connection".to_owned()),
            Ok(length) => incoming.write(buffer.filled(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Closed(error.to_string()),
        }
    }
}

async fn send(mut stream: OwnedWriteHalf, outgoing: &Reader) -> Closed {
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

/// Bytes of one link that wait to be sent.
const WINDOW: usize = 512 * 1024;
/// Parts that are given to the system at once.
const MOST_PARTS: usize = 64;
/// Where there is little room still so much is read, rather than many small parts.
const LEAST_READ: usize = 16 * 1024;
/// Connections that have not said yet what they are about.
const MOST_WAITING: usize = 128;
const GREETING: Duration = Duration::from_secs(10);
const CONNECTING: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(5);
