//! A link to a peer: where whatever carries bytes meets the torrent that they are about.
//!
//! [`link`] makes both sides of one. The torrent gets the [`Link`]; the transport keeps the [`End`], writes to it what
//! arrives and reads from it what is to be sent. Each direction is a queue of [`Bytes`] with a bound in bytes: who writes
//! waits for room, and room comes back once the reader says that it is done with what it took
//! ([`Reader::release`]), not before. So the torrent's budget for a link covers all that has not left this machine, if
//! the transport releases what its peer has acknowledged or its socket has taken.
//!
//! Either side ends a link by dropping its half, or says why with [`Writer::close`]. What was written before is still read.

use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use causeway_core::PeerId;
use causeway_engine::{Direction, LinkKind};

/// How two peers have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// What carries the link.
    pub kind: LinkKind,
    /// Who opened it.
    pub direction: Direction,
    /// The peer's address, where it has one that could be told to others.
    pub remote: Option<SocketAddr>,
    /// The peer id that the introduction named, where there was one.
    pub expected: Option<PeerId>,
}

/// A torrent's side of a link.
#[derive(Debug)]
pub struct Link {
    /// How the peers have met.
    pub meeting: Meeting,
    /// The address of the machine that the peer is on, where that is known. It is told to nobody.
    pub host: Option<IpAddr>,
    /// What the peer sends.
    pub incoming: Reader,
    /// What is sent to the peer.
    pub outgoing: Writer,
}

/// A transport's side of a link.
#[derive(Debug)]
pub struct End {
    /// Takes what the peer sends.
    pub incoming: Writer,
    /// Has what is to be sent to the peer.
    pub outgoing: Reader,
}

/// Why a link has ended, as the other side says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Closed(pub String);

/// Both sides of a new link. `window` is the number of bytes that may be on their way in it to the peer; 132 KiB at least, or
/// the longest blocks that a peer may ask for are never sent.
#[must_use]
pub fn link(meeting: Meeting, window: usize) -> (Link, End) {
    let (to_torrent, incoming) = pipe(INCOMING);
    let (outgoing, to_peer) = pipe(window);
    let link = Link {
        meeting,
        host: meeting.remote.map(|remote| remote.ip().to_canonical()),
        incoming,
        outgoing,
    };
    let end = End {
        incoming: to_torrent,
        outgoing: to_peer,
    };
    (link, end)
}

/// Where one side of a link puts bytes. Dropped, it closes its direction.
#[derive(Debug)]
pub struct Writer(Arc<Mutex<Pipe>>);

/// Where the other side takes them. Dropped, it closes its direction.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<Pipe>>);

/// One direction.
///
/// Invariant: `held` is the number of bytes in `queue` and of those that were read and not released.
#[derive(Debug)]
struct Pipe {
    queue: VecDeque<Bytes>,
    held: usize,
    window: usize,
    closed: Option<Closed>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Writer {
    /// Adds bytes to the stream, also beyond the window: who writes more than small messages asks for
    /// [`Self::poll_room`] first. Nothing happens where the other side is gone.
    pub fn write(&self, bytes: Bytes) {
        let mut pipe = lock(&self.0);
        if pipe.closed.is_none() && !bytes.is_empty() {
            pipe.held += bytes.len();
            pipe.queue.push_back(bytes);
            wake(pipe, |pipe| &mut pipe.reader);
        }
    }

    /// Waits until the window has room.
    ///
    /// # Errors
    /// The other side has gone.
    pub async fn room(&self) -> Result<usize, Closed> {
        poll_fn(|context| self.poll_room(context, 1)).await
    }

    /// How many bytes the window has room for, as soon as that is `least`. The last task that asks is woken.
    ///
    /// # Errors
    /// The other side has gone.
    pub fn poll_room(&self, context: &mut Context<'_>, least: usize) -> Poll<Result<usize, Closed>> {
        let mut pipe = lock(&self.0);
        let room = pipe.window.saturating_sub(pipe.held);
        if let Some(closed) = &pipe.closed {
            Poll::Ready(Err(closed.clone()))
        } else if room >= least {
            Poll::Ready(Ok(room))
        } else {
            pipe.writer = Some(context.waker().clone());
            Poll::Pending
        }
    }

    /// Waits until the other side ends this direction, and says why.
    pub async fn closed(&self) -> Closed {
        match poll_fn(|context| self.poll_room(context, usize::MAX)).await {
            Err(closed) => closed,
            // No window is as large.
            Ok(_) => Closed(GONE.to_owned()),
        }
    }

    /// Sets the window, to what the path turns out to carry.
    pub fn set_window(&self, window: usize) {
        let mut pipe = lock(&self.0);
        pipe.window = window;
        wake(pipe, |pipe| &mut pipe.writer);
    }

    /// Ends this direction after what was written before, and says why. The first reason counts.
    pub fn close(&self, reason: impl Into<String>) {
        close(&self.0, reason);
    }
}

impl Reader {
    /// The next bytes.
    ///
    /// # Errors
    /// The other side has ended the link, and all that it wrote before was read.
    pub async fn read(&self) -> Result<Bytes, Closed> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// The next bytes. The last task that asks is woken.
    ///
    /// # Errors
    /// The other side has ended the link, and all that it wrote before was read.
    pub fn poll_read(&self, context: &mut Context<'_>) -> Poll<Result<Bytes, Closed>> {
        let mut pipe = lock(&self.0);
        if let Some(bytes) = pipe.queue.pop_front() {
            Poll::Ready(Ok(bytes))
        } else if let Some(closed) = &pipe.closed {
            Poll::Ready(Err(closed.clone()))
        } else {
            pipe.reader = Some(context.waker().clone());
            Poll::Pending
        }
    }

