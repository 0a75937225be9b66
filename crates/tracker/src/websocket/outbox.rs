//! What waits to be sent on one connection.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

use crate::registry::Link;

/// The queue of messages for one connection, bounded in bytes. Clones are the same queue; anybody fills it, the
/// connection's own task alone empties it.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<Queue>,
    bell: Notify,
    in_doubt: AtomicBool,
    bound: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Utf8Bytes>,
    /// What the messages cost together.
    cost: usize,
    is_asked: bool,
    has_overflowed: bool,
}

/// What a connection's task finds in its outbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All messages so far.
    Messages(VecDeque<Utf8Bytes>),
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
            bell: Notify::new(),
            in_doubt: AtomicBool::new(false),
            bound,
        }))
    }

    /// The other side has shown that it is alive.
    pub(super) fn trust(&self) {
        if self.0.in_doubt.load(Ordering::Relaxed) {
            self.0.in_doubt.store(false, Ordering::Relaxed);
        }
    }

    /// Waits for something to do. Nothing is lost when it is dropped before it is ready.
    pub(super) async fn next(&self) -> Delivery {
        loop {
            if let Some(delivery) = self.take() {
                return delivery;
            }
            self.0.bell.notified().await;
        }
    }

    fn take(&self) -> Option<Delivery> {
        let mut queue = self.queue();
        if queue.has_overflowed {
            Some(Delivery::Overflow)
        } else if core::mem::take(&mut queue.is_asked) {
            Some(Delivery::ProofOfLife)
        } else if queue.messages.is_empty() {
            None
        } else {
            queue.cost = 0;
            Some(Delivery::Messages(core::mem::take(&mut queue.messages)))
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Outbox {
    /// Queues a message, unless more bytes would wait than may: that ends the connection.
    fn deliver(&self, message: String) {
        let mut queue = self.queue();
        if queue.has_overflowed {
            return;
        }
        queue.cost += message.len() + MESSAGE_OVERHEAD;
        if queue.cost > self.0.bound {
            *queue = Queue {
                has_overflowed: true,
                ..Queue::default()
            };
        } else {
            queue.messages.push_back(message.into());
        }
        drop(queue);
        self.0.bell.notify_one();
    }

    fn doubt(&self) {
        if !self.0.in_doubt.swap(true, Ordering::Relaxed) {
            self.queue().is_asked = true;
            self.0.bell.notify_one();
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

/// What a queued message takes beside its text, in bytes, about.
const MESSAGE_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_out_in_order_and_all_at_once() {
        let outbox = Outbox::new(1000);
        for message in ["a", "b", "c"] {
            outbox.deliver(message.into());
        }
        let Delivery::Messages(messages) = outbox.next().await else {
            panic!("there are messages");
        };
        assert_eq!(messages, ["a", "b", "c"].map(Utf8Bytes::from_static));
        assert_eq!(outbox.take(), None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let outbox = Outbox::new(1000);
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.deliver("a".into());
        let delivery = waiting.await.expect("it does not panic");
        assert_eq!(delivery, Delivery::Messages([Utf8Bytes::from_static("a")].into()));
    }

    #[test]
    fn beyond_its_bound_everything_is_dropped_and_nothing_more_is_taken() {
        let outbox = Outbox::new(3 * (10 + MESSAGE_OVERHEAD));
        for _ in 0..3 {
            outbox.deliver("x".repeat(10));
        }
        assert!(matches!(outbox.take(), Some(Delivery::Messages(messages)) if messages.len() == 3));
        for _ in 0..4 {
            outbox.deliver("x".repeat(10));
        }
        outbox.deliver("x".into());
        assert!(outbox.queue().messages.is_empty(), "memory is given back");
        assert_eq!(outbox.take(), Some(Delivery::Overflow));
        assert_eq!(outbox.take(), Some(Delivery::Overflow));
    }

    #[test]
    fn a_link_is_asked_once_until_it_has_shown_that_it_lives() {
        let outbox = Outbox::new(1000);
        for _ in 0..2 {
            outbox.doubt();
            outbox.doubt();
            assert!(outbox.is_in_doubt());
            assert_eq!(outbox.take(), Some(Delivery::ProofOfLife));
            assert_eq!(outbox.take(), None);
            outbox.trust();
            assert!(!outbox.is_in_doubt());
        }
    }
}
