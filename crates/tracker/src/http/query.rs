//! The query of an announce or a scrape. Values are bytes, not text: an info-hash is percent-encoded as it is.

use core::net::IpAddr;
use std::borrow::Cow;
use std::net::SocketAddr;

use causeway_core::{InfoHash, PeerId};
use causeway_signal::{Event, Left};
use percent_encoding::percent_decode_str;

use super::event;
use super::reply::Format;
use crate::registry::ClassicAnnounce;

/// The pairs of a query, as they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a>(&'a str);

/// A request to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Its `numwant` is to be filled in.
    pub(super) announce: ClassicAnnounce,
    pub(super) numwant: Option<usize>,
    pub(super) format: Format,
    /// What an earlier reply, maybe of another tracker, gave as its `tracker id`.
    pub(super) tracker_id: Option<Vec<u8>>,
}

/// What is wrong with a request, as a sentence for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("'{0}' is missing")]
    Missing(&'static str),
    #[error("'{0}' must be 20 bytes, percent-encoded")]
    Twenty(&'static str),
    #[error("'port' must be a number from 0 to 65535")]
    Port,
    #[error("'{0}' must be a number")]
    Number(&'static str),
    #[error("'event' must be 'started', 'completed', 'stopped', 'paused', 'empty' or absent")]
    Event,
    #[error("'trackerid' is too long")]
    TrackerId,
    #[error("a scrape may name {0} torrents at most")]
    TooMany(usize),
}

impl<'a> Query<'a> {
    pub(super) fn parse(query: &'a str) -> Self {
        Self(query)
    }

    /// An announce from this address. What the query says of addresses is not looked at: anybody could send others
    /// to a victim.
    pub(super) fn announce(self, address: IpAddr) -> Result<Request, Wrong> {
        let info_hash = InfoHash::new(self.twenty("info_hash")?);
        let peer_id = PeerId::new(self.twenty("peer_id")?);
        let port = self.number("port").map_err(|_| Wrong::Port)?;
        let port = u16::try_from(port.ok_or(Wrong::Missing("port"))?).map_err(|_| Wrong::Port)?;
        let left = self.number("left")?;
        let flag = |name| self.value(name).is_some_and(|value| value == "1");
        let tracker_id = self.value("trackerid").map(|value| decode(value).into_owned());
        if tracker_id.as_ref().is_some_and(|id| id.len() > MAX_TRACKER_ID) {
            return Err(Wrong::TrackerId);
        }
        Ok(Request {
            announce: ClassicAnnounce {
                info_hash,
                peer_id,
                address: SocketAddr::new(address, port),
                event: self.event()?,
                complete: Left::from_bytes(left) == Left::Complete,
                downloaded: self.number("downloaded")?.unwrap_or(0),
                numwant: 0,
                both_families: true,
            },
            numwant: self
                .number("numwant")?
                .map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX)),
            // Compact is what a client gets that does not ask for anything else (BEP 23).
            format: match self.value("compact") {
                Some("0") if flag("no_peer_id") => Format::WithoutIds,
                Some("0") => Format::WithIds,
                _ => Format::Compact,
            },
            tracker_id,
        })
    }

    /// All info-hashes that it names; none, where it asks for all there are.
    pub(super) fn info_hashes(self, max: usize) -> Result<Vec<InfoHash>, Wrong> {
        let mut all = Vec::new();
        for value in self.values("info_hash") {
            if all.len() == max {
                return Err(Wrong::TooMany(max));
            }
            let bytes = decode(value);
            all.push(InfoHash::try_from(&*bytes).map_err(|_| Wrong::Twenty("info_hash"))?);
        }
        Ok(all)
    }

    fn event(self) -> Result<Event, Wrong> {
        let name = self.value("event").map(decode).unwrap_or_default();
        event(&name).ok_or(Wrong::Event)
    }

    fn twenty(self, name: &'static str) -> Result<[u8; 20], Wrong> {
        let value = self.value(name).ok_or(Wrong::Missing(name))?;
        decode(value).as_ref().try_into().map_err(|_| Wrong::Twenty(name))
    }

    /// `None` where it is absent or negative, which clients write where they don't know.
    fn number(self, name: &'static str) -> Result<Option<u64>, Wrong> {
        match self.value(name) {
            None | Some("") => Ok(None),
            Some(value) if value.starts_with('-') => Ok(None),
            // Larger than fits is as good as the largest that does.
            Some(value) if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Some(value.parse().unwrap_or(u64::MAX)))
            }
            Some(_) => Err(Wrong::Number(name)),
        }
    }

    fn value(self, name: &'static str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn values(self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let is_wanted = move |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
        self.0.split('&').filter_map(is_wanted)
    }
}

fn decode(value: &str) -> Cow<'_, [u8]> {
    percent_decode_str(value).into()
}

