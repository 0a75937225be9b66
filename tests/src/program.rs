//! A program that a test started: it says when it is ready, its words are kept, and it dies with its handle.

use std::collections::VecDeque;
use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a program may take until it is ready, on a machine that does other things too.
pub const START: Duration = Duration::from_secs(30);

/// How long a program may take to end after it was asked to: the contract of `causeway serve`.
const STOP: Duration = Duration::from_secs(5);

/// Lines of output that are kept for the report of a failure.
const KEPT_LINES: usize = 400;

/// A running program. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: Log,
    news: mpsc::UnboundedReceiver<String>,
}

/// What a program wrote on both its streams: the last lines of it. Outlives the program.
#[derive(Clone, Debug)]
pub struct Log {
    name: String,
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Program {
    /// Starts `command` and waits until it writes a line that contains `ready`; returns what follows it there.
    ///
    /// # Errors
    /// When it can't be started, ends early, or isn't ready within half a minute: with what it wrote.
    pub async fn start(name: &str, mut command: Command, ready: &str) -> Result<(Self, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} can't be started: {command:?}"))?;
        let (lines, news) = mpsc::unbounded_channel();
        let log = Log {
            name: name.into(),
            lines: Arc::default(),
        };
        let stdout = child.stdout.take().context("its output is piped")?;
        let stderr = child.stderr.take().context("its errors are piped")?;
        tokio::spawn(log.clone().record(stdout, lines.clone()));
        tokio::spawn(log.clone().record(stderr, lines));
        let mut program = Self {
            name: name.into(),
            child,
            log,
            news,
        };
        let rest = program.wait_for(ready, START).await?;
        Ok((program, rest))
    }

    /// Waits until it writes a line that contains `text`, from the last one on that was waited for.
    ///
    /// # Errors
    /// When it ends before, or that takes longer: with what it wrote.
    pub async fn says(&mut self, text: &str, within: Duration) -> Result<()> {
        self.wait_for(text, within).await.map(drop)
    }

    async fn wait_for(&mut self, text: &str, within: Duration) -> Result<String> {
        let (name, news) = (&self.name, &mut self.news);
        let said = async {
            while let Some(line) = news.recv().await {
                if let Some((_, rest)) = line.split_once(text) {
                    return Some(rest.to_owned());
                }
            }
            None
        };
        match timeout(within, said).await {
            Ok(Some(rest)) => Ok(rest),
            Ok(None) => bail!("{name} ended before it said \"{text}\":\n{}", self.log),
            Err(_) => bail!("{name} did not say \"{text}\" within {within:?}:\n{}", self.log),
        }
    }

    /// The process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child
            .id()
            .with_context(|| format!("{} has ended", self.name))
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it does not end within the five seconds that a server has for it.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        let kill = Command::new("kill")
            .arg("-TERM")
            .arg(self.pid()?.to_string())
            .status()
            .await?;
        if !kill.success() {
            bail!("{} can't be told to end", self.name);
        }
        match timeout(STOP, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!(
                "{} did not end within {STOP:?} of SIGTERM:\n{}",
                self.name,
                self.log
            ),
        }
    }
}

impl Program {
    /// Kills it and waits until it is gone, so that what it had open can be deleted.
    pub fn kill(&mut self) {
        // It may have ended on its own.
        self.child.start_kill().ok();
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    /// Keeps the lines of a stream, and tells each to whom it may concern.
    async fn record(self, stream: impl AsyncRead + Unpin, news: mpsc::UnboundedSender<String>) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
            // Nobody listens any more once the program is ready.
            news.send(line).ok();
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .try_for_each(|line| writeln!(f, "{}: {line}", self.name))
    }
}
