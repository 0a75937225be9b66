//! Memory that bytes arrive in, used again once nobody looks at them any more.

use core::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one length that wait to be used again, a bounded number of them.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Box<[u8]>>>);

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    home: Arc<Buffers>,
}

/// The first bytes of a buffer.
struct Filled {
    buffer: Buffer,
    length: usize,
}

impl Buffers {
    /// A buffer with anything in it.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer {
            bytes: used.unwrap_or_else(|| vec![0; LENGTH].into()),
            home: self.clone(),
        }
    }
}

impl Buffer {
    /// Its first `length` bytes. Few of them are copied, so that they don't keep the whole buffer.
    pub(crate) fn filled(self, length: usize) -> Bytes {
        if length < WORTHWHILE {
            return Bytes::copy_from_slice(&self[..length]);
        }
        Bytes::from_owner(Filled { buffer: self, length })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut home = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if home.len() < MOST_IDLE {
            home.push(core::mem::take(&mut self.bytes));
        }
    }
}

/// The length of a buffer in bytes. Of a longer one that waits for the disk more lies idle, and has left the processor's cache when
/// it is written.
const LENGTH: usize = 64 * 1024;
/// From so many bytes on a buffer is kept for them: what waits takes at most twice its length.
const WORTHWHILE: usize = LENGTH / 2;
/// Buffers that wait.
const MOST_IDLE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_keep_no_buffer() {
        let buffers = Arc::new(Buffers::default());
        let few = buffers.take().filled(LENGTH / 2 - 1);
        assert_eq!(buffers.0.lock().expect("unpoisoned").len(), 1);
        let many = buffers.take().filled(LENGTH / 2);
        assert_eq!(buffers.0.lock().expect("unpoisoned").len(), 0);
        drop((few, many));
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_view_of_it_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take();
        buffer[7] = 7;
        let bytes = buffer.filled(LENGTH);
        let view = bytes.slice(7..8);
        drop(bytes);
        assert_eq!(buffers.0.lock().expect("unpoisoned").len(), 0);
        assert_eq!(view.as_ref(), [7]);
        drop(view);
        assert_eq!(buffers.0.lock().expect("unpoisoned").len(), 1);
        assert_eq!(buffers.take().filled(8).as_ref(), [0, 0, 0, 0, 0, 0, 0, 7]);
    }
}
