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
        ViewState::Seeding if torrent.wanted <= 0.0 => "Nothing is chosen",
        ViewState::Seeding => "Complete",
        ViewState::Paused => "Paused",
        ViewState::Error => "Stopped",
    }
}

/// How much there is of how much is wanted: `12.3 MB of 45.6 MB (26%)`; the size alone once that is settled.
pub(super) fn extent(torrent: &TorrentView) -> String {
    let size = format::bytes(torrent.wanted);
    if torrent.size <= 0.0 {
        "Size not known yet".to_owned()
    } else if torrent.wanted <= 0.0 {
        format!("Nothing of {}", format::bytes(torrent.size))
    } else if torrent.progress >= 1.0 {
        size
    } else if torrent.state == ViewState::Hashing {
        format!("{} of {size}", format::percent(torrent.progress))
    } else {
        let there = format::bytes(torrent.wanted * torrent.progress);
        format!("{there} of {size} ({})", format::percent(torrent.progress))
    }
}

/// `3 min left`; nothing where that can't be told.
pub(super) fn time_left(torrent: &TorrentView) -> String {
    match torrent.seconds_left {
        Some(seconds) if torrent.state == ViewState::Downloading => format::duration(seconds) + " left",
        _ => String::new(),
    }
}

/// Whether it stands still and could go on.
pub(super) fn can_resume(torrent: &TorrentView) -> bool {
    matches!(torrent.state, ViewState::Paused | ViewState::Error)
}

/// What the button that pauses or resumes says.
pub(super) fn pausing(torrent: &TorrentView) -> &'static str {
    if can_resume(torrent) { "Resume" } else { "Pause" }
}

/// What the button that removes says.
pub(super) fn removing(torrent: &TorrentView) -> &'static str {
    if torrent.own_files {
        "Stop sharing"
    } else {
        "Remove"
    }
}

/// What the button says that saves several files at once.
pub(super) fn saving(count: usize, are_all: bool) -> String {
    let next = if are_all { "" } else { "the next " };
    format!("Save {next}{}", format::count(count, "file", "files"))
}

/// What a button is called where its torrent can't be seen beside it.
pub(super) fn of(button: &str, torrent: &TorrentView) -> String {
    format!("{button} “{}”", torrent.name)
}

/// What is asked before a torrent is removed.
pub(super) fn removal_question(torrent: &TorrentView) -> String {
    format!("Remove “{}”?", torrent.name)
}

/// What its removal does.
pub(super) fn removal_consequence(torrent: &TorrentView) -> String {
    let most = if torrent.state == ViewState::Hashing {
        "up to "
    } else {
        ""
    };
    format!(
        "The {most}{} that were downloaded for it are deleted from this browser. Files that you saved stay where they are.",
        format::bytes(torrent.stored)
    )
}

/// What somebody who shares should know.
pub(super) fn advice(torrent: &TorrentView) -> &'static str {
    match torrent.state {
        ViewState::Seeding if torrent.own_files => {
            "Send the link to whoever should have it, and keep this tab open until they do."
        }
        ViewState::Seeding if torrent.wanted <= 0.0 => "Choose the files that you want.",
        ViewState::Seeding if torrent.wanted < torrent.size => {
            "What you chose is here. While this tab is open, you pass it on to others."
        }
        ViewState::Seeding => "Everything is here. While this tab is open, you pass it on to others.",
        ViewState::Hashing
        | ViewState::Connecting
        | ViewState::Downloading
        | ViewState::Paused
        | ViewState::Error => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::state::tests::torrent;

    fn chosen(wanted: f64, progress: f64, state: ViewState) -> TorrentView {
        TorrentView {
            size: 10e9,
            wanted,
            progress,
            state,
            ..torrent(1)
        }
    }

    #[test]
    fn buttons_are_told_apart_by_their_torrents() {
        let paused = chosen(1e9, 0.5, ViewState::Paused);
        assert_eq!(of(pausing(&paused), &paused), "Resume “T”");
        let own = TorrentView {
            own_files: true,
            ..torrent(1)
        };
        assert_eq!(of(removing(&own), &own), "Stop sharing “T”");
    }

    #[test]
    fn figures_are_those_of_the_files_that_are_wanted() {
        let table = [
            (10e9, 0.5, ViewState::Downloading, "5.0 GB of 10.0 GB (50%)"),
            (1e9, 0.5, ViewState::Downloading, "500 MB of 1.0 GB (50%)"),
            (1e9, 1.0, ViewState::Seeding, "1.0 GB"),
            (0.0, 0.0, ViewState::Seeding, "Nothing of 10.0 GB"),
        ];
        for (wanted, progress, state, words) in table {
            assert_eq!(
                extent(&chosen(wanted, progress, state)),
                words,
                "{wanted} {progress}"
            );
        }
    }

    #[test]
    fn a_torrent_of_which_nothing_is_wanted_is_not_called_complete() {
        let nothing = chosen(0.0, 0.0, ViewState::Seeding);
        assert_eq!(doing(&nothing), "Nothing is chosen");
        assert_eq!(advice(&nothing), "Choose the files that you want.");
        let part = chosen(1e9, 1.0, ViewState::Seeding);
        assert_eq!(doing(&part), "Complete");
        assert!(advice(&part).starts_with("What you chose"));
        assert!(advice(&chosen(10e9, 1.0, ViewState::Seeding)).starts_with("Everything"));
    }
}
