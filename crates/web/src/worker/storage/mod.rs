//! What outlives a page: the torrents and their bytes, in the origin private file system.
//!
//! ```text
//! causeway/INFO-HASH/torrent   the metainfo, once it is known
//!                    magnet    the link, before
//!                    record    how far it has come, what the user chose
//!                    data/N    the bytes of file N
//! ```
//! Each torrent has a [`Store`]: a task that does one thing after the other, in the order in which they were asked
//! for, and answers with events.

mod downloads;
mod opfs;
mod own_files;
mod read_cache;
mod record;

use std::sync::Arc;

use causeway_core::{Block, Info, InfoHash, Magnet, Metainfo, PieceIndex, sort_by_key};
use causeway_engine::{Input, StorageError};
use causeway_wire::Chunks;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt as _;
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::hash::Digest;
use super::{Event, Events, tell};
use crate::protocol::TorrentId;
use downloads::Downloads;
use opfs::{Folder, OpenFile};
use own_files::OwnFiles;
pub(super) use own_files::read_file;
pub(super) use record::Record;

/// Where the bytes of a torrent are.
#[derive(Debug)]
pub(super) enum Contents {
    /// They are downloaded to the browser's storage.
    Downloads(Arc<Info>),
    /// The user shares them; a file for each file of the torrent.
    Own(Arc<Info>, Vec<File>),
}

/// The storage of all torrents, or why there is none.
#[derive(Clone, Debug)]
pub(super) struct Library {
    root: Result<Folder, String>,
}

/// The library, with the torrents that were in it.
#[derive(Debug)]
pub(super) struct Restored {
    /// To keep more.
    pub(super) library: Library,
    /// In the order in which the user added them.
    pub(super) torrents: Vec<Kept>,
}

/// A torrent that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name.
    pub(super) info_hash: InfoHash,
    /// What it is made of, if that was known.
    pub(super) metainfo: Option<Metainfo>,
    /// The link that it was opened by, else.
    pub(super) magnet: Option<Magnet>,
    /// How far it had come; `None` if that was lost.
    pub(super) record: Option<Record>,
}

impl Library {
    /// Opens it and reads what was kept. What can't be read is left as it is.
    pub(super) async fn restore() -> Restored {
        let root = match Folder::root().await {
            Ok(root) => root.folder("causeway").await,
            Err(error) => Err(error),
        };
        let mut torrents = Vec::new();
        if let Ok(root) = &root {
            for name in root.names().await.unwrap_or_default() {
                torrents.extend(restore_one(root, &name).await);
            }
        }
        sort_by_key(&mut torrents, |kept: &Kept| {
            kept.record.as_ref().map_or(0, |record| record.added)
        });
        let root = root.map_err(|error| match error {
            StorageError::Missing => NO_STORAGE.to_owned(),
            StorageError::Full => {
                "This browser has no space left for downloads: free some and reload.".to_owned()
            }
            StorageError::Failed(error) => format!("{NO_STORAGE} ({error})"),
        });
        Restored {
            library: Self { root },
            torrents,
        }
    }

    /// Whether downloads can be stored, or a sentence why not and what to do.
    pub(super) fn usable(&self) -> Result<(), String> {
        self.root.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Opens the storage of a torrent, whose bytes are known only later.
    pub(super) fn store(&self, id: TorrentId, info_hash: InfoHash, events: &Events) -> Store {
        let (jobs, queue) = unbounded();
        let (root, events) = (self.root.clone(), events.clone());
        spawn_local(async move {
            Keeper {
                id,
                info_hash,
                root,
                folder: None,
                record: None,
                contents: None,
                events,
            }
            .run(queue)
            .await;
        });
        Store { jobs }
    }
}

async fn restore_one(root: &Folder, name: &str) -> Option<Kept> {
    let info_hash = name.parse().ok()?;
    let folder = root.folder(name).await.ok()?;
    let metainfo = folder.read("torrent").await;
    let magnet = folder.read("magnet").await;
    if let (Err(StorageError::Missing), Err(StorageError::Missing)) = (&metainfo, &magnet) {
        // Nobody knows any more whether the bytes are wanted; they would take up space for ever.
        root.remove(name).await.unwrap_or_default();
        return None;
    }
    let was_read = metainfo.is_ok() || magnet.is_ok();
    let metainfo = metainfo.ok().and_then(|bytes| Metainfo::from_bytes(&bytes).ok());
    let magnet = magnet
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    // What was being written when the power failed is found again by the folder's name; what can't be read now may be
    // readable after the next reload.
    let magnet = magnet.or_else(|| (was_read && metainfo.is_none()).then(|| Magnet::new(info_hash)));
    if metainfo.is_none() && magnet.is_none() {
        return None;
    }
    let record = folder
        .read("record")
        .await
        .ok()
        .and_then(|bytes| Record::from_bytes(&bytes));
    Some(Kept {
        info_hash,
        metainfo,
        magnet,
        record,
    })
}

/// The storage of one torrent: things to do, done in their order. What it answers comes as events.
#[derive(Debug)]
pub(super) struct Store {
    jobs: UnboundedSender<Job>,
}

#[derive(Debug)]
enum Job {
    Use(Contents),
    KeepMetainfo(Box<Metainfo>),
    KeepMagnet(String),
    KeepRecord(Box<Record>),
    Write(Block, Chunks),
    Hash(PieceIndex),
    Read(Block),
    File(usize, String),
    Flush,
    Forget,
}

impl Store {
    /// From now on the bytes are there. Answered by [`Event::StorageOpened`].
    pub(super) fn use_contents(&self, contents: Contents) {
        self.do_next(Job::Use(contents));
    }

