//! Packets of the UDP tracker protocol (BEP 15) with its extensions (BEP 41).

use std::borrow::Cow;
use std::net::SocketAddr;

use causeway_core::{InfoHash, PeerId};
use causeway_signal::{Event, SwarmCounts};

use super::{event, octets};

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Request<'a> {
    /// "Give me a connection id."
    Connect { transaction: u32 },
    /// "I am in this swarm."
    Announce {
        transaction: u32,
        connection: u64,
        announce: Announce,
        /// Path and query of the URL that the client has for this tracker; empty where it does not say (BEP 41).
        url_data: Cow<'a, str>,
    },
    /// "How many are in these swarms?"
    Scrape {
        transaction: u32,
        connection: u64,
        info_hashes: InfoHashes<'a>,
    },
}

/// The info-hashes of a scrape.
pub(super) type InfoHashes<'a> = core::iter::Map<core::slice::Iter<'a, [u8; 20]>, fn(&[u8; 20]) -> InfoHash>;

/// What a peer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announce {
    pub(super) info_hash: InfoHash,
    pub(super) peer_id: PeerId,
    pub(super) downloaded: u64,
    pub(super) left: u64,
    pub(super) event: Event,
    /// `None` where the client leaves it to the tracker.
    pub(super) numwant: Option<usize>,
    pub(super) port: u16,
}

impl<'a> Request<'a> {
    /// Reads a packet; `None` where it is none of this protocol.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(packet);
        let connection = u64::from_be_bytes(rest.take()?);
        let action = rest.u32()?;
        let transaction = rest.u32()?;
        match action {
            CONNECT => (connection == PROTOCOL).then_some(Self::Connect { transaction }),
            ANNOUNCE => Some(Self::Announce {
                transaction,
                connection,
                announce: rest.announce()?,
                url_data: rest.url_data()?,
            }),
            SCRAPE => {
                let (info_hashes, rest) = rest.0.as_chunks();
                let is_scrape = rest.is_empty() && (1..=MAX_SCRAPE).contains(&info_hashes.len());
                is_scrape.then(|| Self::Scrape {
                    transaction,
                    connection,
                    info_hashes: info_hashes.iter().map(|bytes| InfoHash::new(*bytes)),
                })
            }
            _ => None,
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn announce(&mut self) -> Option<Announce> {
        let info_hash = InfoHash::new(self.take()?);
        let peer_id = PeerId::new(self.take()?);
        let (downloaded, left, _uploaded) = (self.u64()?, self.u64()?, self.u64()?);
        let event = event(self.u32()?)?;
        let (_address, _key) = (self.u32()?, self.u32()?);
        // -1 is "as many as you like to give".
        let numwant = i32::from_be_bytes(self.take()?);
        let port = u16::from_be_bytes(self.take()?);
        Some(Announce {
            info_hash,
            peer_id,
            downloaded,
            left,
            event,
            numwant: usize::try_from(numwant).ok(),
            port,
        })
    }

    /// The options of BEP 41, of which only the URL data are known; they come in pieces of up to 255 bytes.
    fn url_data(&mut self) -> Option<Cow<'a, str>> {
        let mut data = Cow::Borrowed(&[][..]);
        loop {
            let piece = match self.take() {
                None | Some([END]) => break,
                Some([NOTHING]) => continue,
                Some([kind]) => {
                    let [length] = self.take()?;
                    let (piece, rest) = self.0.split_at_checked(length.into())?;
                    self.0 = rest;
                    if kind != URL_DATA {
                        continue;
                    }
                    piece
                }
            };
            if data.is_empty() {
                data = Cow::Borrowed(piece);
            } else {
                data.to_mut().extend_from_slice(piece);
            }
        }
        Some(match data {
            Cow::Borrowed(data) => String::from_utf8_lossy(data),
            Cow::Owned(data) => Cow::Owned(String::from_utf8_lossy(&data).into_owned()),
        })
    }
}

/// What a client is answered.
#[derive(Debug)]
pub(super) enum Reply<'a> {
    Connect {
        connection: u64,
    },
    Announce {
        interval: u32,
        counts: SwarmCounts,
        peers: Vec<SocketAddr>,
        /// Whether the client came over IPv4: it takes the peers for that.
        ipv4: bool,
    },
    Scrape {
        counts: Vec<SwarmCounts>,
    },
    Error {
        reason: &'a str,
    },
}

impl Reply<'_> {
    /// Appends the packet.
    pub(super) fn write(&self, transaction: u32, out: &mut Vec<u8>) {
        let action = match self {
            Self::Connect { .. } => CONNECT,
            Self::Announce { .. } => ANNOUNCE,
            Self::Scrape { .. } => SCRAPE,
            Self::Error { .. } => ERROR,
        };
        numbers(&[action, transaction], out);
        match self {
            Self::Connect { connection } => out.extend(connection.to_be_bytes()),
            Self::Announce {
                interval,
                counts,
                peers,
                ipv4,
            } => {
                numbers(&[*interval, counts.incomplete, counts.complete], out);
                for peer in peers.iter().filter(|peer| peer.is_ipv4() == *ipv4) {
                    octets(peer.ip(), out);
                    out.extend(peer.port().to_be_bytes());
                }
            }
            Self::Scrape { counts } => {
                for counts in counts {
                    numbers(&[counts.complete, counts.downloaded, counts.incomplete], out);
                }
            }
            Self::Error { reason } => out.extend_from_slice(reason.as_bytes()),
        }
    }
}

