#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use proptest::prelude::*;
use serde_bencode::value::Value;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_value_ends_where_its_structure_says() {
    for (text, length) in [
        ("i0e", 3),
        ("i-9223372036854775808e", 22),
        ("i9223372036854775807etrailing", 21),
        ("i007e", 5),
        ("0:", 2),
        ("03:abcdef", 6),
        ("le", 2),
        ("lli1eeel", 7),
        ("de", 2),
        ("d1:bi1e1:ai2ee", 14),
        ("d1:ad1:ad1:aleeee4:spam", 17),
    ] {
        assert_eq!(value_length(text.as_bytes()), Ok(length), "{text}");
    }
}

#[test]
fn what_is_not_bencoded_is_refused_with_the_place() {
    for (text, error) in [
        ("", BencodeError::Truncated(0)),
        ("i1", BencodeError::Truncated(2)),
        ("ie", BencodeError::Number(1)),
        ("i-e", BencodeError::Number(2)),
        ("i+1e", BencodeError::Number(1)),
        ("i1.5e", BencodeError::Number(1)),
        ("i9223372036854775808e", BencodeError::Number(0)),
        ("i-9223372036854775809e", BencodeError::Number(0)),
        ("i99999999999999999999999e", BencodeError::Number(1)),
        ("5:abcd", BencodeError::Truncated(6)),
        ("18446744073709551615:a", BencodeError::Truncated(22)),
        ("99999999999999999999:a", BencodeError::Number(0)),
        ("5abcde", BencodeError::Number(0)),
        ("l", BencodeError::Truncated(1)),
        ("li1e", BencodeError::Truncated(4)),
        ("d1:a", BencodeError::Truncated(4)),
        ("d1:ae", BencodeError::Unexpected { byte: b'e', at: 4 }),
        ("di1ei1ee", BencodeError::Key(1)),
        ("<html>", BencodeError::Unexpected { byte: b'<', at: 0 }),
    ] {
        assert_eq!(value_length(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{}{}", "l".repeat(depth), "e".repeat(depth));
    let deepest = nested(MAX_DEPTH as usize);
    assert_eq!(value_length(deepest.as_bytes()), Ok(deepest.len()));
    let too_deep = BencodeError::TooDeep(MAX_DEPTH as usize);
    assert_eq!(
        value_length(nested(MAX_DEPTH as usize + 1).as_bytes()),
        Err(too_deep.clone())
    );
    assert_eq!(
        value_length("d0:".repeat(1_000_000).as_bytes()),
        Err(BencodeError::TooDeep(300))
    );
}

#[test]
fn a_dictionary_gives_the_bytes_of_its_values() {
    let (dictionary, rest) =
        Dictionary::from_prefix(b"d1:zd1:ai1ee1:ai-5e3:\xff\xfe\xfd4:spame\n").expect("well-formed");
    assert_eq!(rest, b"\n");
    assert_eq!(dictionary.get("z"), Some(b"d1:ai1ee".as_slice()));
    assert_eq!(dictionary.read("a").expect("an integer"), Some(-5));
    assert_eq!(dictionary.read::<i64>("b").expect("nothing"), None);
    dictionary.read::<String>("a").expect_err("not a string");
    assert_eq!(dictionary.string("a"), None);
    let keys: Vec<_> = dictionary.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"a".as_slice(), b"z", b"\xff\xfe\xfd"], "sorted");
}

#[test]
fn a_dictionary_is_one_has_each_key_once_and_not_too_many() {
    let error = |text: &str| Dictionary::from_prefix(text.as_bytes()).expect_err("refused");
    assert_eq!(error("le"), BencodeError::NotADictionary);
    assert_eq!(
        error("d1:ai1e1:bi1e1:ai1ee"),
        BencodeError::DuplicateKey("a".into())
    );
    let keys = |count| (0..count).fold(String::new(), |text, key| format!("{text}4:{key:04}0:"));
    assert!(Dictionary::from_prefix(format!("d{}e", keys(MAX_KEYS)).as_bytes()).is_ok());
    assert_eq!(
        error(&format!("d{}e", keys(MAX_KEYS + 1))),
        BencodeError::TooManyKeys
    );
}

#[test]
fn items_are_those_of_a_list() {
    let list: Vec<_> = items(b"li1e4:spamlee").expect("a list").collect();
    assert_eq!(list, [b"i1e".as_slice(), b"4:spam", b"le"]);
    assert_eq!(string(b"4:spam"), Some(b"spam".as_slice()));
    for other in [b"i1e".as_slice(), b"1:l", b"de", b""] {
        assert!(items(other).is_none());
    }
}

proptest! {
    #[test]
    fn every_value_that_serde_bencode_writes_has_its_length(value in value(), rest in any::<Vec<u8>>()) {
        let mut text = serde_bencode::to_bytes(&value).expect("writes");
        let length = text.len();
        text.extend(rest);
        prop_assert_eq!(value_length(&text), Ok(length));
        for end in 0..length {
            prop_assert!(value_length(&text[..end]).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn bytes_that_pass_are_a_value_for_serde_bencode(text in near_bencode()) {
        match value_length(&text) {
            Ok(length) => {
                serde_bencode::from_bytes::<Value>(&text[..length]).expect("the same grammar");
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        if let Ok((dictionary, rest)) = Dictionary::from_prefix(&text) {
            prop_assert_eq!(text.len() - rest.len(), value_length(&text).expect("a dictionary is a value"));
            for (key, value) in dictionary.iter() {
                prop_assert_eq!(value_length(value), Ok(value.len()), "{:?}", key);
            }
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<Vec<u8>>().prop_map(Value::Bytes)
    ];
    leaf.prop_recursive(5, 50, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List);
        let entries = prop::collection::vec((any::<Vec<u8>>(), inner), 0..5);
        prop_oneof![
            list,
            entries.prop_map(|entries| Value::Dict(entries.into_iter().collect()))
        ]
    })
}

/// Bytes that are much more often close to bencoded than chance would have it.
fn near_bencode() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: &[&[u8]] = &[
        b"d", b"l", b"e", b"i1e", b"i-0e", b"1:a", b"2:bc", b"0:", b"00:", b"i", b":", b"7", b"\xff",
    ];
    let token = prop::sample::select(TOKENS);
    prop::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat())
}
