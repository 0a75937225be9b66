//! A torrent of the user's files: several pieces are read and hashed at a time, by the browser's own threads.

use std::rc::Weak;

use causeway_core::{
    CreateError, CreateOptions, Draft, DraftFile, FileSlice, GeometryError, Metainfo, Sha1Hash,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::discard::discard;
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
    let refused = |error| refusal(&selection.name, &error);
    let draft = Draft::new(&selection.name, files, options).map_err(refused)?;
    let geometry = draft.geometry();
    let mut hashes: Vec<Sha1Hash> = Vec::with_capacity(geometry.pieces() as usize);
    let mut pieces = stream::iter(geometry.all_pieces().map(|piece| {
        let whole = geometry.block(piece.get(), 0, geometry.length_of(piece));
        let slices = whole
            .map(|whole| draft.slices(whole).collect::<Vec<_>>())
            .unwrap_or_default();
        hash_piece(selection, slices)
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
    draft.finish(hashes).map_err(refused)
}

/// Why the files of this name are not shared.
fn refusal(name: &str, error: &CreateError) -> String {
    if let CreateError::Geometry(GeometryError::Empty) = error {
        return format!(
            "“{name}” can't be shared: there is nothing in it. Choose something that is not empty."
        );
    }
    let reason = if let CreateError::Geometry(error) = error {
        error.to_string()
    } else {
        error.to_string()
    };
    format!("“{name}” can't be shared: {reason}.")
}

async fn hash_piece(selection: &Selection, slices: Vec<FileSlice>) -> Result<Sha1Hash, String> {
    let mut parts = Vec::with_capacity(slices.len());
    for slice in slices {
        let file = selection
            .files
            .get(slice.file)
            .ok_or("A file is missing: choose them again.")?;
        let part = read_file(file, slice.offset, slice.length).await;
        parts.push(part.map_err(|error| format!("{error}."))?);
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
    for part in &parts {
        discard(&part.buffer());
    }
    digest.finish().await.ok_or_else(|| {
        let name = &selection.name;
        format!(
            "“{name}” can't be shared: the browser could not hash a piece. Close other tabs and try again."
        )
    })
}

/// Enough to keep the disk and the hashing threads busy at once.
const PIECES_AT_ONCE: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_was_chosen_once_and_says_what_to_do() {
        let sentence = |paths: &[&[&str]]| {
            let files = paths.iter().map(|path| DraftFile {
                path: path.iter().map(|&name| name.to_owned()).collect(),
                length: 0,
            });
            let error = Draft::new("notes.txt", files.collect(), CreateOptions::default());
            refusal("notes.txt", &error.expect_err("there are no bytes"))
        };
        let empty = sentence(&[&["notes.txt"]]);
        assert_eq!(empty.matches("shared").count(), 1, "{empty}");
        assert!(empty.ends_with("Choose something that is not empty."), "{empty}");
        let twice = sentence(&[&["a"], &["a"]]);
        assert_eq!(twice, "“notes.txt” can't be shared: `a` is there twice.");
    }
}
