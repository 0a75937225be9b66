//! `create`, `show` and `verify`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run;

/// A folder with a folder `shared` of three files: 40,000, 0 and 5 bytes.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let shared = folder.path().join("shared");
    fs::create_dir_all(shared.join("b")).expect("it can be made");
    let bytes: Vec<u8> = (0..40_000u32)
        .map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1])
        .collect();
    fs::write(shared.join("a.bin"), bytes).expect("it can be written");
    fs::write(shared.join("b/empty"), "").expect("it can be written");
    fs::write(shared.join("b/hello"), "hello").expect("it can be written");
    folder
}

fn show(folder: &Path, torrent: &str) -> Value {
    let (status, out, err) = run(folder, &["show", "--json", torrent]);
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).expect("it is JSON")
}

#[test]
fn a_folder_becomes_a_torrent_that_shows_and_verifies() {
    let folder = folder();
    let (status, out, err) = run(
        folder.path(),
        &[
            "create",
            "shared",
            "--piece-length",
            "16K",
            "--tracker",
            "wss://a.example/announce",
            "--tracker",
            "wss://b.example",
            "--web-seed",
            "https://c.example/",
            "--private",
            "--comment",
            "hi",
        ],
    );
    assert_eq!(status, 0, "{err}");
    let magnet = out.trim_end();
    let shown = show(folder.path(), "shared.torrent");
    assert_eq!(
        shown["files"],
        json!([
            {"path": ["a.bin"], "length": 40_000},
            {"path": ["b", "empty"], "length": 0},
            {"path": ["b", "hello"], "length": 5},
        ])
    );
    assert_eq!(
        (&shown["name"], &shown["length"]),
        (&json!("shared"), &json!(40_005))
    );
    assert_eq!(
        (&shown["pieces"], &shown["pieceLength"]),
        (&json!(3), &json!(16_384))
    );
    assert_eq!(
        (&shown["private"], &shown["comment"]),
        (&json!(true), &json!("hi"))
    );
    assert_eq!(
        shown["trackers"],
        json!([["wss://a.example/announce"], ["wss://b.example"]])
    );
    assert_eq!(shown["magnet"], magnet);

    let of_magnet = show(folder.path(), magnet);
    assert_eq!(of_magnet["infoHash"], shown["infoHash"]);
    assert_eq!(of_magnet["webSeeds"], json!(["https://c.example/"]));

    for path in ["shared", "."] {
        let (status, out, _) = run(folder.path(), &["verify", "shared.torrent", path]);
        assert_eq!((status, out.as_str()), (0, "3 of 3 pieces are right\n"), "{path}");
    }
}

#[test]
fn people_can_read_what_a_torrent_and_a_magnet_link_say() {
    let folder = folder();
    run(folder.path(), &["create", "shared", "-o", "t.torrent"]);
    let (status, out, _) = run(folder.path(), &["show", "t.torrent"]);
    assert_eq!(status, 0);
    assert!(out.contains("name        shared\n"), "{out}");
    assert!(
        out.contains("size        39.0 KiB (40005 bytes), files: 3\n"),
        "{out}"
    );
    assert!(out.contains("             5  b/hello\n"), "{out}");
    let magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&dn=%1b%5b2J";
    let (status, out, _) = run(folder.path(), &["show", magnet]);
    assert_eq!(status, 0);
    assert!(
        out.contains("info-hash   0123456789abcdef0123456789abcdef01234567\n"),
        "{out}"
    );
    assert!(
        !out.contains('\x1b'),
        "a name does not control the terminal: {out:?}"
    );
}

