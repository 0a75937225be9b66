//! What comes before the handshake: whether a stream is enciphered, and which torrent it is about.

use std::io;

use bytes::Bytes;
use causeway_core::{InfoHash, Sha1Hash};
use causeway_wire::Handshake;
use causeway_wire::mse::{self, Initiator, Method, Methods, Responder, Secret, Settled, Step};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::session::Shared;
use crate::stream::Ciphers;
use crate::torrent::Handle;

/// Whether links are enciphered, so that networks don't see what they are (message stream encryption).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Never: who wants it is turned away.
    Off,
    /// With peers that want it.
    #[default]
    Allow,
    /// With all peers that are able to.
    Prefer,
    /// Always: who is not able to is turned away.
    Require,
}

impl Encryption {
    /// Whether links are opened with it at first.
    pub(crate) const fn is_first(self) -> bool {
        matches!(self, Self::Prefer | Self::Require)
    }

    /// Whether peers that refuse what is done at first are spoken to in the other way.
    pub(crate) const fn has_choice(self) -> bool {
        matches!(self, Self::Allow | Self::Prefer)
    }

    const fn methods(self) -> Methods {
        match self {
            Self::Off | Self::Allow | Self::Prefer => Methods::ALL,
            Self::Require => Methods::RC4,
        }
    }

    const fn preferred(self) -> Method {
        match self {
            Self::Off | Self::Allow => Method::Plaintext,
            Self::Prefer | Self::Require => Method::Rc4,
        }
    }
}

/// Reads what the other side of a new stream says first, until it is known which torrent it means.
pub(crate) async fn greet(
    shared: &Shared,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<(Handle, Bytes, Ciphers)> {
    let encryption = shared.network.encryption;
    let mut first = [0; Handshake::LENGTH];
    let (start, rest) = first.split_at_mut(20);
    stream.read_exact(start).await?;
    if mse::is_plain(start) {
        if encryption == Encryption::Require {
            return Err(io::Error::other("it does not encipher what it says"));
        }
        stream.read_exact(rest).await?;
        let handshake = Handshake::decode(&first).map_err(io::Error::other)?;
        let torrent = find(shared, handshake.info_hash)?;
        return Ok((torrent, Bytes::copy_from_slice(&first), Ciphers::default()));
    }
    if encryption == Encryption::Off {
        return Err(io::Error::other(
            "it speaks something else, or enciphers what it says",
        ));
    }
    let settled = respond(shared, stream, start).await?;
    let torrent = find(shared, settled.info_hash)?;
    tracing::debug!(torrent = %settled.info_hash, method = ?settled.method, "an enciphered peer");
    let (first, ciphers) = taken(settled);
    Ok((torrent, first, ciphers))
}

fn find(shared: &Shared, info_hash: InfoHash) -> io::Result<Handle> {
    let torrent = shared.torrent(info_hash);
    torrent.ok_or_else(|| io::Error::other("it wants a torrent that isn't here"))
}

async fn respond(
    shared: &Shared,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    start: &[u8],
) -> io::Result<Settled> {
    let encryption = shared.network.encryption;
    let (secret, padding) = random()?;
    let mut responder = Responder::new(encryption.methods(), encryption.preferred(), secret, padding);
    let find = |key: Sha1Hash| {
        shared
            .info_hashes()
            .into_iter()
            .find(|it| mse::torrent_key(*it) == key)
    };
    let mut step = responder.receive(start, find).map_err(io::Error::other)?;
    loop {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Done(settled) => {
                stream.write_all(&settled.send).await?;
                return Ok(*settled);
            }
        }
        let bytes = more(stream).await?;
        step = responder.receive(&bytes, find).map_err(io::Error::other)?;
    }
}

/// Negotiates encryption on a stream that we have opened for this torrent. What has come after that is returned.
pub(crate) async fn encipher(
    encryption: Encryption,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    info_hash: InfoHash,
) -> io::Result<(Bytes, Ciphers)> {
    let (secret, padding) = random()?;
    let mut initiator = Initiator::new(info_hash, encryption.methods(), secret);
    stream.write_all(&initiator.hello(&padding)).await?;
    loop {
        let bytes = more(stream).await?;
        match initiator.receive(&bytes).map_err(io::Error::other)? {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Done(settled) => {
                stream.write_all(&settled.send).await?;
                return Ok(taken(*settled));
            }
        }
    }
}

fn taken(settled: Settled) -> (Bytes, Ciphers) {
    let Settled {
        received,
        encrypt,
        decrypt,
        ..
    } = settled;
    (received.into(), Ciphers { encrypt, decrypt })
}

/// The next bytes of a stream, a few.
async fn more(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1024];
    let length = stream.read(&mut bytes).await?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// A secret that nobody can guess, and padding of a length that nobody can.
fn random() -> io::Result<(Secret, Vec<u8>)> {
    let mut secret = [0; 20];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mut padding = vec![0; fastrand::usize(..=mse::MOST_PADDING)];
    fastrand::fill(&mut padding);
    Ok((Secret::new(secret), padding))
}
