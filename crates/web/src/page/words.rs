//! What the page says about a torrent.

use super::format;
use crate::protocol::{TorrentView, ViewState};

/// The state's name in the `data-state` attribute.
pub(super) fn state_name(state: ViewState) -> &'static str {
    match state {
        ViewState::Hashing => "hashing",
        ViewState::Connecting => "connecting",
        ViewState::Downloading => "downloading",
        ViewState::Seeding => "seeding",
        ViewState::Paused => "paused",
        ViewState::Error => "error",
    }
}

/// What the torrent is about, in a few words.
pub(super) fn doing(torrent: &TorrentView) -> &'static str {
    match torrent.state {
        ViewState::Hashing if torrent.own_files => "Reading",
        ViewState::Hashing => "Checking",
        ViewState::Connecting if torrent.files == 0 => "Looking for somebody who has it",
        ViewState::Connecting => "Waiting for somebody who has it",
        ViewState::Downloading => "Downloading",
        ViewState::Seeding if torrent.own_files => "Shared",
        ViewState::Seeding => "Complete",
        ViewState::Paused => "Paused",
        ViewState::Error => "Stopped",
    }
}

/// How much there is of how much: `12.3 MB of 45.6 MB (26%)`; the size alone once that is settled.
pub(super) fn extent(torrent: &TorrentView) -> String {
    let size = format::bytes(torrent.size);
    if torrent.size <= 0.0 {
        "Size not known yet".to_owned()
    } else if torrent.progress >= 1.0 {
        size
    } else if torrent.state == ViewState::Hashing {
        format!("{} of {size}", format::percent(torrent.progress))
    } else {
        let there = format::bytes(torrent.size * torrent.progress);
        format!("{there} of {size} ({})", format::percent(torrent.progress))
    }
}

/// `3 min left`, where that can be told.
pub(super) fn time_left(torrent: &TorrentView) -> Option<String> {
    let seconds = torrent
        .seconds_left
        .filter(|_| torrent.state == ViewState::Downloading)?;
    Some(format::duration(seconds) + " left")
}

/// What somebody who shares should know.
pub(super) fn advice(torrent: &TorrentView) -> Option<&'static str> {
    match torrent.state {
        ViewState::Seeding if torrent.own_files => {
            Some("Send the link to whoever should have it, and keep this tab open until they do.")
        }
        ViewState::Seeding => Some("Everything is here. While this tab is open, you pass it on to others."),
        ViewState::Hashing
        | ViewState::Connecting
        | ViewState::Downloading
        | ViewState::Paused
        | ViewState::Error => None,
    }
}
