//! Torrents that no honest client makes, and those that only some do.

use bytes::Bytes;
use causeway_core::bencode::BencodeError;
use causeway_core::{
    CreateOptions, Draft, DraftFile, FileEntry, GeometryError, Info, Metainfo, MetainfoError, sha1,
};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_broken_info_dictionary_is_refused_with_a_sentence() {
    check_refused(&[
        (
            "",
            BencodeError::Truncated(0).into(),
            "not a torrent file: it ends in the middle",
        ),
        (
            "<html>",
            BencodeError::NotADictionary.into(),
            "not a torrent file: it is not a dictionary",
        ),
        (
            "d6:lengthi1e6:lengthi2ee",
            BencodeError::DuplicateKey("length".into()).into(),
            "`length` stands twice",
        ),
        (
            &(single(OK) + "\n"),
            MetainfoError::Trailing(1),
            "1 bytes too many",
        ),
        ("de", MetainfoError::Missing("pieces"), "no `pieces`"),
        (
            "d12:meta versioni2ee",
            MetainfoError::OnlyVersion2,
            "BitTorrent v2 only",
        ),
        (
            &single("6:lengthi1e"),
            MetainfoError::Missing("piece length"),
            "no `piece length`",
        ),
        (
            &single("12:piece lengthi16384e"),
            MetainfoError::Missing("length"),
            "no `length`",
        ),
    ]);
    for length in ["i-1e", "1:1", "le"] {
        let found = read(&single(&format!("6:length{length}12:piece lengthi16384e"))).expect_err(length);
        assert!(
            matches!(found, MetainfoError::Invalid { key: "length", .. }),
            "{found}"
        );
    }
}

#[test]
fn lengths_that_make_no_pieces_are_refused_with_a_sentence() {
    let most = i64::MAX.unsigned_abs();
    let lengths = |total, piece| single(&format!("6:lengthi{total}e12:piece lengthi{piece}e"));
    check_refused(&[
        (&lengths(0, 16_384), GeometryError::Empty.into(), "holds no bytes"),
        (
            &lengths(1, 0),
            GeometryError::PieceLength(0).into(),
            "piece length of 0",
        ),
        (
            &lengths(1, most),
            GeometryError::PieceLength(most).into(),
            "outside of 1 byte to 256 MiB",
        ),
        (
            &lengths(most, 16_384),
            GeometryError::TooManyPieces(1 << 49).into(),
            "pieces are more than",
        ),
        (
            &lengths(16_385, 16_384),
            MetainfoError::PieceHashes { bytes: 20, pieces: 2 },
            "20 bytes of hashes for 2 pieces",
        ),
        (
            "d6:lengthi1e12:piece lengthi16384e6:pieces19:0123456789012345678e",
            MetainfoError::PieceHashes { bytes: 19, pieces: 1 },
            "19 bytes of hashes",
        ),
    ]);
}

#[test]
fn broken_files_are_refused_with_a_sentence() {
    check_refused(&[
        (
            "d5:filesi1e6:pieces0:e",
            invalid("files", "it is not a list"),
            "`files` can't be read",
        ),
        (&multi(""), GeometryError::Empty.into(), "holds no bytes"),
        (
            &multi("i1e"),
            invalid("files", "it is not a dictionary"),
            "`files` can't be read",
        ),
        (
            &multi("d6:lengthi1ee"),
            MetainfoError::Missing("path"),
            "no `path`",
        ),
        (
            &multi("d4:pathl1:aee"),
            MetainfoError::Missing("length"),
            "no `length`",
        ),
        (
            &multi("d6:lengthi1e4:path1:ae"),
            invalid("path", "it is not a list of strings"),
            "`path` can't be read",
        ),
        (
            &multi("d6:lengthi1e4:pathli1eee"),
            invalid("path", "it is not a list of strings"),
            "`path` can't be read",
        ),
        (
            &multi(&file(i64::MAX.unsigned_abs(), &["a"]).repeat(3)),
            MetainfoError::Length,
            "impossible length",
        ),
        (
            &multi(&file(1, &["a"; Info::MAX_PATH_DEPTH + 1])),
            MetainfoError::PathTooDeep,
            "deeper than the 64",
        ),
    ]);
}

