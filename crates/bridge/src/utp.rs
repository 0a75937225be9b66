//! Links over uTP (BEP 29), on the UDP port with the number of the TCP port.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use causeway_engine::LinkKind;
use librqbit_utp::{SocketOpts, UtpSocketUdp, UtpSocketUdpOpts, UtpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::session::Shared;
use crate::stream::carry;
use crate::tcp::{MOST_WAITING, welcome};

/// The port that all connections over uTP use.
#[derive(Clone, Debug)]
pub(crate) struct Utp {
    socket: Arc<UtpSocketUdp>,
    end: CancellationToken,
}

impl Utp {
    /// Opens the port.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let end = CancellationToken::new();
        let options = SocketOpts {
            vsock_rx_bufsize_bytes: NonZeroUsize::new(WINDOW),
            vsock_tx_bufsize_bytes_max: NonZeroUsize::new(WINDOW),
            max_live_vsocks: NonZeroUsize::new(MOST_STREAMS),
            remote_inactivity_timeout: Some(SILENCE),
            cancellation_token: end.clone(),
            ..SocketOpts::default()
        };
        let socket = UtpSocketUdp::new_udp_with_opts(address, options, UtpSocketUdpOpts::default()).await;
        let socket = socket.map_err(io::Error::other)?;
        Ok(Self { socket, end })
    }

    /// Connects to a peer. A first packet that is lost is sent again.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<UtpStream> {
        for patience in PATIENCE {
            if let Ok(connected) = timeout(patience, self.socket.connect(address)).await {
                return connected.map_err(io::Error::other);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Ends all connections, and closes the port.
    pub(crate) fn close(&self) {
        self.end.cancel();
    }
}

/// Takes connections and hands each to the torrent that its handshake names, for as long as it is polled.
pub(crate) async fn listen(shared: Arc<Shared>, utp: Utp) {
    let waiting = Arc::new(Semaphore::new(MOST_WAITING));
    loop {
        let stream = match utp.socket.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("no more connections are accepted over uTP: {error}");
                return;
            }
        };
        let Ok(permit) = waiting.clone().try_acquire_owned() else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let address = stream.remote_addr();
            if let Some((torrent, stream, opening)) =
                welcome(&shared, stream, LinkKind::Utp, address, permit).await
            {
                let (reader, writer) = stream.split();
                carry(&shared, &torrent, reader, writer, opening).await;
            }
        });
    }
}

/// Bytes on their way in one direction of a connection.
const WINDOW: usize = 512 * 1024;
/// Connections at once.
const MOST_STREAMS: usize = 512;
/// A connection on which nothing at all comes for so long is lost. Peers say that they are there every two minutes.
const SILENCE: Duration = Duration::from_secs(150);
/// How long the answer to each first packet is waited for.
const PATIENCE: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
