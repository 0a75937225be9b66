//! A torrent with very many files opens at once, however its names are chosen.
#![expect(clippy::disallowed_types, reason = "how long it takes is what is tested")]

use std::time::{Duration, Instant};

use causeway_core::{CreateOptions, Draft, DraftFile, Metainfo, Sha1Hash};

const FILES: usize = 100_000;
/// One second is usual without optimization. The rest is for busy machines; what grows with the square takes minutes.
const AT_ONCE: Duration = Duration::from_secs(15);

#[test]
fn a_torrent_of_a_hundred_thousand_files_opens_at_once() {
    let paths: [(&str, fn(usize) -> Vec<String>); 3] = [
        ("ordinary", |i| {
            vec![format!("folder {}", i / 100), format!("file number {i}.txt")]
        }),
        ("namesakes but for letter case", |i| {
            vec![letter_case("namesakesofseventeenletters", i)]
        }),
        ("folders in the way", |i| match i {
            0 => vec!["a".into()],
            i if i < FILES / 2 => vec![format!("a ({i})")],
            _ => vec!["a".into(), format!("{i}")],
        }),
    ];
    for (name, path) in paths {
        let torrent = torrent_of((0..FILES).map(path));
        let start = Instant::now();
        let info = Metainfo::from_bytes(&torrent)
            .expect("within the limits")
            .info()
            .clone();
        let took = start.elapsed();
        assert_eq!(info.files().len(), FILES);
        assert!(took < AT_ONCE, "{name}: {took:?}");
    }
}

fn letter_case(word: &str, bits: usize) -> String {
    let upper = |(at, c): (usize, char)| {
        if bits >> at & 1 == 1 {
            c.to_ascii_uppercase()
        } else {
            c
        }
    };
    word.chars().enumerate().map(upper).collect()
}

fn torrent_of(paths: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let files = paths.map(|path| DraftFile { path, length: 1 }).collect();
    let draft = Draft::new("many", files, CreateOptions::default()).expect("within the limits");
    let hashes = draft
        .geometry()
        .all_pieces()
        .map(|_| Sha1Hash::new([0; 20]))
        .collect();
    draft.finish(hashes).expect("a hash for each piece").to_bytes()
}
