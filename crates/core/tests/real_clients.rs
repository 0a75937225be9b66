//! What real clients made is read as they read it, and made again as they make it. `data/README.md` says how.

use causeway_core::{
    CreateOptions, Draft, DraftFile, FileEntry, FileSlice, Magnet, Metainfo, MetainfoError, sha1,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

macro_rules! torrents {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("data/", $name, ".torrent")).as_slice())),*]
    };
}

/// Every torrent but the one for v2.
const TORRENTS: [(&str, &[u8]); 13] = torrents! {
    "create-torrent-single" "create-torrent-folder" "create-torrent-default"
    "transmission-single" "transmission-folder"
    "mktorrent-single" "mktorrent-folder"
    "libtorrent-single" "libtorrent-folder" "libtorrent-padded" "libtorrent-links"
    "libtorrent-hybrid-single" "libtorrent-hybrid-folder"
};

#[test]
fn the_info_hash_is_the_one_that_the_client_reports() {
    for (name, bytes) in TORRENTS {
        let info_hash = read(bytes).info().info_hash();
        assert_eq!(info_hash.to_string(), reported(INFO_HASHES, name), "{name}");
    }
}

#[test]
fn what_a_client_wrote_is_written_back_byte_for_byte() {
    for (name, bytes) in TORRENTS {
        assert_eq!(read(bytes).to_bytes(), bytes, "{name}");
    }
}

#[test]
fn the_magnet_link_of_a_client_says_what_its_torrent_says() {
    for (name, bytes) in TORRENTS {
        let link: Magnet = reported(MAGNETS, name).parse().expect("a real link");
        assert_eq!(link, read(bytes).magnet(), "{name}");
        assert_eq!(link.to_string().parse(), Ok(link), "{name}");
    }
}

#[test]
fn a_torrent_or_link_for_version_2_alone_is_refused() {
    let bytes = include_bytes!("data/libtorrent-v2.torrent");
    assert_eq!(
        Metainfo::from_bytes(bytes).err(),
        Some(MetainfoError::OnlyVersion2)
    );
    let error = reported(MAGNETS, "libtorrent-v2")
        .parse::<Magnet>()
        .expect_err("no v1 hash");
    assert!(error.to_string().contains("v2 only"), "{error}");
}

#[test]
fn trackers_web_seeds_and_remarks_are_read() {
    let torrent = read(torrent("create-torrent-single"));
    assert_eq!(
        torrent.trackers(),
        [
            vec!["wss://a.example/announce", "udp://b.example:6969"],
            vec!["http://c.example/announce"]
        ]
    );
    assert_eq!(
        torrent.web_seeds(),
        [
            "https://seed.example/single.bin",
            "https://mirror.example/single.bin"
        ]
    );
    assert_eq!(torrent.comment().as_deref(), Some("A comment – naïve"));
    assert_eq!(torrent.created_by().as_deref(), Some("create-torrent"));
    assert_eq!(torrent.creation_date(), Some(1_700_000_000));

    let torrent = read(self::torrent("libtorrent-single"));
    assert_eq!(torrent.trackers(), [["udp://b.example:6969"]], "`announce` alone");
    assert_eq!(
        torrent.web_seeds(),
        ["https://seed.example/single.bin"],
        "a string, not a list"
    );
}

#[test]
fn private_torrents_are_told_apart() {
    let private = TORRENTS
        .iter()
        .filter(|(_, bytes)| read(bytes).info().is_private());
    let private: Vec<_> = private.map(|(name, _)| *name).collect();
    // `transmission-folder` has a `private` of 0.
    assert_eq!(
        private,
        ["create-torrent-single", "transmission-single", "mktorrent-folder"]
    );
}

#[test]
fn the_files_are_there_with_their_places() {
    let torrent = read(torrent("libtorrent-padded"));
    let info = torrent.info();
    assert_eq!(info.name(), "album");
    assert!(info.is_multi_file());
    let files: Vec<_> = info.files().iter().map(describe).collect();
    assert_eq!(
        files,
        [
            "disc 2/tëst – 日本.bin 0+20000",
            ".pad/12768 20000+12768 padding",
            "empty.txt 32768+0",
            "track one.bin 32768+40000",
            ".pad/25536 72768+25536 padding",
            "z.sh 98304+70000 executable",
            ".pad/28304 168304+28304 padding",
        ]
    );

    let torrent = read(self::torrent("libtorrent-links"));
    let files: Vec<_> = torrent.info().files().iter().map(describe).collect();
    assert_eq!(
        files,
        ["link.bin 0+0 executable", "target.bin 0+20000"],
        "a link is an empty file"
    );

    let torrent = read(self::torrent("mktorrent-single"));
    assert!(!torrent.info().is_multi_file());
    let files: Vec<_> = torrent.info().files().iter().map(describe).collect();
    assert_eq!(files, ["single.bin 0+100000"]);
}

