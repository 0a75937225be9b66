use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: LinkId = LinkId(1);
const B: LinkId = LinkId(2);
const NOW: Time = Time::ZERO;

/// Metadata of three parts and one byte.
fn metadata() -> Bytes {
    (0..=3 * METADATA_PIECE_LENGTH)
        .map(|byte| (byte % 251) as u8)
        .collect()
}

fn part(bytes: &Bytes, index: u32) -> Bytes {
    let start = (index * METADATA_PIECE_LENGTH) as usize;
    bytes.slice(start..bytes.len().min(start + METADATA_PIECE_LENGTH as usize))
}

fn fetch_from(links: &[LinkId]) -> MetadataFetch {
    let mut fetch = MetadataFetch::new(InfoHash::new(*sha1(&metadata()).as_bytes()));
    let size = u32::try_from(metadata().len()).expect("small");
    for link in links {
        fetch.offered(*link, size);
    }
    fetch
}

/// Answers every request, `liar` with zeros, until nothing is asked any more.
fn answer_all(fetch: &mut MetadataFetch, liar: Option<LinkId>, now: Time) -> Outcome {
    let mut outcome = Outcome::Incomplete;
    for (link, index) in fetch.requests(now) {
        let right = part(&metadata(), index);
        let data = if liar == Some(link) {
            vec![0; right.len()].into()
        } else {
            right
        };
        outcome = fetch.received(link, index, data);
    }
    outcome
}

#[test]
fn the_parts_are_shared_among_all_that_have_them() {
    let mut fetch = fetch_from(&[A, B]);
    assert_eq!(fetch.requests(NOW), [(A, 0), (B, 1), (A, 2), (B, 3)]);
    assert_eq!(fetch.requests(NOW), [], "each part is asked for once");
    for (link, index) in [(B, 1), (A, 0), (B, 3)] {
        assert_eq!(
            fetch.received(link, index, part(&metadata(), index)),
            Outcome::Incomplete
        );
    }
    assert_eq!(
        fetch.received(A, 2, part(&metadata(), 2)),
        Outcome::Complete(metadata())
    );
}

#[test]
fn what_was_not_asked_for_or_has_the_wrong_length_is_ignored() {
    let mut fetch = fetch_from(&[A, B]);
    fetch.requests(NOW);
    assert_eq!(
        fetch.received(B, 0, part(&metadata(), 0)),
        Outcome::Incomplete,
        "it was asked of another"
    );
    assert_eq!(fetch.received(A, 9, Bytes::new()), Outcome::Incomplete);
    assert_eq!(
        fetch.received(A, 0, Bytes::from_static(b"short")),
        Outcome::Incomplete
    );
    assert_eq!(
        fetch.requests(NOW),
        [(B, 0), (B, 2)],
        "a peer with parts of the wrong length is no source"
    );
    assert_eq!(
        answer_all(&mut fetch_from(&[B]), None, NOW),
        Outcome::Complete(metadata())
    );
}

#[test]
fn a_rejected_or_unanswered_part_is_asked_of_another() {
    let mut fetch = fetch_from(&[A, B]);
    fetch.requests(NOW);
    fetch.rejected(A, 0, NOW);
    assert_eq!(fetch.requests(NOW), [(B, 0)]);
    let later = NOW + PATIENCE;
    fetch.expire(later);
    assert_eq!(fetch.requests(later), [], "both rest");
    let rested = later + REST;
    assert_eq!(fetch.requests(rested).len(), 4);
}

#[test]
fn parts_of_a_peer_that_left_are_asked_of_another() {
    let mut fetch = fetch_from(&[A, B]);
    fetch.requests(NOW);
    fetch.gone(A);
    assert_eq!(fetch.requests(NOW), [(B, 0), (B, 2)]);
}

#[test]
fn a_peer_that_alone_sent_wrong_metadata_is_to_blame() {
    let mut fetch = fetch_from(&[A]);
    assert_eq!(answer_all(&mut fetch, Some(A), NOW), Outcome::Wrong(Some(A)));
}

#[test]
fn after_wrong_metadata_from_several_each_is_tried_alone_until_the_liar_is_found() {
    let mut fetch = fetch_from(&[A, B]);
    assert_eq!(answer_all(&mut fetch, Some(A), NOW), Outcome::Wrong(None));
    let requests = fetch.requests(NOW);
    assert!(requests.iter().all(|(link, _)| *link == A), "{requests:?}");
    for (link, index) in requests {
        let wrong = vec![0; part(&metadata(), index).len()].into();
        if let Outcome::Wrong(liar) = fetch.received(link, index, wrong) {
            assert_eq!(liar, Some(A));
        }
    }
    fetch.gone(A);
    assert_eq!(answer_all(&mut fetch, None, NOW), Outcome::Complete(metadata()));
}

#[test]
fn a_liar_about_the_length_keeps_nobody_from_the_metadata() {
    let mut fetch = fetch_from(&[]);
    fetch.offered(A, 5);
    fetch.offered(LinkId(7), u32::MAX);
    fetch.offered(LinkId(8), 0);
    assert_eq!(fetch.requests(NOW), [(A, 0)], "absurd lengths are no offers");
    fetch.offered(B, u32::try_from(metadata().len()).expect("small"));
    assert_eq!(
        fetch.received(A, 0, Bytes::from_static(b"wrong")),
        Outcome::Wrong(Some(A))
    );
    fetch.gone(A);
    assert_eq!(answer_all(&mut fetch, None, NOW), Outcome::Complete(metadata()));
}

#[test]
fn a_silent_liar_about_the_length_keeps_nobody_from_the_metadata() {
    let mut fetch = fetch_from(&[]);
    fetch.offered(A, 5);
    fetch.requests(NOW);
    fetch.offered(B, u32::try_from(metadata().len()).expect("small"));
    let later = NOW + PATIENCE;
    fetch.expire(later);
    assert_eq!(answer_all(&mut fetch, None, later), Outcome::Complete(metadata()));
}
