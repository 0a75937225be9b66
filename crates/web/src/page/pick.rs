//! The files that somebody chose or dropped, folders and all.

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

/// Files with their paths beneath what was chosen.
pub(super) type Chosen = Vec<(Vec<String>, File)>;

/// More would freeze the page that reads them, and no browser lists them in reasonable time.
const MAX_FILES: usize = 100_000;

/// The files of an `<input>`. One that picks folders tells where in the folder each of them lies.
pub(super) fn from_list(list: &FileList) -> Chosen {
    let files = (0..list.length()).filter_map(|index| list.get(index));
    files.map(|file| (relative_path(&file), file)).collect()
}

fn relative_path(file: &File) -> Vec<String> {
    let path = Reflect::get(file, &"webkitRelativePath".into())
        .ok()
        .and_then(|path| path.as_string());
    match path {
        Some(path) if !path.is_empty() => split(&path),
        _ => vec![file.name()],
    }
}

/// What was dropped or pasted. To be called while the event is handled: afterwards the browser has forgotten.
pub(super) fn entries(transfer: &DataTransfer) -> Vec<FileSystemEntry> {
    let items = transfer.items();
    (0..items.length())
        .filter_map(|index| items.get(index))
        .filter_map(|item| item.webkit_get_as_entry().ok().flatten())
        .collect()
}

/// All the files in there, found by walking through the folders. Fails with a sentence.
pub(super) async fn walk(mut entries: Vec<FileSystemEntry>) -> Result<Chosen, String> {
    let mut chosen = Chosen::new();
    while !entries.is_empty() {
        let (folders, files): (Vec<_>, Vec<_>) = entries.drain(..).partition(FileSystemEntry::is_directory);
        if chosen.len() + files.len() > MAX_FILES {
            return Err("That is more than 100,000 files, too many for one link. \
                        Put them into an archive first, or share them in parts."
                .to_owned());
        }
        let paths: Vec<_> = files.iter().map(|entry| split(&entry.full_path())).collect();
        let opened = open(files).await.map_err(|_| {
            "A file could not be read. Check that you may read everything in there, then try again."
                .to_owned()
        })?;
        chosen.extend(paths.into_iter().zip(opened.iter().map(JsCast::unchecked_into)));
        for folder in folders {
            entries.extend(list(folder).await.map_err(|name| {
                format!("The folder “{name}” could not be read. Check that you may read it, then try again.")
            })?);
        }
    }
    Ok(chosen)
}

/// The `File`s of file entries, all asked for at once.
async fn open(entries: Vec<FileSystemEntry>) -> Result<Array, JsValue> {
    let promises: Array = entries
        .into_iter()
        .map(|entry| {
            let entry: FileSystemFileEntry = entry.unchecked_into();
            Promise::new(&mut |resolve, reject| entry.file_with_callback_and_callback(&resolve, &reject))
        })
        .collect();
    JsFuture::from(Promise::all(&promises))
        .await
        .map(JsCast::unchecked_into)
}

/// What a folder holds; fails with its name. Browsers list it in parts, the last of which is empty.
async fn list(folder: FileSystemEntry) -> Result<Vec<FileSystemEntry>, String> {
    let reader = folder.unchecked_ref::<FileSystemDirectoryEntry>().create_reader();
    let mut entries = Vec::new();
    loop {
        let part = Promise::new(&mut |resolve, reject| {
            if let Err(error) = reader.read_entries_with_callback_and_callback(&resolve, &reject) {
                reject.call1(&JsValue::NULL, &error).unwrap_or_default();
            }
        });
        let part: Array = JsFuture::from(part)
            .await
            .map_err(|_| folder.name())?
            .unchecked_into();
        if part.length() == 0 || entries.len() > MAX_FILES {
            return Ok(entries);
        }
        entries.extend(part.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
    }
}

fn split(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
