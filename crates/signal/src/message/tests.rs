//! Tables of what deployed clients say.

mod properties;
mod replies;

use super::*;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The name that consists of one byte, twenty times.
fn name(byte: u8) -> String {
    String::from(char::from(byte)).repeat(20)
}

/// An announce of every member that a client sends, with some of them replaced.
fn announce_with(members: Value) -> String {
    let mut message = json!({
        "action": "announce", "info_hash": name(b'h'), "peer_id": name(b'p'), "numwant": 5, "uploaded": 1,
        "downloaded": 2, "left": 3, "event": "started", "offers": [offer_item(b'1')], "trackerid": "t",
    });
    let Value::Object(members) = members else {
        panic!("members are an object")
    };
    message.as_object_mut().expect("it is an object").extend(members);
    message.to_string()
}

fn offer_item(byte: u8) -> Value {
    json!({ "offer_id": name(byte), "offer": { "type": "offer", "sdp": "v=0\r\n" } })
}

fn parse_announce(text: &str) -> Announce<'_> {
    match ClientMessage::parse(text) {
        Ok(ClientMessage::Announce(announce)) => announce,
        other => panic!("{text} is an announce, not {other:?}"),
    }
}

fn refusal(text: &str) -> MessageError {
    ClientMessage::parse(text).expect_err(text)
}

