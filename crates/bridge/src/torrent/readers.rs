//! Who reads a torrent while it comes: what they read next is fetched before everything else.

use std::collections::BTreeMap;

use causeway_core::Time;
use causeway_engine::{Command, Input, Reader, State};
use core::ops::Range;
use core::time::Duration;

use super::task::Task;

/// The readers, by the names that they gave themselves.
#[derive(Debug, Default)]
pub(super) struct Readers {
    reading: BTreeMap<u64, Reader>,
    /// Everything is to come in its order.
    is_sequential: bool,
    /// When the engine is told next how far they are.
    pub(super) due: Option<Time>,
}

impl Readers {
    /// Nobody reads yet.
    pub(super) fn new(is_sequential: bool) -> Self {
        Self {
            is_sequential,
            ..Self::default()
        }
    }

    /// What is read next.
    pub(super) fn all(&self) -> impl Iterator<Item = Range<u64>> {
        let readers = self.reading.values();
        readers.map(|reader| reader.position..reader.end)
    }
}

impl Task {
    /// Somebody reads there, or does not any more.
    pub(super) fn read_by(&mut self, name: u64, reader: Option<Reader>) {
        match reader {
            Some(reader) => self.readers.reading.insert(name, reader),
            None => self.readers.reading.remove(&name),
        };
        if self.relaying.is_none() {
            self.tell_readers();
        } else if let Some(reader) = reader {
            self.read_ahead(reader.position..reader.end);
        }
    }

    /// Tells the engine where everybody reads.
    pub(super) fn tell_readers(&mut self) {
        self.readers.due = None;
        let Some(info) = self.torrent.info() else { return };
        let end = info.geometry().total_length();
        let mut all: Vec<Reader> = self.readers.reading.values().copied().collect();
        if self.readers.is_sequential {
            all.push(Reader {
                position: 0,
                end,
                rate: SEQUENTIAL_RATE,
            });
        }
        if !all.is_empty() && *self.torrent.state() == State::Downloading {
            self.readers.due = Some(self.shared.now() + TELL_EVERY);
        }
        self.tell(Input::Command(Command::Stream(all)));
    }
}

/// What comes in its order is in no hurry: only the order counts. Bytes a second.
const SEQUENTIAL_RATE: u64 = 128 * 1024;
/// Deadlines are made anew so often.
const TELL_EVERY: Duration = Duration::from_secs(1);