#[test]
fn a_broken_torrent_file_is_refused_with_a_sentence() {
    for (text, error) in [
        ("", MetainfoError::Bencode(BencodeError::Truncated(0))),
        ("de", MetainfoError::Missing("info")),
        ("d4:infode", MetainfoError::Bencode(BencodeError::Truncated(9))),
        (
            "d4:infoi1ee",
            MetainfoError::Bencode(BencodeError::NotADictionary),
        ),
        (
            "d4:infode4:infodee",
            MetainfoError::Bencode(BencodeError::DuplicateKey("info".into())),
        ),
    ] {
        assert_eq!(Metainfo::from_bytes(text.as_bytes()).expect_err(text), error);
    }
    let too_long = vec![b'd'; Metainfo::MAX_BYTES + 1];
    let error = MetainfoError::TooLong(too_long.len());
    assert_eq!(Metainfo::from_bytes(&too_long).expect_err("too long"), error);
    assert_eq!(Info::from_bytes(too_long.into()).expect_err("too long"), error);
}

#[test]
fn more_files_than_the_limit_are_refused() {
    let files = |count| multi(&file(0, &["a"]).repeat(count));
    let with_a_byte = |count| files(count).replacen("lengthi0e", "lengthi1e", 1);
    assert_eq!(
        read(&with_a_byte(Info::MAX_FILES))
            .expect("at the limit")
            .files()
            .len(),
        Info::MAX_FILES
    );
    assert_eq!(
        read(&with_a_byte(Info::MAX_FILES + 1)).expect_err("above"),
        MetainfoError::TooManyFiles
    );
}

#[test]
fn the_info_hash_is_of_the_bytes_that_came() {
    // Not sorted, a number with zeros in front, a key that nobody knows and one that is no text.
    let raw = format!(
        "d1:\u{1}0:{}{}1:\x7fle3:zzzd1:ai1eee",
        &single(OK)[1..single(OK).len() - 1],
        "4:name1:n"
    )
    .replace("lengthi1e", "lengthi01e");
    let torrent = format!("d4:info{raw}8:announce3:url5:otheri5ee trailing");
    let torrent = Metainfo::from_bytes(torrent.as_bytes()).expect("tolerated");
    let info = torrent.info();
    assert_eq!(info.raw(), raw.as_bytes());
    assert_eq!(info.info_hash().as_bytes(), sha1(raw.as_bytes()).as_bytes());
    assert_eq!((info.name(), info.files()[0].length()), ("n", 1));
    let sorted = format!("d8:announce3:url4:info{raw}5:otheri5ee");
    assert_eq!(
        torrent.to_bytes(),
        sorted.as_bytes(),
        "what means nothing here is kept"
    );
}

#[test]
fn names_are_read_as_utf_8_where_the_torrent_has_it() {
    let raw = format!("d{OK}4:name5:\u{fffd}x\x7f10:name.utf-88:\u{65e5}\u{672c}.a6:pieces20:{HASH}e");
    assert_eq!(read(&raw).expect("valid").name(), "日本.a");
    let names = "4:pathl3:olde10:path.utf-8l3:new4:namee";
    let raw = multi(&format!("d6:lengthi1e{names}e"));
    assert_eq!(read(&raw).expect("valid").files()[0].path(), ["new", "name"]);
}

#[test]
fn a_torrent_without_a_name_is_called_by_its_hash() {
    for name in ["", "4:name0:", "4:namei1e"] {
        let info = read(&single(&format!("{OK}{name}"))).expect("a name is no must");
        assert_eq!(info.name(), info.info_hash().to_string());
        assert_eq!(info.files()[0].path(), [info.name()]);
    }
}

#[test]
fn paths_stay_inside_of_the_folder() {
    let hostile: [&[&str]; 6] = [
        &["..", "..", "x"],
        &["", "etc", "x"],
        &["a/../../x"],
        &["C:\\x"],
        &[],
        &["a", "nul"],
    ];
    let files: String = hostile.iter().map(|path| file(1, path)).collect();
    let info = read(&multi(&files).replace("4:name1:n", "4:name5:../up")).expect("made safe");
    assert_eq!(info.name(), ".._up");
    let paths: Vec<_> = info.files().iter().map(FileEntry::display_path).collect();
    assert_eq!(
        paths,
        ["__/__/x", "_/etc/x", "a_.._.._x", "C__x", "_ (2)", "a/_nul"]
    );
}

