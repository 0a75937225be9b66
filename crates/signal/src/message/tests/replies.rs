//! What a tracker must say, and what a client must bear.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn every_reply_carries_what_webtorrent_needs_to_keep_its_socket() {
    let info_hash = InfoHash::new([0xE9; 20]);
    let (peer_id, offer_id) = (PeerId::new([1; 20]), OfferId([2; 20]));
    let offer = DescriptionKind::Offer.describe("v=0\r\n");
    let answer = DescriptionKind::Answer.describe("v=0\r\n");
    let announced = TrackerMessage::Announced {
        info_hash,
        complete: Some(1),
        incomplete: Some(2),
        interval: Some(120),
        tracker_id: None,
        warning: None,
    };
    let failure = |action, info_hash| TrackerMessage::Failure {
        action,
        info_hash,
        reason: "no".into(),
    };
    let hash = name(0xE9);
    let expected = [
        (
            announced,
            json!({"action":"announce","info_hash":hash,"complete":1,"incomplete":2,"interval":120}),
        ),
        (
            TrackerMessage::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer: &offer,
            },
            json!({"action":"announce","info_hash":hash,"peer_id":name(1),"offer_id":name(2),
                "offer":{"type":"offer","sdp":"v=0\r\n"}}),
        ),
        (
            TrackerMessage::Answer {
                info_hash,
                peer_id,
                offer_id,
                answer: &answer,
            },
            json!({"action":"announce","info_hash":hash,"peer_id":name(1),"offer_id":name(2),
                "answer":{"type":"answer","sdp":"v=0\r\n"}}),
        ),
        (
            TrackerMessage::Scraped {
                files: Vec::from([(
                    info_hash,
                    SwarmCounts {
                        complete: 1,
                        incomplete: 2,
                        downloaded: 3,
                    },
                )]),
                min_request_interval: Some(600),
            },
            json!({"action":"scrape","files":{hash.clone():{"complete":1,"incomplete":2,"downloaded":3}},
                "flags":{"min_request_interval":600}}),
        ),
        (
            failure(Some(Action::Announce), Some(info_hash)),
            json!({"action":"announce","info_hash":hash,"failure reason":"no"}),
        ),
        (
            failure(Some(Action::Scrape), None),
            json!({"action":"scrape","failure reason":"no"}),
        ),
        // An announce without info_hash makes webtorrent throw; a bare failure makes it connect again.
        (
            failure(Some(Action::Announce), None),
            json!({"failure reason":"no"}),
        ),
        (failure(None, None), json!({"failure reason":"no"})),
    ];
    for (message, expected) in expected {
        let written: Value = serde_json::from_str(&message.to_json()).expect("it is JSON");
        assert_eq!(written, expected);
    }
}

#[test]
fn a_refusal_becomes_the_reply_to_it() {
    let error = refusal(&announce_with(json!({ "peer_id": null })));
    let reply: Value = serde_json::from_str(&error.to_reply().to_json()).expect("it is JSON");
    let expected =
        json!({ "action": "announce", "info_hash": name(b'h'), "failure reason": "'peer_id' is missing" });
    assert_eq!(reply, expected);
}

#[test]
fn a_client_reads_replies_that_lack_something() {
    let bare = json!({ "action": "announce", "info_hash": name(1), "warning message": "slow" }).to_string();
    match TrackerMessage::parse(&bare) {
        Ok(TrackerMessage::Announced {
            complete: None,
            interval: None,
            warning,
            ..
        }) => {
            assert_eq!(warning.as_deref(), Some("slow"));
        }
        other => panic!("{bare} is a reply, not {other:?}"),
    }
    let failures = [
        (json!({ "failure reason": "no" }), None, None),
        (
            json!({ "failure reason": "no", "action": "???", "info_hash": 5 }),
            None,
            None,
        ),
        (
            json!({ "failure reason": "no", "action": "announce", "info_hash": name(1) }),
            Some(Action::Announce),
            Some(InfoHash::new([1; 20])),
        ),
    ];
    for (text, expected_action, expected_hash) in failures {
        match TrackerMessage::parse(&text.to_string()) {
            Ok(TrackerMessage::Failure {
                action,
                info_hash,
                reason,
            }) => {
                assert_eq!(
                    (action, info_hash, reason.as_ref()),
                    (expected_action, expected_hash, "no")
                );
            }
            other => panic!("{text} is a failure, not {other:?}"),
        }
    }
    let scrape = json!({ "action": "scrape", "files": { name(200): { "complete": 3 } } }).to_string();
    match TrackerMessage::parse(&scrape) {
        Ok(TrackerMessage::Scraped {
            files,
            min_request_interval: None,
        }) => {
            let counts = SwarmCounts {
                complete: 3,
                ..SwarmCounts::default()
            };
            assert_eq!(files, Vec::from([(InfoHash::new([200; 20]), counts)]));
        }
        other => panic!("{scrape} is a reply, not {other:?}"),
    }
}

#[test]
fn a_client_refuses_relayed_messages_that_lack_something() {
    let message = json!({
        "action": "announce", "info_hash": name(1), "peer_id": name(2), "offer_id": name(3),
        "offer": { "type": "offer", "sdp": "" },
    });
    assert!(TrackerMessage::parse(&message.to_string()).is_ok());
    for (member, value) in [
        ("action", json!(null)),
        ("action", json!("pong")),
        ("info_hash", json!(null)),
        ("peer_id", json!("short")),
        ("offer_id", json!(null)),
        ("offer", json!({ "type": "answer", "sdp": "" })),
        ("offer", json!({ "type": "offer", "sdp": null })),
    ] {
        let mut message = message.clone();
        message[member] = value;
        assert!(TrackerMessage::parse(&message.to_string()).is_err(), "{message}");
    }
}
