//! The threads that serve connections.

use core::future::Future;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One runtime on each of some threads. A connection stays on the one that it was given to, whose tasks take turns in the
/// order in which they were woken: what comes in together is handled together, and what it causes to be sent on a
/// connection goes out at once. No work is moved between threads, so none has to be woken for that.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    next: AtomicUsize,
}

struct Worker {
    runtime: Handle,
    /// The thread ends with this.
    _running: oneshot::Sender<()>,
}

impl Workers {
    /// Starts so many threads, or as many as there are processors.
    pub(crate) fn start(number: Option<usize>) -> Result<Self> {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let number = number.filter(|number| *number > 0).unwrap_or_else(processors);
        Ok(Self {
            workers: (0..number).map(Worker::start).collect::<Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Runs it on one thread, and the next one on the next thread.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        self.workers[next].runtime.spawn(work);
    }
}

impl Worker {
    fn start(number: usize) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(TURNS)
            .build()
            .context("no threads can be started")?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        thread::Builder::new()
            .name(format!("server-{number}"))
            .spawn(move || {
                // It ends when the sender is gone.
                let ended = runtime.block_on(ended);
                tracing::trace!(?ended, "a thread of the server ends");
                runtime.shutdown_background();
            })
            .context("no threads can be started")?;
        Ok(Self {
            runtime: handle,
            _running: running,
        })
    }
}

/// So many tasks have their turn before the network is looked at again.
const TURNS: u32 = 256;