    /// Keeps what the torrent is made of.
    pub(super) fn keep_metainfo(&self, metainfo: Metainfo) {
        self.do_next(Job::KeepMetainfo(Box::new(metainfo)));
    }

    /// Keeps the link until the metainfo is there.
    pub(super) fn keep_magnet(&self, magnet: &Magnet) {
        self.do_next(Job::KeepMagnet(magnet.to_string()));
    }

    /// Keeps how far the torrent has come, after what it speaks of.
    pub(super) fn keep_record(&self, record: Record) {
        self.do_next(Job::KeepRecord(Box::new(record)));
    }

    /// Stores a block; answered.
    pub(super) fn write(&self, block: Block, bytes: Chunks) {
        self.do_next(Job::Write(block, bytes));
    }

    /// Hashes a piece; answered.
    pub(super) fn hash(&self, piece: PieceIndex) {
        self.do_next(Job::Hash(piece));
    }

    /// Reads a block; answered.
    pub(super) fn read(&self, block: Block) {
        self.do_next(Job::Read(block));
    }

    /// Hands out a file under this name; answered by [`Event::File`].
    pub(super) fn file(&self, file: usize, name: String) {
        self.do_next(Job::File(file, name));
    }

    /// Brings everything to the disk itself.
    pub(super) fn flush(&self) {
        self.do_next(Job::Flush);
    }

    /// Deletes all that was kept and downloaded; the user's own files are not touched.
    pub(super) fn forget(&self) {
        self.do_next(Job::Forget);
    }

    /// The keeper lives as long as its store.
    fn do_next(&self, job: Job) {
        self.jobs.unbounded_send(job).unwrap_or_default();
    }
}

/// The other end of a [`Store`].
struct Keeper {
    id: TorrentId,
    info_hash: InfoHash,
    root: Result<Folder, String>,
    folder: Option<Folder>,
    /// The record's file, which is written again and again, and how long it is.
    record: Option<(OpenFile, usize)>,
    contents: Option<Place>,
    events: Events,
}

enum Place {
    Downloads(Downloads),
    Own(OwnFiles),
}

impl Keeper {
    async fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        while let Some(job) = jobs.next().await {
            let input = match job {
                Job::Use(contents) => {
                    let opened = self.open(contents).await.map_err(|error| error.to_string());
                    tell(&self.events, Event::StorageOpened(self.id, opened));
                    continue;
                }
                Job::Write(block, chunks) => Input::BlockWritten {
                    block,
                    result: self.write(block, &chunks).await,
                },
                Job::Read(block) => Input::BlockRead {
                    block,
                    result: self.read(block).await,
                },
                Job::Hash(piece) => match self.hash(piece).await {
                    Ok(digest) => {
                        self.tell_hash(piece, digest);
                        continue;
                    }
                    Err(error) => Input::PieceHashed {
                        piece,
                        result: Err(error),
                    },
                },
                Job::File(file, name) => {
                    let file = self.file(file).await.map_err(|error| error.to_string());
                    tell(&self.events, Event::File(name, file));
                    continue;
                }
                Job::KeepMetainfo(metainfo) => match self.keep("torrent", &metainfo.to_bytes()).await {
                    Ok(()) => continue,
                    Err(error) => Input::StorageFailed(error),
                },
                Job::KeepMagnet(magnet) => match self.keep("magnet", magnet.as_bytes()).await {
                    Ok(()) => continue,
                    Err(error) => Input::StorageFailed(error),
                },
                Job::KeepRecord(record) => match self.write_all().await {
                    Ok(()) => {
                        // Where this fails the next reload has more to do, no more than that.
                        self.keep_record(&record.to_bytes()).await.unwrap_or_default();
                        continue;
                    }
                    Err(error) => Input::StorageFailed(error),
                },
                Job::Flush => {
                    if let Some(Place::Downloads(downloads)) = &mut self.contents {
                        downloads.flush().await.unwrap_or_default();
                    }
                    continue;
                }
                Job::Forget => {
                    (self.contents, self.folder, self.record) = (None, None, None);
                    self.forget().await;
                    return;
                }
            };
            tell(&self.events, Event::Storage(self.id, input));
        }
    }

