//! Taking bytes out of the parts that the transport delivered.

use core::mem;
use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::Chunks;

/// Bytes that were pushed and not yet read. No part is empty.
#[derive(Debug, Default)]
pub(super) struct Input(VecDeque<Bytes>);

impl Input {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.0.push_back(bytes);
        }
    }

    /// The number of bytes.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The next bytes, at most `most`, as a slice of what was pushed; `None` where there are none.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let front = self.0.front_mut()?;
        if front.len() > most {
            Some(front.split_to(most))
        } else {
            self.0.pop_front()
        }
    }

    /// Moves bytes of the first part to the beginning of `target`; says how many, 0 only where there are none.
    pub(super) fn copy_to(&mut self, target: &mut [u8]) -> usize {
        let Some(front) = self.0.front_mut() else { return 0 };
        let copied = target.len().min(front.len());
        target.iter_mut().zip(&*front).for_each(|(to, from)| *to = *from);
        front.advance(copied);
        if front.is_empty() {
            self.0.pop_front();
        }
        copied
    }
}

/// Bytes that are wanted in one part: a slice where they arrived so, else copied together.
#[derive(Debug)]
pub(super) struct Gathered {
    left: usize,
    data: BytesMut,
}

impl Gathered {
    pub(super) fn new(left: usize) -> Self {
        Self {
            left,
            data: BytesMut::new(),
        }
    }

    pub(super) fn read(&mut self, input: &mut Input) -> Option<Bytes> {
        while self.left > 0 {
            let part = input.take(self.left)?;
            self.left -= part.len();
            if self.left == 0 && self.data.is_empty() {
                return Some(part);
            }
            self.data.extend_from_slice(&part);
        }
        Some(self.data.split().freeze())
    }

    /// The bytes that are allocated.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.data.capacity()
    }
}

/// A block, in slices of what arrived. Only of one that is cut into absurdly many parts the rest is gathered, so
/// that a peer can't make us hold a handle and a buffer for each byte.
#[derive(Debug)]
pub(super) struct Sliced {
    left: usize,
    slices: Chunks,
    rest: BytesMut,
}

impl Sliced {
    /// Twice the TCP segments of a 16 KiB block.
    pub(super) const MAX_SLICES: usize = 32;

    pub(super) fn new(left: usize) -> Self {
        Self {
            left,
            slices: Chunks::default(),
            rest: BytesMut::new(),
        }
    }

    pub(super) fn read(&mut self, input: &mut Input) -> Option<Chunks> {
        while self.left > 0 {
            let part = input.take(self.left)?;
            self.left -= part.len();
            if self.slices.parts() < Self::MAX_SLICES {
                self.slices.push(part);
            } else {
                self.rest.extend_from_slice(&part);
            }
        }
        // Splitting even nothing off a buffer allocates.
        if !self.rest.is_empty() {
            self.slices.push(self.rest.split().freeze());
        }
        Some(mem::take(&mut self.slices))
    }

    /// The bytes that are allocated or kept alive.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.slices.len() + self.rest.capacity()
    }
}
