use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
            folders.extend((1..key.len()).map(|depth| key.iter().take(depth).cloned().collect::<Vec<_>>()));
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
