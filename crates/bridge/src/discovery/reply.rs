//! What trackers over HTTP answer (BEP 3, 7, 23), and the addresses that all trackers write alike.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use causeway_core::bencode::{Dictionary, items, string};

use super::{Failure, Reply};

/// Reads what a tracker answered.
pub(super) fn read(body: &[u8]) -> Result<Reply, Failure> {
    let (reply, _) =
        Dictionary::from_prefix(body).map_err(|_| Failure::new("it answers no tracker's reply"))?;
    if let Some(reason) = reply.string("failure reason") {
        return Err(Failure::new(String::from_utf8_lossy(reason)));
    }
    let seconds = |key| reply.read::<u64>(key).ok().flatten().map(Duration::from_secs);
    let interval = seconds("interval")
        .unwrap_or(USUAL)
        .max(seconds("min interval").unwrap_or_default());
    let mut peers = Vec::new();
    if let Some(compact) = reply.string("peers") {
        peers.extend(compact_v4(compact));
    } else if let Some(list) = reply.get("peers").and_then(items) {
        peers.extend(list.take(MOST).filter_map(peer));
    }
    peers.extend(reply.string("peers6").into_iter().flat_map(compact_v6));
    peers.truncate(MOST);
    Ok(Reply {
        interval,
        peers,
        is_near: false,
    })
}

/// Six bytes a peer (BEP 23).
pub(super) fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (peers, _) = bytes.as_chunks::<6>();
    peers.iter().map(|[a, b, c, d, high, low]| {
        SocketAddr::new(
            Ipv4Addr::new(*a, *b, *c, *d).into(),
            u16::from_be_bytes([*high, *low]),
        )
    })
}

/// Eighteen bytes a peer (BEP 7).
pub(super) fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (peers, _) = bytes.as_chunks::<18>();
    peers.iter().filter_map(|peer| {
        let (ip, port) = peer.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), port))
    })
}

/// A peer as a dictionary. Names of hosts are not looked up: nobody uses them.
fn peer(bytes: &[u8]) -> Option<SocketAddr> {
    let (peer, _) = Dictionary::from_prefix(bytes).ok()?;
    let ip = str::from_utf8(string(peer.get("ip")?)?).ok()?.parse().ok()?;
    Some(SocketAddr::new(ip, peer.read::<u16>("port").ok()??))
}

/// Where a tracker does not say when it wants to hear of us again.
const USUAL: Duration = Duration::from_mins(30);
/// Peers of one reply.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_in_every_form() {
        let compact = b"d8:intervali900e12:min intervali60e5:peers6:\x01\x02\x03\x04\x1a\xe16:peers618:\
            \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e";
        let reply = read(compact).expect("a reply");
        assert_eq!(reply.interval, Duration::from_mins(15));
        let peers: Vec<_> = reply.peers.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["1.2.3.4:6881", "[2001:db8::1]:6881"]);
        let list = b"d8:intervali9e5:peersld2:ip7:1.2.3.44:porti80eed2:ip5:no.ip4:porti1eeee";
        let peers = read(list).expect("a reply").peers;
        let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["1.2.3.4:80"]);
    }

    #[test]
    fn a_refusal_is_told_in_the_trackers_words_and_noise_is_none() {
        let refused = read(b"d14:failure reason9:not todaye").expect_err("refused");
        assert_eq!(refused.to_string(), "not today");
        for noise in [&b""[..], b"<html>", b"d5:peers", b"le"] {
            assert!(read(noise).is_err(), "{noise:?}");
        }
        assert!(read(b"de").expect("empty").peers.is_empty());
    }
}
