//! The form in which a snapshot is stored.
//!
//! `CWS`, a byte for the version, the SHA-1 of all that follows, the torrent's info-hash, and then, integers in
//! groups of seven bits with the lowest first and the eighth bit set in all but the last group (LEB128):
//! - what is verified: 0 for nothing, 1 for everything, 2 and a bitfield,
//! - how many pieces are stored in part; of each its number and a bit a block,
//! - the bytes uploaded and downloaded,
//! - how many peers are known; of each 4 or 6, its address, its port (two bytes, big-endian), and its score (zigzag).

use super::Snapshot;
use crate::KnownPeer;
use crate::acquaintances::MOST_KNOWN;
use causeway_core::{Bitfield, Geometry, Info, Sha1Hash, SortedMap, sha1};
use core::net::{IpAddr, SocketAddr};

/// Why stored bytes are no snapshot of a torrent. It has to be checked then, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They were not written by [`Snapshot::to_bytes`].
    #[error("this is no record of a download")]
    Foreign,
    /// A later version wrote them.
    #[error("this record of a download has version {0}, which only a later version of Causeway reads")]
    Version(u8),
    /// They were cut off or changed.
    #[error("this record of a download is damaged")]
    Damaged,
    /// They are another torrent's.
    #[error("this record of a download is another torrent's")]
    OtherTorrent,
}

impl Snapshot {
    /// The bytes to store beside the torrent with this metadata.
    #[must_use]
    pub fn to_bytes(&self, info: &Info) -> Vec<u8> {
        let mut body = info.info_hash().as_bytes().to_vec();
        match () {
            () if self.have.count_ones() == 0 => body.push(NOTHING),
            () if self.have.is_all() => body.push(EVERYTHING),
            () => {
                body.push(SOME);
                body.extend_from_slice(self.have.as_bytes());
            }
        }
        push_number(&mut body, self.partial.len() as u64);
        for (piece, blocks) in &self.partial {
            push_number(&mut body, (*piece).into());
            body.extend_from_slice(blocks.as_bytes());
        }
        push_number(&mut body, self.uploaded);
        push_number(&mut body, self.downloaded);
        push_number(&mut body, self.peers.len() as u64);
        for KnownPeer { addr, score } in &self.peers {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    body.push(4);
                    body.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    body.push(6);
                    body.extend_from_slice(&ip.octets());
                }
            }
            body.extend_from_slice(&addr.port().to_be_bytes());
            push_number(&mut body, ((score << 1) ^ (score >> 63)).cast_unsigned());
        }
        [MAGIC, &[VERSION], sha1(&body).as_bytes(), &body].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote for the torrent with this metadata.
    ///
    /// # Errors
    /// See [`SnapshotError`]. Nothing is allocated beyond what the torrent can need.
    pub fn from_bytes(bytes: &[u8], info: &Info) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::Foreign)?;
        let (version, rest) = rest.split_first().ok_or(SnapshotError::Damaged)?;
        if *version != VERSION {
            return Err(SnapshotError::Version(*version));
        }
        let (hash, body) = rest
            .split_at_checked(Sha1Hash::LENGTH)
            .ok_or(SnapshotError::Damaged)?;
        if sha1(body).as_bytes() != hash {
            return Err(SnapshotError::Damaged);
        }
        let mut reader = Reader(body);
        let info_hash: Option<[u8; 20]> = reader.array();
        if info_hash.is_some_and(|hash| hash != *info.info_hash().as_bytes()) {
            return Err(SnapshotError::OtherTorrent);
        }
        reader.snapshot(info.geometry()).ok_or(SnapshotError::Damaged)
    }
}