#[test]
fn padding_may_share_a_path_and_takes_none_from_a_file() {
    let padding = "d4:attr1:p6:lengthi1e4:pathl4:.pad1:1ee";
    let files = [
        padding,
        padding,
        &file(1, &[".pad", "1"]),
        "d4:attr2:xh6:lengthi1e4:pathl1:bee",
    ]
    .concat();
    let info = read(&multi(&files)).expect("valid");
    let files: Vec<_> = info
        .files()
        .iter()
        .map(|file| (file.display_path(), file.is_padding()))
        .collect();
    let expected = [
        (".pad/1", true),
        (".pad/1", true),
        (".pad/1", false),
        ("b", false),
    ];
    assert_eq!(files, expected.map(|(path, padding)| (path.to_owned(), padding)));
    assert!(info.files()[3].is_executable());
}

#[test]
fn a_symbolic_link_may_come_without_a_length() {
    let link = "d4:attr1:l4:pathl1:ae12:symlink pathl2:..6:secretee";
    let info = read(&multi(&[link, &file(1, &["b"])].concat())).expect("valid");
    let lengths: Vec<_> = info.files().iter().map(FileEntry::length).collect();
    assert_eq!(lengths, [0, 1]);
}

#[test]
fn private_is_any_number_but_zero() {
    for (private, expected) in [
        ("", false),
        ("7:privatei0e", false),
        ("7:privatei1e", true),
        ("7:privatei2e", true),
    ] {
        assert_eq!(
            read(&single(&format!("{OK}{private}")))
                .expect("valid")
                .is_private(),
            expected,
            "{private}"
        );
    }
}

#[test]
fn trackers_and_web_seeds_that_make_no_sense_are_passed_over() {
    for (keys, trackers, web_seeds) in [
        ("", vec![], vec![]),
        ("8:announcei1e8:url-listi1e", vec![], vec![]),
        ("8:announce3: a 8:url-list0:", vec![vec!["a"]], vec![]),
        ("8:announce1:a13:announce-listle", vec![vec!["a"]], vec![]),
        (
            "8:announce1:a13:announce-listl1:bl1:c1:dee",
            vec![vec!["b"], vec!["c", "d"]],
            vec![],
        ),
        (
            "13:announce-listllei1edel0:i2e1:bee8:url-listl1:xi1e0:le1:ye",
            vec![vec!["b"]],
            vec!["x", "y"],
        ),
        (
            "13:announce-listll1:a1:ael1:ael1:bee8:url-listl1:x1:xe",
            vec![vec!["a"], vec!["b"]],
            vec!["x"],
        ),
        (&format!("8:announce2001:{}", "a".repeat(2_001)), vec![], vec![]),
        ("8:announce2:\u{e9}8:url-list2:\u{e9}", vec![vec!["é"]], vec!["é"]),
    ] {
        let torrent = format!("d{keys}4:info{}e", single(OK));
        let torrent = Metainfo::from_bytes(torrent.as_bytes()).expect(keys);
        assert_eq!(torrent.trackers(), trackers, "{keys}");
        assert_eq!(torrent.web_seeds(), web_seeds, "{keys}");
    }
    let tiers: Vec<_> = (100..1_000).map(|url| format!("l3:{url}4:{url}xe")).collect();
    let many = format!("d13:announce-listl{}e4:info{}e", tiers.concat(), single(OK));
    let torrent = Metainfo::from_bytes(many.as_bytes()).expect("valid");
    assert_eq!(torrent.trackers().iter().flatten().count(), Metainfo::MAX_URLS);
}

#[test]
fn a_web_seeds_url_that_ends_in_a_slash_is_a_folder() {
    let torrent = |name: &str, paths: &[&[&str]]| {
        let files = paths.iter().map(|path| DraftFile {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            length: 1,
        });
        let draft = Draft::new(name, files.collect(), CreateOptions::default()).expect("it is valid");
        let mut hasher = draft.hasher();
        hasher.update(&vec![0; paths.len()]);
        hasher.finish().expect("it is whole")
    };
    let one = torrent("a b.bin", &[&["a b.bin"]]);
    let many = torrent("n", &[&["x", "ü %.txt"], &["y"]]);
    for (url, metainfo, file, expected) in [
        ("http://h/f.bin", &one, 0, "http://h/f.bin"),
        ("http://h/f?x=1", &one, 0, "http://h/f?x=1"),
        ("http://h/d/", &one, 0, "http://h/d/a%20b.bin"),
        ("https://h/d", &many, 0, "https://h/d/n/x/%C3%BC%20%25.txt"),
        ("https://h/d/", &many, 1, "https://h/d/n/y"),
    ] {
        assert_eq!(metainfo.info().url_of(url, file), expected);
    }
}