    async fn open(&mut self, contents: Contents) -> Result<(), StorageError> {
        // What was open before may be gone.
        (self.contents, self.folder, self.record) = (None, None, None);
        self.contents = Some(match contents {
            Contents::Own(info, files) => Place::Own(OwnFiles::new(info, files)),
            Contents::Downloads(info) => {
                let folder = self.folder().await?.folder("data").await?;
                Place::Downloads(Downloads::new(info, folder))
            }
        });
        Ok(())
    }

    async fn folder(&mut self) -> Result<&Folder, StorageError> {
        if self.folder.is_none() {
            let root = self.root.clone().map_err(StorageError::Failed)?;
            self.folder = Some(root.folder(&self.info_hash.to_string()).await?);
        }
        self.folder.as_ref().ok_or(StorageError::Missing)
    }

    /// Keeps what the bytes are nothing without. The user's own files need nobody to find them again.
    async fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let kept = match self.folder().await {
            Ok(folder) => folder.write(name, bytes).await,
            Err(error) => Err(error),
        };
        if matches!(self.contents, Some(Place::Own(_))) {
            Ok(())
        } else {
            kept
        }
    }

    async fn forget(&self) {
        let Ok(root) = &self.root else { return };
        match root.remove(&self.info_hash.to_string()).await {
            Ok(()) | Err(StorageError::Missing) => {}
            Err(error) => tell(
                &self.events,
                Event::Trouble(format!(
                    "What was downloaded for a removed torrent could not be deleted: {error}. After a reload it is in \
                     the list again: remove it once more then."
                )),
            ),
        }
    }

    async fn keep_record(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if self.record.is_none() {
            let folder = self.folder().await?;
            self.record = Some((folder.open("record", true).await?, usize::MAX));
        }
        let Some((file, length)) = &mut self.record else {
            return Ok(());
        };
        file.write(0, bytes)?;
        if bytes.len() < *length {
            file.truncate(bytes.len())?;
        }
        *length = bytes.len();
        Ok(())
    }

    async fn write(&mut self, block: Block, chunks: &Chunks) -> Result<(), StorageError> {
        match &mut self.contents {
            Some(Place::Downloads(downloads)) => downloads.write(block, chunks).await,
            Some(Place::Own(_)) => Err(StorageError::Failed(
                "the user's own files are never written".to_owned(),
            )),
            None => Err(StorageError::Missing),
        }
    }

    async fn write_all(&mut self) -> Result<(), StorageError> {
        match &mut self.contents {
            Some(Place::Downloads(downloads)) => downloads.write_all().await,
            Some(Place::Own(_)) | None => Ok(()),
        }
    }

    async fn read(&mut self, block: Block) -> Result<bytes::Bytes, StorageError> {
        match &mut self.contents {
            Some(Place::Downloads(downloads)) => downloads.read(block).await,
            Some(Place::Own(files)) => files.read(block).await,
            None => Err(StorageError::Missing),
        }
    }

    async fn hash(&mut self, piece: PieceIndex) -> Result<Digest, StorageError> {
        match &mut self.contents {
            Some(Place::Downloads(downloads)) => downloads.hash(piece).await,
            Some(Place::Own(files)) => files.hash(piece).await,
            None => Err(StorageError::Missing),
        }
    }

    async fn file(&mut self, file: usize) -> Result<File, StorageError> {
        match &mut self.contents {
            Some(Place::Downloads(downloads)) => downloads.file(file).await,
            Some(Place::Own(files)) => files.file(file).ok_or(StorageError::Missing),
            None => Err(StorageError::Missing),
        }
    }

    /// Other things go on while the browser hashes.
    fn tell_hash(&self, piece: PieceIndex, digest: Digest) {
        let (id, events) = (self.id, self.events.clone());
        spawn_local(async move {
            let failed = || {
                StorageError::Failed("the browser could not hash a piece: it is short of memory".to_owned())
            };
            let result = digest.finish().await.ok_or_else(failed);
            tell(&events, Event::Storage(id, Input::PieceHashed { piece, result }));
        });
    }
}

/// What a browser without the origin private file system is told.
const NO_STORAGE: &str = "This browser does not let the page store files, so it can share but not download. Use a current \
    browser, not in a private window, open the page over https, and let it keep cookies and site data.";
