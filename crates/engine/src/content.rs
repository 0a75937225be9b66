//! What a torrent with metadata is made of, and how much of it is there.

use causeway_core::{Bitfield, Geometry, Info, PieceIndex, Sha1Hash, SortedSet};
use fastrand::Rng;
use std::sync::Arc;

use crate::peer_pieces::PeerPieces;
use crate::picker::Picker;
use crate::{Snapshot, StorageError, Stored};

/// The pieces of a torrent.
///
/// Invariants: the picker fetches exactly the pieces that are wanted and not had, none while stored pieces are
/// being checked; `tally` adds up `have` and `wanted`; a piece that is being hashed is not had.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) info: Arc<Info>,
    pub(crate) picker: Picker,
    have: Bitfield,
    /// An entry a file; files past the end are wanted.
    selected: Vec<bool>,
    /// The pieces of the selected files.
    wanted: Bitfield,
    /// An entry a file; files past the end are as good as others.
    preferred: Vec<bool>,
    tally: Tally,
    /// Verified bytes of each file.
    files: Vec<u64>,
    /// The pieces of which a hash was asked for.
    hashing: SortedSet<PieceIndex>,
    check: Option<Check>,
}

/// Sums that are asked for often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes of wanted pieces.
    pub(crate) wanted: u64,
    /// Bytes of wanted pieces that are verified.
    pub(crate) wanted_verified: u64,
    /// Bytes of all pieces that are verified.
    pub(crate) verified: u64,
}

/// Stored pieces of which nobody knows whether they are right.
#[derive(Debug)]
struct Check {
    /// Pieces from here on were not looked at.
    next: u32,
    /// Pieces that have to be hashed again, after an error.
    again: SortedSet<PieceIndex>,
}

/// What a hash says of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is right.
    Right {
        /// The files that are complete now.
        files: Vec<usize>,
    },
    /// It was fetched, and is wrong.
    Wrong,
    /// It was looked for in storage, and isn't there.
    Absent,
    /// Storage can't say.
    Unknown(StorageError),
}

impl Content {
    pub(crate) fn new(info: Arc<Info>, stored: &Stored, selected: Vec<bool>, rng: &mut Rng) -> Self {
        let geometry = info.geometry();
        let have = match stored {
            Stored::Nothing | Stored::Unknown => Bitfield::none(geometry.pieces()),
            Stored::Everything => Bitfield::all(geometry.pieces()),
            Stored::Partly(snapshot) => snapshot.have(geometry),
        };
        let check = (*stored == Stored::Unknown).then(|| Check {
            next: 0,
            again: SortedSet::new(),
        });
        let files = info.files().iter().map(|_| 0).collect();
        let mut content = Self {
            picker: Picker::new(geometry, have.count_ones()),
            have: Bitfield::none(geometry.pieces()),
            wanted: Bitfield::none(geometry.pieces()),
            tally: Tally::default(),
            files,
            selected: Vec::new(),
            preferred: Vec::new(),
            hashing: SortedSet::new(),
            check,
            info,
        };
        if have.is_all() {
            content.have_everything(have);
        } else {
            for piece in geometry.all_pieces().filter(|piece| have.has(*piece)) {
                content.insert(piece);
            }
        }
        content.select(selected, rng);
        if let Stored::Partly(snapshot) = stored {
            for (piece, blocks) in snapshot.partial(geometry) {
                content.picker.restore(piece, blocks);
            }
        }
        content
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.info.geometry()
    }

