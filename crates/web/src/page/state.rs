//! What the page shows, and how every notice of the worker and every act of the user changes it.
//!
//! Nothing here knows a browser. What an act asks of the worker is returned as the [`Request`] to send.

use crate::protocol::{FileView, Notice, Request, TorrentId, TorrentView, ViewState};

/// Everything that the page shows.
#[derive(Debug, Default)]
pub(super) struct State {
    /// How far this tab is.
    pub(super) phase: Phase,
    /// Whether what was dropped is still being looked through.
    pub(super) reading: bool,
    /// In the order the user added them.
    torrents: Vec<TorrentView>,
    /// Of torrents whose files are known. Never those of a torrent that isn't in `torrents`.
    files: Vec<Files>,
    troubles: Vec<Trouble>,
    next_trouble: u32,
    /// The torrent whose removal waits for the user's word.
    leaving: Option<TorrentId>,
    /// What a screen reader says next.
    announcement: String,
}

#[derive(Debug)]
struct Files {
    torrent: TorrentId,
    list: Vec<FileView>,
    /// Another one after every change.
    version: u32,
    /// Where those begin that are saved next.
    next_saved: usize,
}

/// How far this tab is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The worker has not spoken yet.
    #[default]
    Starting,
    /// The worker runs the torrents.
    Running,
    /// Another tab does.
    OtherTab,
}

/// Something that did not work, until the user dismisses it.
#[derive(Debug)]
pub(super) struct Trouble {
    /// Its name while it is shown.
    pub(super) id: u32,
    /// What happened and what to do.
    pub(super) text: String,
}

/// More would bury the page; the oldest goes.
const MAX_TROUBLES: usize = 4;

/// Browsers ask about, or refuse, more downloads at once than that.
const MAX_SAVED_AT_ONCE: usize = 100;

