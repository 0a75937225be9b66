//! Announcing over UDP (BEP 15).

use core::net::SocketAddr;
use core::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

use super::reply::{compact_v4, compact_v6};
use super::{Announce, Event, Failure, Reply, is_near};

/// Announces a torrent to the tracker at this address.
pub(super) async fn announce(url: &str, announce: &Announce) -> Result<Reply, Failure> {
    let place = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = place.split(['/', '?', '#']).next().unwrap_or_default();
    let mut last = Failure::new("its name leads nowhere");
    for address in lookup_host(host)
        .await
        .map_err(Failure::new)?
        .take(MOST_ADDRESSES)
    {
        match announce_at(address, announce).await {
            Ok(reply) => return Ok(reply),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn announce_at(address: SocketAddr, announce: &Announce) -> Result<Reply, Failure> {
    let any: SocketAddr = if address.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0; 16], 0).into()
    };
    let socket = UdpSocket::bind(any).await.map_err(Failure::new)?;
    socket.connect(address).await.map_err(Failure::new)?;

    let mut connect = PROTOCOL.to_be_bytes().to_vec();
    let answer = ask(&socket, &mut connect, CONNECT).await?;
    let connection = answer.get(..8).ok_or_else(too_short)?;

    let mut request = connection.to_vec();
    let answer = {
        let Announce {
            info_hash, peer_id, ..
        } = announce;
        let body = |request: &mut Vec<u8>| {
            request.extend_from_slice(info_hash.as_bytes());
            request.extend_from_slice(peer_id.as_bytes());
            for number in [announce.downloaded, announce.left, announce.uploaded] {
                request.extend_from_slice(&number.to_be_bytes());
            }
            let event: u32 = match announce.event {
                None => 0,
                Some(Event::Completed) => 1,
                Some(Event::Started) => 2,
                Some(Event::Stopped) => 3,
            };
            request.extend_from_slice(&event.to_be_bytes());
            // The address that it comes from.
            request.extend_from_slice(&[0; 4]);
            request.extend_from_slice(&announce.key.to_be_bytes());
            let wanted = u32::try_from(announce.wanted).unwrap_or(u32::MAX);
            request.extend_from_slice(&wanted.to_be_bytes());
            request.extend_from_slice(&announce.port.to_be_bytes());
        };
        ask_with(&socket, &mut request, ANNOUNCE, body).await?
    };
    let (interval, peers) = answer.split_first_chunk::<4>().ok_or_else(too_short)?;
    let peers = peers.get(8..).ok_or_else(too_short)?;
    let peers = if address.is_ipv4() {
        compact_v4(peers).collect()
    } else {
        compact_v6(peers).collect()
    };
    Ok(Reply {
        interval: Duration::from_secs(u32::from_be_bytes(*interval).into()),
        peers,
        is_near: is_near(address.ip()),
    })
}

async fn ask(socket: &UdpSocket, request: &mut Vec<u8>, action: u32) -> Result<Vec<u8>, Failure> {
    ask_with(socket, request, action, |_| {}).await
}

/// Sends a request, again where no answer comes, and returns what follows the answer's action and transaction.
async fn ask_with(
    socket: &UdpSocket,
    request: &mut Vec<u8>,
    action: u32,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>, Failure> {
    let transaction = fastrand::u32(..);
    request.extend_from_slice(&action.to_be_bytes());
    request.extend_from_slice(&transaction.to_be_bytes());
    body(request);
    let mut buffer = vec![0; MOST_BYTES];
    for patience in PATIENCE {
        socket.send(request).await.map_err(Failure::new)?;
        let answered = timeout(patience, async {
            loop {
                let length = socket.recv(&mut buffer).await.map_err(Failure::new)?;
                let answer = buffer.get(..length).unwrap_or_default();
                let (head, rest) = answer.split_at_checked(8).unwrap_or_default();
                let (found, id) = head.split_at_checked(4).unwrap_or_default();
                if id != transaction.to_be_bytes() {
                    continue;
                }
                if found == action.to_be_bytes() {
                    return Ok(rest.to_vec());
                }
                return Err(Failure::new(String::from_utf8_lossy(rest)));
            }
        });
        if let Ok(outcome) = answered.await {
            return outcome;
        }
    }
    Err(Failure::new("it does not answer"))
}

fn too_short() -> Failure {
    Failure::new("its answer breaks off")
}

/// What every conversation begins with.
const PROTOCOL: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
/// BEP 15 would wait for an hour; the next announce tries again.
const PATIENCE: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(6)];
/// The longest answer that is read: some 600 peers.
const MOST_BYTES: usize = 4096;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 2;
