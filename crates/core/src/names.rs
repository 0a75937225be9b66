//! File names that can't leave the download folder, and that every file system takes.
//!
//! A torrent says where its files go, and whoever made the torrent may be an enemy. The mapping is the same on
//! every system, so that a torrent has one layout everywhere:
//! - bytes that are not UTF-8 become U+FFFD;
//! - `/ \ : * ? " < > |`, control characters and the marks that turn the direction of text (which make
//!   `exe.txt` of `txt.exe` for the eye) become `_`;
//! - dots and spaces at the end of a name become `_`, so `..` becomes `__`; an empty name becomes `_`;
//! - the names of Windows' devices (`CON`, `nul.txt`) get a `_` in front;
//! - names over 254 bytes are cut to 240, the extension stays;
//! - a file whose path is taken, letter case aside, becomes `name (2).ext`, and so on; a folder whose name is
//!   a file's becomes `name (2)`, for all that lies in it.

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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_safe_and_stay_as_they_are_where_they_can() {
        for (raw, safe) in [
            ("track one.bin", "track one.bin"),
            ("tëst – 日本.bin", "tëst – 日本.bin"),
            (".hidden", ".hidden"),
            ("", "_"),
            (".", "_"),
            ("..", "__"),
            ("...", "___"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("C:\\Windows", "C__Windows"),
            ("stream:$DATA", "stream_$DATA"),
            ("a\0b\nc\u{7f}d\u{85}", "a_b_c_d_"),
            ("what?*\"<>|", "what______"),
            ("\u{202e}exe.txt", "_exe.txt"),
            ("name. .", "name___"),
            (" name", " name"),
            ("CON", "_CON"),
            ("nul.tar.gz", "_nul.tar.gz"),
            ("Com1 .txt", "_Com1 .txt"),
            ("LPT³", "_LPT³"),
            ("conout$", "_conout$"),
            ("CONSOLE", "CONSOLE"),
            ("COM10", "COM10"),
            ("lpt", "lpt"),
        ] {
            assert_eq!(safe_component(raw.as_bytes()), safe, "{raw:?}");
        }
        assert_eq!(safe_component(b"caf\xe9.txt"), "caf\u{fffd}.txt");
    }

    #[test]
    fn long_names_are_cut_and_keep_their_extension() {
        let fits = "a".repeat(250) + ".txt";
        assert_eq!(safe_component(fits.as_bytes()), fits);
        assert_eq!(
            safe_component(("a".repeat(251) + ".txt").as_bytes()),
            "a".repeat(236) + ".txt"
        );
        assert_eq!(
            safe_component("日".repeat(100).as_bytes()),
            "日".repeat(80),
            "whole characters"
        );
        let no_extension = "a".repeat(235) + "." + &"b".repeat(100);
        assert_eq!(safe_component(no_extension.as_bytes()), "a".repeat(235) + ".bbbb");
        let device = "CON".to_owned() + &" ".repeat(300) + "x.txt";
        assert_eq!(
            safe_component(device.as_bytes()),
            "_CON".to_owned() + &" ".repeat(233) + ".txt"
        );
    }

    #[test]
    fn namesakes_are_numbered_and_no_file_is_a_folder() {
        for (paths, placed) in [
            (
                &["a.txt", "A.TXT", "a (2).txt", "a.txt"][..],
                &["a.txt", "A (2).TXT", "a (2) (2).txt", "a (3).txt"][..],
            ),
            (&["x/a", "X/A", "x/b"], &["x/a", "X/A (2)", "x/b"]),
            (
                &["a", "a/b", "A/c", "a/b"],
                &["a", "a (2)/b", "a (2)/c", "a (2)/b (2)"],
            ),
            (&["a/b", "a", "A"], &["a/b", "a (2)", "A (3)"]),
            (&["a", "a (2)", "a/b"], &["a", "a (2)", "a (3)/b"]),
            (&["a/b/c", "a/b", "a/b/c/d"], &["a/b/c", "a/b (2)", "a/b/c (2)/d"]),
            (
                &["straße", "STRASSE", "ſ", "S"],
                &["straße", "STRASSE (2)", "ſ", "S (2)"],
            ),
            (&["a?", "a*", "a_"], &["a_", "a_ (2)", "a_ (3)"]),
            (&[".cfg", ".CFG"], &[".cfg", ".CFG (2)"]),
            (&["", "_"], &["_", "_ (2)"]),
        ] {
            assert_eq!(place(paths), placed);
        }
        let long = "a".repeat(250) + ".txt";
        assert_eq!(
            place(&[&long, &long]),
            [long.clone(), "a".repeat(247) + " (2).txt"]
        );
    }

    #[test]
    fn a_path_without_components_is_a_file_with_a_name() {
        assert_eq!(Names::default().place([]), ["_"]);
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_name_that_every_file_system_takes(raw in any::<Vec<u8>>()) {
            check_component(&safe_component(&raw))?;
        }

        #[test]
        fn any_text_becomes_a_name_that_every_file_system_takes(raw in "[CONcom1. ¹/\\\\:aé\u{202e}\0]{0,12}|\\PC{0,300}") {
            let safe = safe_component(raw.as_bytes());
            check_component(&safe)?;
            prop_assert_eq!(safe_component(safe.as_bytes()), safe, "safe names stay as they are");
        }

        #[test]
        fn every_file_gets_a_place_of_its_own(
            paths in prop::collection::vec(prop::collection::vec("[aA]{0,2}( \\([23]\\))?", 0..4), 0..40),
        ) {
            let mut names = Names::default();
            let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
            for path in &paths {
                let placed = names.place(path.iter().map(String::as_bytes));
                prop_assert_eq!(placed.len(), path.len().max(1));
                placed.iter().try_for_each(|component| check_component(component))?;
                let key: Vec<_> = placed.iter().map(|component| fold(component)).collect();
                folders.extend((1..key.len()).map(|depth| key[..depth].to_vec()));
                prop_assert!(files.insert(key), "{:?} was taken", placed);
            }
            prop_assert!(files.is_disjoint(&folders), "{:?}", files.intersection(&folders));
        }
    }

    fn place(paths: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        paths
            .iter()
            .map(|path| names.place(path.split('/').map(str::as_bytes)).join("/"))
            .collect()
    }

    fn check_component(name: &str) -> Result<(), TestCaseError> {
        prop_assert!((1..=255).contains(&name.len()), "{} bytes", name.len());
        prop_assert!(!name.contains(is_unsafe), "{:?}", name);
        prop_assert!(!name.ends_with(['.', ' ']), "{:?}", name);
        prop_assert!(!is_device(name), "{:?}", name);
        Ok(())
    }
}
