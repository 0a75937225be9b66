//! A torrent with very many files opens at once, however its names are chosen.
#![expect(clippy::disallowed_types, reason = "how long it takes is what is tested")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_core::Info;

const FILES: usize = 100_000;
/// One second is usual without optimization. The rest is for busy machines; what grows with the square takes minutes.
const AT_ONCE: Duration = Duration::from_secs(30);

#[test]
fn a_torrent_of_a_hundred_thousand_files_opens_at_once() {
    check_opens("ordinary", |i| {
        vec![format!("folder {}", i / 100), format!("file number {i}.txt")]
    });
}

#[test]
fn a_hundred_thousand_namesakes_open_at_once() {
    check_opens("namesakes", |_| vec!["a".into()]);
    check_opens("namesakes but for letter case", |i| {
        vec![letter_case("namesakesofseventeenletters", i)]
    });
}

#[test]
fn files_where_folders_should_be_open_at_once() {
    check_opens("folders in the way", |i| match i {
        0 => vec!["a".into()],
        i if i < FILES / 2 => vec![format!("a ({i})")],
        _ => vec!["a".into(), format!("{i}")],
    });
}

fn check_opens(name: &str, path: impl Fn(usize) -> Vec<String>) {
    let torrent = torrent_of((0..FILES).map(path));
    let start = Instant::now();
    let info = Info::from_bytes(torrent).expect("within the limits");
    let took = start.elapsed();
    assert_eq!(info.files().len(), FILES);
    assert!(took < AT_ONCE, "{name}: {took:?}");
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

/// An `info` of files of one byte.
fn torrent_of(paths: impl Iterator<Item = Vec<String>>) -> Bytes {
    let file = |path: Vec<String>| {
        let path: Vec<_> = path
            .iter()
            .map(|component| format!("{}:{component}", component.len()))
            .collect();
        format!("d6:lengthi1e4:pathl{}ee", path.concat())
    };
    let files: Vec<_> = paths.map(file).collect();
    let pieces = "0".repeat(FILES.div_ceil(16_384) * 20);
    format!(
        "d5:filesl{}e12:piece lengthi16384e6:pieces{}:{pieces}e",
        files.concat(),
        pieces.len()
    )
    .into()
}
