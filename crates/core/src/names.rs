//! File names that can't leave the download folder, and that every file system takes.
//!
//! A torrent says where its files go, and whoever made the torrent may be an enemy. The mapping is the same on
//! every system, so that a torrent has one layout everywhere:
//! - bytes that are not UTF-8 become U+FFFD;
//! - `/ \ : * ? " < > |`, control characters and the marks that turn the direction of text (with which
//!   `gpj.exe` looks like `exe.jpg`) become `_`;
//! - dots and spaces at the end of a name become `_`, so `..` becomes `__`; an empty name becomes `_`;
//! - the names of Windows' devices (`CON`, `nul.txt`) get a `_` in front;
//! - names over 254 bytes are cut to 240, the extension stays;
//! - a file whose path is taken, letter case aside, becomes `name (2).ext`, and so on; a folder whose name is
//!   a file's becomes `name (2)`, for all that lies in it. Letters that Unicode writes in two ways count as
//!   different.

#![warn(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Makes one component of a path safe, whatever it was.
pub(crate) fn safe_component(raw: &[u8]) -> String {
    let mut name = String::from_utf8_lossy(raw).replace(is_unsafe, "_");
    if name.len() > LONGEST {
        name = shorten(&name, SHORTENED);
    }
    let kept = name.trim_end_matches(['.', ' ']).len();
    let trimmed = name.len() - kept;
    name.truncate(kept);
    name.extend(std::iter::repeat_n('_', trimmed));
    if name.is_empty() || is_device(&name) {
        name.insert(0, '_');
    }
    name
}

/// Gives every file of a torrent a path of its own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    root: Folder,
}

/// What lies in a folder, by its name without letter case.
#[derive(Debug, Default)]
struct Folder {
    taken: BTreeMap<String, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// What lies in it, where this is a folder.
    folder: Option<Folder>,
    /// What a folder of this name is called, where this is a file.
    renamed: Option<String>,
    /// The last number that was given to a namesake. Remembering it keeps a hundred thousand namesakes cheap.
    last_number: u32,
}

impl Names {
    /// The safe path of a file, no other file's and not inside of one.
    pub(crate) fn place<'a>(&mut self, path: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut path: Vec<String> = path.into_iter().map(safe_component).collect();
        let mut name = path.pop().unwrap_or_else(|| safe_component(b""));
        let mut folder = &mut self.root;
        for component in &mut path {
            folder = folder.enter(component);
        }
        folder.add_file(&mut name);
        path.push(name);
        path
    }
}

impl Folder {
    /// The folder of this name in here, or of the name that it then gets.
    fn enter(&mut self, name: &mut String) -> &mut Self {
        let mut key = fold(name);
        if self.taken.get(&key).is_some_and(|taken| taken.folder.is_none()) {
            *name = self.folder_beside_file(name);
            key = fold(name);
        }
        self.taken.entry(key).or_default().folder.get_or_insert_default()
    }

    /// What a folder is called that has a file's name.
    fn folder_beside_file(&mut self, name: &str) -> String {
        let key = fold(name);
        if let Some(renamed) = self.taken.get(&key).and_then(|file| file.renamed.clone()) {
            return renamed;
        }
        let renamed = self.unused(name);
        if let Some(file) = self.taken.get_mut(&key) {
            file.renamed = Some(renamed.clone());
        }
        renamed
    }

    fn add_file(&mut self, name: &mut String) {
        if let Entry::Vacant(entry) = self.taken.entry(fold(name)) {
            entry.insert(Taken::default());
        } else {
            *name = self.unused(name);
            self.taken.insert(fold(name), Taken::default());
        }
    }

    /// The first numbered form of a taken name that is not taken.
    fn unused(&mut self, name: &str) -> String {
        let key = fold(name);
        let mut number = self.taken.get(&key).map_or(0, |taken| taken.last_number).max(1);
        loop {
            number += 1;
            let candidate = numbered(name, number);
            if !self.taken.contains_key(&fold(&candidate)) {
                if let Some(taken) = self.taken.get_mut(&key) {
                    taken.last_number = number;
                }
                return candidate;
            }
        }
    }
}

/// The longest name in bytes; file systems take 255, and a device's name gets one byte more.
const LONGEST: usize = 254;
/// What a longer name is cut to.
const SHORTENED: usize = 240;
/// The longest file system name.
const NAME_MAX: usize = 255;

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes this for a device: the part before the first dot counts, spaces at its end do not.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    let is_numbered = |(device, number): (&str, &str)| {
        let known = device.eq_ignore_ascii_case("COM") || device.eq_ignore_ascii_case("LPT");
        known && (matches!(number.as_bytes(), [b'0'..=b'9']) || matches!(number, "¹" | "²" | "³"))
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
        .into_iter()
        .any(is)
        || stem.split_at_checked(3).is_some_and(is_numbered)
}

/// The name before its extension, and the extension with its dot, where it is short enough for one.
fn split_extension(name: &str) -> (&str, &str) {
    name.rfind('.')
        .filter(|dot| *dot > 0 && name.len() - dot <= 16)
        .and_then(|dot| name.split_at_checked(dot))
        .unwrap_or((name, ""))
}

fn shorten(name: &str, length: usize) -> String {
    let (stem, extension) = split_extension(name);
    let stem = stem
        .get(..stem.floor_char_boundary(length - extension.len()))
        .unwrap_or(stem);
    format!("{stem}{extension}")
}

fn numbered(name: &str, number: u32) -> String {
    let suffix = format!(" ({number})");
    let (stem, extension) = split_extension(name);
    let room = NAME_MAX - suffix.len() - extension.len();
    let stem = stem.get(..stem.floor_char_boundary(room)).unwrap_or(stem);
    format!("{stem}{suffix}{extension}")
}

/// The name as a file system that ignores letter case sees it; through upper case, which also unites `ſ` and `s`.
fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests;
