//! The page's behaviour, told by what the worker says, what the user does, and what is then there to see.

use super::*;

#[test]
fn torrents_come_and_go_as_the_worker_says_and_the_newest_stands_first() {
    let mut state = State::default();
    state.handle_notice(Notice::Torrents(vec![torrent(1), torrent(2)]));
    assert!(state.newest_first().eq([TorrentId(2), TorrentId(1)]));

    state.handle_notice(Notice::Torrents(vec![torrent(2)]));
    assert!(state.newest_first().eq([TorrentId(2)]));
    assert!(state.torrent(TorrentId(1)).is_none());
}

#[test]
fn a_tab_that_waits_for_another_takes_over_from_it() {
    let mut state = State::default();
    assert_eq!(state.phase, Phase::Starting);
    state.handle_notice(Notice::Ready { storage: Ok(()) });
    assert_eq!(state.phase, Phase::Running);
    state.handle_notice(Notice::OtherTab);
    assert_eq!(state.phase, Phase::OtherTab);
    state.handle_notice(Notice::TakenOver);
    assert_eq!(state.phase, Phase::Running);
}

#[test]
fn a_browser_that_stores_nothing_is_told_of_and_the_page_goes_on() {
    let mut state = State::default();
    state.handle_notice(Notice::Ready {
        storage: Err("No storage here.".to_owned()),
    });
    assert_eq!(texts(&state), ["No storage here."]);
    assert_eq!(state.phase, Phase::Running);
}

#[test]
fn troubles_stay_until_dismissed_and_never_stand_there_twice() {
    let mut state = State::default();
    for text in ["a", "b", "a"] {
        state.handle_notice(Notice::Error(text.to_owned()));
    }
    assert_eq!(texts(&state), ["b", "a"]);

    let first = state.troubles().first().expect("two troubles").id;
    state.dismiss(first);
    assert_eq!(texts(&state), ["a"]);
    state.dismiss(first);
    assert_eq!(texts(&state), ["a"], "a trouble is dismissed once");
}

#[test]
fn a_flood_of_troubles_leaves_the_latest() {
    let mut state = State::default();
    for number in 0..1000 {
        state.complain(number.to_string());
    }
    assert_eq!(texts(&state), ["996", "997", "998", "999"]);
}

#[test]
fn files_follow_their_progress() {
    let mut state = with_files(&[10.0, 20.0]);
    state.handle_notice(Notice::FileProgress(
        TorrentId(1),
        vec![(1, 5.0, false), (7, 1.0, true)],
    ));
    let files: Vec<(f64, bool)> = state
        .files(TorrentId(1))
        .iter()
        .map(|file| (file.done, file.selected))
        .collect();
    assert_eq!(files, [(0.0, true), (5.0, false)]);
}

#[test]
fn files_of_a_torrent_that_is_not_there_are_not_kept() {
    let mut state = with_files(&[10.0]);
    state.handle_notice(Notice::Files(TorrentId(9), vec![file(1.0)]));
    state.handle_notice(Notice::FileProgress(TorrentId(9), vec![(0, 1.0, true)]));
    assert!(state.files(TorrentId(9)).is_empty());

    state.handle_notice(Notice::Torrents(Vec::new()));
    assert!(state.files(TorrentId(1)).is_empty());
}

#[test]
fn removal_asks_only_where_something_downloaded_would_be_deleted() {
    let own = TorrentView {
        own_files: true,
        progress: 1.0,
        ..torrent(1)
    };
    let empty = torrent(2);
    // Nothing of it is wanted any more, which does not make it less.
    let begun = TorrentView {
        stored: 50.0,
        wanted: 0.0,
        ..torrent(3)
    };
    let mut state = State::default();
    state.handle_notice(Notice::Torrents(vec![own, empty, begun]));

    assert_eq!(name(state.ask_removal(TorrentId(1))), "Remove(TorrentId(1))");
    assert_eq!(name(state.ask_removal(TorrentId(2))), "Remove(TorrentId(2))");
    assert_eq!(name(state.ask_removal(TorrentId(3))), "nothing");
    assert_eq!(state.leaving().map(|torrent| torrent.id), Some(TorrentId(3)));
    assert_eq!(name(state.confirm_removal()), "Remove(TorrentId(3))");
    assert_eq!(
        name(state.confirm_removal()),
        "nothing",
        "one answer to one question"
    );
}

