//! A session as the page shows it.

use causeway_core::{FileEntry, Info};
use causeway_engine::{State, StorageError};

use super::session::{Phase, Running, Session};
use crate::protocol::{FileView, Notice, TorrentView, ViewState};

/// The session now. `tracker_hint` says what is wrong with its trackers, if nothing but something is.
#[expect(clippy::cast_precision_loss, reason = "bytes and rates for display")]
pub(super) fn torrent(session: &Session, tracker_hint: Option<String>) -> TorrentView {
    let info = session.info();
    let size = info.map_or(0.0, |info| info.geometry().total_length() as f64);
    let mut view = TorrentView {
        id: session.id,
        info_hash: session.info_hash().map(|hash| hash.to_string()),
        name: session.display_name().to_owned(),
        state: ViewState::Hashing,
        message: None,
        progress: 0.0,
        size,
        wanted: size,
        stored: 0.0,
        download_rate: 0.0,
        upload_rate: 0.0,
        uploaded: 0.0,
        seconds_left: None,
        peers: 0,
        magnet: session.magnet().map(|magnet| magnet.to_string()),
        own_files: session.record.own == 1,
        files: info.map_or(0, |info| u32::try_from(info.files().len()).unwrap_or(u32::MAX)),
        can_pause: matches!(session.phase, Phase::Running(_)),
    };
    match &session.phase {
        Phase::Beginning => {}
        Phase::Hashing(hashing) => view.progress = hashing.progress,
        Phase::Stuck(stuck) => {
            view.state = if session.record.own == 1 {
                ViewState::Paused
            } else {
                ViewState::Error
            };
            view.message = Some(stuck.message.clone());
            view.stored = stuck.stored as f64;
        }
        Phase::Running(running) => add_running(&mut view, running, tracker_hint),
    }
    view
}

#[expect(clippy::cast_precision_loss, reason = "bytes and rates for display")]
fn add_running(view: &mut TorrentView, running: &Running, tracker_hint: Option<String>) {
    let stats = running.torrent.stats();
    view.peers = u32::try_from(stats.peers).unwrap_or(u32::MAX);
    view.download_rate = stats.download_rate as f64;
    view.upload_rate = stats.upload_rate as f64;
    view.uploaded = stats.uploaded as f64;
    view.wanted = stats.wanted as f64;
    if stats.wanted > 0 {
        view.progress = stats.wanted_verified as f64 / stats.wanted as f64;
    }
    if !view.own_files {
        view.stored = running.stored() as f64;
    }
    (view.state, view.message) = match running.torrent.state() {
        State::Checking => {
            view.progress = 1.0
                - f64::from(stats.unchecked_pieces)
                    / running
                        .torrent
                        .info()
                        .map_or(1.0, |info| f64::from(info.geometry().pieces()));
            (ViewState::Hashing, None)
        }
        State::FetchingMetadata => (ViewState::Connecting, tracker_hint),
        State::Downloading if !running.is_moving() => (
            ViewState::Connecting,
            tracker_hint.or_else(|| running.web_trouble.clone()),
        ),
        State::Downloading => {
            let left = stats.wanted.saturating_sub(stats.wanted_verified) as f64;
            view.seconds_left = (view.download_rate > 0.0).then(|| left / view.download_rate);
            (ViewState::Downloading, None)
        }
        State::Seeding => (ViewState::Seeding, tracker_hint),
        State::Paused => (ViewState::Paused, None),
        State::Failed(error) => (ViewState::Error, Some(storage_message(error))),
    };
}

fn storage_message(error: &StorageError) -> String {
    match error {
        StorageError::Full => {
            "There is no space left for this download. Free some space and resume it: what is \
            already here is kept."
                .to_owned()
        }
        StorageError::Missing => {
            "What was downloaded can't be found any more. Resume to fetch it again.".to_owned()
        }
        StorageError::Failed(error) => format!("{error}."),
    }
}

/// What the page has not been told of the session's files.
pub(super) fn take_files(session: &mut Session) -> Option<Notice> {
    let info = session.info()?.clone();
    let changed = std::mem::take(&mut session.changed_files);
    if !std::mem::replace(&mut session.files_shown, true) {
        return Some(Notice::Files(session.id, files(session, &info)));
    }
    let progress = |index: usize| {
        let (done, selected) = progress_of(session, index);
        (u32::try_from(index).unwrap_or(u32::MAX), done, selected)
    };
    let changed: Vec<_> = changed.into_iter().map(progress).collect();
    (!changed.is_empty()).then_some(Notice::FileProgress(session.id, changed))
}

#[expect(clippy::cast_precision_loss, reason = "bytes for display")]
fn files(session: &Session, info: &Info) -> Vec<FileView> {
    let view = |(index, entry): (usize, &FileEntry)| {
        let (done, selected) = progress_of(session, index);
        FileView {
            path: entry.display_path(),
            length: entry.length() as f64,
            done,
            selected,
        }
    };
    info.files().iter().enumerate().map(view).collect()
}

#[expect(clippy::cast_precision_loss, reason = "bytes for display")]
fn progress_of(session: &Session, file: usize) -> (f64, bool) {
    match &session.phase {
        Phase::Running(running) => (
            running.torrent.file_progress(file) as f64,
            running.torrent.is_selected(file),
        ),
        Phase::Beginning | Phase::Hashing(..) | Phase::Stuck(..) => (0.0, true),
    }
}