#[test]
fn a_web_seed_has_files_by_the_names_of_the_torrent() {
    let torrent = |files: &str| {
        let info =
            format!("d5:filesl{files}e4:name3:n:o12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxe");
        Info::from_bytes(info.into_bytes().into()).expect("it is valid")
    };
    let info =
        torrent("d6:lengthi1e4:pathl2:d:5:a?%.beed6:lengthi1e4:pathl2:..1:xeed6:lengthi1e4:pathl1:yee");
    assert_eq!(info.url_path(0), "n%3Ao/d%3A/a%3F%25.b");
    assert!(!info.url_path(1).contains(".."), "{}", info.url_path(1));
    assert_eq!(
        (info.url_path(2), info.url_path(3)),
        ("n%3Ao/y".to_owned(), String::new())
    );
    let safe: Vec<String> = info.files().iter().map(FileEntry::display_path).collect();
    for (file, safe) in safe.iter().enumerate() {
        assert_eq!(info.file_at_url_path(&info.url_path(file)), Some(file), "{safe}");
        assert_eq!(
            info.file_at_url_path(&format!("{}/{}", info.name(), safe.replace('%', "%25"))),
            Some(file)
        );
    }
    for path in [
        "",
        "n%3Ao",
        "n%3Ao/",
        "y",
        "n%3Ao/../x",
        "n%3Ao/d%3A",
        "n%3Ao/%ff",
    ] {
        assert_eq!(info.file_at_url_path(path), None, "{path}");
    }
}