    pub(crate) const fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether this piece is wanted, had or not.
    pub(crate) fn wants(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece)
    }

    /// Whether this piece is wanted and not had.
    pub(crate) fn lacks(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece) && !self.have.has(piece)
    }

    /// How many of these pieces are wanted and not had.
    pub(crate) fn lacking_of(&self, theirs: &Bitfield) -> u32 {
        let bytes = theirs
            .as_bytes()
            .iter()
            .zip(self.wanted.as_bytes())
            .zip(self.have.as_bytes());
        bytes
            .map(|((theirs, wanted), have)| (theirs & wanted & !have).count_ones())
            .sum()
    }

    /// Whether everything that is wanted is had.
    pub(crate) const fn is_finished(&self) -> bool {
        self.tally.wanted == self.tally.wanted_verified
    }

    pub(crate) const fn is_checking(&self) -> bool {
        self.check.is_some()
    }

    /// Pieces whose storage was not looked at yet.
    pub(crate) fn unchecked(&self) -> u32 {
        self.check.as_ref().map_or(0, |check| {
            let again = u32::try_from(check.again.len()).unwrap_or(u32::MAX);
            let hashing = u32::try_from(self.hashing.len()).unwrap_or(u32::MAX);
            self.geometry().pieces() - check.next + again + hashing
        })
    }

    pub(crate) fn is_selected(&self, file: usize) -> bool {
        file < self.files.len() && self.selected.get(file).copied().unwrap_or(true)
    }

    pub(crate) fn verified_of_file(&self, file: usize) -> u64 {
        self.files.get(file).copied().unwrap_or(0)
    }

    /// A peer with these pieces is connected; what a seed has changes no order and is not counted.
    pub(crate) fn count(&mut self, have: Bitfield, rng: &mut Rng) -> PeerPieces {
        let is_seed = have.is_all();
        if !is_seed {
            self.picker.add_peer(&have, rng);
        }
        PeerPieces::Known { have, is_seed }
    }

    /// That peer is gone.
    pub(crate) fn uncount(&mut self, pieces: &PeerPieces, rng: &mut Rng) {
        if let PeerPieces::Known { have, is_seed: false } = pieces {
            self.picker.remove_peer(have, rng);
        }
    }

    /// Wants these files from now on.
    pub(crate) fn select(&mut self, selected: Vec<bool>, rng: &mut Rng) {
        self.selected = selected;
        let geometry = self.geometry();
        let mut wanted = Bitfield::none(geometry.pieces());
        let files = self.info.files().iter().enumerate();
        for (_, file) in files.filter(|(index, file)| self.is_selected(*index) && !file.is_padding()) {
            for piece in geometry.pieces_of(file.offset()..file.offset() + file.length()) {
                wanted.insert(piece);
            }
        }
        self.wanted = wanted;
        self.tally.wanted = 0;
        self.tally.wanted_verified = 0;
        for piece in geometry.all_pieces().filter(|piece| self.wanted.has(*piece)) {
            let length = u64::from(geometry.length_of(piece));
            self.tally.wanted += length;
            self.tally.wanted_verified += if self.have.has(piece) { length } else { 0 };
        }
        if !self.is_checking() {
            self.instruct_picker(rng);
        }
    }

    /// Fetches these files first from now on.
    pub(crate) fn prefer(&mut self, preferred: Vec<bool>) {
        self.preferred = preferred;
        self.tell_preferences();
    }

    fn tell_preferences(&mut self) {
        let geometry = self.geometry();
        let files = self.info.files().iter().enumerate();
        let is_preferred = |index: usize| self.preferred.get(index) == Some(&true) && self.is_selected(index);
        let files = files.filter(|(index, file)| is_preferred(*index) && !file.is_padding());
        let pieces =
            files.flat_map(|(_, file)| geometry.pieces_of(file.offset()..file.offset() + file.length()));
        let lacking = pieces.filter(|piece| !self.have.has(*piece)).collect();
        self.picker.prefer(lacking);
    }

    /// The next stored piece that is to be hashed, unless enough are being hashed already.
    pub(crate) fn next_to_check(&mut self) -> Option<PieceIndex> {
        if self.hashing.len() >= MOST_CHECKING {
            return None;
        }
        let geometry = self.info.geometry();
        let check = self.check.as_mut()?;
        let piece = check.again.pop_first().or_else(|| {
            let piece = geometry.piece(check.next)?;
            check.next += 1;
            Some(piece)
        })?;
        self.hashing.insert(piece);
        Some(piece)
    }

    /// Ends the check if every piece was looked at. Says whether it did.
    pub(crate) fn end_check(&mut self, rng: &mut Rng) -> bool {
        let ends = self.is_checking() && self.unchecked() == 0;
        if ends {
            self.check = None;
            self.instruct_picker(rng);
        }
        ends
    }

    /// Says whether this piece is to be hashed now: storage has all of it, and no hash was asked for.
    pub(crate) fn start_hashing(&mut self, piece: PieceIndex) -> bool {
        self.picker.is_written(piece) && self.hashing.insert(piece)
    }

    /// Whether so many fetched pieces wait for their hash that no more should be fetched.
    pub(crate) fn is_hashing_behind(&self) -> bool {
        let bytes = self.hashing.len() as u64 * u64::from(self.geometry().piece_length());
        self.hashing.len() > LEAST_HASHING && bytes > MOST_HASHING
    }

    /// What the hash says; `None` where none was asked for.
    pub(crate) fn judge(
        &mut self,
        piece: PieceIndex,
        result: Result<Sha1Hash, StorageError>,
    ) -> Option<Verdict> {
        if !self.hashing.remove(&piece) {
            return None;
        }
        let is_check = self.is_checking();
        Some(match result {
            Ok(hash) if hash == self.info.piece_hash(piece) => {
                self.picker.verified(piece);
                Verdict::Right {
                    files: self.insert(piece),
                }
            }
            Ok(_) | Err(StorageError::Missing) if is_check => Verdict::Absent,
            Ok(_) => Verdict::Wrong,
            Err(error) => {
                match &mut self.check {
                    Some(check) => {
                        check.again.insert(piece);
                    }
                    // Storage has lost it: nobody is to blame, and it has to come again.
                    None if error == StorageError::Missing => drop(self.picker.failed(piece)),
                    None => {}
                }
                Verdict::Unknown(error)
            }
        })
    }

    /// Storage no longer has this piece. Says whether it was had.
    pub(crate) fn lose(&mut self, piece: PieceIndex, rng: &mut Rng) -> bool {
        if !self.have.remove(piece) {
            return false;
        }
        let length = self.geometry().length_of(piece);
        self.tally.verified -= u64::from(length);
        let whole = self.geometry().whole(piece);
        for slice in self.info.slices(whole) {
            self.files[slice.file] -= u64::from(slice.length);
        }
        let is_wanted = self.wanted.has(piece);
        self.tally.wanted_verified -= if is_wanted { u64::from(length) } else { 0 };
        if is_wanted && !self.is_checking() {
            self.picker.want(piece, rng);
            self.tell_preferences();
        }
        true
    }

    /// Fetches this piece alone from now on.
    pub(crate) fn admit(&mut self, piece: PieceIndex, rng: &mut Rng) {
        if self.wanted.insert(piece) {
            let length = u64::from(self.geometry().length_of(piece));
            let is_had = self.have.has(piece);
            self.tally.wanted += length;
            self.tally.wanted_verified += if is_had { length } else { 0 };
            if !is_had && !self.is_checking() {
                self.picker.want(piece, rng);
            }
        }
    }

    /// Takes that back, and gives up what is there of the piece. Nobody must be asked for blocks of it any more when
    /// [`Self::drop_partial`] follows. Says whether it was had.
    pub(crate) fn retract(&mut self, piece: PieceIndex, rng: &mut Rng) -> bool {
        if self.wanted.remove(piece) {
            let length = u64::from(self.geometry().length_of(piece));
            self.tally.wanted -= length;
            self.tally.wanted_verified -= if self.have.has(piece) { length } else { 0 };
        }
        self.picker.unwant(piece);
        self.lose(piece, rng)
    }

    /// Forgets the blocks that came of a piece which is not wanted.
    pub(crate) fn drop_partial(&mut self, piece: PieceIndex) {
        self.picker.forget(piece);
    }

    /// Whether the piece is being written or hashed.
    pub(crate) fn is_busy(&self, piece: PieceIndex) -> bool {
        self.hashing.contains(&piece) || self.picker.is_writing(piece)
    }

    /// The pieces that are written and wait for nothing but their hash.
    pub(crate) fn written_pieces(&self) -> Vec<PieceIndex> {
        let partial = self.picker.partial().map(|(piece, _)| piece);
        partial.filter(|piece| self.picker.is_written(*piece)).collect()
    }

    /// What is there; what was moved and who is known are left to the caller.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        if self.is_checking() {
            return None;
        }
        let partial = self
            .picker
            .partial()
            .map(|(piece, blocks)| (piece.get(), blocks))
            .collect();
        Some(Snapshot {
            have: self.have.clone(),
            partial,
            uploaded: 0,
            downloaded: 0,
            peers: Vec::new(),
        })
    }

    fn instruct_picker(&mut self, rng: &mut Rng) {
        let missing = |piece: &PieceIndex| !self.have.has(*piece);
        for piece in self.info.geometry().all_pieces().filter(missing) {
            if self.wanted.has(piece) {
                self.picker.want(piece, rng);
            } else {
                self.picker.unwant(piece);
            }
        }
        self.tell_preferences();
    }

    /// The piece is verified. Says which files that completes.
    fn insert(&mut self, piece: PieceIndex) -> Vec<usize> {
        let mut complete = Vec::new();
        if !self.have.insert(piece) {
            return complete;
        }
        let length = self.geometry().length_of(piece);
        self.tally.verified += u64::from(length);
        if self.wanted.has(piece) {
            self.tally.wanted_verified += u64::from(length);
        }
        let Some(whole) = self.geometry().block(piece.get(), 0, length) else {
            return complete;
        };
        for slice in self.info.slices(whole) {
            let verified = &mut self.files[slice.file];
            *verified += u64::from(slice.length);
            let file = &self.info.files()[slice.file];
            if *verified == file.length() && !file.is_padding() {
                complete.push(slice.file);
            }
        }
        complete
    }

    /// The short way of [`Self::insert`] for every piece of a torrent.
    fn have_everything(&mut self, all: Bitfield) {
        self.have = all;
        self.tally.verified = self.geometry().total_length();
        self.files = self
            .info
            .files()
            .iter()
            .map(causeway_core::FileEntry::length)
            .collect();
    }
}

