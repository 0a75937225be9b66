//! What is kept of a torrent beside its metadata and its bytes, so that it goes on after a reload without hashing
//! anything again. A record that was cut off while it was written is noticed, and then the bytes are hashed.

use causeway_core::{Info, Sha1Hash};
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
    /// How far it has come, in the engine's own form. Empty without metadata; what earlier versions kept in other fields is
    /// passed over, and hashed.
    #[serde(default)]
    snapshot: ByteBuf,
}

impl Record {
    /// Of a torrent that the user added at this time, in milliseconds since 1970.
    pub(in crate::worker) fn new(added: u64) -> Self {
        Self {
            added,
            ..Self::default()
        }
    }

    /// Puts in how far the torrent with this metadata has come.
    pub(in crate::worker) fn set_snapshot(&mut self, snapshot: &Snapshot, info: &Info) {
        self.snapshot = snapshot.to_bytes(info).into();
    }

    /// How far the torrent had come; `None` where the record does not say.
    pub(in crate::worker) fn snapshot(&self, info: &Info) -> Option<Snapshot> {
        Snapshot::from_bytes(&self.snapshot, info).ok()
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
    use causeway_core::{Bitfield, CreateOptions, Draft, DraftFile, SortedMap, sha1};
    use std::sync::Arc;

    fn info(pieces: u32) -> Arc<Info> {
        let file = DraftFile {
            path: vec!["file".to_owned()],
            length: u64::from(pieces) * 32_768,
        };
        let options = CreateOptions {
            piece_length: Some(32_768),
            ..CreateOptions::default()
        };
        let draft = Draft::new("file", vec![file], options).expect("valid");
        let metainfo = draft
            .finish(vec![sha1(b""); pieces as usize])
            .expect("a hash a piece");
        Arc::clone(metainfo.info())
    }

    fn snapshot() -> Snapshot {
        let mut have = Bitfield::none(4);
        have.set_bit(2, true);
        Snapshot {
            have,
            partial: SortedMap::new(),
            uploaded: 3,
            downloaded: 4,
            peers: Vec::new(),
        }
    }

    fn record() -> Record {
        let mut record = Record {
            added: 7,
            paused: 1,
            selected: ByteBuf::from([1, 0]),
            ..Record::default()
        };
        record.set_snapshot(&snapshot(), &info(4));
        record
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let read = Record::from_bytes(&record().to_bytes()).expect("whole");
        assert_eq!(read, record());
        assert_eq!(read.snapshot(&info(4)), Some(snapshot()));
        assert_eq!(read.snapshot(&info(5)), None, "another torrent's");
    }

    #[test]
    fn a_record_of_an_earlier_version_keeps_what_the_user_chose() {
        let old = b"d5:addedi7e10:downloadedi4e4:have1:\x20\
            3:owni0e7:partialle6:pausedi1e8:selected0:8:uploadedi3ee";
        let bytes = [&sha1(old).as_bytes()[..], old].concat();
        let record = Record::from_bytes(&bytes).expect("whole");
        assert_eq!((record.added, record.paused), (7, 1));
        assert_eq!(record.snapshot(&info(4)), None);
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
}
