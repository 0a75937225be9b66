//! The origin private file system, as far as it is needed here. Works in workers only, in secure contexts only.

use causeway_engine::StorageError;
use js_sys::{ArrayBuffer, AsyncIterator, IteratorNext, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle,
};

use super::super::clock::scope;

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(FileSystemDirectoryHandle);

impl Folder {
    /// The root of this origin.
    pub(super) async fn root() -> Result<Self, StorageError> {
        let storage = scope().navigator().storage();
        if storage.is_undefined() || !has(&storage, "getDirectory") || !has_sync_access() {
            return Err(StorageError::Missing);
        }
        wait(storage.get_directory()).await.map(Self)
    }

    /// The folder of this name in it, made where there is none.
    pub(super) async fn folder(&self, name: &str) -> Result<Self, StorageError> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        wait(self.0.get_directory_handle_with_options(name, &options))
            .await
            .map(Self)
    }

    /// The names of what it holds.
    pub(super) async fn names(&self) -> Result<Vec<String>, StorageError> {
        let entries: AsyncIterator = self.0.keys();
        let mut names = Vec::new();
        loop {
            let next: IteratorNext = wait(entries.next().map_err(|error| storage_error(&error))?).await?;
            if next.done() {
                return Ok(names);
            }
            names.extend(next.value().as_string());
        }
    }

    /// Opens the file of this name for reading and writing: nobody else can meanwhile.
    pub(super) async fn open(&self, name: &str, create: bool) -> Result<OpenFile, StorageError> {
        let handle = self.handle(name, create).await?;
        wait(handle.create_sync_access_handle()).await.map(OpenFile)
    }

    /// The file of this name as a page takes it: its bytes stay on disk.
    pub(super) async fn file(&self, name: &str, create: bool) -> Result<File, StorageError> {
        wait(self.handle(name, create).await?.get_file()).await
    }

    /// Deletes the file or folder of this name, with all that it holds.
    pub(super) async fn remove(&self, name: &str) -> Result<(), StorageError> {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        wait::<JsValue>(self.0.remove_entry_with_options(name, &options))
            .await
            .map(drop)
    }

    /// The bytes of a small file, which may be open elsewhere: a page that was left a moment ago may still hold it.
    pub(super) async fn read(&self, name: &str) -> Result<Vec<u8>, StorageError> {
        let file = self.file(name, false).await?;
        let bytes: ArrayBuffer = wait(file.array_buffer()).await?;
        Ok(Uint8Array::new(&bytes).to_vec())
    }

    /// Replaces the bytes of a small file.
    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let file = self.open(name, true).await?;
        file.write(0, bytes)?;
        file.truncate(bytes.len())
    }

    async fn handle(&self, name: &str, create: bool) -> Result<FileSystemFileHandle, StorageError> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(create);
        wait(self.0.get_file_handle_with_options(name, &options)).await
    }
}

/// An open file, closed when it is dropped.
pub(super) struct OpenFile(FileSystemSyncAccessHandle);

impl OpenFile {
    /// Fills `bytes` from `offset` on; [`StorageError::Missing`] where the file ends before.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageError> {
        let read = self.0.read_with_u8_array_and_options(bytes, &at(offset));
        let read = read.map_err(|error| storage_error(&error))?;
        if same(read, bytes.len()) {
            Ok(())
        } else {
            Err(StorageError::Missing)
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let written = self.0.write_with_u8_array_and_options(bytes, &at(offset));
        let written = written.map_err(|error| storage_error(&error))?;
        // Browsers write short when the disk is full.
        if same(written, bytes.len()) {
            Ok(())
        } else {
            Err(StorageError::Full)
        }
    }

    /// Cuts the file to `length` bytes.
    pub(super) fn truncate(&self, length: usize) -> Result<(), StorageError> {
        #[expect(clippy::cast_precision_loss, reason = "files are shorter than 2^53 bytes")]
        self.0
            .truncate_with_f64(length as f64)
            .map_err(|error| storage_error(&error))
    }

    /// Brings what was written to the disk itself.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        self.0.flush().map_err(|error| storage_error(&error))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Waits for what a promise brings.
pub(super) async fn wait<T: JsCast>(promise: Promise) -> Result<T, StorageError> {
    let value = JsFuture::from(promise)
        .await
        .map_err(|error| storage_error(&error))?;
    Ok(value.unchecked_into())
}

fn at(offset: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    #[expect(clippy::cast_precision_loss, reason = "files are shorter than 2^53 bytes")]
    options.set_at(offset as f64);
    options
}

fn same(count: f64, length: usize) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of bytes"
    )]
    let count = count as usize;
    count == length
}

fn has_sync_access() -> bool {
    has(&js_sys::global(), "FileSystemSyncAccessHandle")
}

fn has(object: &JsValue, name: &str) -> bool {
    js_sys::Reflect::has(object, &name.into()).unwrap_or(false)
}

fn storage_error(error: &JsValue) -> StorageError {
    let Some(error) = error.dyn_ref::<DomException>() else {
        return StorageError::Failed(format!("the browser's storage failed: {error:?}"));
    };
    match error.name().as_str() {
        "QuotaExceededError" => StorageError::Full,
        "NotFoundError" | "TypeMismatchError" => StorageError::Missing,
        name => StorageError::Failed(format!(
            "the browser's storage failed: {} ({name})",
            error.message()
        )),
    }
}
