use proptest::prelude::*;

use super::*;
use crate::sha1;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn pieces_are_as_long_as_the_torrent_is_large() {
    const MIB: u64 = 1 << 20;
    for (total, length) in [
        (0, 16 << 10),
        (1, 16 << 10),
        (16 * MIB, 16 << 10),
        (16 * MIB + 1, 32 << 10),
        (200_000_000, 256 << 10),
        (1024 * MIB, 1 << 20),
        (16 * 1024 * MIB, 16 << 20),
        (16 * 1024 * MIB + 1, 16 << 20),
        (u64::MAX, 16 << 20),
    ] {
        assert_eq!(piece_length_for(total), length, "{total}");
    }
}

#[test]
fn what_no_client_could_download_is_refused_with_a_sentence() {
    let long = vec!["a"; Info::MAX_PATH_DEPTH + 1];
    for (name, files, error) in [
        ("", vec![(vec!["a"], 1)], CreateError::Name(String::new())),
        ("..", vec![(vec!["a"], 1)], CreateError::Name("..".into())),
        ("a/b", vec![(vec!["a"], 1)], CreateError::Name("a/b".into())),
        ("n", vec![(vec![], 1)], CreateError::Name(String::new())),
        ("n", vec![(vec!["a", "."], 1)], CreateError::Name(".".into())),
        ("n", vec![(vec!["a\0"], 1)], CreateError::Name("a\0".into())),
        ("n", vec![(long.clone(), 1)], CreateError::Name(long.join("/"))),
        (
            "n",
            vec![(vec!["a", "b"], 1), (vec!["a", "b"], 1)],
            CreateError::Duplicate("a/b".into()),
        ),
        ("n", vec![], CreateError::Geometry(GeometryError::Empty)),
        (
            "n",
            vec![(vec!["a"], 0)],
            CreateError::Geometry(GeometryError::Empty),
        ),
        (
            "n",
            vec![(vec!["a"], u64::MAX), (vec!["b"], 1)],
            CreateError::Metainfo(MetainfoError::Length),
        ),
        (
            "n",
            vec![(vec!["a"], 1 << 50)],
            CreateError::Geometry(GeometryError::TooManyPieces(1 << 26)),
        ),
    ] {
        let files = files.iter().map(|(path, length)| file(path, *length)).collect();
        assert_eq!(
            Draft::new(name, files, CreateOptions::default()).expect_err(name),
            error
        );
    }
    for length in [0, 1, 1 << 13, 40_000, 1 << 29] {
        let options = CreateOptions {
            piece_length: Some(length),
            ..CreateOptions::default()
        };
        assert_eq!(
            Draft::new("n", vec![file(&["n"], 1)], options).err(),
            Some(CreateError::PieceLength(length))
        );
    }
    let many = vec![file(&["a"], 1); Info::MAX_FILES + 1];
    let error = Draft::new("n", many, CreateOptions::default()).expect_err("too many");
    assert_eq!(error, CreateError::TooManyFiles(Info::MAX_FILES + 1));
}

#[test]
fn a_single_file_in_a_folder_stays_in_it() {
    for (path, multi) in [(vec!["n"], false), (vec!["m"], true), (vec!["n", "n"], true)] {
        let draft = Draft::new("n", vec![file(&path, 1)], CreateOptions::default()).expect("valid");
        let torrent = draft.finish(vec![sha1(b"a")]).expect("one piece");
        assert_eq!(torrent.info().is_multi_file(), multi);
        assert_eq!(torrent.info().files()[0].path(), path);
    }
}

#[test]
fn files_that_changed_meanwhile_are_noticed() {
    for length in [0, 99, 101] {
        let mut creator = draft(100).hasher();
        creator.update(&vec![0; length]);
        let error = CreateError::Length {
            expected: 100,
            found: length as u64,
        };
        assert_eq!(creator.finish().expect_err("another length"), error);
    }
    let error = draft(16_385).finish(vec![sha1(b"")]).expect_err("two pieces");
    assert_eq!(
        error,
        CreateError::Hashes {
            expected: 2,
            found: 1
        }
    );
}

proptest! {
    #[test]
    fn it_makes_no_difference_how_the_bytes_come(
        length in 1u64..100_000,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bytes: Vec<u8> = (0..length).flat_map(|i| (i * i).to_le_bytes().into_iter().take(1)).collect();
        let draft = draft(length);
        let hashes = bytes.chunks(16 << 10).map(sha1).collect();
        let at_once = draft.clone().finish(hashes).expect("a hash for each piece");
        let mut creator = draft.hasher();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for cut in cuts.windows(2) {
            creator.update(&bytes[cut[0]..cut[1]]);
        }
        let streamed = creator.finish().expect("all bytes came");
        prop_assert_eq!(streamed.to_bytes(), at_once.to_bytes());
    }
}

fn draft(length: u64) -> Draft {
    let options = CreateOptions {
        piece_length: Some(16 << 10),
        ..CreateOptions::default()
    };
    Draft::new("n", vec![file(&["n"], length)], options).expect("valid")
}

fn file(path: &[&str], length: u64) -> DraftFile {
    DraftFile {
        path: path.iter().map(|&component| component.into()).collect(),
        length,
    }
}
