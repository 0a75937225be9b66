//! Links over TCP (BEP 3) that others open.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use causeway_engine::{Direction, LinkKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::greeting::greet;
use crate::link::Meeting;
use crate::session::Shared;
use crate::stream::{Opening, carry};
use crate::torrent::Handle;

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
            if let Some((torrent, stream, opening)) =
                welcome(&shared, stream, LinkKind::Tcp, address, permit).await
            {
                carry_tcp(&shared, &torrent, stream, opening).await;
            }
        });
    }
}

/// Learns which torrent a new stream is about, while there is a permit for that.
pub(crate) async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    mut stream: S,
    kind: LinkKind,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Option<(Handle, S, Opening)> {
    let greeted = timeout(GREETING, greet(shared, &mut stream)).await;
    drop(permit);
    match greeted {
        Ok(Ok((torrent, first, ciphers))) => {
            let meeting = Meeting {
                kind,
                direction: Direction::Incoming,
                remote: Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
                expected: None,
            };
            let opening = Opening {
                meeting,
                first,
                ciphers,
            };
            return Some((torrent, stream, opening));
        }
        Ok(Err(error)) => tracing::debug!(%address, "turned away: {error}"),
        Err(_) => tracing::debug!(%address, "turned away: it did not say which torrent it wants"),
    }
    None
}

/// Carries a link over TCP.
pub(crate) async fn carry_tcp(shared: &Shared, torrent: &Handle, stream: TcpStream, opening: Opening) {
    // Small messages matter now; the large ones fill packets anyway.
    stream.set_nodelay(true).unwrap_or_default();
    let (reader, writer) = stream.into_split();
    carry(shared, torrent, reader, writer, opening).await;
}

/// Connections that have not said yet what they are about.
pub(crate) const MOST_WAITING: usize = 128;
const GREETING: Duration = Duration::from_secs(10);
