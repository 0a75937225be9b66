//! What waits to be sent on one connection.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_core::Time;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::registry::Link;

/// The queue of one connection, bounded in bytes. Clones are the same queue; anybody fills it, the connection's own task
/// alone empties it.
///
/// Messages wait in it as the frames that go out, one behind the other, so that all that has come together is sent at
/// once.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<Queue>,
    in_doubt: AtomicBool,
    /// Until when it is not doubted again, in microseconds.
    trusted_until: AtomicU64,
    bound: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<u8>,
    is_asked: bool,
    has_overflowed: bool,
    /// The connection's task.
    waker: Option<Waker>,
    /// Whether it is to be woken.
    is_waiting: bool,
}

/// What a connection's task finds in its outbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All messages so far, as frames.
    Frames(Vec<u8>),
    /// The other side is to show that it is alive.
    ProofOfLife,
    /// More was to be sent than the other side cared to read. Nothing can be sent any more.
    Overflow,
}

impl Outbox {
    /// An empty queue for `bound` bytes.
    pub(super) fn new(bound: usize) -> Self {
        Self(Arc::new(Inner {
            queue: Mutex::default(),
            in_doubt: AtomicBool::new(false),
            trusted_until: AtomicU64::new(0),
            bound,
        }))
    }

    /// The other side has shown that it is alive.
    pub(super) fn trust(&self, now: Time) {
        if self.0.in_doubt.load(Ordering::Relaxed) {
            let until = (now + TRUSTED_FOR).as_micros();
            self.0.trusted_until.store(until, Ordering::Relaxed);
            self.0.in_doubt.store(false, Ordering::Relaxed);
        }
    }

    /// What there is to do; where there is nothing, the task is woken as soon as there is.
    pub(super) fn take(&self, context: &Context<'_>) -> Option<Delivery> {
        let mut queue = self.queue();
        if queue.has_overflowed {
            return Some(Delivery::Overflow);
        }
        if core::mem::take(&mut queue.is_asked) {
            return Some(Delivery::ProofOfLife);
        }
        if !queue.frames.is_empty() {
            return Some(Delivery::Frames(core::mem::take(&mut queue.frames)));
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        queue.is_waiting = true;
        None
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, json: &[u8]) {
        self.frames.reserve(frame_length(json));
        HEADER
            .format(json.len() as u64, &mut self.frames)
            .expect("a vector takes all that is written");
        self.frames.extend_from_slice(json);
    }

    fn wake(&mut self) {
        if core::mem::take(&mut self.is_waiting)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}

impl Link for Outbox {
    /// Queues a message, unless more bytes would wait than may: that ends the connection.
    fn deliver(&self, json: &[u8]) {
        let mut queue = self.queue();
        if queue.has_overflowed {
            return;
        }
        if queue.frames.len() + frame_length(json) > self.0.bound {
            queue.frames = Vec::new();
            queue.has_overflowed = true;
        } else {
            queue.put(json);
        }
        queue.wake();
    }

    /// Queues a message, unless the queue would be more than half full: the rest is for replies.
    fn relay(&self, json: &[u8]) -> bool {
        let mut queue = self.queue();
        let is_room = queue.frames.is_empty() || queue.frames.len() + frame_length(json) <= self.0.bound / 2;
        if queue.has_overflowed || !is_room {
            return false;
        }
        queue.put(json);
        queue.wake();
        true
    }

    fn doubt(&self, now: Time) {
        let is_trusted = now.as_micros() < self.0.trusted_until.load(Ordering::Relaxed);
        if !is_trusted && !self.0.in_doubt.swap(true, Ordering::Relaxed) {
            let mut queue = self.queue();
            queue.is_asked = true;
            queue.wake();
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.0.in_doubt.load(Ordering::Relaxed)
    }
}

impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Outbox {}

fn frame_length(json: &[u8]) -> usize {
    HEADER.len(json.len() as u64) + json.len()
}

/// Each message is one frame.
const HEADER: FrameHeader = FrameHeader {
    is_final: true,
    rsv1: false,
    rsv2: false,
    rsv3: false,
    opcode: OpCode::Data(Data::Text),
    mask: None,
};

/// Who has shown that it is alive is not asked again for so long: else a stranger who claims its name again and again would
/// keep it in doubt, and get what is meant for it.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::task::Poll;

    use super::*;

    fn take(outbox: &Outbox) -> Option<Delivery> {
        outbox.take(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn messages_come_out_in_order_and_all_at_once() {
        let outbox = Outbox::new(1000);
        for message in ["a", "b", "c"] {
            outbox.deliver(message.as_bytes());
        }
        assert_eq!(
            take(&outbox),
            Some(Delivery::Frames(b"\x81\x01a\x81\x01b\x81\x01c".into()))
        );
        assert_eq!(take(&outbox), None);
    }

    #[test]
    fn frames_say_how_long_they_are_in_as_few_bytes_as_can_be() {
        for (length, header) in [
            (125, &[0x81, 125][..]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let outbox = Outbox::new(100_000);
            outbox.deliver(&vec![b'x'; length]);
            let Some(Delivery::Frames(frames)) = take(&outbox) else {
                panic!("there are messages");
            };
            assert_eq!(frames[..header.len()], *header);
            assert_eq!(frames.len(), header.len() + length);
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let outbox = Outbox::new(1000);
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { poll_fn(|context| outbox.take(context).map_or(Poll::Pending, Poll::Ready)).await }
        });
        tokio::task::yield_now().await;
        outbox.deliver(b"a");
        let delivery = waiting.await.expect("it does not panic");
        assert_eq!(delivery, Delivery::Frames(b"\x81\x01a".into()));
    }

    #[test]
    fn beyond_its_bound_everything_is_dropped_and_nothing_more_is_taken() {
        let outbox = Outbox::new(3 * (2 + 10));
        for _ in 0..3 {
            outbox.deliver(&[b'x'; 10]);
        }
        assert!(matches!(take(&outbox), Some(Delivery::Frames(frames)) if frames.len() == 36));
        for _ in 0..4 {
            outbox.deliver(&[b'x'; 10]);
        }
        outbox.deliver(b"x");
        assert_eq!(outbox.queue().frames.capacity(), 0, "memory is given back");
        assert_eq!(take(&outbox), Some(Delivery::Overflow));
        assert_eq!(take(&outbox), Some(Delivery::Overflow));
    }

    #[test]
    fn what_others_say_leaves_room_for_replies_and_ends_nothing() {
        let outbox = Outbox::new(48);
        let taken = (0..5).map(|_| outbox.relay(&[b'x'; 10])).filter(|taken| *taken);
        assert_eq!(taken.count(), 2, "half of it");
        outbox.deliver(&[b'x'; 22]);
        assert!(matches!(take(&outbox), Some(Delivery::Frames(frames)) if frames.len() == 48));
        assert!(outbox.relay(&[b'x'; 40]), "a single one may be long");
    }

    #[test]
    fn a_link_is_asked_once_until_it_has_shown_that_it_lives_and_then_not_for_a_while() {
        let outbox = Outbox::new(1000);
        let mut now = Time::ZERO;
        for _ in 0..2 {
            outbox.doubt(now);
            outbox.doubt(now);
            assert!(outbox.is_in_doubt());
            assert_eq!(take(&outbox), Some(Delivery::ProofOfLife));
            assert_eq!(take(&outbox), None);
            outbox.trust(now);
            outbox.doubt(now + Duration::from_secs(29));
            assert!(!outbox.is_in_doubt());
            assert_eq!(take(&outbox), None);
            now += TRUSTED_FOR;
        }
    }
}
