//! Torrent files, magnet links, and what trackers and their clients say.

use causeway_core::{Magnet, Metainfo};
use causeway_signal::{ClientMessage, TrackerMessage};

/// A torrent file: what is taken of it makes sense.
pub(crate) fn metainfo(data: &[u8]) {
    let Ok(metainfo) = Metainfo::from_bytes(data) else {
        return;
    };
    let info = metainfo.info();
    let geometry = info.geometry();
    let total: u64 = info.files().iter().map(causeway_core::FileEntry::length).sum();
    assert_eq!(total, geometry.total_length(), "the files are the content");
    for file in info.files() {
        let parts = file.path();
        assert!(
            parts
                .iter()
                .all(|part| !part.is_empty() && part != ".." && !part.contains(['/', '\\', '\0'])),
            "{parts:?} stays in its folder"
        );
    }
    let last = geometry.piece(geometry.pieces() - 1).expect("there is a piece");
    let covered: u64 = info
        .slices(geometry.whole(last))
        .map(|slice| u64::from(slice.length))
        .sum();
    assert_eq!(
        covered,
        u64::from(geometry.length_of(last)),
        "the last piece lies in files"
    );
}

/// A magnet link: one that was read is written so that it is read again as the same.
pub(crate) fn magnet(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    if let Ok(magnet) = text.parse::<Magnet>() {
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }
}

/// A message between a tracker and its clients, by which of them the first byte says.
pub(crate) fn signal(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = core::str::from_utf8(rest) else {
        return;
    };
    if first.is_multiple_of(2) {
        drop(ClientMessage::parse(text));
    } else {
        drop(TrackerMessage::parse(text));
    }
}
