//! Files that are read again when they change.

use core::time::Duration;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use tokio::time::sleep;

/// Some files, and what is to be done when one of them has changed.
pub(super) struct Reloaded {
    files: Vec<PathBuf>,
    seen: Vec<Option<(SystemTime, u64)>>,
    reload: Box<dyn FnMut() -> Result<()> + Send>,
}

impl Reloaded {
    pub(super) fn new(files: Vec<PathBuf>, reload: impl FnMut() -> Result<()> + Send + 'static) -> Self {
        Self {
            seen: look(&files),
            files,
            reload: Box::new(reload),
        }
    }

    fn check(&mut self, is_asked: bool) {
        let seen = look(&self.files);
        if self.files.is_empty() || seen == self.seen && !is_asked {
            return;
        }
        self.seen = seen;
        match (self.reload)() {
            Ok(()) => tracing::info!(files = ?self.files, "read again"),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "could not be read again: what was read before stays in force"
                );
            }
        }
    }
}

/// When each was changed, and its length.
fn look(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let look = |path: &PathBuf| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(look).collect()
}

/// Looks after the files for as long as the process lives: every few seconds, and at once on SIGHUP.
pub(super) async fn watch(mut all: Vec<Reloaded>) {
    let mut hangup = Hangup::install();
    loop {
        let is_asked = tokio::select! {
            () = hangup.wait() => true,
            () = sleep(EVERY) => false,
        };
        for reloaded in &mut all {
            reloaded.check(is_asked);
        }
    }
}

const EVERY: Duration = Duration::from_secs(5);

#[cfg(unix)]
struct Hangup(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Hangup {
    fn install() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::hangup()).ok())
    }

    async fn wait(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => core::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    fn install() -> Self {
        Self
    }

    async fn wait(&mut self) {
        core::future::pending().await
    }
}