#[test]
fn a_removal_can_be_thought_better_of() {
    let mut state = State::default();
    let begun = TorrentView {
        stored: 50.0,
        ..torrent(1)
    };
    state.handle_notice(Notice::Torrents(vec![begun]));
    state.ask_removal(TorrentId(1));
    state.cancel_removal();
    assert!(state.leaving().is_none());
    assert_eq!(name(state.confirm_removal()), "nothing");
}

#[test]
fn the_question_goes_when_its_torrent_goes() {
    let mut state = State::default();
    let begun = TorrentView {
        stored: 50.0,
        ..torrent(1)
    };
    state.handle_notice(Notice::Torrents(vec![begun]));
    state.ask_removal(TorrentId(1));
    state.handle_notice(Notice::Torrents(Vec::new()));
    assert!(state.leaving().is_none());
    assert_eq!(name(state.confirm_removal()), "nothing");
}

#[test]
fn selecting_a_file_tells_the_worker_of_all() {
    let mut state = with_files(&[10.0, 20.0, 30.0]);
    let request = state.select(TorrentId(1), 1, false);
    assert_eq!(name(request), "SelectFiles(TorrentId(1), [true, false, true])");
    let request = state.select_all(TorrentId(1), false);
    assert_eq!(name(request), "SelectFiles(TorrentId(1), [false, false, false])");
    assert_eq!(
        name(state.select(TorrentId(1), 3, true)),
        "nothing",
        "there is no fourth file"
    );
    assert_eq!(
        name(state.select_all(TorrentId(2), true)),
        "nothing",
        "nor a second torrent"
    );
}

#[test]
fn what_is_complete_can_be_saved_at_once() {
    let mut state = with_files(&[10.0, 20.0, 30.0]);
    state.handle_notice(Notice::FileProgress(TorrentId(1), vec![(0, 10.0, true)]));
    assert_eq!(
        state.to_save(TorrentId(1)),
        (vec![], true),
        "a single file has a button of its own"
    );

    state.handle_notice(Notice::FileProgress(
        TorrentId(1),
        vec![(1, 19.0, true), (2, 30.0, true)],
    ));
    let requests = state.save_next(TorrentId(1)).into_iter();
    let names: Vec<String> = requests.map(|request| name(Some(request))).collect();
    assert_eq!(names, ["Save(TorrentId(1), 0)", "Save(TorrentId(1), 2)"]);
    assert_eq!(state.to_save(TorrentId(1)), (vec![0, 2], true), "and once more");
}

#[test]
fn more_than_a_browser_hands_out_at_once_are_saved_in_turns() {
    let mut state = with_files(&[0.0; 250]);
    let mut saved = |first, count, are_all| {
        let (indices, all) = state.to_save(TorrentId(1));
        assert_eq!(
            (indices.first(), indices.len(), all),
            (Some(&first), count, are_all)
        );
        assert_eq!(state.save_next(TorrentId(1)).len(), count);
    };
    saved(0, 100, false);
    saved(100, 100, false);
    saved(200, 50, false);
    saved(0, 100, false);
    assert_eq!(with_files(&[0.0; 100]).to_save(TorrentId(1)).0.len(), 100);
}