#[test]
fn an_announce_is_read_as_webtorrent_writes_it() {
    let announce = announce_with(json!({}));
    let announce = parse_announce(&announce);
    assert_eq!(announce.info_hash, InfoHash::new([b'h'; 20]));
    assert_eq!(announce.peer_id, PeerId::new([b'p'; 20]));
    assert_eq!((announce.uploaded, announce.downloaded), (1, 2));
    assert_eq!(
        (announce.left, announce.numwant),
        (Left::Incomplete(Some(3)), Some(5))
    );
    assert_eq!(announce.event, Event::Started);
    assert_eq!(announce.offers.len(), 1);
    assert_eq!(announce.offers[0].offer_id, OfferId([b'1'; 20]));
    assert_eq!(
        announce.offers[0].offer.get(),
        r#"{"sdp":"v=0\r\n","type":"offer"}"#
    );
    assert_eq!(announce.tracker_id.map(RawValue::get), Some(r#""t""#));
}

#[test]
fn every_deployed_spelling_of_event_is_understood() {
    let spellings = [
        (json!(null), Event::Update),
        (json!(""), Event::Update),
        (json!("empty"), Event::Update),
        (json!("update"), Event::Update),
        (json!("started"), Event::Started),
        (json!("completed"), Event::Completed),
        (json!("stopped"), Event::Stopped),
        (json!("paused"), Event::Paused),
    ];
    for (spelling, event) in spellings {
        let text = announce_with(json!({ "event": spelling }));
        assert_eq!(parse_announce(&text).event, event, "{text}");
    }
    let absent = json!({ "action": "announce", "info_hash": name(1), "peer_id": name(2) }).to_string();
    assert_eq!(parse_announce(&absent).event, Event::Update);
}

#[test]
fn everything_left_but_zero_means_not_complete() {
    let spellings = [
        (json!(0), Left::Complete),
        (json!(0.0), Left::Complete),
        (json!(7), Left::Incomplete(Some(7))),
        (json!(7.5), Left::Incomplete(Some(7))),
        (json!(u64::MAX), Left::Incomplete(Some(u64::MAX))),
        (json!(1e30), Left::Incomplete(Some(u64::MAX))),
        (json!(null), Left::Incomplete(None)),
        (json!(-1), Left::Incomplete(None)),
        (json!(-0.5), Left::Incomplete(None)),
    ];
    for (spelling, left) in spellings {
        let text = announce_with(json!({ "left": spelling }));
        assert_eq!(parse_announce(&text).left, left, "{text}");
    }
    let absent = json!({ "action": "announce", "info_hash": name(1), "peer_id": name(2) }).to_string();
    assert_eq!(parse_announce(&absent).left, Left::Incomplete(None));
}

#[test]
fn numwant_may_be_null_negative_or_huge() {
    let spellings = [
        (json!(null), None),
        (json!(-1), None),
        (json!(50), Some(50)),
        (json!(1e12), Some(u32::MAX)),
    ];
    for (spelling, numwant) in spellings {
        let text = announce_with(json!({ "numwant": spelling }));
        assert_eq!(parse_announce(&text).numwant, numwant, "{text}");
    }
}

#[test]
fn what_is_no_offer_is_left_out_and_the_rest_stays() {
    let offer = |offer: Value| json!({ "offer_id": name(b'x'), "offer": offer });
    let bad = [
        json!(null),
        json!(5),
        json!("offer"),
        json!([name(b'x'), { "type": "offer", "sdp": "" }]),
        json!({}),
        json!({ "offer_id": name(b'x') }),
        json!({ "offer_id": null, "offer": { "type": "offer", "sdp": "" } }),
        json!({ "offer_id": "short", "offer": { "type": "offer", "sdp": "" } }),
        offer(json!(null)),
        offer(json!("v=0")),
        offer(json!({ "type": "offer" })),
        offer(json!({ "type": "answer", "sdp": "" })),
        offer(json!({ "type": "offer", "sdp": 5 })),
        offer(json!({ "type": "offer", "sdp": "", "deep": [[[[]]]] })),
    ];
    for item in bad {
        let text = announce_with(json!({ "offers": [offer_item(b'1'), item, offer_item(b'2')] }));
        let ids: Vec<_> = parse_announce(&text)
            .offers
            .iter()
            .map(|offer| offer.offer_id.0[0])
            .collect();
        assert_eq!(ids, [b'1', b'2'], "{text}");
    }
    for none in [json!(null), json!([]), json!([null])] {
        assert!(
            parse_announce(&announce_with(json!({ "offers": none })))
                .offers
                .is_empty()
        );
    }
}

#[test]
fn half_a_surrogate_pair_is_not_passed_on() {
    // It is an escape that most parsers let through, and that makes libtorrent close its socket.
    let text = announce_with(
        json!({ "offers": [{ "offer_id": name(1), "offer": { "type": "offer", "sdp": "HALF" } }] }),
    );
    assert_eq!(parse_announce(&text).offers.len(), 1);
    assert!(parse_announce(&text.replace("HALF", r"\ud83d")).offers.is_empty());
}

#[test]
fn an_offer_is_passed_on_byte_for_byte() {
    let offer = r#"{ "sdp" : "v=0\r\na=ice-options:trickle\u00e9", "type":"offer",  "more": 1.50 }"#;
    let item = format!(r#"{{"offer":{offer},"offer_id":"{}"}}"#, name(b'o'));
    let text = format!(
        r#"{{"offers":[{item}],"peer_id":"{}","info_hash":"{}","action":"announce"}}"#,
        name(b'p'),
        name(b'h')
    );
    assert_eq!(parse_announce(&text).offers[0].offer.get(), offer);
}

#[test]
fn no_more_offers_are_taken_than_the_limit() {
    let items: Vec<_> = (0..=MAX_OFFERS).map(|_| offer_item(b'1')).collect();
    assert_eq!(
        parse_announce(&announce_with(json!({ "offers": items })))
            .offers
            .len(),
        MAX_OFFERS
    );
}

#[test]
fn offers_of_ten_peers_beyond_16_kib_are_taken() {
    let item =
        json!({ "offer_id": name(1), "offer": { "type": "offer", "sdp": "a=candidate:1\r\n".repeat(700) } });
    let text = announce_with(json!({ "offers": vec![item; 10] }));
    assert!(text.len() > 100 * 1024 && text.len() <= MAX_MESSAGE_BYTES);
    assert_eq!(parse_announce(&text).offers.len(), 10);
}

#[test]
fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let text = announce_with(json!({}));
    let padded = |length: usize| format!("{text}{}", " ".repeat(length - text.len()));
    parse_announce(&padded(MAX_MESSAGE_BYTES));
    let error = refusal(&padded(MAX_MESSAGE_BYTES + 1));
    assert_eq!(
        error.fault,
        Fault::TooLong {
            length: MAX_MESSAGE_BYTES + 1
        }
    );
}

#[test]
fn an_answer_is_recognized_whatever_else_stands_beside_it() {
    let answer = json!({
        "action": "announce", "info_hash": name(b'h'), "peer_id": name(b'p'), "to_peer_id": name(b't'),
        "offer_id": name(b'o'), "answer": { "type": "answer", "sdp": "v=0\r\n" }, "trackerid": 7,
    });
    let text = answer.to_string();
    let Ok(ClientMessage::Answer {
        info_hash,
        peer_id,
        to_peer_id,
        offer_id,
        answer,
    }) = ClientMessage::parse(&text)
    else {
        panic!("{text} is an answer")
    };
    assert_eq!(
        (info_hash, peer_id),
        (InfoHash::new([b'h'; 20]), PeerId::new([b'p'; 20]))
    );
    assert_eq!(
        (to_peer_id, offer_id),
        (PeerId::new([b't'; 20]), OfferId([b'o'; 20]))
    );
    assert_eq!(answer.get(), r#"{"sdp":"v=0\r\n","type":"answer"}"#);
}

#[test]
fn an_announce_whose_answer_is_null_is_an_announce() {
    parse_announce(&announce_with(json!({ "answer": null })));
}

#[test]
fn a_scrape_names_one_swarm_several_or_none() {
    let swarm = |byte| InfoHash::new([byte; 20]);
    let spellings = [
        (
            json!({ "action": "scrape", "info_hash": name(0) }),
            vec![swarm(0)],
        ),
        (
            json!({ "action": "scrape", "info_hash": [name(255), name(1)] }),
            vec![swarm(255), swarm(1)],
        ),
        (json!({ "action": "scrape", "info_hash": [] }), vec![]),
        (json!({ "action": "scrape", "info_hash": null }), vec![]),
        (json!({ "action": "scrape" }), vec![]),
    ];
    for (spelling, expected) in spellings {
        match ClientMessage::parse(&spelling.to_string()) {
            Ok(ClientMessage::Scrape { info_hashes }) => assert_eq!(info_hashes, expected, "{spelling}"),
            other => panic!("{spelling} is a scrape, not {other:?}"),
        }
    }
}

#[test]
fn a_name_is_exactly_twenty_code_points_up_to_u00ff() {
    let escaped = announce_with(json!({})).replace(&name(b'h'), &r"\u00e9".repeat(20));
    assert_eq!(parse_announce(&escaped).info_hash, InfoHash::new([0xE9; 20]));
    let plain = announce_with(json!({ "info_hash": name(0xE9) }));
    assert_eq!(parse_announce(&plain).info_hash, InfoHash::new([0xE9; 20]));
    let wrong = [
        json!("h".repeat(19)),
        json!("h".repeat(21)),
        json!(format!("{}\u{100}", "h".repeat(19))),
        json!("\u{1F600}".repeat(20)),
        json!("68".repeat(20)),
        json!(""),
        json!(20),
        json!([name(b'h')]),
        json!({}),
    ];
    for wrong in wrong {
        let error = refusal(&announce_with(json!({ "info_hash": wrong })));
        assert_eq!(
            error.fault,
            Fault::Malformed {
                member: "info_hash",
                expected: twenty::Twenty::EXPECTED
            }
        );
        assert_eq!((error.action, error.info_hash), (Some(Action::Announce), None));
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_the_message_was_about() {
    let known = Some(InfoHash::new([b'h'; 20]));
    let refused = [
        (
            json!({ "peer_id": 5 }),
            "'peer_id' must be a string of 20 characters",
        ),
        (json!({ "peer_id": null }), "'peer_id' is missing"),
        (json!({ "event": "paused?" }), "'event' must be 'started'"),
        (json!({ "event": 1 }), "'event' must be a string"),
        (json!({ "left": "0" }), "'left' must be a number"),
        (json!({ "uploaded": [] }), "'uploaded' must be a number"),
        (json!({ "downloaded": {} }), "'downloaded' must be a number"),
        (json!({ "numwant": "5" }), "'numwant' must be a number"),
        (json!({ "offers": {} }), "'offers' must be an array"),
        (json!({ "offers": "x" }), "'offers' must be an array"),
        (
            json!({ "answer": "x" }),
            r#"'answer' must be an object with "type":"answer""#,
        ),
        (
            json!({ "answer": { "type": "answer", "sdp": "" } }),
            "'to_peer_id' is missing",
        ),
    ];
    for (members, sentence) in refused {
        let error = refusal(&announce_with(members));
        assert!(error.to_string().starts_with(sentence), "{error}");
        assert_eq!(
            (error.action, error.info_hash),
            (Some(Action::Announce), known),
            "{error}"
        );
    }
    let error = refusal(&announce_with(json!({ "action": "ping" })));
    assert_eq!((error.action, error.info_hash), (None, known));
    assert_eq!(error.to_string(), "'action' must be 'announce' or 'scrape'");
}

#[test]
fn what_is_no_json_object_is_refused() {
    let announce = announce_with(json!({}));
    let twice = announce.replacen('{', r#"{"action":"announce","#, 1);
    let texts = [
        "",
        "null",
        "[]",
        r#"["announce"]"#,
        "{",
        r#"{"action":}"#,
        "{}{}",
        "\u{0}",
        &twice,
        &announce[1..],
    ];
    for text in texts {
        let error = refusal(text);
        assert!(matches!(error.fault, Fault::NotAnObject(_)), "{text}: {error}");
        assert_eq!((error.action, error.info_hash), (None, None));
    }
    assert_eq!(refusal("{}").fault, Fault::Missing("action"));
}

#[test]
fn unknown_members_are_ignored_and_their_order_is_free() {
    let text = announce_with(json!({ "zzz": [[{}]], "AAA": "\u{1F600}", "info_hash ": 1 }));
    assert_eq!(parse_announce(&text).offers.len(), 1);
}

#[test]
fn an_unknown_rest_is_left_out_because_null_means_complete_to_the_reference() {
    let text = announce_with(json!({ "left": null, "event": null }));
    let written = ClientMessage::Announce(parse_announce(&text)).to_json();
    let written: Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!((written.get("left"), written.get("event")), (None, None));
}
