//! What the HTTP door answers, bencoded. The keys stand in their order (BEP 3).

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::Write as _;

use causeway_core::InfoHash;
use causeway_signal::SwarmCounts;

use crate::registry::{ClassicAnnounced, ClassicPeer};

/// How peers are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As a string of addresses and ports (BEP 23), and one more for IPv6 (BEP 7).
    Compact,
    /// As dictionaries.
    WithIds,
    /// As dictionaries without the peers' names.
    WithoutIds,
}

/// The reply to an announce.
#[derive(Debug)]
pub(super) struct AnnounceReply<'a> {
    pub(super) announced: &'a ClassicAnnounced,
    pub(super) interval: Duration,
    pub(super) min_interval: Duration,
    pub(super) format: Format,
    /// What the client knows us by.
    pub(super) tracker_id: Option<&'a [u8]>,
}

impl AnnounceReply<'_> {
    pub(super) fn to_bencode(&self) -> Vec<u8> {
        let ClassicAnnounced { counts, peers } = self.announced;
        let mut out = Bencode(Vec::with_capacity(160 + 6 * peers.len()));
        out.raw(b"d");
        out.entry("complete", counts.complete.into());
        out.entry("downloaded", counts.downloaded.into());
        out.entry("incomplete", counts.incomplete.into());
        out.entry("interval", self.interval.as_secs());
        out.entry("min interval", self.min_interval.as_secs());
        out.string(b"peers");
        if self.format == Format::Compact {
            let (four, six) = compact(peers);
            out.string(&four);
            if !six.is_empty() {
                out.string(b"peers6");
                out.string(&six);
            }
        } else {
            out.raw(b"l");
            for peer in peers {
                out.peer(peer, self.format);
            }
            out.raw(b"e");
        }
        if let Some(tracker_id) = self.tracker_id {
            out.string(b"tracker id");
            out.string(tracker_id);
        }
        out.raw(b"e");
        out.0
    }
}

/// IPv4 peers with 6 bytes each, and IPv6 peers with 18.
fn compact(peers: &[ClassicPeer]) -> (Vec<u8>, Vec<u8>) {
    let (mut four, mut six) = (Vec::with_capacity(6 * peers.len()), Vec::new());
    for peer in peers {
        let port = peer.address.port().to_be_bytes();
        match peer.address.ip() {
            IpAddr::V4(address) => four.extend(address.octets().into_iter().chain(port)),
            IpAddr::V6(address) => six.extend(address.octets().into_iter().chain(port)),
        }
    }
    (four, six)
}

/// The reply to a scrape (BEP 48).
pub(super) fn scrape(files: &BTreeMap<InfoHash, SwarmCounts>, min_interval: Duration) -> Vec<u8> {
    let mut out = Bencode(Vec::with_capacity(80 + 80 * files.len()));
    out.raw(b"d");
    out.string(b"files");
    out.raw(b"d");
    for (info_hash, counts) in files {
        out.string(info_hash.as_bytes());
        out.raw(b"d");
        out.entry("complete", counts.complete.into());
        out.entry("downloaded", counts.downloaded.into());
        out.entry("incomplete", counts.incomplete.into());
        out.raw(b"e");
    }
    out.raw(b"e");
    out.string(b"flags");
    out.raw(b"d");
    out.entry("min_request_interval", min_interval.as_secs());
    out.raw(b"ee");
    out.0
}

/// Why there is no other reply.
pub(super) fn failure(reason: &str) -> Vec<u8> {
    let mut out = Bencode(Vec::with_capacity(reason.len() + 30));
    out.raw(b"d");
    out.string(b"failure reason");
    out.string(reason.as_bytes());
    out.raw(b"e");
    out.0
}

struct Bencode(Vec<u8>);

impl Bencode {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn string(&mut self, bytes: &[u8]) {
        write!(self.0, "{}:", bytes.len()).expect("a vector takes all that is written");
        self.raw(bytes);
    }

    fn entry(&mut self, key: &str, number: u64) {
        self.string(key.as_bytes());
        self.number(number);
    }

    fn number(&mut self, number: u64) {
        write!(self.0, "i{number}e").expect("a vector takes all that is written");
    }

    fn peer(&mut self, peer: &ClassicPeer, format: Format) {
        self.raw(b"d");
        self.string(b"ip");
        self.string(peer.address.ip().to_string().as_bytes());
        if format == Format::WithIds {
            self.string(b"peer id");
            self.string(peer.peer_id.as_bytes());
        }
        self.entry("port", peer.address.port().into());
        self.raw(b"e");
    }
}

#[cfg(test)]
mod tests {
    use causeway_core::PeerId;

    use super::*;

    fn announced() -> ClassicAnnounced {
        let peer = |address: &str| ClassicPeer {
            peer_id: PeerId::new([b'p'; 20]),
            address: address.parse().expect("an address"),
        };
        ClassicAnnounced {
            counts: SwarmCounts {
                complete: 1,
                incomplete: 2,
                downloaded: 3,
            },
            peers: vec![peer("10.0.0.1:256"), peer("[2001:db8::1]:1")],
        }
    }

    fn reply(format: Format, tracker_id: Option<&[u8]>) -> String {
        let announced = announced();
        let reply = AnnounceReply {
            announced: &announced,
            interval: Duration::from_mins(30),
            min_interval: Duration::from_mins(5),
            format,
            tracker_id,
        };
        reply.to_bencode().escape_ascii().to_string()
    }

    #[test]
    fn peers_are_written_in_each_format() {
        let begin =
            "d8:completei1e10:downloadedi3e10:incompletei2e8:intervali1800e12:min intervali300e5:peers";
        assert_eq!(
            reply(Format::Compact, None),
            format!(
                "{begin}6:\\n\\x00\\x00\\x01\\x01\\x006:peers618: \\x01\\r\\xb8{}\\x01\\x00\\x01e",
                "\\x00".repeat(11)
            )
        );
        assert_eq!(
            reply(Format::WithoutIds, Some(b"id")),
            format!("{begin}ld2:ip8:10.0.0.14:porti256eed2:ip11:2001:db8::14:porti1eee10:tracker id2:ide")
        );
        let id = "p".repeat(20);
        assert_eq!(
            reply(Format::WithIds, None),
            format!(
                "{begin}ld2:ip8:10.0.0.17:peer id20:{id}4:porti256eed2:ip11:2001:db8::17:peer id20:{id}4:porti1eeee"
            )
        );
    }

    #[test]
    fn scrapes_and_failures_are_bencoded() {
        let files = [(InfoHash::new([b'h'; 20]), announced().counts)].into();
        assert_eq!(
            scrape(&files, Duration::from_mins(10)).escape_ascii().to_string(),
            format!(
                "d5:filesd20:{}d8:completei1e10:downloadedi3e10:incompletei2eee5:flagsd20:min_request_intervali600eee",
                "h".repeat(20)
            )
        );
        assert_eq!(failure("no"), b"d14:failure reason2:noe");
    }
}
