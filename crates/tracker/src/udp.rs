//! The UDP door (BEP 15, 41).
//!
//! Nobody is sent more than it has sent before it has shown that it receives what is sent to its address: whoever is not
//! known by a connection id gets 16 bytes for 16, and nothing for anything else. The ids are not remembered but
//! computed ([`Tickets`]), so asking for them fills no memory. And it is not charged to the address either: the packet may
//! be somebody else's, who would spend what the address may ask for.

mod packet;
mod ticket;

use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_signal::{Event, SwarmCounts};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use self::packet::{Reply, Request};
pub(crate) use self::ticket::Tickets;
use crate::http::passkey_in;
use crate::metrics::{Door, Failure};
use crate::registry::{ClassicAnnounce, Home};
use crate::tracker::Shared;

/// Reads and answers packets until the tracker is closed.
pub(crate) async fn serve(shared: Arc<Shared>, socket: UdpSocket) {
    let mut closing = shared.closing();
    let mut packet = vec![0; MAX_PACKET];
    let mut answer = Vec::with_capacity(MAX_PACKET);
    loop {
        let ready = tokio::select! {
            ready = socket.readable() => ready,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        if let Err(error) = ready {
            tracing::warn!(%error, "the UDP door is broken: no classic client is answered over UDP any more");
            return;
        }
        let mut errors = 0;
        // Others have to be served, too.
        for _ in 0..BATCH {
            let (length, source) = match socket.try_recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier answer could not be delivered, for example.
                Err(error) => {
                    errors += 1;
                    tracing::trace!(%error, "no packet was received");
                    continue;
                }
            };
            answer.clear();
            handle(&shared, source, &packet[..length], &mut answer).await;
            // Where there is no room to send, it is lost like any other packet: the client asks again.
            if !answer.is_empty()
                && let Err(error) = socket.try_send_to(&answer, source)
            {
                tracing::trace!(%error, "an answer was not sent");
            }
        }
        if errors == BATCH {
            tracing::warn!("the UDP door receives nothing but errors: restart the tracker if this goes on");
            sleep(PAUSE).await;
        }
    }
}

/// Appends the answer to a packet, if it deserves one.
pub(crate) async fn handle(shared: &Shared, source: SocketAddr, packet: &[u8], answer: &mut Vec<u8>) {
    let now = shared.now();
    let Some(request) = Request::parse(packet) else {
        return shared.metrics.failed(Failure::Malformed);
    };
    let (transaction, known) = match &request {
        Request::Connect { transaction } => {
            let connection = shared.tickets.issue(now, source);
            return Reply::Connect { connection }.write(*transaction, answer);
        }
        Request::Announce {
            transaction,
            connection,
            ..
        }
        | Request::Scrape {
            transaction,
            connection,
            ..
        } => (*transaction, shared.tickets.is_valid(now, source, *connection)),
    };
    if !known {
        // Not a word: the address may be somebody else's. A client asks for another id when nothing comes.
        return shared.metrics.failed(Failure::ConnectionId);
    }
    if !shared.rates.admit(now, source.ip()) {
        return shared.metrics.failed(Failure::TooFast);
    }
    match request {
        Request::Connect { .. } => {}
        Request::Announce {
            announce, url_data, ..
        } => {
            let (path, query) = url_data.split_once('?').unwrap_or((&url_data, ""));
            let passkey = passkey_in(path, query);
            match announce_from(shared, source, &announce, passkey).await {
                Ok(reply) => {
                    reply.write(transaction, answer);
                    let took = shared.now().since(now);
                    shared.metrics.announced(Door::Udp, announce.event, took);
                }
                Err(reason) => Reply::Error { reason: &reason }.write(transaction, answer),
            }
        }
        Request::Scrape { info_hashes, .. } => {
            let mut counts = Vec::with_capacity(info_hashes.len());
            for info_hash in info_hashes {
                counts.push(match shared.admit(info_hash, None) {
                    Ok(()) => shared.home().counts(info_hash).await,
                    Err(_) => SwarmCounts::default(),
                });
            }
            shared.metrics.scraped(Door::Udp);
            Reply::Scrape { counts }.write(transaction, answer);
        }
    }
}

async fn announce_from(
    shared: &Shared,
    source: SocketAddr,
    announce: &packet::Announce,
    passkey: Option<&str>,
) -> Result<Reply<'static>, String> {
    let denied = |denial: crate::Denial| denial.to_string();
    shared.admit(announce.info_hash, passkey).map_err(denied)?;
    let classic = ClassicAnnounce {
        info_hash: announce.info_hash,
        peer_id: announce.peer_id,
        // The address that it names is not believed: anybody could send others to a victim.
        address: SocketAddr::new(source.ip(), announce.port),
        event: announce.event,
        complete: announce.left == 0,
        downloaded: announce.downloaded,
        numwant: announce.numwant.unwrap_or(DEFAULT_NUMWANT).min(MAX_PEERS),
        both_families: false,
    };
    let announced = shared
        .home()
        .announce_classic(shared.now(), &classic)
        .await
        .map_err(|refusal| {
            shared.metrics.failed(refusal.into());
            refusal.to_string()
        })?;
    let interval = shared.config.classic_interval.as_secs();
    Ok(Reply::Announce {
        interval: u32::try_from(interval).unwrap_or(u32::MAX),
        counts: announced.counts,
        peers: announced.peers.iter().map(|peer| peer.address).collect(),
        ipv4: source.ip().to_canonical().is_ipv4(),
    })
}

/// The address of a peer, as many bytes as its family has.
fn octets(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => out.extend(address.octets()),
        IpAddr::V6(address) => out.extend(address.octets()),
    }
}

/// An event, by its number.
fn event(number: u32) -> Option<Event> {
    match number {
        0 => Some(Event::Update),
        1 => Some(Event::Completed),
        2 => Some(Event::Started),
        3 => Some(Event::Stopped),
        // What libtorrent sends for partial seeds (BEP 21).
        4 => Some(Event::Paused),
        _ => None,
    }
}

/// A scrape of 74 torrents, or an announce with all the URL data that anybody would send.
const MAX_PACKET: usize = 2048;

/// So many packets are answered before somebody else has its turn.
const BATCH: usize = 64;

/// To try again at once where a socket has failed would only burn the processor.
const PAUSE: Duration = Duration::from_millis(200);

/// So many peers are given to who does not say how many it would like.
const DEFAULT_NUMWANT: usize = 50;

/// A reply has to fit into one packet of 1280 bytes with its headers, also with IPv6 peers.
const MAX_PEERS: usize = 65;
