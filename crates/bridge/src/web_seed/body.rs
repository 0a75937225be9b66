//! The bytes of an answer, read as fast as the client takes them.

use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use causeway_engine::Reader;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::serve::{Pace, Slot};
use crate::gateway::Guest;
use crate::torrent::{Handle, Order, Unread, Visit};

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    left: u64,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    One(Option<Bytes>),
    Many(mpsc::Receiver<Bytes>),
}

impl Body {
    /// Nothing.
    pub(super) const fn empty() -> Self {
        Self {
            left: 0,
            parts: Parts::One(None),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            left: bytes.len() as u64,
            parts: Parts::One(Some(bytes)),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let part = match &mut self.parts {
            Parts::One(part) => part.take(),
            Parts::Many(parts) => match parts.poll_recv(context) {
                Poll::Ready(part) => part,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(match part {
            Some(bytes) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(Frame::data(bytes)))
            }
            None if self.left == 0 => None,
            None => {
                self.left = 0;
                Some(Err(io::Error::other("what was to follow did not come in time")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What is given to a client.
pub(super) struct Give {
    pub(super) torrent: Handle,
    /// Counted from the start of the torrent.
    pub(super) bytes: Range<u64>,
    /// How long bytes that are on their way are waited for.
    pub(super) patience: Duration,
    pub(super) pace: Arc<Pace>,
    /// Who it is, where that is asked before each part.
    pub(super) guest: Option<Guest>,
    #[expect(dead_code, reason = "held until the answer is given")]
    pub(super) slot: Slot,
    #[expect(dead_code, reason = "the torrent stays for as long as somebody reads it")]
    pub(super) visit: Visit,
}

/// Begins to read. The second half says when the first bytes are there, or is dropped where they don't come.
pub(super) fn give(asked: Give) -> (Body, oneshot::Receiver<()>) {
    let (parts, read) = mpsc::channel(AHEAD);
    let (ready, first) = oneshot::channel();
    let left = asked.bytes.end - asked.bytes.start;
    tokio::spawn(async move {
        let name = fastrand::u64(..);
        let mut reading = Reading {
            asked,
            name,
            is_known: false,
        };
        tokio::select! {
            () = reading.give_all(&parts, ready) => {}
            // The client has gone.
            () = parts.closed() => {}
        }
        reading.take_back().await;
        drop(reading);
    });
    let body = Body {
        left,
        parts: Parts::Many(read),
    };
    (body, first)
}

struct Reading {
    asked: Give,
    /// Of this reader, among those of the torrent.
    name: u64,
    /// Whether the torrent knows that somebody reads there.
    is_known: bool,
}

impl Reading {
    async fn give_all(&mut self, parts: &mpsc::Sender<Bytes>, ready: oneshot::Sender<()>) {
        let mut ready = Some(ready);
        let Range { mut start, end } = self.asked.bytes;
        while start < end {
            let Some(there) = self.wait(start..end).await else {
                return;
            };
            let length = usize::try_from(there).unwrap_or(PART).min(PART);
            if self
                .asked
                .guest
                .as_ref()
                .is_some_and(|guest| guest.admit().is_err())
            {
                return;
            }
            let bytes = match self.asked.torrent.shelf().read(start, length).await {
                Ok(bytes) => bytes,
                Err(Unread::Gone) => continue,
                Err(Unread::Failed) => return,
            };
            if self.asked.torrent.shelf().is_relayed() {
                // Its room may be another's from now on.
                self.take_back().await;
                self.asked.torrent.try_tell(Order::ReadOn(start..end));
            }
            if let Some(ready) = ready.take() {
                // Nobody waits any more who has gone.
                ready.send(()).unwrap_or_default();
            }
            start += length as u64;
            self.asked.pace.wait(length).await;
            match timeout(STALLED, parts.send(bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
            if let Some(guest) = &self.asked.guest {
                guest.charge(length as u64);
            }
        }
    }

    /// Waits until something of these bytes is there, and says how many are.
    async fn wait(&mut self, bytes: Range<u64>) -> Option<u64> {
        let source = self.asked.torrent.shelf().clone();
        let there = source.ready(bytes.clone());
        if there > 0 {
            return Some(there);
        }
        let reader = Reader {
            position: bytes.start,
            end: bytes.end,
            rate: USUAL_RATE,
        };
        self.is_known = true;
        self.asked
            .torrent
            .tell(Order::Read(self.name, Some(reader)))
            .await;
        timeout(self.asked.patience, source.wait(bytes)).await.ok()
    }

    /// Nothing is waited for any more.
    async fn take_back(&mut self) {
        if std::mem::take(&mut self.is_known) {
            self.asked.torrent.tell(Order::Read(self.name, None)).await;
        }
    }
}

/// Bytes that are read at once.
const PART: usize = 256 * 1024;
/// Parts that are read before the client takes them.
const AHEAD: usize = 2;
/// A client that takes nothing for so long has gone.
const STALLED: Duration = Duration::from_mins(1);
/// How fast a client reads of which nothing is known, in bytes a second: pieces are due at that rate.
const USUAL_RATE: u64 = 2 * 1024 * 1024;
