//! Peers over TCP that do not behave, and one that does and listens.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use causeway_core::Metainfo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a stranger does to who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Sends noise in place of a handshake.
    Noise,
    /// Shakes hands for another torrent.
    OtherTorrent,
    /// Announces a message of four gigabytes.
    Giant,
    /// Says that it has a piece which there isn't.
    BeyondTheEnd,
    /// Sends nested lists without an end in an extension's message.
    Bomb,
    /// Has everything, and sends other bytes.
    Liar,
    /// Has everything, and sends nothing.
    Silence,
    /// Shakes hands byte by byte, and goes.
    Vanishing,
}

impl Manner {
    /// Each.
    pub const ALL: [Self; 8] = [
        Self::Noise,
        Self::OtherTorrent,
        Self::Giant,
        Self::BeyondTheEnd,
        Self::Bomb,
        Self::Liar,
        Self::Silence,
        Self::Vanishing,
    ];
}

/// A stranger on a port of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Stranger {
    address: SocketAddr,
    met: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Stranger {
    /// Waits for connections about the torrent in this file.
    ///
    /// # Errors
    /// When it can't be read, or no port is to be had.
    pub async fn start(manner: Manner, torrent: &Path) -> Result<Self> {
        let metainfo = Metainfo::from_bytes(&std::fs::read(torrent)?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, met) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&met);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let metainfo = metainfo.clone();
                // The other side ends it, as it should.
                tokio::spawn(async move { act(manner, stream, &metainfo).await.ok() });
            }
        });
        Ok(Self { address, met, task })
    }

    /// Where it waits.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many have connected.
    #[must_use]
    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act(manner: Manner, mut stream: TcpStream, metainfo: &Metainfo) -> Result<()> {
    let info = metainfo.info();
    let mut info_hash = *info.info_hash().as_bytes();
    match manner {
        Manner::Noise => {
            stream.write_all(&vec![0x5a; 200_000]).await?;
            return drain(stream).await;
        }
        Manner::OtherTorrent => info_hash[0] ^= 1,
        Manner::Vanishing => {
            let hello = handshake(&info_hash);
            for byte in &hello[..40] {
                stream.write_all(&[*byte]).await?;
            }
            return Ok(());
        }
        Manner::Giant | Manner::BeyondTheEnd | Manner::Bomb | Manner::Liar | Manner::Silence => {}
    }
    stream.write_all(&handshake(&info_hash)).await?;
    match manner {
        Manner::Giant => stream.write_all(&[0xff, 0xff, 0xff, 0xff, 7]).await?,
        Manner::BeyondTheEnd => {
            stream
                .write_all(&message(4, &info.geometry().pieces().to_be_bytes()))
                .await?;
        }
        Manner::Bomb => {
            let mut bomb = vec![0];
            bomb.extend(std::iter::repeat_n(b'l', 100_000));
            stream.write_all(&message(20, &bomb)).await?;
        }
        Manner::Liar | Manner::Silence => {
            let pieces = info.geometry().pieces() as usize;
            let mut have = vec![0xff; pieces.div_ceil(8)];
            if let Some(last) = have.last_mut()
                && !pieces.is_multiple_of(8)
            {
                *last <<= 8 - pieces % 8;
            }
            stream.write_all(&message(5, &have)).await?;
            stream.write_all(&message(1, &[])).await?;
            if manner == Manner::Liar {
                return lie(stream).await;
            }
        }
        Manner::Noise | Manner::OtherTorrent | Manner::Vanishing => {}
    }
    drain(stream).await
}

/// Answers each request with as many bytes as were asked for, of another file.
async fn lie(mut stream: TcpStream) -> Result<()> {
    let mut hello = [0; 68];
    stream.read_exact(&mut hello).await?;
    loop {
        let (kind, payload) = receive(&mut stream).await?;
        if kind == Some(6) && payload.len() == 12 {
            let length = u32::from_be_bytes(payload[8..].try_into()?);
            let mut piece = payload[..8].to_vec();
            piece.resize(8 + length as usize, 0x11);
            stream.write_all(&message(7, &piece)).await?;
        }
    }
}

/// A peer without a piece that connects, says that it knows peer exchange, and keeps what it is told for a while.
///
/// # Errors
/// When the other side does not shake hands.
pub async fn listen_to(
    address: SocketAddr,
    torrent: &Path,
    span: std::time::Duration,
) -> Result<Vec<(u8, Vec<u8>)>> {
    let metainfo = Metainfo::from_bytes(&std::fs::read(torrent)?)?;
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(&handshake(metainfo.info().info_hash().as_bytes()))
        .await?;
    let hello = b"\0d1:md6:ut_pexi1e11:ut_metadatai2eee";
    stream.write_all(&message(20, hello)).await?;
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await?;
    ensure!(theirs.starts_with(b"\x13BitTorrent protocol"), "no handshake");
    let mut heard = Vec::new();
    let listening = async {
        while let Ok((kind, payload)) = receive(&mut stream).await {
            heard.extend(kind.map(|kind| (kind, payload)));
        }
    };
    // It ends when the time is over, or the other side has enough.
    tokio::time::timeout(span, listening).await.ok();
    Ok(heard)
}

async fn receive(stream: &mut TcpStream) -> Result<(Option<u8>, Vec<u8>)> {
    let length = stream.read_u32().await? as usize;
    ensure!(length < 1_000_000, "a message of {length} bytes");
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(match message.split_first() {
        Some((kind, payload)) => (Some(*kind), payload.to_vec()),
        None => (None, Vec::new()),
    })
}

async fn drain(mut stream: TcpStream) -> Result<()> {
    let mut sink = vec![0; 65_536];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

fn handshake(info_hash: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    bytes.extend_from_slice(info_hash);
    bytes.extend_from_slice(b"-XX0000-");
    bytes.extend(
        std::iter::repeat_with(fastrand::alphanumeric)
            .take(12)
            .map(|letter| letter as u8),
    );
    bytes
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}
