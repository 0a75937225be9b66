//! The links of one torrent, and which of them something has happened to.
//!
//! Each link wakes the torrent's task under its own name, so that a thousand idle ones cost nothing.

use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use bytes::Bytes;
use causeway_engine::{LinkId, LinkKind};

use crate::link::{Closed, Link, Meeting};

/// The open links.
#[derive(Debug, Default)]
pub(super) struct Links {
    open: BTreeMap<LinkId, Open>,
    last: u64,
    ready: Arc<Ready>,
}

#[derive(Debug)]
struct Open {
    link: Link,
    waker: Waker,
    /// What the engine may still send by its own count.
    granted: usize,
}

/// Links that woke the task.
#[derive(Debug, Default)]
struct Ready(Mutex<Woken>);

#[derive(Debug, Default)]
struct Woken {
    links: Vec<LinkId>,
    task: Option<Waker>,
}

struct LinkWaker {
    link: LinkId,
    ready: Arc<Ready>,
}

impl Links {
    /// Takes a link in, and gives it a name.
    pub(super) fn insert(&mut self, link: Link) -> LinkId {
        let id = self.name();
        let waker = Waker::from(Arc::new(LinkWaker {
            link: id,
            ready: self.ready.clone(),
        }));
        waker.wake_by_ref();
        let open = Open {
            link,
            waker,
            granted: 0,
        };
        self.open.insert(id, open);
        id
    }

    /// A name that no link has had.
    pub(super) const fn name(&mut self) -> LinkId {
        self.last += 1;
        LinkId(self.last)
    }

    /// Waits until something has happened to links, and says to which. A link may be named twice, or be gone.
    pub(super) async fn ready(&self) -> Vec<LinkId> {
        poll_fn(|context| {
            let mut woken = self.ready.lock();
            if woken.links.is_empty() {
                woken.task = Some(context.waker().clone());
                Poll::Pending
            } else {
                Poll::Ready(core::mem::take(&mut woken.links))
            }
        })
        .await
    }

    /// The next bytes that came on a link, the end of it, or `None` until it is ready again.
    pub(super) fn receive(&mut self, id: LinkId) -> Option<Result<Bytes, Closed>> {
        let open = self.open.get_mut(&id)?;
        match open
            .link
            .incoming
            .poll_read(&mut Context::from_waker(&open.waker))
        {
            Poll::Ready(Ok(bytes)) => {
                open.link.incoming.release(bytes.len());
                Some(Ok(bytes))
            }
            Poll::Ready(Err(closed)) => Some(Err(closed)),
            Poll::Pending => None,
        }
    }

    /// More may have come on a link than its turn was long enough for.
    pub(super) fn again(&self, id: LinkId) {
        if let Some(open) = self.open.get(&id) {
            open.waker.wake_by_ref();
        }
    }

    /// Sends bytes on a link.
    pub(super) fn send(&mut self, id: LinkId, bytes: Bytes) {
        if let Some(open) = self.open.get_mut(&id) {
            open.granted = open.granted.saturating_sub(bytes.len());
            open.link.outgoing.write(bytes);
        }
    }

    /// How many bytes more the engine may send on a link, where that is worth telling it; else the link is ready when it is.
    pub(super) fn grant(&mut self, id: LinkId) -> Option<usize> {
        let open = self.open.get_mut(&id)?;
        if open.granted >= ENOUGH {
            return None;
        }
        let context = &mut Context::from_waker(&open.waker);
        match open.link.outgoing.poll_room(context, open.granted + STEP) {
            Poll::Ready(Ok(room)) => {
                open.granted = room;
                Some(room)
            }
            // The end is told by the other direction.
            Poll::Ready(Err(_)) | Poll::Pending => None,
        }
    }

    /// Where the peer of a link is.
    pub(super) fn remote(&self, id: LinkId) -> Option<SocketAddr> {
        self.open.get(&id)?.link.meeting.remote
    }

    /// The address of the machine that the peer of a link is on, where that is known.
    pub(super) fn host(&self, id: LinkId) -> Option<IpAddr> {
        self.open.get(&id)?.link.host
    }

    /// What carries a link.
    pub(super) fn kind(&self, id: LinkId) -> Option<LinkKind> {
        Some(self.open.get(&id)?.link.meeting.kind)
    }

    /// How many links there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many links this kind of transport carries.
    pub(super) fn count(&self, kind: LinkKind) -> usize {
        let links = self.open.values();
        links.filter(|open| open.link.meeting.kind == kind).count()
    }

    /// Closes all links, before anything more is sent on them.
    pub(super) fn close_all(&mut self, reason: &str) {
        let ids: Vec<_> = self.open.keys().copied().collect();
        for id in ids {
            self.close(id, reason);
        }
    }

    /// Closes a link after what was sent on it; says how its peer was met.
    pub(super) fn close(&mut self, id: LinkId, reason: &str) -> Option<Meeting> {
        let open = self.open.remove(&id)?;
        open.link.outgoing.close(reason);
        open.link.incoming.close(reason);
        Some(open.link.meeting)
    }
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for LinkWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut woken = self.ready.lock();
            woken.links.push(self.link);
            woken.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// A budget that lets the engine send the longest block: more is not told it.
const ENOUGH: usize = 160 * 1024;
/// A budget is told anew when it has grown by this.
const STEP: usize = 64 * 1024;
