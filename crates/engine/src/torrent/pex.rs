//! Exchange of addresses with peers that have some (BEP 11).

use super::{Bytes, LinkId, Output, Peer, Torrent};
use crate::{Direction, LinkKind};
use causeway_wire::Message;
use causeway_wire::extended::{ExtensionError, PeerExchange, PexFlags, PexPeer};
use core::net::SocketAddr;
use core::time::Duration;

/// The exchange of addresses: [`Config::peer_exchange`](crate::Config::peer_exchange) holds one where it is wanted.
/// Who has no addresses, as browsers, leaves it out, and with it all the code behind it.
#[derive(Clone, Copy, Debug)]
pub struct PexSupport {
    tell: fn(&mut Torrent),
    receive: fn(&mut Torrent, LinkId, &Bytes) -> Result<(), ExtensionError>,
}

impl PexSupport {
    /// Tells peers of others, and the driver of those that peers tell of ([`Output::PeersFound`]). In private torrents
    /// (BEP 27) nothing is told or heard.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tell: tell_all,
            receive: listen,
        }
    }

    pub(super) fn tell(self, torrent: &mut Torrent) {
        (self.tell)(torrent);
    }

    pub(super) fn receive(
        self,
        torrent: &mut Torrent,
        link: LinkId,
        payload: &Bytes,
    ) -> Result<(), ExtensionError> {
        (self.receive)(torrent, link, payload)
    }
}

impl Default for PexSupport {
    fn default() -> Self {
        Self::new()
    }
}

impl Torrent {
    /// Whether peers may be told of others. Whether the torrent is private is known with its metadata alone.
    pub(super) fn exchanges_peers(&self) -> bool {
        self.config.peer_exchange.is_some() && self.info().is_none_or(|info| !info.is_private())
    }
}

/// Once a second: tells those whose minute is over what has changed.
fn tell_all(torrent: &mut Torrent) {
    if torrent.info().is_none_or(|info| info.is_private()) {
        return;
    }
    let now = torrent.now;
    let known: Vec<_> = torrent.peers.values().filter_map(known_of).collect();
    for (link, peer) in &mut torrent.peers {
        let Some(id) = peer.extensions.pex else { continue };
        if peer.pex.tell_at > now {
            continue;
        }
        peer.pex.tell_at = now + MINUTE;
        let own = known_of(peer).map(|own| own.addr);
        let others = known.iter().filter(|other| Some(other.addr) != own);
        let is_new = |other: &&PexPeer| !peer.pex.told.contains(&other.addr);
        let added: Vec<_> = others.filter(is_new).copied().take(MOST_TOLD).collect();
        let is_gone = |told: &&SocketAddr| !known.iter().any(|other| other.addr == **told);
        let dropped: Vec<_> = peer
            .pex
            .told
            .iter()
            .filter(is_gone)
            .copied()
            .take(MOST_TOLD)
            .collect();
        if added.is_empty() && dropped.is_empty() {
            continue;
        }
        for addr in &dropped {
            peer.pex.told.remove(addr);
        }
        peer.pex.told.extend(added.iter().map(|added| added.addr));
        let payload = PeerExchange { added, dropped }.to_bytes();
        peer.outbox.push(&Message::Extended { id, payload });
        torrent.touched.insert(*link);
    }
}

/// The peer names others. One that does so all the time is not listened to.
fn listen(torrent: &mut Torrent, link: LinkId, payload: &Bytes) -> Result<(), ExtensionError> {
    let now = torrent.now;
    let Some(peer) = torrent.peers.get_mut(&link) else {
        return Ok(());
    };
    if peer.pex.listen_from > now {
        return Ok(());
    }
    peer.pex.listen_from = now + LEAST_PAUSE;
    let exchange = PeerExchange::from_bytes(payload)?;
    let addrs: Vec<_> = exchange
        .added
        .iter()
        .map(|added| added.addr)
        .take(MOST_HEARD)
        .collect();
    if !addrs.is_empty() {
        torrent.out.push_back(Output::PeersFound { from: link, addrs });
    }
    Ok(())
}

/// What others are told of this peer: nothing where nobody could reach it.
fn known_of(peer: &Peer) -> Option<PexPeer> {
    let is_outgoing = peer.origin.direction == Direction::Outgoing;
    let is_utp = match peer.origin.kind {
        LinkKind::Tcp => false,
        LinkKind::Utp => true,
        LinkKind::WebRtc | LinkKind::Http => return None,
    };
    let addr = peer.reachable_at()?;
    let flag = |is: bool, flag: PexFlags| if is { flag.0 } else { 0 };
    let flags = flag(is_outgoing, PexFlags::REACHABLE)
        | flag(is_utp, PexFlags::UTP)
        | flag(peer.pieces.is_all() || peer.is_upload_only, PexFlags::UPLOAD_ONLY);
    Some(PexPeer {
        addr,
        flags: PexFlags(flags),
    })
}

/// BEP 11: no more than one message a minute, with no more than fifty added and fifty dropped.
const MINUTE: Duration = Duration::from_mins(1);
const MOST_TOLD: usize = 50;
/// What is listened to is more lenient.
const LEAST_PAUSE: Duration = Duration::from_secs(30);
const MOST_HEARD: usize = 100;
