//! Which of many links have something to do, for one task that serves them all.

use core::task::Waker;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use causeway_signal::ConnectionId;

/// The links that were woken since the task looked last.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    woken: Vec<ConnectionId>,
    task: Option<Waker>,
}

impl Ready {
    /// What a link wakes.
    pub(super) fn waker(self: &Arc<Self>, id: ConnectionId) -> Waker {
        let ready = self.clone();
        Waker::from(Arc::new(LinkWaker { id, ready }))
    }

    /// Moves the links that were woken to `woken`; from now on `task` is woken when there are more.
    pub(super) fn take(&self, task: &Waker, woken: &mut Vec<ConnectionId>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        woken.append(&mut list.woken);
        if !list.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            list.task = Some(task.clone());
        }
    }
}

struct LinkWaker {
    id: ConnectionId,
    ready: Arc<Ready>,
}

impl Wake for LinkWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut list = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.woken.push(self.id);
        let task = list.task.clone();
        drop(list);
        if let Some(task) = task {
            task.wake();
        }
    }
}