impl State {
    /// Takes in what the worker said. Notices that go with a browser object, or that are about connections, change
    /// nothing here.
    pub(super) fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Ready { storage } => {
                self.phase = Phase::Running;
                if let Err(trouble) = storage {
                    self.complain(trouble);
                }
            }
            Notice::OtherTab => self.phase = Phase::OtherTab,
            Notice::TakenOver => self.phase = Phase::Running,
            Notice::Torrents(torrents) => self.handle_torrents(torrents),
            Notice::Files(torrent, files) => {
                self.files.retain(|files| files.torrent != torrent);
                if self.torrent(torrent).is_some() {
                    self.files.push(Files {
                        torrent,
                        list: files,
                        version: 0,
                        next_saved: 0,
                    });
                }
            }
            Notice::FileProgress(torrent, changes) => {
                let files = self.files_mut(torrent).unwrap_or_default();
                for (index, done, selected) in changes {
                    if let Some(file) = files.get_mut(index as usize) {
                        file.done = done;
                        file.selected = selected;
                    }
                }
            }
            Notice::Known(id) => {
                if let Some(torrent) = self.torrent(id) {
                    self.announcement = torrent.name.clone() + " is in your list already.";
                }
            }
            Notice::Error(trouble) => self.complain(trouble),
            Notice::File { .. }
            | Notice::CreateOffer(..)
            | Notice::AcceptOffer(..)
            | Notice::AcceptAnswer(..)
            | Notice::EndGathering(_)
            | Notice::CloseConnection(_) => {}
        }
    }

    fn handle_torrents(&mut self, torrents: Vec<TorrentView>) {
        for torrent in &torrents {
            if let Some(news) = news(self.torrent(torrent.id), torrent) {
                self.announcement = news;
            }
        }
        self.torrents = torrents;
        let torrents = &self.torrents;
        let is_there = |id: &TorrentId| torrents.iter().any(|torrent| torrent.id == *id);
        self.files.retain(|files| is_there(&files.torrent));
        self.leaving = self.leaving.filter(is_there);
    }

    /// Whether leaving the page ends what the user would have to begin again: files are being read, or are shared from
    /// where they lie, which a page may not go on with by itself.
    pub(super) fn is_missed(&self) -> bool {
        self.torrents.iter().any(|torrent| {
            torrent.own_files && matches!(torrent.state, ViewState::Hashing | ViewState::Seeding)
        })
    }

    /// The torrents' names, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = TorrentId> {
        self.torrents.iter().rev().map(|torrent| torrent.id)
    }

    /// A torrent, while it is there.
    pub(super) fn torrent(&self, id: TorrentId) -> Option<&TorrentView> {
        self.torrents.iter().find(|torrent| torrent.id == id)
    }

    /// The files of a torrent, where they are known.
    pub(super) fn files(&self, id: TorrentId) -> &[FileView] {
        self.files_of(id).map_or(&[], |files| &files.list)
    }

    /// Differs from what it was before whenever one of the torrent's files has changed.
    pub(super) fn files_version(&self, id: TorrentId) -> u32 {
        self.files_of(id).map_or(0, |files| files.version)
    }

    fn files_of(&self, id: TorrentId) -> Option<&Files> {
        self.files.iter().find(|files| files.torrent == id)
    }

    fn files_mut(&mut self, id: TorrentId) -> Option<&mut [FileView]> {
        let files = self.files.iter_mut().find(|files| files.torrent == id)?;
        files.version = files.version.wrapping_add(1);
        Some(&mut files.list)
    }

    /// What did not work, oldest first.
    pub(super) fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// The last thing worth interrupting nobody for, but worth saying.
    pub(super) fn announcement(&self) -> &str {
        &self.announcement
    }

    /// Says it once nothing else is being said.
    pub(super) fn announce(&mut self, text: &str) {
        text.clone_into(&mut self.announcement);
    }

    /// Shows what did not work. Said again, it moves to the end instead of standing there twice.
    pub(super) fn complain(&mut self, text: String) {
        self.troubles.retain(|trouble| trouble.text != text);
        if self.troubles.len() == MAX_TROUBLES {
            self.troubles.remove(0);
        }
        self.troubles.push(Trouble {
            id: self.next_trouble,
            text,
        });
        self.next_trouble = self.next_trouble.wrapping_add(1);
    }

    /// The user has read it.
    pub(super) fn dismiss(&mut self, id: u32) {
        self.troubles.retain(|trouble| trouble.id != id);
    }

    /// The user wants to be rid of a torrent. Where that would delete something that was downloaded, it waits for
    /// [`State::confirm_removal`].
    pub(super) fn ask_removal(&mut self, id: TorrentId) -> Option<Request> {
        let torrent = self.torrent(id)?;
        if torrent.stored > 0.0 {
            self.leaving = Some(id);
            None
        } else {
            Some(Request::Remove(id))
        }
    }

    /// The torrent whose removal waits for the user's word.
    pub(super) fn leaving(&self) -> Option<&TorrentView> {
        self.leaving.and_then(|id| self.torrent(id))
    }

    /// The user means it.
    pub(super) fn confirm_removal(&mut self) -> Option<Request> {
        self.leaving.take().map(Request::Remove)
    }

    /// The user does not.
    pub(super) fn cancel_removal(&mut self) {
        self.leaving = None;
    }

    /// The user wants this file, or no longer does.
    pub(super) fn select(&mut self, id: TorrentId, file: usize, selected: bool) -> Option<Request> {
        self.files_mut(id)?.get_mut(file)?.selected = selected;
        Some(self.selection(id))
    }

    /// The user wants all files, or none.
    pub(super) fn select_all(&mut self, id: TorrentId, selected: bool) -> Option<Request> {
        for file in self.files_mut(id)? {
            file.selected = selected;
        }
        Some(self.selection(id))
    }

    fn selection(&self, id: TorrentId) -> Request {
        Request::SelectFiles(id, self.files(id).iter().map(|file| file.selected).collect())
    }

    /// The complete files that are saved next, as many as a browser hands out at once, and whether they are all that are
    /// complete. None where that is a single one.
    pub(super) fn to_save(&self, id: TorrentId) -> (Vec<u32>, bool) {
        let complete: Vec<u32> = (0..)
            .zip(self.files(id))
            .filter(|(_, file)| is_complete(file.done, file.length))
            .map(|(index, _)| index)
            .collect();
        if complete.len() < 2 {
            return (Vec::new(), true);
        }
        if complete.len() <= MAX_SAVED_AT_ONCE {
            return (complete, true);
        }
        let next = self.files_of(id).map_or(0, |files| files.next_saved);
        let from = complete.partition_point(|index| (*index as usize) < next);
        // After the last ones come the first again.
        let rest = complete.get(from..).filter(|rest| !rest.is_empty());
        let rest = rest.unwrap_or(&complete);
        (rest.iter().copied().take(MAX_SAVED_AT_ONCE).collect(), false)
    }

    /// Saves those, and goes on after them the next time.
    pub(super) fn save_next(&mut self, id: TorrentId) -> Vec<Request> {
        let (indices, _) = self.to_save(id);
        let files = self.files.iter_mut().find(|files| files.torrent == id);
        if let (Some(files), Some(last)) = (files, indices.last()) {
            files.next_saved = *last as usize + 1;
        }
        indices
            .into_iter()
            .map(|index| Request::Save(id, index))
            .collect()
    }
}

/// Whether the whole file is there.
pub(super) fn is_complete(done: f64, length: f64) -> bool {
    done >= length
}

/// What is worth telling somebody who doesn't see the page: beginnings and ends, never progress.
fn news(before: Option<&TorrentView>, now: &TorrentView) -> Option<String> {
    let what = match (before.map(|torrent| torrent.state), now.state) {
        (None, ViewState::Connecting | ViewState::Downloading | ViewState::Hashing) => " was added.",
        (Some(ViewState::Seeding), ViewState::Seeding) => return None,
        (_, ViewState::Seeding) if now.own_files => " can be shared now.",
        (_, ViewState::Seeding) if now.wanted <= 0.0 => return None,
        (Some(ViewState::Connecting | ViewState::Downloading), ViewState::Seeding) => " is complete.",
        _ => return None,
    };
    Some(now.name.clone() + what)
}

#[cfg(test)]
pub(super) mod tests;