#[test]
fn beginnings_and_ends_are_announced_and_progress_is_not() {
    use ViewState::{Connecting, Downloading, Error, Hashing, Paused, Seeding};
    let table = [
        // Before, after, of one's own files, what is said.
        (None, Hashing, true, "T was added."),
        (None, Connecting, false, "T was added."),
        (None, Paused, false, ""),
        (Some(Hashing), Seeding, true, "T can be shared now."),
        (None, Seeding, true, "T can be shared now."),
        (Some(Hashing), Seeding, false, ""),
        (Some(Downloading), Seeding, false, "T is complete."),
        (Some(Connecting), Downloading, false, ""),
        (Some(Downloading), Downloading, false, ""),
        (Some(Seeding), Seeding, true, ""),
        (Some(Downloading), Error, false, ""),
    ];
    for (before, after, own_files, said) in table {
        let mut state = State::default();
        let view = |state| TorrentView {
            state,
            own_files,
            ..torrent(1)
        };
        if let Some(before) = before {
            state.handle_notice(Notice::Torrents(vec![view(before)]));
            state.announce("");
        }
        state.handle_notice(Notice::Torrents(vec![view(after)]));
        assert_eq!(
            state.announcement(),
            said,
            "{before:?} to {after:?}, own files: {own_files}"
        );
    }
}

/// A torrent of 100 bytes, all of them wanted and none there.
pub(in crate::page) fn torrent(id: u32) -> TorrentView {
    TorrentView {
        id: TorrentId(id),
        info_hash: None,
        name: "T".to_owned(),
        state: ViewState::Downloading,
        message: None,
        progress: 0.0,
        size: 100.0,
        wanted: 100.0,
        stored: 0.0,
        download_rate: 0.0,
        upload_rate: 0.0,
        uploaded: 0.0,
        seconds_left: None,
        peers: 0,
        magnet: None,
        own_files: false,
        can_pause: true,
        files: 0,
    }
}

#[test]
fn a_torrent_of_which_nothing_is_wanted_is_not_announced_as_complete() {
    let mut state = State::default();
    state.handle_notice(Notice::Torrents(vec![torrent(1)]));
    state.announce("");
    let nothing = TorrentView {
        state: ViewState::Seeding,
        wanted: 0.0,
        ..torrent(1)
    };
    state.handle_notice(Notice::Torrents(vec![nothing]));
    assert_eq!(state.announcement(), "");
}

#[test]
fn the_page_is_missed_while_it_reads_or_shares_the_users_own_files() {
    let table = [
        (ViewState::Hashing, true, true),
        (ViewState::Seeding, true, true),
        (ViewState::Paused, true, false),
        (ViewState::Seeding, false, false),
        (ViewState::Downloading, false, false),
    ];
    for (view, own_files, is_missed) in table {
        let mut state = State::default();
        let torrent = TorrentView {
            state: view,
            own_files,
            ..torrent(1)
        };
        state.handle_notice(Notice::Torrents(vec![torrent]));
        assert_eq!(state.is_missed(), is_missed, "{view:?}, own files: {own_files}");
    }
}

#[test]
fn a_torrent_that_is_opened_again_is_said_to_be_there() {
    let mut state = State::default();
    state.handle_notice(Notice::Known(TorrentId(1)));
    assert_eq!(
        state.announcement(),
        "",
        "one that is not shown yet is news by itself"
    );
    state.handle_notice(Notice::Torrents(vec![torrent(1)]));
    state.handle_notice(Notice::Known(TorrentId(1)));
    assert_eq!(state.announcement(), "T is in your list already.");
}

fn file(length: f64) -> FileView {
    FileView {
        path: "f".to_owned(),
        length,
        done: 0.0,
        selected: true,
    }
}

/// Torrent 1 with files of these lengths.
fn with_files(lengths: &[f64]) -> State {
    let mut state = State::default();
    state.handle_notice(Notice::Torrents(vec![torrent(1)]));
    state.handle_notice(Notice::Files(
        TorrentId(1),
        lengths.iter().copied().map(file).collect(),
    ));
    state
}

fn texts(state: &State) -> Vec<&str> {
    state
        .troubles()
        .iter()
        .map(|trouble| trouble.text.as_str())
        .collect()
}

fn name(request: Option<Request>) -> String {
    request.map_or("nothing".to_owned(), |request| format!("{request:?}"))
}