/// What is left to read; `None` where it makes no sense.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn snapshot(&mut self, geometry: Geometry) -> Option<Snapshot> {
        let pieces = geometry.pieces();
        let have = match self.byte()? {
            NOTHING => Bitfield::none(pieces),
            EVERYTHING => Bitfield::all(pieces),
            SOME => self.bits(pieces)?,
            _ => return None,
        };
        let mut partial = SortedMap::new();
        for _ in 0..self.number()?.min(pieces.into()) {
            let number = u32::try_from(self.number()?).ok()?;
            let blocks = self.bits(geometry.blocks_in(geometry.piece(number)?))?;
            // They were written in order, and every other order would cost time.
            if partial
                .iter()
                .next_back()
                .is_some_and(|(last, _)| *last >= number)
            {
                return None;
            }
            partial.insert(number, blocks);
        }
        let (uploaded, downloaded) = (self.number()?, self.number()?);
        let count = usize::try_from(self.number()?).ok()?;
        let peers: Option<Vec<_>> = (0..count.min(MOST_KNOWN)).map(|_| self.peer()).collect();
        Some(Snapshot {
            have,
            partial,
            uploaded,
            downloaded,
            peers: peers?,
        })
    }

    fn peer(&mut self) -> Option<KnownPeer> {
        let ip = match self.byte()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return None,
        };
        let port = u16::from_be_bytes(self.array()?);
        let zigzag = self.number()?;
        Some(KnownPeer {
            addr: SocketAddr::new(ip, port),
            score: (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed(),
        })
    }

    fn bits(&mut self, length: u32) -> Option<Bitfield> {
        Bitfield::from_wire(self.take(length.div_ceil(8) as usize)?, length)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for group in 0..10 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * group);
            if shifted >> (7 * group) != bits {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

const MAGIC: &[u8] = b"CWS";
const VERSION: u8 = 1;
const NOTHING: u8 = 0;
const EVERYTHING: u8 = 1;
const SOME: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::{CreateOptions, Draft, DraftFile};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn info(pieces: u32) -> Arc<Info> {
        let file = DraftFile {
            path: vec!["file".to_owned()],
            length: u64::from(pieces) * 65_536 - 20_000,
        };
        let options = CreateOptions {
            piece_length: Some(65_536),
            ..CreateOptions::default()
        };
        let draft = Draft::new("file", vec![file], options).expect("valid");
        let metainfo = draft
            .finish(vec![sha1(b""); pieces as usize])
            .expect("a hash a piece");
        Arc::clone(metainfo.info())
    }

    fn snapshot() -> impl Strategy<Value = (Arc<Info>, Snapshot)> {
        let addr = any::<(SocketAddr, i64)>().prop_map(|(addr, score)| KnownPeer {
            addr: SocketAddr::new(addr.ip(), addr.port()),
            score,
        });
        let peers = prop::collection::vec(addr, 0..5);
        let bits = prop::collection::vec(any::<bool>(), 1..40);
        let partial = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
        (bits, partial, any::<(u64, u64)>(), peers).prop_map(
            |(bits, partial, (uploaded, downloaded), peers)| {
                let info = info(u32::try_from(bits.len()).expect("few"));
                let geometry = info.geometry();
                let mut have = Bitfield::none(geometry.pieces());
                for (bit, piece) in bits.iter().zip(0..) {
                    have.set_bit(piece, *bit);
                }
                let partial = partial.into_iter().map(|(piece, blocks)| {
                    let piece = u32::try_from(piece.index(bits.len())).expect("few");
                    let blocks_in = geometry.blocks_in(geometry.piece(piece).expect("in range"));
                    let mut field = Bitfield::none(blocks_in);
                    for bit in 0..blocks_in {
                        field.set_bit(bit, (blocks >> bit) & 1 == 1);
                    }
                    (piece, field)
                });
                let snapshot = Snapshot {
                    have,
                    partial: partial.collect(),
                    uploaded,
                    downloaded,
                    peers,
                };
                (info, snapshot)
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_nothing_else((info, snapshot) in snapshot(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let bytes = snapshot.to_bytes(&info);
            prop_assert_eq!(Snapshot::from_bytes(&bytes, &info), Ok(snapshot));
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= 1u8 << bit;
            prop_assert!(Snapshot::from_bytes(&changed, &info).is_err(), "changed");
            prop_assert!(Snapshot::from_bytes(&bytes[..at.index(bytes.len())], &info).is_err(), "cut off");
        }

        /// Whoever can write the hash can write anything after it.
        #[test]
        fn whatever_stands_there_is_read_or_refused(garbage in prop::collection::vec(any::<u8>(), 0..200), version in 0..3u8, kind in 0..4u8) {
            let info = info(20);
            let body = [&info.info_hash().as_bytes()[..], &[kind], &garbage].concat();
            let bytes = [MAGIC, &[version], sha1(&body).as_bytes(), &body].concat();
            if let Ok(snapshot) = Snapshot::from_bytes(&bytes, &info) {
                prop_assert!(snapshot.peers.len() <= MOST_KNOWN);
                prop_assert!(snapshot.partial.len() <= 20);
                prop_assert_eq!(snapshot.have.len(), 20);
            }
        }
    }

    #[test]
    fn a_record_says_whose_it_is_and_who_wrote_it() {
        let (one, other) = (info(3), info(4));
        let snapshot = Snapshot {
            have: Bitfield::all(3),
            partial: SortedMap::new(),
            uploaded: 1,
            downloaded: u64::MAX,
            peers: Vec::new(),
        };
        let mut bytes = snapshot.to_bytes(&one);
        assert!(bytes.len() < 60, "{} bytes", bytes.len());
        assert_eq!(
            Snapshot::from_bytes(&bytes, &other),
            Err(SnapshotError::OtherTorrent)
        );
        bytes[3] = 9;
        assert_eq!(Snapshot::from_bytes(&bytes, &one), Err(SnapshotError::Version(9)));
        assert_eq!(
            Snapshot::from_bytes(b"d4:have", &one),
            Err(SnapshotError::Foreign)
        );
        assert_eq!(Snapshot::from_bytes(b"CWS", &one), Err(SnapshotError::Damaged));
    }
}