/// Pieces that are hashed at once while stored ones are checked.
const MOST_CHECKING: usize = 8;
/// Fetched pieces wait for their hash up to so many bytes, 64 MiB, or so many pieces.
const MOST_HASHING: u64 = 64 * 1024 * 1024;
const LEAST_HASHING: usize = 4;

mod check {
    use super::{Content, Tally};

    impl Content {
        /// Panics where an invariant does not hold that concerns the content alone.
        pub(crate) fn check_invariants(&self) {
            let mut tally = Tally::default();
            for piece in self.geometry().all_pieces() {
                let length = u64::from(self.geometry().length_of(piece));
                let (wanted, had) = (self.wanted.has(piece), self.have.has(piece));
                tally.wanted += if wanted { length } else { 0 };
                tally.wanted_verified += if wanted && had { length } else { 0 };
                tally.verified += if had { length } else { 0 };
                assert!(
                    !(had && self.hashing.contains(&piece)),
                    "{piece:?} is had and hashed"
                );
                assert!(
                    !(had && self.picker.is_open(piece)),
                    "{piece:?} is had and fetched"
                );
                let fetched = self.picker.is_wanted(piece);
                assert_eq!(
                    fetched,
                    wanted && !had && !self.is_checking(),
                    "{piece:?} is fetched"
                );
            }
            assert_eq!(self.tally, tally);
            assert_eq!(self.files.iter().sum::<u64>(), tally.verified);
        }
    }
}
