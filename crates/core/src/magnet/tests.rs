use proptest::prelude::*;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HEX: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
const BASE32: &str = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";

#[test]
fn everything_that_a_link_can_say_is_read() {
    let link = format!(
        "magnet:?xt=urn:btih:{HEX}&dn=Two+words%20%C3%A4&tr=udp%3A%2F%2Fa.example%3A80&tr.1=wss://b.example/?x%3D1\
         &ws=https%3A%2F%2Fseed.example%2Fa+b&so=0,2,4-6&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:6881\
         &xs=http://x.example&kt=words&xl=12"
    );
    let magnet: Magnet = link.parse().expect("valid");
    assert_eq!(magnet.info_hash.to_string(), HEX);
    assert_eq!(magnet.name.as_deref(), Some("Two words ä"));
    assert_eq!(magnet.trackers, ["udp://a.example:80", "wss://b.example/?x=1"]);
    assert_eq!(
        magnet.web_seeds,
        ["https://seed.example/a+b"],
        "a plus is a space in `dn` alone"
    );
    assert_eq!(magnet.selected, Some(vec![0..=0, 2..=2, 4..=6]));
    assert_eq!(magnet.peers, ["192.0.2.1:6881", "[2001:db8::1]:6881"]);
}

#[test]
fn a_link_is_written_with_all_that_is_not_plain_escaped() {
    let magnet = Magnet {
        name: Some("a b&c=ä+%".into()),
        trackers: vec!["wss://a.example/?x=1".into()],
        web_seeds: vec!["https://b.example/".into()],
        selected: Some(vec![1..=1, 3..=5]),
        peers: vec!["[::1]:1".into()],
        ..Magnet::new(HEX.parse().expect("40 digits"))
    };
    assert_eq!(
        magnet.to_string(),
        format!(
            "magnet:?xt=urn:btih:{HEX}&dn=a%20b%26c%3D%C3%A4%2B%25&tr=wss%3A%2F%2Fa.example%2F%3Fx%3D1\
             &ws=https%3A%2F%2Fb.example%2F&x.pe=%5B%3A%3A1%5D%3A1&so=1,3-5"
        )
    );
}

#[test]
fn the_hash_may_be_written_in_all_the_ways_that_clients_write_it() {
    for hash in [
        format!("xt=urn:btih:{HEX}"),
        format!("xt=urn:btih:{}", HEX.to_uppercase()),
        format!("xt=urn:btih:{BASE32}"),
        format!("xt=urn:btih:{}", BASE32.to_lowercase()),
        format!("xt=urn%3Abtih%3A{HEX}"),
        format!("xt.1=URN:BTIH:{HEX}"),
        format!("dn=name&&tr&xt=urn:btih:{HEX}&xt=urn:btih:{}", "0".repeat(40)),
        format!("xt=urn:btmh:1220{}&xt=urn:btih:{HEX}", "0".repeat(64)),
        format!("xt=urn:sha1:{BASE32}&xt=urn:btih:{HEX}"),
    ] {
        let magnet: Magnet = format!(" MAGNET:?{hash}\n").parse().expect(&hash);
        assert_eq!(magnet.info_hash.to_string(), HEX, "{hash}");
    }
}

#[test]
fn what_is_no_link_to_a_torrent_is_refused_with_a_sentence() {
    for (link, error) in [
        ("", MagnetError::NotMagnet),
        ("magnet:", MagnetError::NotMagnet),
        (HEX, MagnetError::NotMagnet),
        ("xt=urn:btih:", MagnetError::NotMagnet),
        ("https://a.example/#magnet:?xt=urn:btih:", MagnetError::NotMagnet),
        ("日本日本日本", MagnetError::NotMagnet),
        ("magnet:?", MagnetError::NoHash),
        ("magnet:?dn=name&tr=udp://a.example", MagnetError::NoHash),
        (
            "magnet:?xt=urn:sha1:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK",
            MagnetError::NoHash,
        ),
        ("magnet:?xt=urn:btmh:1220", MagnetError::OnlyVersion2),
        ("magnet:?xt=urn:btih:", MagnetError::Hash(String::new())),
        ("magnet:?xt=urn:btih:xyz", MagnetError::Hash("xyz".into())),
        (
            "magnet:?xt=urn:btih:01EX6DQDLXISUVHOJ6UM3GNNKPQJWPKE",
            MagnetError::Hash("01EX6DQDLXISUVHOJ6UM3GNNKPQJWPKE".into()),
        ),
    ] {
        assert_eq!(link.parse::<Magnet>(), Err(error), "{link}");
    }
    for selection in ["", "a", "1-", "-1", "2-1", "1,,2", "4294967296"] {
        let link = format!("magnet:?xt=urn:btih:{HEX}&so={selection}");
        assert_eq!(
            link.parse::<Magnet>(),
            Err(MagnetError::Selection(selection.into())),
            "{selection}"
        );
    }
    let long = format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(Magnet::MAX_LENGTH));
    assert_eq!(long.parse::<Magnet>(), Err(MagnetError::TooLong));
}

#[test]
fn lists_are_bounded_and_have_everything_once() {
    let trackers: Vec<_> = (0..1_000).map(|n| format!("&tr=a&tr=&tr=a{n}")).collect();
    let magnet: Magnet = format!("magnet:?xt=urn:btih:{HEX}{}", trackers.concat())
        .parse()
        .expect("valid");
    assert_eq!(magnet.trackers.len(), Magnet::MAX_ITEMS);
    assert_eq!(
        magnet.trackers.iter().take(3).collect::<Vec<_>>(),
        ["a", "a0", "a1"]
    );
}

#[test]
fn percent_signs_that_escape_nothing_stand_for_themselves() {
    for (text, decoded) in [
        ("%41%4a", "AJ"),
        ("100%", "100%"),
        ("%4", "%4"),
        ("%+1%zz%é", "%+1%zz%é"),
        ("%ff", "\u{fffd}"),
    ] {
        assert_eq!(decode(text), decoded);
    }
}

proptest! {
    #[test]
    fn a_link_that_is_written_reads_as_the_same(magnet in magnet()) {
        prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(magnet:\\?)?(xt=urn:btih:|[a-z.0-9%&=:+,é-]{0,9}|\\PC{0,9}){0,9}") {
        drop(text.parse::<Magnet>());
    }

    #[test]
    fn base32_says_what_hexadecimal_says(bytes in any::<[u8; 20]>()) {
        let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        let bits: Vec<_> = bits.collect();
        let digit = |bits: &[u8]| bits.iter().fold(0, |digit, bit| digit << 1 | usize::from(*bit));
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let text: String = bits.chunks(5).filter_map(|bits| alphabet.chars().nth(digit(bits))).collect();
        prop_assert_eq!(base32(&text), Some(InfoHash::new(bytes)));
    }
}

fn magnet() -> impl Strategy<Value = Magnet> {
    let text = || "\\PC{1,20}";
    let list = move || prop::collection::btree_set(text(), 0..4).prop_map(|set| set.into_iter().collect());
    let range = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| a.min(b)..=a.max(b));
    let selected = prop::option::of(prop::collection::vec(range, 1..4));
    (
        any::<[u8; 20]>(),
        prop::option::of(text()),
        list(),
        list(),
        selected,
        list(),
    )
        .prop_map(|(hash, name, trackers, web_seeds, selected, peers)| Magnet {
            info_hash: InfoHash::new(hash),
            name,
            trackers,
            web_seeds,
            selected,
            peers,
        })
}