#[test]
fn every_piece_of_every_torrent_has_the_hash_of_the_files_that_were_shared() {
    for (name, bytes) in TORRENTS {
        let torrent = read(bytes);
        let info = torrent.info();
        let contents: Vec<Vec<u8>> = info.files().iter().map(content_of).collect();
        for piece in info.geometry().all_pieces() {
            let parts = info
                .slices(info.geometry().whole(piece))
                .map(|slice| cut(&contents, slice));
            let bytes: Vec<u8> = parts.flatten().copied().collect();
            assert_eq!(
                sha1(&bytes),
                info.piece_hash(piece),
                "{name}, piece {}",
                piece.get()
            );
        }
    }
}

#[test]
fn the_same_files_make_the_torrents_of_real_clients() {
    for name in [
        "create-torrent-single",
        "create-torrent-folder",
        "create-torrent-default",
        "transmission-single",
        "mktorrent-single",
        "mktorrent-folder",
        "libtorrent-single",
    ] {
        let theirs = read(torrent(name));
        let info = theirs.info();
        let files = info.files().iter();
        let files = files.map(|file| DraftFile {
            path: file.path().to_vec(),
            length: file.length(),
        });
        let options = CreateOptions {
            piece_length: Some(info.geometry().piece_length()),
            private: info.is_private(),
            ..CreateOptions::default()
        };
        let draft = Draft::new(info.name(), files.collect(), options).expect("what a client shared");
        let mut creator = draft.hasher();
        for file in info.files() {
            // An odd length, so that nothing ends where a piece does.
            content_of(file)
                .chunks(7_001)
                .for_each(|chunk| creator.update(chunk));
        }
        let ours = creator.finish().expect("all bytes came");
        assert_eq!(ours.info().raw(), info.raw(), "{name}");
        assert_eq!(
            ours.info().info_hash().to_string(),
            reported(INFO_HASHES, name),
            "{name}"
        );
    }
}

#[test]
fn a_whole_torrent_file_is_the_one_that_mktorrent_writes() {
    let theirs = torrent("mktorrent-folder");
    let info = read(theirs).info().clone();
    let files = info.files().iter();
    let files = files.map(|file| DraftFile {
        path: file.path().to_vec(),
        length: file.length(),
    });
    let options = CreateOptions {
        piece_length: Some(32_768),
        private: true,
        trackers: vec![vec!["wss://a.example".into()]],
        created_by: Some("mktorrent 1.1".into()),
        ..CreateOptions::default()
    };
    let draft = Draft::new("album", files.collect(), options).expect("what a client shared");
    let hashes = draft
        .geometry()
        .all_pieces()
        .map(|piece| info.piece_hash(piece))
        .collect();
    let ours = draft.finish(hashes).expect("a hash for each piece");
    assert_eq!(ours.to_bytes(), theirs);
}

#[test]
fn blocks_fall_into_the_files_that_they_cover() {
    let torrent = read(torrent("mktorrent-folder"));
    let info = torrent.info();
    for piece in info.geometry().all_pieces() {
        for block in info.geometry().blocks_of(piece) {
            let start = info.geometry().start_of(piece) + u64::from(block.offset());
            let mut at = start;
            for slice in info.slices(block) {
                let file = &info.files()[slice.file];
                assert_eq!(file.offset() + slice.offset, at, "no gap");
                assert!(slice.length > 0 && slice.offset + u64::from(slice.length) <= file.length());
                at += u64::from(slice.length);
            }
            assert_eq!(at, start + u64::from(block.length()), "all of it");
        }
    }
}

const INFO_HASHES: &str = include_str!("data/info-hashes.txt");
const MAGNETS: &str = include_str!("data/magnets.txt");

fn torrent(name: &str) -> &'static [u8] {
    TORRENTS
        .iter()
        .find(|torrent| torrent.0 == name)
        .expect("a name of the table")
        .1
}

fn read(bytes: &[u8]) -> Metainfo {
    Metainfo::from_bytes(bytes).expect("a real client's torrent")
}

/// What the client says of this torrent.
fn reported<'a>(list: &'a str, name: &str) -> &'a str {
    let mut lines = list.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|line| line.0 == name)
        .expect("a line for each torrent")
        .1
}

fn describe(file: &FileEntry) -> String {
    let marks = [
        (file.is_padding(), " padding"),
        (file.is_executable(), " executable"),
    ];
    let marks: String = marks.iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
    format!(
        "{} {}+{}{marks}",
        file.display_path(),
        file.offset(),
        file.length()
    )
}

/// The bytes of the shared files, as `data/make.sh` makes them.
fn content_of(file: &FileEntry) -> Vec<u8> {
    let seed = match file.path().last().map(String::as_str) {
        _ if file.is_padding() => return vec![0; usize::try_from(file.length()).expect("small")],
        Some("single.bin") => 1,
        Some("tëst – 日本.bin") => 2,
        Some("track one.bin") => 3,
        Some("z.sh") => 4,
        Some("target.bin") => 5,
        Some("empty.txt" | "link.bin") => 0,
        other => panic!("{other:?} was not shared"),
    };
    (0..file.length())
        .map(|i| (i * 31 + (i >> 8) * 17 + (i >> 16) * 7 + seed).to_le_bytes()[0])
        .collect()
}

fn cut(contents: &[Vec<u8>], slice: FileSlice) -> &[u8] {
    let start = usize::try_from(slice.offset).expect("small");
    &contents[slice.file][start..start + slice.length as usize]
}
