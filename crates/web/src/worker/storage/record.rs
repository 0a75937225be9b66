//! What is kept of a torrent beside its metadata and its bytes, so that it goes on after a reload without hashing
//! anything again. A record that was cut off while it was written is noticed, and then the bytes are hashed.

use causeway_core::{Bitfield, Geometry, Sha1Hash, SortedMap};
use causeway_engine::Snapshot;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// One torrent's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::worker) struct Record {
    /// When the user added it, in milliseconds since 1970: the order of the list.
    pub(in crate::worker) added: u64,
    /// 1 if the user paused it.
    pub(in crate::worker) paused: u8,
    /// 1 if the files are the user's own: nothing of them is stored here.
    pub(in crate::worker) own: u8,
    /// A byte a file: 0 if the user does not want it. Empty if all are wanted.
    pub(in crate::worker) selected: ByteBuf,
    /// The pieces that are verified, as on the wire. Empty without metadata.
    have: ByteBuf,
    /// Pieces in flight, and their blocks that are stored.
    partial: Vec<(u32, ByteBuf)>,
    uploaded: u64,
    downloaded: u64,
}

impl Record {
    /// Of a torrent that the user added at this time, in milliseconds since 1970.
    pub(in crate::worker) fn new(added: u64) -> Self {
        Self {
            added,
            ..Self::default()
        }
    }

    /// Puts in how far the torrent has come.
    pub(in crate::worker) fn set_snapshot(&mut self, snapshot: &Snapshot) {
        self.have = ByteBuf::from(snapshot.have.as_bytes());
        let partial = snapshot.partial.iter();
        self.partial = partial
            .map(|(piece, blocks)| (*piece, ByteBuf::from(blocks.as_bytes())))
            .collect();
        self.uploaded = snapshot.uploaded;
        self.downloaded = snapshot.downloaded;
    }

    /// How far the torrent had come; `None` where the record does not fit its geometry.
    pub(in crate::worker) fn snapshot(&self, geometry: Geometry) -> Option<Snapshot> {
        let have = Bitfield::from_wire(&self.have, geometry.pieces())?;
        let blocks = |(index, blocks): &(u32, ByteBuf)| {
            let piece = geometry.piece(*index)?;
            Some((*index, Bitfield::from_wire(blocks, geometry.blocks_in(piece))?))
        };
        let partial: SortedMap<_, _> = self.partial.iter().filter_map(blocks).collect();
        Some(Snapshot {
            have,
            partial,
            uploaded: self.uploaded,
            downloaded: self.downloaded,
        })
    }

    /// The bytes to store.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let record = serde_bencode::to_bytes(self).unwrap_or_default();
        let mut bytes = causeway_core::sha1(&record).as_bytes().to_vec();
        bytes.extend_from_slice(&record);
        bytes
    }

    /// Reads what was stored; `None` if it isn't whole.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, record) = bytes.split_at_checked(Sha1Hash::LENGTH)?;
        if causeway_core::sha1(record).as_bytes() != hash {
            return None;
        }
        serde_bencode::from_bytes(record).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(100_000, 32_768).expect("valid")
    }

    fn record() -> Record {
        let mut have = Bitfield::none(4);
        have.set_bit(2, true);
        let mut blocks = Bitfield::none(2);
        blocks.set_bit(1, true);
        let mut record = Record {
            added: 7,
            paused: 1,
            selected: ByteBuf::from([1, 0]),
            ..Record::default()
        };
        let partial = SortedMap::from([(1, blocks)]);
        record.set_snapshot(&Snapshot {
            have,
            partial,
            uploaded: 3,
            downloaded: 4,
        });
        record
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let read = Record::from_bytes(&record().to_bytes()).expect("whole");
        assert_eq!(read, record());
        let snapshot = read.snapshot(geometry()).expect("fits");
        assert_eq!(snapshot.have.iter_ones().collect::<Vec<_>>(), [2]);
        assert!(snapshot.partial[&1].bit(1));
        assert_eq!((snapshot.uploaded, snapshot.downloaded), (3, 4));
    }

    #[test]
    fn a_record_that_was_cut_off_or_changed_is_none() {
        let bytes = record().to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..length]), None, "{length}");
        }
        let mut changed = bytes;
        changed[30] ^= 1;
        assert_eq!(Record::from_bytes(&changed), None);
    }

    #[test]
    fn a_record_of_another_torrent_does_not_fit() {
        assert!(
            record()
                .snapshot(Geometry::new(1_000_000, 32_768).expect("valid"))
                .is_none()
        );
    }
}