#[test]
fn a_single_file_and_several_paths_can_be_shared_too() {
    let folder = folder();
    let (status, _, err) = run(folder.path(), &["create", "shared/a.bin", "-o", "one.torrent"]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(
        show(folder.path(), "one.torrent")["files"],
        json!([{"path": ["a.bin"], "length": 40_000}])
    );
    for path in ["shared/a.bin", "shared"] {
        assert_eq!(
            run(folder.path(), &["verify", "one.torrent", path]).0,
            0,
            "{path}"
        );
    }

    let several = ["create", "shared/b", "shared/a.bin", "-o", "several.torrent"];
    let (status, _, err) = run(folder.path(), &several);
    assert_eq!(status, 2);
    assert!(err.contains("--name"), "{err}");
    let (status, _, err) = run(folder.path(), &[&several[..], &["--name", "all"]].concat());
    assert_eq!(status, 0, "{err}");
    let shown = show(folder.path(), "several.torrent");
    assert_eq!(shown["name"], "all");
    let paths: Vec<_> = (0..3).map(|file| shown["files"][file]["path"].clone()).collect();
    assert_eq!(
        paths,
        [json!(["a.bin"]), json!(["b", "empty"]), json!(["b", "hello"])]
    );
}

#[test]
fn a_torrent_file_is_overwritten_only_by_force() {
    let folder = folder();
    fs::write(folder.path().join("t.torrent"), "precious").expect("it can be written");
    let (status, _, err) = run(folder.path(), &["create", "shared", "-o", "t.torrent"]);
    assert_eq!(status, 2);
    assert!(err.contains("--force"), "{err}");
    assert_eq!(
        fs::read(folder.path().join("t.torrent")).expect("it is there"),
        b"precious"
    );
    assert_eq!(
        run(folder.path(), &["create", "shared", "-o", "t.torrent", "--force"]).0,
        0
    );
    assert_eq!(show(folder.path(), "t.torrent")["name"], "shared");
}

#[test]
fn what_can_not_be_shared_is_refused_in_words() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).expect("it can be made");
    for (arguments, complaint) in [
        (&["create", "absent"][..], "absent"),
        (&["create", "empty"], "no bytes"),
        (&["create", "shared", "--piece-length", "1000"], "power of two"),
        (&["create", "shared", "--piece-length", "huge"], "256K"),
        (&["create", "shared", "--tracker", "example.org"], "SCHEME://"),
        (&["create"], "PATH"),
        (&["show", "shared/a.bin"], "no torrent file"),
        (&["show", "absent.torrent"], "absent.torrent"),
        (&["show", "magnet:?dn=x"], "xt=urn:btih:"),
        (&["verify", "shared/a.bin", "shared"], "no torrent file"),
        (&["verify", "absent.torrent", "shared"], "absent.torrent"),
    ] {
        let (status, out, err) = run(folder.path(), arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(complaint), "{arguments:?}: {err}");
    }
}

#[test]
fn verify_says_what_is_missing_or_damaged() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 6] = [
        (
            "a byte in the first piece is wrong",
            |shared| {
                let mut bytes = fs::read(shared.join("a.bin")).expect("it is there");
                bytes[10] ^= 1;
                fs::write(shared.join("a.bin"), bytes).expect("it can be written");
            },
            "damaged: a.bin\nbad piece: 0\n2 of 3 pieces are right\n",
        ),
        (
            "a file is missing",
            |shared| fs::remove_file(shared.join("b/hello")).expect("it was there"),
            "missing: b/hello\nbad piece: 2\n2 of 3 pieces are right\n",
        ),
        (
            "an empty file is missing",
            |shared| fs::remove_file(shared.join("b/empty")).expect("it was there"),
            "missing: b/empty\n3 of 3 pieces are right\n",
        ),
        (
            "a file is cut off",
            |shared| fs::write(shared.join("a.bin"), "").expect("it can be written"),
            "0 bytes long instead of 40000: a.bin\nbad pieces: 0 to 2\n0 of 3 pieces are right\n",
        ),
        (
            "a file has grown",
            |shared| fs::write(shared.join("b/hello"), "hello there").expect("it can be written"),
            "11 bytes long instead of 5: b/hello\n3 of 3 pieces are right\n",
        ),
        (
            "a piece of two files is wrong",
            |shared| fs::write(shared.join("b/hello"), "jello").expect("it can be written"),
            "damaged: a.bin\ndamaged: b/hello\nbad piece: 2\n2 of 3 pieces are right\n",
        ),
    ];
    for (name, damage, report) in cases {
        let folder = folder();
        run(folder.path(), &["create", "shared", "--piece-length", "16K"]);
        damage(&folder.path().join("shared"));
        let (status, out, err) = run(folder.path(), &["verify", "shared.torrent", "shared"]);
        assert_eq!((status, out.as_str()), (1, report), "{name}: {err}");
    }
    let folder = folder();
    run(folder.path(), &["create", "shared"]);
    assert_eq!(
        run(folder.path(), &["verify", "shared.torrent", "elsewhere"]).0,
        1,
        "everything is missing"
    );
}

#[cfg(unix)]
#[test]
fn links_within_a_folder_are_left_out_and_said_so() {
    let folder = folder();
    let shared = folder.path().join("shared");
    std::os::unix::fs::symlink("/", shared.join("root")).expect("links can be made");
    let (status, _, err) = run(folder.path(), &["create", "shared"]);
    assert_eq!(status, 0, "{err}");
    assert!(err.contains("left out: shared/root"), "{err}");
    assert_eq!(
        show(folder.path(), "shared.torrent")["files"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
}
