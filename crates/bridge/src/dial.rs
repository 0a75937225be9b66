//! Connecting to a peer, over TCP or uTP, whichever it is reached by.

use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use causeway_engine::{Direction, LinkKind};
use librqbit_utp::UtpStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::greeting::encipher;
use crate::link::Meeting;
use crate::session::{Network, Shared};
use crate::stream::{Ciphers, Opening, carry};
use crate::tcp::carry_tcp;
use crate::torrent::{Handle, Order};

/// A peer that is to be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// How often it has refused to be spoken to, each time in another way: the number of the next [`Way`].
    pub(crate) turn: usize,
}

/// How a peer is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    is_enciphered: bool,
    /// Whether TCP is left out: some take connections over it, and say nothing.
    is_utp_alone: bool,
}

impl Network {
    /// All ways, in the order in which they are tried.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let way = |is_enciphered, is_utp_alone| Way {
            is_enciphered,
            is_utp_alone,
        };
        let first = self.encryption.is_first();
        let mut ways = vec![way(first, false)];
        if self.encryption.has_choice() {
            ways.push(way(!first, false));
        }
        if self.utp.is_some() {
            ways.push(way(first, true));
        }
        ways
    }
}

enum Stream {
    Tcp(TcpStream),
    Utp(UtpStream),
}

/// Connects to a peer of this torrent, and carries the link until either side ends it.
pub(crate) async fn connect(shared: Arc<Shared>, torrent: Handle, attempt: Attempt) {
    let address = attempt.address;
    let ways = shared.network.ways();
    let way = ways[attempt.turn % ways.len()];
    let opened = timeout(CONNECTING, open(&shared.network, address, way)).await;
    match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(Stream::Tcp(mut stream)) => {
            if let Some(opening) = begin(&shared, &torrent, (address, way), LinkKind::Tcp, &mut stream).await
            {
                carry_tcp(&shared, &torrent, stream, opening).await;
            }
        }
        Ok(Stream::Utp(mut stream)) => {
            if let Some(opening) = begin(&shared, &torrent, (address, way), LinkKind::Utp, &mut stream).await
            {
                let (reader, writer) = stream.split();
                carry(&shared, &torrent, reader, writer, opening).await;
            }
        }
        Err(error) => {
            tracing::debug!(%address, "can't be reached: {error}");
            torrent.tell(Order::Unreachable(address)).await;
        }
    }
}

/// TCP, which costs least, unless uTP is there before it: a peer behind a router is often reached by one of them alone.
async fn open(network: &Network, address: SocketAddr, way: Way) -> io::Result<Stream> {
    if let Some(proxy) = &network.proxy {
        return proxy.connect(address).await.map(Stream::Tcp);
    }
    let mut tcp = pin!(async { TcpStream::connect(address).await.map(Stream::Tcp) });
    let Some(utp) = &network.utp else {
        return tcp.await;
    };
    let mut utp = pin!(async { utp.connect(address).await.map(Stream::Utp) });
    if way.is_utp_alone {
        return utp.await;
    }
    tokio::select! {
        connected = &mut tcp => match connected {
            Err(_) => return utp.await,
            connected => return connected,
        },
        () = sleep(HEAD_START) => {}
    }
    tokio::select! {
        connected = &mut tcp => match connected {
            Err(_) => utp.await,
            connected => connected,
        },
        connected = &mut utp => match connected {
            Err(_) => tcp.await,
            connected => connected,
        },
    }
}

/// What comes before the handshake.
async fn begin(
    shared: &Shared,
    torrent: &Handle,
    (address, way): (SocketAddr, Way),
    kind: LinkKind,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Option<Opening> {
    let encryption = shared.network.encryption;
    let (first, ciphers) = if way.is_enciphered {
        let enciphering = timeout(NEGOTIATING, encipher(encryption, stream, torrent.info_hash()));
        match enciphering
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        {
            Ok(enciphered) => enciphered,
            Err(error) => {
                tracing::debug!(%address, "can't be spoken to in cipher: {error}");
                torrent.tell(Order::Refused(address)).await;
                return None;
            }
        }
    } else {
        (bytes::Bytes::new(), Ciphers::default())
    };
    let meeting = Meeting {
        kind,
        direction: Direction::Outgoing,
        remote: Some(address),
        expected: None,
    };
    Some(Opening {
        meeting,
        first,
        ciphers,
    })
}

const CONNECTING: Duration = Duration::from_secs(10);
/// How long TCP is waited for before uTP is tried, too.
const HEAD_START: Duration = Duration::from_millis(300);
const NEGOTIATING: Duration = Duration::from_secs(10);