/// It is sent back.
const MAX_TRACKER_ID: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "info_hash=%00%01%7f%80%ff5678901234567%20.&peer_id=-TR3000-abcdefghijkl&port=51413&uploaded=0&downloaded=7&left=0&numwant=80&key=1&compact=1&supportcrypto=1&event=started";

    fn parse(query: &str) -> Result<Request, Wrong> {
        Query::parse(query).announce([10, 0, 0, 1].into())
    }

    #[test]
    fn an_announce_is_understood() {
        let request = parse(GOOD).expect("it is one");
        assert_eq!(
            request.announce.info_hash.as_bytes(),
            b"\x00\x01\x7f\x80\xff5678901234567 ."
        );
        assert_eq!(request.announce.peer_id.as_bytes(), b"-TR3000-abcdefghijkl");
        assert_eq!(
            request.announce.address,
            "10.0.0.1:51413".parse().expect("an address")
        );
        assert_eq!(
            (
                request.announce.event,
                request.announce.complete,
                request.announce.downloaded
            ),
            (Event::Started, true, 7)
        );
        assert_eq!((request.numwant, request.format), (Some(80), Format::Compact));
        assert_eq!(request.tracker_id, None);
    }

    #[test]
    fn what_may_be_absent_may_be_absent() {
        let request =
            parse("port=1&peer_id=aaaaaaaaaaaaaaaaaaaa&info_hash=bbbbbbbbbbbbbbbbbbbb").expect("it is one");
        assert_eq!(
            (request.announce.event, request.announce.complete, request.numwant),
            (Event::Update, false, None)
        );
        assert_eq!(request.format, Format::Compact, "BEP 23");
    }

    #[test]
    fn a_client_chooses_the_format_and_how_many() {
        let with =
            |more: &str| parse(&format!("{more}&{}", GOOD.replace("&compact=1", ""))).expect("it is one");
        assert_eq!(with("compact=0").format, Format::WithIds);
        assert_eq!(with("compact=0&no_peer_id=1").format, Format::WithoutIds);
        assert_eq!(with("no_peer_id=1").format, Format::Compact);
        assert_eq!(with("numwant=-1").numwant, None);
        assert_eq!(with("numwant=99999999999999999999").numwant, Some(usize::MAX));
        assert!(!with("left=-1").announce.complete);
        assert!(!with("left=18446744073709551615").announce.complete);
        assert_eq!(with("trackerid=a%20b").tracker_id, Some(b"a b".to_vec()));
    }

    /// Otherwise anybody could send a swarm to a victim.
    #[test]
    fn an_address_in_the_query_is_not_believed() {
        let request =
            parse(&format!("ip=192.0.2.1&ipv4=192.0.2.1&ipv6=2001:db8::1&{GOOD}")).expect("it is one");
        assert_eq!(request.announce.address.ip(), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let twenty = "aaaaaaaaaaaaaaaaaaaa";
        for (query, wrong) in [
            (String::new(), Wrong::Missing("info_hash")),
            ("info_hash=short".into(), Wrong::Twenty("info_hash")),
            (format!("info_hash={twenty}a"), Wrong::Twenty("info_hash")),
            (
                format!("info_hash={}", "%zz".repeat(20)),
                Wrong::Twenty("info_hash"),
            ),
            (format!("info_hash={twenty}"), Wrong::Missing("peer_id")),
            (
                format!("info_hash={twenty}&peer_id={twenty}"),
                Wrong::Missing("port"),
            ),
            (
                format!("info_hash={twenty}&peer_id={twenty}&port=65536"),
                Wrong::Port,
            ),
            (format!("info_hash={twenty}&peer_id={twenty}&port=x"), Wrong::Port),
            (format!("left=many&{GOOD}"), Wrong::Number("left")),
            (format!("event=dance&{GOOD}"), Wrong::Event),
            (format!("trackerid={}&{GOOD}", "x".repeat(101)), Wrong::TrackerId),
        ] {
            assert_eq!(parse(&query), Err(wrong), "{query}");
        }
    }

    #[test]
    fn a_scrape_names_some_torrents_or_none() {
        let hashes = |query: &'static str, max| Query::parse(query).info_hashes(max);
        let two = "info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=%62bbbbbbbbbbbbbbbbbbb";
        assert_eq!(hashes("", 9), Ok(vec![]));
        assert_eq!(
            hashes(two, 2),
            Ok(vec![InfoHash::new([b'a'; 20]), InfoHash::new([b'b'; 20])])
        );
        assert_eq!(hashes(two, 1), Err(Wrong::TooMany(1)));
        assert_eq!(hashes("info_hash=a", 1), Err(Wrong::Twenty("info_hash")));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_request_or_wrong(query in ".{0,200}", tail in "[&=%a-f0-9_]{0,100}") {
            let query = format!("{GOOD}&{query}{tail}");
            drop(parse(&query[query.floor_char_boundary(tail.len())..]));
            drop(Query::parse(&query).info_hashes(10));
        }
    }
}