fn numbers(numbers: &[u32], out: &mut Vec<u8>) {
    for number in numbers {
        out.extend(number.to_be_bytes());
    }
}

/// What stands in place of a connection id where one is asked for.
const PROTOCOL: u64 = 0x417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// Options of BEP 41.
const END: u8 = 0;
const NOTHING: u8 = 1;
const URL_DATA: u8 = 2;

/// The most torrents in one scrape (BEP 15).
const MAX_SCRAPE: usize = 74;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a client writes it.
    fn announce(event: u32, numwant: i32, options: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        packet.extend(7u64.to_be_bytes());
        numbers(&[1, 99], &mut packet);
        packet.extend([b'h'; 20]);
        packet.extend([b'p'; 20]);
        for number in [5u64, 6, 8] {
            packet.extend(number.to_be_bytes());
        }
        numbers(&[event, 0x0102_0304, 1], &mut packet);
        packet.extend(numwant.to_be_bytes());
        packet.extend(6881u16.to_be_bytes());
        packet.extend(options);
        packet
    }

    #[test]
    fn a_connection_is_asked_for_with_the_right_words_alone() {
        let packet = |first: u64| {
            let mut packet = first.to_be_bytes().to_vec();
            numbers(&[0, 99], &mut packet);
            packet
        };
        assert!(matches!(
            Request::parse(&packet(0x0000_0417_2710_1980)),
            Some(Request::Connect { transaction: 99 })
        ));
        assert!(Request::parse(&packet(1)).is_none());
        assert!(Request::parse(&packet(PROTOCOL)[..15]).is_none());
    }

    #[test]
    fn an_announce_is_understood() {
        let packet = announce(2, -1, &[]);
        assert_eq!(packet.len(), 98);
        let Some(Request::Announce {
            transaction: 99,
            connection: 7,
            announce: understood,
            url_data,
        }) = Request::parse(&packet)
        else {
            panic!("it is an announce");
        };
        assert_eq!(
            understood,
            Announce {
                info_hash: InfoHash::new([b'h'; 20]),
                peer_id: PeerId::new([b'p'; 20]),
                downloaded: 5,
                left: 6,
                event: Event::Started,
                numwant: None,
                port: 6881,
            }
        );
        assert_eq!(url_data, "");
        assert!(Request::parse(&packet[..97]).is_none());
        assert!(
            Request::parse(&announce(5, 0, &[])).is_none(),
            "there is no such event"
        );
    }

    #[test]
    fn url_data_come_in_pieces_among_other_options() {
        let mut long = vec![URL_DATA, 255];
        long.extend([b'a'; 255]);
        long.extend([URL_DATA, 1, b'b']);
        let long_text = "a".repeat(255) + "b";
        for (options, expected) in [
            (&b""[..], Some("")),
            (b"\x00", Some("")),
            (b"\x02\x04/a?b\x00junk", Some("/a?b")),
            (b"\x01\x01\x09\x02xx\x02\x02ab", Some("ab")),
            (&long, Some(&long_text)),
            (b"\x02\x05abc", None),
            (b"\x02", None),
        ] {
            let packet = announce(0, 1, options);
            let found = match Request::parse(&packet) {
                Some(Request::Announce { url_data, .. }) => Some(url_data.into_owned()),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn a_scrape_names_1_to_74_torrents() {
        for (number, extra, is_scrape) in [
            (0, 0, false),
            (1, 0, true),
            (74, 0, true),
            (75, 0, false),
            (1, 3, false),
        ] {
            let mut packet = 7u64.to_be_bytes().to_vec();
            numbers(&[2, 99], &mut packet);
            packet.extend(vec![b'h'; 20 * number + extra]);
            let found = match Request::parse(&packet) {
                Some(Request::Scrape { info_hashes, .. }) => Some(info_hashes.len()),
                _ => None,
            };
            assert_eq!(found, is_scrape.then_some(number));
        }
    }

    #[test]
    fn replies_are_what_bep_15_draws() {
        let write = |reply: Reply<'_>| {
            let mut out = Vec::new();
            reply.write(99, &mut out);
            out
        };
        let counts = SwarmCounts {
            complete: 1,
            incomplete: 2,
            downloaded: 3,
        };
        assert_eq!(
            write(Reply::Connect { connection: 0x0102 }),
            [0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 1, 2]
        );
        let peers = vec![
            "10.0.0.1:258".parse().expect("an address"),
            "[::1]:258".parse().expect("an address"),
        ];
        let announced = |ipv4| {
            write(Reply::Announce {
                interval: 1800,
                counts,
                peers: peers.clone(),
                ipv4,
            })
        };
        let head = [0, 0, 0, 1, 0, 0, 0, 99, 0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 1];
        assert_eq!(announced(true), [&head[..], &[10, 0, 0, 1, 1, 2]].concat());
        let six = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        assert_eq!(announced(false), [&head[..], &six].concat());
        assert_eq!(
            write(Reply::Scrape { counts: vec![counts] }),
            [0, 0, 0, 2, 0, 0, 0, 99, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2]
        );
        assert_eq!(
            write(Reply::Error { reason: "no" }),
            [0, 0, 0, 3, 0, 0, 0, 99, b'n', b'o']
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(mut packet in proptest::collection::vec(any::<u8>(), 0..300), action in 0..4u8) {
            if let Some(byte) = packet.get_mut(11) {
                *byte = action;
                packet[8..11].fill(0);
            }
            drop(Request::parse(&packet));
        }
    }
}
