//! Round trips of everything that can be said, and garbage.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// What a test can compare: raw JSON has no equality of its own.
fn shown(message: &impl fmt::Debug) -> String {
    format!("{message:?}")
}

fn any_raw() -> impl Strategy<Value = Box<RawValue>> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!([{}, 1.5]))
    ]
    .prop_map(|value| serde_json::value::to_raw_value(&value).expect("it is JSON"))
}

fn any_event() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![
        Event::Update,
        Event::Started,
        Event::Completed,
        Event::Stopped,
        Event::Paused,
    ])
}

fn any_failure_subject() -> impl Strategy<Value = (Option<Action>, Option<InfoHash>)> {
    // What can be told: an announce is named together with its info-hash or not at all.
    prop_oneof![
        Just((None, None)),
        Just((Some(Action::Scrape), None)),
        any::<[u8; 20]>().prop_map(|hash| (Some(Action::Announce), Some(InfoHash::new(hash)))),
        any::<[u8; 20]>().prop_map(|hash| (None, Some(InfoHash::new(hash)))),
    ]
}

proptest! {
    #[test]
    fn an_announce_survives_the_round_trip(
        (info_hash, peer_id) in any::<([u8; 20], [u8; 20])>(),
        event in any_event(),
        (uploaded, downloaded, left) in any::<(u64, u64, Option<u64>)>(),
        numwant in any::<Option<u32>>(),
        offers in vec(any::<([u8; 20], String)>(), 0..4),
        tracker_id in prop::option::of(any_raw()),
    ) {
        let offers: Vec<_> =
            offers.into_iter().map(|(id, sdp)| (OfferId(id), DescriptionKind::Offer.describe(&sdp))).collect();
        let message = ClientMessage::Announce(Announce {
            info_hash: info_hash.into(),
            peer_id: peer_id.into(),
            event,
            uploaded,
            downloaded,
            left: Left::from_bytes(left),
            numwant,
            offers: offers.iter().map(|(offer_id, offer)| OfferItem { offer_id: *offer_id, offer }).collect(),
            tracker_id: tracker_id.as_deref(),
        });
        let text = message.to_json();
        prop_assert_eq!(shown(&ClientMessage::parse(&text).expect("it was written")), shown(&message));
    }

    #[test]
    fn an_answer_and_a_scrape_survive_the_round_trip(
        [info_hash, peer_id, to_peer_id, offer_id] in any::<[[u8; 20]; 4]>(),
        sdp in any::<String>(),
        info_hashes in vec(any::<[u8; 20]>(), 0..4),
    ) {
        let answer = DescriptionKind::Answer.describe(&sdp);
        let answer = ClientMessage::Answer {
            info_hash: info_hash.into(),
            peer_id: peer_id.into(),
            to_peer_id: to_peer_id.into(),
            offer_id: OfferId(offer_id),
            answer: &answer,
        };
        let scrape = ClientMessage::Scrape { info_hashes: info_hashes.into_iter().map(InfoHash::new).collect() };
        for message in [answer, scrape] {
            let text = message.to_json();
            prop_assert_eq!(shown(&ClientMessage::parse(&text).expect("it was written")), shown(&message));
        }
    }

    #[test]
    fn every_message_of_a_tracker_survives_the_round_trip(
        [info_hash, peer_id, offer_id] in any::<[[u8; 20]; 3]>(),
        (complete, incomplete, interval) in any::<(Option<u32>, Option<u32>, Option<u32>)>(),
        (tracker_id, warning) in (prop::option::of(any_raw()), any::<Option<String>>()),
        (sdp, reason) in any::<(String, String)>(),
        files in btree_map(any::<[u8; 20]>(), any::<(u32, u32, u32)>(), 0..4),
        (action, about) in any_failure_subject(),
    ) {
        let (info_hash, peer_id, offer_id) = (info_hash.into(), peer_id.into(), OfferId(offer_id));
        let (offer, answer) = (DescriptionKind::Offer.describe(&sdp), DescriptionKind::Answer.describe(&sdp));
        let counts = |(complete, incomplete, downloaded)| SwarmCounts { complete, incomplete, downloaded };
        let files = files.into_iter().map(|(hash, numbers)| (hash.into(), counts(numbers))).collect();
        let messages = [
            TrackerMessage::Announced {
                info_hash,
                complete,
                incomplete,
                interval,
                tracker_id: tracker_id.as_deref(),
                warning: warning.map(Cow::from),
            },
            TrackerMessage::Offer { info_hash, peer_id, offer_id, offer: &offer },
            TrackerMessage::Answer { info_hash, peer_id, offer_id, answer: &answer },
            TrackerMessage::Scraped { files, min_request_interval: interval },
            TrackerMessage::Failure { action, info_hash: about, reason: reason.into() },
        ];
        for message in messages {
            let text = message.to_json();
            prop_assert_eq!(shown(&TrackerMessage::parse(&text).expect("it was written")), shown(&message));
        }
    }

    #[test]
    fn an_sdp_comes_out_of_its_description_as_it_went_in(sdp in any::<String>()) {
        let description = DescriptionKind::Offer.describe(&sdp);
        let read = DescriptionKind::Offer.sdp(&description);
        prop_assert_eq!(read.as_deref(), Some(sdp.as_str()));
        prop_assert_eq!(DescriptionKind::Answer.sdp(&description), None);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(text in any::<String>()) {
        prop_assert!(ClientMessage::parse(&text).is_err());
        prop_assert!(TrackerMessage::parse(&text).is_err());
    }

    #[test]
    fn a_damaged_message_does_no_harm(at in any::<prop::sample::Index>(), with in ".{0,3}") {
        let text = announce_with(json!({ "offers": [offer_item(0xE9), null] }));
        let at = at.index(text.len());
        let at = text.floor_char_boundary(at);
        let rest = text[at..].chars().skip(1).collect::<String>();
        let damaged = format!("{}{with}{rest}", &text[..at]);
        if let Ok(message) = ClientMessage::parse(&damaged) {
            // Whatever was made of it can be written and read again.
            prop_assert!(ClientMessage::parse(&message.to_json()).is_ok());
        }
    }
}
