//! How far a download has come, kept in its folder: `.causeway/INFO-HASH.torrent` has the metadata, and
//! `.causeway/INFO-HASH.resume` which pieces and blocks are stored. Each is replaced as a whole, after the bytes that it speaks
//! of have reached the disk; one that is damaged is noticed, and then everything is hashed. Both go when the download is complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use causeway_core::{Bitfield, Geometry, Info, InfoHash, Metainfo, Sha1Hash, SortedMap};
use causeway_engine::Snapshot;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Where one torrent's record lies.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    folder: PathBuf,
    info_hash: InfoHash,
}

/// What was kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What the torrent is made of.
    pub(crate) metainfo: Option<Metainfo>,
    /// How far it had come.
    pub(crate) snapshot: Option<Snapshot>,
}

impl Keeper {
    /// For downloads into `downloads`.
    pub(crate) fn new(downloads: &Path, info_hash: InfoHash) -> Self {
        Self {
            folder: downloads.join(FOLDER),
            info_hash,
        }
    }

    /// Reads what was kept, as far as it is usable.
    pub(crate) fn read(&self) -> Kept {
        let metainfo = fs::read(self.path("torrent"))
            .ok()
            .and_then(|bytes| Metainfo::from_bytes(&bytes).ok())
            .filter(|metainfo| metainfo.info().info_hash() == self.info_hash);
        let snapshot = metainfo
            .as_ref()
            .and_then(|metainfo| self.snapshot(metainfo.info()));
        Kept { metainfo, snapshot }
    }

    /// How far the torrent had come, if that was kept whole.
    pub(crate) fn snapshot(&self, info: &Info) -> Option<Snapshot> {
        Record::from_bytes(&fs::read(self.path("resume")).ok()?)?.snapshot(info.geometry())
    }

    /// Keeps the metadata.
    pub(crate) fn keep_metainfo(&self, metainfo: &Metainfo) -> io::Result<()> {
        self.replace("torrent", &metainfo.to_bytes())
    }

    /// Keeps how far the torrent has come. Call it after what it speaks of is on the disk.
    pub(crate) fn keep_snapshot(&self, snapshot: &Snapshot) -> io::Result<()> {
        self.replace("resume", &Record::of(snapshot).to_bytes())
    }

    /// What was kept last is older than what is there, and can't be replaced: without it all of that is hashed the next time, and nothing
    /// is fetched twice.
    pub(crate) fn distrust(&self) {
        // It need not have been kept.
        fs::remove_file(self.path("resume")).unwrap_or_default();
    }

    /// Removes everything: the download is complete, or not wanted any more.
    pub(crate) fn forget(&self) {
        for what in ["torrent", "resume"] {
            // It need not have been kept.
            fs::remove_file(self.path(what)).unwrap_or_default();
        }
        // Others may be in it.
        fs::remove_dir(&self.folder).unwrap_or_default();
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.info_hash))
    }

    fn replace(&self, extension: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.path(&format!("{extension}.new"));
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(new, self.path(extension))
    }
}

/// A snapshot as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    have: ByteBuf,
    partial: Vec<(u32, ByteBuf)>,
    uploaded: u64,
    downloaded: u64,
}

impl Record {
    fn of(snapshot: &Snapshot) -> Self {
        let partial = snapshot.partial.iter();
        Self {
            have: ByteBuf::from(snapshot.have.as_bytes()),
            partial: partial
                .map(|(piece, blocks)| (*piece, ByteBuf::from(blocks.as_bytes())))
                .collect(),
            uploaded: snapshot.uploaded,
            downloaded: snapshot.downloaded,
        }
    }

    fn snapshot(&self, geometry: Geometry) -> Option<Snapshot> {
        let blocks = |(number, blocks): &(u32, ByteBuf)| {
            let piece = geometry.piece(*number)?;
            Some((*number, Bitfield::from_wire(blocks, geometry.blocks_in(piece))?))
        };
        let partial: SortedMap<_, _> = self.partial.iter().filter_map(blocks).collect();
        Some(Snapshot {
            have: Bitfield::from_wire(&self.have, geometry.pieces())?,
            partial,
            uploaded: self.uploaded,
            downloaded: self.downloaded,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let record = serde_bencode::to_bytes(self).unwrap_or_default();
        let mut bytes = causeway_core::sha1(&record).as_bytes().to_vec();
        bytes.extend_from_slice(&record);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, record) = bytes.split_at_checked(Sha1Hash::LENGTH)?;
        if causeway_core::sha1(record).as_bytes() != hash {
            return None;
        }
        serde_bencode::from_bytes(record).ok()
    }
}

const FOLDER: &str = ".causeway";

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(100_000, 32_768).expect("valid")
    }

    fn snapshot() -> Snapshot {
        let mut have = Bitfield::none(4);
        have.set_bit(2, true);
        let mut blocks = Bitfield::none(2);
        blocks.set_bit(1, true);
        Snapshot {
            have,
            partial: SortedMap::from([(1, blocks)]),
            uploaded: 3,
            downloaded: 4,
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let bytes = Record::of(&snapshot()).to_bytes();
        let record = Record::from_bytes(&bytes).expect("whole");
        assert_eq!(record.snapshot(geometry()), Some(snapshot()));
        let other = Geometry::new(1_000_000, 32_768).expect("valid");
        assert_eq!(record.snapshot(other), None, "another torrent's");
    }

    #[test]
    fn a_record_that_was_cut_off_or_changed_is_none() {
        let bytes = Record::of(&snapshot()).to_bytes();
        for length in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..length]).is_none(), "{length}");
        }
        let mut changed = bytes;
        changed[30] ^= 1;
        assert!(Record::from_bytes(&changed).is_none());
    }
}
