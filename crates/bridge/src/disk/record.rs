//! How far a download has come, kept in its folder: `.causeway/INFO-HASH.torrent` has the metadata, and
//! `.causeway/INFO-HASH.resume` which pieces and blocks are stored. Each is replaced as a whole, after the bytes that it speaks
//! of have reached the disk; one that is damaged is noticed, and then everything is hashed. Both go when the download is complete.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use causeway_core::{Info, InfoHash, Metainfo};
use causeway_engine::Snapshot;

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
        let bytes = fs::read(self.path("resume")).ok()?;
        Snapshot::from_bytes(&bytes, info)
            .inspect_err(
                |error| tracing::info!(torrent = %self.info_hash, "{error}; what is there is verified anew"),
            )
            .ok()
    }

    /// Keeps the metadata.
    pub(crate) fn keep_metainfo(&self, metainfo: &Metainfo) -> io::Result<()> {
        self.replace("torrent", &metainfo.to_bytes())
    }

    /// Keeps how far the torrent has come. Call it after what it speaks of is on the disk.
    pub(crate) fn keep_snapshot(&self, snapshot: &Snapshot, info: &Info) -> io::Result<()> {
        self.replace("resume", &snapshot.to_bytes(info))
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

const FOLDER: &str = ".causeway";

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::{Bitfield, CreateOptions, Draft, DraftFile, SortedMap, sha1};

    fn metainfo() -> Metainfo {
        let file = DraftFile {
            path: vec!["file".to_owned()],
            length: 100_000,
        };
        let options = CreateOptions {
            piece_length: Some(32_768),
            ..CreateOptions::default()
        };
        let draft = Draft::new("file", vec![file], options).expect("valid");
        draft.finish(vec![sha1(b""); 4]).expect("a hash a piece")
    }

    #[test]
    fn what_was_kept_is_read_until_it_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let metainfo = metainfo();
        let keeper = Keeper::new(folder.path(), metainfo.info().info_hash());
        assert!(keeper.read().metainfo.is_none());
        let mut have = Bitfield::none(4);
        have.set_bit(2, true);
        let snapshot = Snapshot {
            have,
            partial: SortedMap::new(),
            uploaded: 3,
            downloaded: 4,
            peers: Vec::new(),
        };
        keeper.keep_metainfo(&metainfo).expect("kept");
        keeper.keep_snapshot(&snapshot, metainfo.info()).expect("kept");
        assert_eq!(keeper.read().snapshot, Some(snapshot));
        fs::write(keeper.path("resume"), b"CWS").expect("written");
        let kept = keeper.read();
        assert!(kept.metainfo.is_some() && kept.snapshot.is_none());
        keeper.forget();
        assert!(keeper.read().metainfo.is_none());
    }
}
