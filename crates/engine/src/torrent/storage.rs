//! What storage answers, and what follows for the pieces.

use super::{AnnounceEvent, Metadata, Output, Run, Torrent};
use crate::content::Verdict;
use crate::{Event, StorageError};
use causeway_core::{Block, PieceIndex, Sha1Hash};

impl Torrent {
    /// Whether so much waits to be written that no more is asked for.
    pub(super) const fn is_storage_behind(&self) -> bool {
        self.unwritten >= MAX_UNWRITTEN
    }

    pub(super) fn block_written(&mut self, block: Block, result: Result<(), StorageError>) {
        let was_behind = self.is_storage_behind();
        self.unwritten = self.unwritten.saturating_sub(block.length().into());
        if was_behind && !self.is_storage_behind() {
            self.touch_all();
        }
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        match result {
            Ok(()) => {
                if content.picker.written(block) {
                    self.hash(block.piece());
                }
            }
            Err(error) => {
                content.picker.write_failed(block);
                self.fail(error);
            }
        }
    }

    pub(super) fn piece_hashed(&mut self, piece: PieceIndex, result: Result<Sha1Hash, StorageError>) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        let (was_lacking, was_checking) = (content.lacks(piece), content.is_checking());
        let suppliers = content.picker.suppliers(piece);
        match content.judge(piece, result) {
            None => return,
            Some(Verdict::Right { files }) => {
                self.piece_is_right(piece, &suppliers);
                self.announce_piece(piece, was_lacking);
                self.tell(Event::PieceVerified(piece));
                for file in files {
                    self.tell(Event::FileCompleted(file));
                }
                let plan_is_done = self
                    .content()
                    .is_some_and(|content| content.picker.urgent().is_empty());
                if !self.readers.is_empty() && plan_is_done {
                    self.plan_streaming();
                }
                let is_complete = self.have().is_some_and(causeway_core::Bitfield::is_all);
                if is_complete && !was_checking && !self.config.relay {
                    self.out.push_back(Output::Announce(AnnounceEvent::Completed));
                }
            }
            Some(Verdict::Wrong) => self.piece_is_wrong(piece),
            Some(Verdict::Absent) => {}
            Some(Verdict::Unknown(error)) => self.fail(error),
        }
        self.check_stored();
        self.touch_all();
    }

    /// Goes on with the check of what is stored, if there is one.
    pub(super) fn check_stored(&mut self) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        if !matches!(self.run, Run::Running) {
            return;
        }
        while let Some(piece) = content.next_to_check() {
            self.out.push_back(Output::Hash { piece });
        }
        if content.end_check(&mut self.rng) {
            for peer in self.peers.values_mut() {
                peer.lacking = peer.pieces.known().map_or(0, |have| content.lacking_of(have));
            }
        }
    }

    /// Hashes the pieces that wait for nothing else: an earlier run left them so, or an error came between. Those that have
    /// just come wrong wait until it is known what each supplier sent, and come again then.
    pub(super) fn hash_what_is_written(&mut self) {
        let Metadata::Known(content) = &self.metadata else {
            return;
        };
        for piece in content.written_pieces() {
            if !self.trials.is_hearing(piece) {
                self.hash(piece);
            }
        }
    }

    fn hash(&mut self, piece: PieceIndex) {
        let Metadata::Known(content) = &mut self.metadata else {
            return;
        };
        if content.start_hashing(piece) {
            self.out.push_back(Output::Hash { piece });
        }
    }
}

/// Bytes that storage was given and has not answered for before no more are asked for: 8 MiB. What is soon written is still in the
/// processor's cache.
const MAX_UNWRITTEN: u64 = 8 * 1024 * 1024;