    /// The next bytes, where there are any at the moment.
    #[must_use]
    pub fn try_read(&self) -> Option<Bytes> {
        lock(&self.0).queue.pop_front()
    }

    /// Gives the room of so many bytes back that were read.
    pub fn release(&self, bytes: usize) {
        let mut pipe = lock(&self.0);
        pipe.held = pipe.held.saturating_sub(bytes);
        // Woken for a quarter at least: each waking costs more than the bytes do.
        if pipe.held <= pipe.window - pipe.window / 4 {
            wake(pipe, |pipe| &mut pipe.writer);
        }
    }

    /// Changes how many bytes may be on their way in this direction, to what the path turns out to carry.
    pub fn set_window(&self, window: usize) {
        let mut pipe = lock(&self.0);
        pipe.window = window;
        wake(pipe, |pipe| &mut pipe.writer);
    }

    /// Ends this direction, and says why. The first reason counts.
    pub fn close(&self, reason: impl Into<String>) {
        close(&self.0, reason);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close(GONE);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close(GONE);
        lock(&self.0).queue.clear();
    }
}

fn pipe(window: usize) -> (Writer, Reader) {
    let pipe = Arc::new(Mutex::new(Pipe {
        queue: VecDeque::new(),
        held: 0,
        window,
        closed: None,
        reader: None,
        writer: None,
    }));
    (Writer(pipe.clone()), Reader(pipe))
}

fn close(pipe: &Mutex<Pipe>, reason: impl Into<String>) {
    let mut pipe = lock(pipe);
    if pipe.closed.is_none() {
        pipe.closed = Some(Closed(reason.into()));
    }
    let wakers = [pipe.reader.take(), pipe.writer.take()];
    drop(pipe);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// Wakes after the lock is given back: whoever is woken takes it.
fn wake(mut pipe: MutexGuard<'_, Pipe>, who: impl FnOnce(&mut Pipe) -> &mut Option<Waker>) {
    let waker = who(&mut pipe).take();
    drop(pipe);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Nothing in here panics while it holds the lock.
fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that wait for a torrent which is busy, before its peer has to.
const INCOMING: usize = 1024 * 1024;
const GONE: &str = "the other side has gone";

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(window: usize) -> (Link, End) {
        let meeting = Meeting {
            kind: LinkKind::Tcp,
            direction: Direction::Outgoing,
            remote: None,
            expected: None,
        };
        link(meeting, window)
    }

    fn room(writer: &Writer, least: usize) -> Poll<Result<usize, Closed>> {
        writer.poll_room(&mut Context::from_waker(Waker::noop()), least)
    }

    #[test]
    fn room_comes_back_when_what_was_read_is_released() {
        let (link, end) = pair(100);
        link.outgoing.write(Bytes::from(vec![0; 60]));
        assert_eq!(room(&link.outgoing, 1), Poll::Ready(Ok(40)));
        link.outgoing.write(Bytes::from(vec![0; 60]));
        assert_eq!(room(&link.outgoing, 1), Poll::Pending, "20 beyond the window");
        assert_eq!(end.outgoing.try_read().map(|bytes| bytes.len()), Some(60));
        assert_eq!(room(&link.outgoing, 1), Poll::Pending, "read is not released");
        end.outgoing.release(60);
        assert_eq!(room(&link.outgoing, 40), Poll::Ready(Ok(40)));
        assert_eq!(room(&link.outgoing, 41), Poll::Pending);
    }

    #[tokio::test]
    async fn a_waiting_writer_and_a_waiting_reader_are_woken() {
        let (link, end) = pair(10);
        link.outgoing.write(Bytes::from_static(b"0123456789"));
        let writer = tokio::spawn(async move {
            link.outgoing.room().await.expect("room");
            link.outgoing.write(Bytes::from_static(b"more"));
            link
        });
        let bytes = end.outgoing.read().await.expect("bytes");
        end.outgoing.release(bytes.len());
        assert_eq!(end.outgoing.read().await, Ok(Bytes::from_static(b"more")));
        drop(writer.await);
    }

    #[tokio::test]
    async fn what_was_written_is_read_before_the_reason_of_the_end() {
        let (link, end) = pair(10);
        link.outgoing.write(Bytes::from_static(b"last words"));
        link.outgoing.close("there are enough peers");
        drop(link);
        assert_eq!(end.outgoing.read().await, Ok(Bytes::from_static(b"last words")));
        let closed = Closed("there are enough peers".to_owned());
        assert_eq!(end.outgoing.read().await, Err(closed));
        assert_eq!(end.incoming.room().await, Err(Closed(GONE.to_owned())));
        end.incoming.write(Bytes::from_static(b"to nobody"));
    }
}
