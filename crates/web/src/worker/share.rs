//! A torrent of the user's files: several pieces are read and hashed at a time, by the browser's own threads.

use std::rc::Weak;

use causeway_core::{CreateOptions, Draft, DraftFile, FileSlice, Metainfo, Sha1Hash};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::storage::read_file;
use super::{Event, Events, hash, tell};
use crate::protocol::TorrentId;

/// Files that become a torrent.
pub(super) struct Selection {
    /// The torrent's name.
    pub(super) name: String,
    /// A path for each file.
    pub(super) paths: Vec<Vec<String>>,
    /// The files.
    pub(super) files: Vec<File>,
    /// The trackers that the torrent names.
    pub(super) trackers: Vec<String>,
}

/// Makes it, for as long as what `wanted` points to is there; [`Event::Hashing`] tells how far that has come,
/// [`Event::Hashed`] what came of it, or why nothing did, in a sentence.
pub(super) fn create(id: TorrentId, selection: Selection, wanted: Weak<()>, events: Events) {
    spawn_local(async move {
        let result = hash_all(id, &selection, &wanted, &events).await;
        tell(&events, Event::Hashed(id, result));
    });
}

async fn hash_all(
    id: TorrentId,
    selection: &Selection,
    wanted: &Weak<()>,
    events: &Events,
) -> Result<Metainfo, String> {
    let options = CreateOptions {
        trackers: selection
            .trackers
            .iter()
            .map(|tracker| vec![tracker.clone()])
            .collect(),
        ..CreateOptions::default()
    };
    let files = selection.paths.iter().zip(&selection.files);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a file's size is a whole number"
    )]
    let files = files
        .map(|(path, file)| DraftFile {
            path: path.clone(),
            length: file.size() as u64,
        })
        .collect();
    let draft = Draft::new(&selection.name, files, options).map_err(|error| error.to_string())?;
    let geometry = draft.geometry();
    let mut hashes: Vec<Sha1Hash> = Vec::with_capacity(geometry.pieces() as usize);
    let mut pieces = stream::iter(geometry.all_pieces().map(|piece| {
        let whole = geometry.block(piece.get(), 0, geometry.length_of(piece));
        let slices = whole
            .map(|whole| draft.slices(whole).collect::<Vec<_>>())
            .unwrap_or_default();
        hash_piece(&selection.files, slices)
    }))
    .buffered(PIECES_AT_ONCE);
    while let Some(hash) = pieces.try_next().await? {
        if wanted.strong_count() == 0 {
            return Err("Nobody wants to share it any more.".to_owned());
        }
        hashes.push(hash);
        #[expect(clippy::cast_precision_loss, reason = "a share of the whole, for display")]
        tell(
            events,
            Event::Hashing(id, hashes.len() as f64 / f64::from(geometry.pieces())),
        );
    }
    drop(pieces);
    draft.finish(hashes).map_err(|error| error.to_string())
}

async fn hash_piece(files: &[File], slices: Vec<FileSlice>) -> Result<Sha1Hash, String> {
    let mut parts = Vec::with_capacity(slices.len());
    for slice in slices {
        let file = files
            .get(slice.file)
            .ok_or("A file is missing: choose them again.")?;
        let part = read_file(file, slice.offset, slice.length).await;
        parts.push(part.map_err(|error| error.to_string())?);
    }
    let digest = match parts.as_slice() {
        [whole] => hash::start_js(whole),
        parts => hash::start(
            &parts
                .iter()
                .flat_map(js_sys::Uint8Array::to_vec)
                .collect::<Vec<_>>(),
        ),
    };
    digest
        .finish()
        .await
        .ok_or_else(|| "The browser could not hash a piece: close other tabs and try again.".to_owned())
}

/// Enough to keep the disk and the hashing threads busy at once.
const PIECES_AT_ONCE: usize = 6;