#[test]
fn empty_files_are_in_no_slice() {
    let empty = file(0, &["empty"]);
    let files = [
        &empty,
        &file(10, &["a"]),
        &empty,
        &empty,
        &file(1, &["b"]),
        &file(20_000, &["c"]),
        &empty,
    ];
    let files = files.map(String::as_str).concat();
    let raw = multi(&files).replace("6:pieces20:", &format!("6:pieces40:{HASH}"));
    let info = read(&raw).expect("valid");
    let slices = |piece, offset, length| {
        let block = info.geometry().block(piece, offset, length).expect("in range");
        info.slices(block)
            .map(|slice| (slice.file, slice.offset, slice.length))
            .collect::<Vec<_>>()
    };
    assert_eq!(slices(0, 0, 16_384), [(1, 0, 10), (4, 0, 1), (5, 0, 16_373)]);
    assert_eq!(slices(0, 9, 2), [(1, 9, 1), (4, 0, 1)]);
    assert_eq!(slices(0, 10, 1), [(4, 0, 1)]);
    assert_eq!(slices(0, 11, 1), [(5, 0, 1)]);
    assert_eq!(slices(1, 0, 3_627), [(5, 16_373, 3_627)]);
    let across = info
        .slices_of(10..20_011)
        .map(|slice| (slice.file, slice.offset, slice.length));
    assert_eq!(
        across.collect::<Vec<_>>(),
        [(4, 0, 1), (5, 0, 20_000)],
        "across pieces, to the end"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        drop(Metainfo::from_bytes(&bytes));
    }

    /// Real torrents with a few bytes changed, cut out or put in.
    #[test]
    fn damaged_torrents_are_refused_or_keep_their_promises(
        torrent in prop::sample::select(REAL),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<u8>>(), any::<bool>()), 1..5),
    ) {
        let mut bytes = torrent.to_vec();
        for (at, byte, insert) in damage {
            let at = at.index(bytes.len());
            match byte {
                Some(byte) if insert => bytes.insert(at, byte),
                Some(byte) => bytes[at] = byte,
                None => drop(bytes.remove(at)),
            }
        }
        let Ok(torrent) = Metainfo::from_bytes(&bytes) else { return Ok(()) };
        let info = torrent.info();
        let end = info.files().iter().try_fold(0, |at, file| (file.offset() == at).then_some(at + file.length()));
        prop_assert_eq!(end, Some(info.geometry().total_length()));
        for piece in info.geometry().all_pieces() {
            prop_assert!(info.raw().windows(20).any(|raw| raw == info.piece_hash(piece).as_bytes()));
            let covered: u32 = info.slices(info.geometry().whole(piece)).map(|slice| slice.length).sum();
            prop_assert_eq!(covered, info.geometry().length_of(piece));
        }
        let again = Metainfo::from_bytes(&torrent.to_bytes()).expect("reads what it writes");
        prop_assert_eq!(again.info().info_hash(), info.info_hash());
        prop_assert_eq!((again.trackers(), again.web_seeds()), (torrent.trackers(), torrent.web_seeds()));
    }

    #[test]
    fn what_is_made_is_read_back(
        name in "[a-z]{1,8}",
        lengths in prop::collection::vec(0u64..100_000, 1..20),
        tiers in prop::collection::vec(0..3, 0..3),
        web_seeds in prop::collection::btree_set("[a-z]{1,4}", 0..3),
        private in any::<bool>(),
    ) {
        let total: u64 = lengths.iter().sum();
        prop_assume!(total > 0);
        let trackers: Vec<Vec<_>> =
            tiers.iter().enumerate().map(|(tier, urls)| (0..*urls).map(|url| format!("{tier}/{url}")).collect()).collect();
        let web_seeds: Vec<_> = web_seeds.into_iter().collect();
        let files = lengths.iter().enumerate();
        let files = files.map(|(i, length)| DraftFile { path: vec!["d".into(), i.to_string()], length: *length });
        let options = CreateOptions {
            private,
            trackers: trackers.clone(),
            web_seeds: web_seeds.clone(),
            comment: Some("für alle".into()),
            ..CreateOptions::default()
        };
        let draft = Draft::new(&name, files.collect(), options).expect("valid");
        let hashes: Vec<_> = draft.geometry().all_pieces().map(|piece| sha1(&piece.get().to_be_bytes())).collect();
        let made = draft.finish(hashes.clone()).expect("valid");
        let read = Metainfo::from_bytes(&made.to_bytes()).expect("reads what it writes");
        let info = read.info();
        prop_assert_eq!(info.name(), name);
        prop_assert!(info.is_multi_file());
        prop_assert_eq!(info.is_private(), private);
        prop_assert_eq!(info.files().iter().map(FileEntry::length).collect::<Vec<_>>(), lengths);
        prop_assert_eq!(info.geometry().all_pieces().map(|piece| info.piece_hash(piece)).collect::<Vec<_>>(), hashes);
        let tiers: Vec<_> = trackers.into_iter().filter(|tier| !tier.is_empty()).collect();
        prop_assert_eq!(read.trackers(), tiers);
        prop_assert_eq!(read.web_seeds(), web_seeds);
        prop_assert_eq!(read.comment(), Some("für alle".to_owned()));
        prop_assert_eq!(read.to_bytes(), made.to_bytes());
        prop_assert_eq!(made.magnet().to_string().parse(), Ok(read.magnet()));
    }
}

/// The keys of a file of one byte.
const OK: &str = "6:lengthi1e12:piece lengthi16384e";
const HASH: &str = "0123456789abcdefghij";
const REAL: &[&[u8]] = &[
    include_bytes!("data/create-torrent-single.torrent"),
    include_bytes!("data/mktorrent-folder.torrent"),
    include_bytes!("data/libtorrent-hybrid-folder.torrent"),
    include_bytes!("data/libtorrent-links.torrent"),
];

/// Each `info` with its error and a part of its sentence.
fn check_refused(cases: &[(&str, MetainfoError, &str)]) {
    for (text, error, sentence) in cases {
        let found = read(text).expect_err(text);
        assert_eq!(found, *error, "{text}");
        assert!(found.to_string().contains(sentence), "{found}");
    }
}

/// An `info` with these keys and the hash of one piece.
fn single(keys: &str) -> String {
    format!("d{keys}6:pieces20:{HASH}e")
}

/// An `info` with these files and the hash of one piece.
fn multi(files: &str) -> String {
    format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:{HASH}e")
}

fn file(length: u64, path: &[&str]) -> String {
    let path: Vec<_> = path
        .iter()
        .map(|component| format!("{}:{component}", component.len()))
        .collect();
    format!("d6:lengthi{length}e4:pathl{}ee", path.concat())
}

fn read(info: &str) -> Result<Info, MetainfoError> {
    Info::from_bytes(Bytes::copy_from_slice(info.as_bytes()))
}

fn invalid(key: &'static str, reason: &str) -> MetainfoError {
    MetainfoError::Invalid {
        key,
        reason: reason.into(),
    }
}
