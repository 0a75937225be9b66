//! How files that somebody chose become one torrent.

/// A torrent to be: its name, and its files with their place in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrangement<F> {
    /// The folder's or the single file's name; a new one where several things were chosen together.
    pub(super) name: String,
    /// Without the torrent's name, except for a single file, whose path is its name.
    pub(super) paths: Vec<Vec<String>>,
    /// The files themselves, in the order of `paths`.
    pub(super) files: Vec<F>,
}

/// Arranges files with their paths as they lay beneath what was chosen; `None` where there are none. The order of
/// the result depends on the paths alone, so that the same files always give the same link.
pub(super) fn arrange<F>(mut chosen: Vec<(Vec<String>, F)>) -> Option<Arrangement<F>> {
    chosen.retain(|(path, _)| !path.is_empty());
    chosen.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let first = chosen.first()?.0.first()?.clone();
    let tops = chosen.chunk_by(|(a, _), (b, _)| a.first() == b.first()).count();
    let is_folder = tops == 1 && chosen.iter().all(|(path, _)| path.len() > 1);

    let name = match chosen.len() {
        _ if is_folder => first,
        1 => first,
        // Equally named files of different folders, found by a search and dropped together.
        count if tops == 1 => together(&first, count - 1),
        _ => together(&first, tops - 1),
    };
    let (mut paths, files): (Vec<Vec<String>>, _) = chosen.into_iter().unzip();
    if is_folder {
        for path in &mut paths {
            path.remove(0);
        }
    }
    tell_apart(&mut paths);
    Some(Arrangement { name, paths, files })
}

/// `holiday and 3 more`.
fn together(first: &str, others: usize) -> String {
    let (stem, _) = split_extension(first);
    format!("{stem} and {others} more")
}

/// Numbers equal paths, which stand side by side, with numbers that no other path has.
fn tell_apart(paths: &mut [Vec<String>]) {
    let sorted = paths.to_vec();
    let mut number = 1_u32;
    for (path, pair) in paths.iter_mut().skip(1).zip(sorted.windows(2)) {
        let [before, original] = pair else { continue };
        if before != original {
            number = 1;
            continue;
        }
        while sorted.binary_search(path).is_ok() {
            number += 1;
            if let (Some(name), Some(original)) = (path.last_mut(), original.last()) {
                let (stem, extension) = split_extension(original);
                *name = format!("{stem} ({number}){extension}");
            }
        }
    }
}

/// The name and its extension with the dot; a leading dot starts no extension.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `["a/b", "c"]` in, `"name: a/b=0 c=1"` out, where the number says which of the chosen files it is.
    fn arranged(chosen: &[&str]) -> String {
        let split = |path: &&str| path.split('/').map(str::to_owned).collect();
        let Some(arrangement) = arrange(chosen.iter().map(split).zip(0..).collect()) else {
            return "nothing".to_owned();
        };
        let files: Vec<String> = arrangement
            .paths
            .iter()
            .zip(&arrangement.files)
            .map(|(path, file)| format!("{}={file}", path.join("/")))
            .collect();
        format!("{}: {}", arrangement.name, files.join(" "))
    }

    #[test]
    fn what_was_chosen_decides_the_torrents_name_and_paths() {
        let table: [(&[&str], &str); 8] = [
            (&[], "nothing"),
            (&["film.mkv"], "film.mkv: film.mkv=0"),
            (&["trip/b", "trip/a", "trip/day/c"], "trip: a=1 b=0 day/c=2"),
            (&["trip/only"], "trip: only=0"),
            (
                &["b.txt", "a.txt", "c.txt"],
                "a and 2 more: a.txt=1 b.txt=0 c.txt=2",
            ),
            (&["trip/x", "notes.txt"], "notes and 1 more: notes.txt=1 trip/x=0"),
            (&["trip/x", "work/x"], "trip and 1 more: trip/x=0 work/x=1"),
            (&[".hidden", "z"], ".hidden and 1 more: .hidden=0 z=1"),
        ];
        for (chosen, expected) in table {
            assert_eq!(arranged(chosen), expected, "{chosen:?}");
        }
    }

    #[test]
    fn equal_names_are_told_apart() {
        assert_eq!(
            arranged(&["a.txt", "a (2).txt", "a.txt", "a.txt"]),
            "a (2) and 1 more: a (2).txt=1 a.txt=0 a (3).txt=2 a (4).txt=3"
        );
        assert_eq!(arranged(&["a", "a"]), "a and 1 more: a=0 a (2)=1");
    }

    #[test]
    fn the_order_of_choosing_does_not_matter() {
        let forward = arrange(vec![(vec!["a".to_owned()], ()), (vec!["b".to_owned()], ())]);
        let backward = arrange(vec![(vec!["b".to_owned()], ()), (vec!["a".to_owned()], ())]);
        assert_eq!(forward, backward);
    }
}
