//! Which file of a torrent lies where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use causeway_core::Info;

/// What to do about a file that has the name of one to download, other bytes, and no mark that it is partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it alone, and say so: it is somebody's.
    Never,
    /// Go on with it as if it were a part of the download.
    Allowed,
}

/// The places of a torrent's files, by their number.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) places: Vec<Place>,
    /// What no file may lie outside of; `None` where files are only read.
    pub(super) root: Option<PathBuf>,
    pub(super) overwrite: Overwrite,
}

/// Where one file lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// When it is complete.
    pub(super) whole: PathBuf,
    /// Until then; `None` where files are only read.
    pub(super) part: Option<PathBuf>,
}

impl Layout {
    /// Files to download into this folder: a folder of their own with the torrent's name, or the one file itself. Names
    /// are safe already ([`Info`] makes them so).
    pub(crate) fn downloads(info: &Info, folder: &Path, overwrite: Overwrite) -> Self {
        let root = if info.is_multi_file() {
            folder.join(info.name())
        } else {
            folder.to_owned()
        };
        let path = |file: &causeway_core::FileEntry| root.join(file.path().iter().collect::<PathBuf>());
        let mut taken: BTreeSet<PathBuf> = info.files().iter().map(path).collect();
        let places = info.files().iter().map(|file| {
            let whole = path(file);
            let mut part = part_of(&whole, PART);
            while !taken.insert(part.clone()) {
                part = part_of(&part, "~");
            }
            Place {
                whole,
                part: Some(part),
            }
        });
        Self {
            places: places.collect(),
            root: Some(folder.to_owned()),
            overwrite,
        }
    }

    /// Files that are somebody's, one for each of the torrent: they are read where they lie, and never written.
    pub(crate) fn shared(files: Vec<PathBuf>) -> Self {
        let place = |whole| Place { whole, part: None };
        Self {
            places: files.into_iter().map(place).collect(),
            root: None,
            overwrite: Overwrite::Never,
        }
    }

    /// Whether anything of the torrent is there, as far as names tell.
    pub(crate) fn is_any_there(&self) -> bool {
        let mut paths = self
            .places
            .iter()
            .flat_map(|place| place.part.iter().chain([&place.whole]));
        paths.any(|path| path.symlink_metadata().is_ok())
    }
}

/// The same path with something after its name, of which so much is left out that file systems take it.
fn part_of(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kept = name.floor_char_boundary(LONGEST_NAME - suffix.len());
    path.with_file_name(format!("{}{suffix}", &name[..kept]))
}

/// What the name of a file ends in that isn't complete.
const PART: &str = ".part";
/// In bytes, everywhere.
const LONGEST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_where_a_letter_ends() {
        let long = "ä".repeat(127);
        let part = part_of(Path::new("folder").join(&long).as_path(), PART);
        let name = part.file_name().expect("a name").to_string_lossy();
        assert_eq!(*name, format!("{}.part", "ä".repeat(125)));
        assert_eq!(part.parent(), Some(Path::new("folder")));
        assert_eq!(part_of(Path::new("a/b.txt"), PART), Path::new("a/b.txt.part"));
    }
}
