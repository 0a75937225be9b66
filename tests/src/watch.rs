//! What a browser did while a test used it: what its pages and workers wrote to the console, whom they asked for
//! anything, and which downloads ended.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::cdp::{Cdp, Event};

/// How long the browser may take to write a download that a test waits for.
const DOWNLOAD: Duration = Duration::from_mins(1);

/// Lines of the consoles that are kept for the report of a failure.
const KEPT_LINES: usize = 200;

/// As much of each message of a web socket is kept for it, too, in characters.
const KEPT_FRAME: usize = 300;

/// The observer of one browser.
#[derive(Clone, Debug)]
pub struct Watch {
    cdp: Cdp,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Seen {
    errors: Vec<String>,
    /// The last lines of all consoles, whatever their level.
    console: VecDeque<String>,
    requests: Vec<String>,
    expected: Vec<String>,
    downloads: BTreeMap<String, Download>,
    /// Runs in each worker before its own script does.
    worker_script: Option<String>,
}

/// A download that has begun.
#[derive(Clone, Debug, Default)]
struct Download {
    name: String,
    /// How it ended, or not yet.
    end: Option<Result<PathBuf, String>>,
    /// Whether a test has asked for it.
    taken: bool,
}

impl Seen {
    fn log(&mut self, level: &str, line: String) {
        if self.console.len() == KEPT_LINES {
            self.console.pop_front();
        }
        self.console.push_back(format!("{level}: {line}"));
        if level == "error" || level == "assert" {
            self.errors.push(line);
        }
    }
}

impl Watch {
    /// Follows the events of a browser until it ends.
    #[must_use]
    pub fn start(cdp: &Cdp, mut events: mpsc::UnboundedReceiver<Event>) -> Self {
        let watch = Self {
            cdp: cdp.clone(),
            seen: Arc::default(),
            changed: Arc::default(),
        };
        let observer = watch.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                observer.note(event);
            }
        });
        watch
    }

    /// Returns the session to talk to the page with this target id. Where it is to be observed, so is each worker
    /// that it starts, from the worker's first line on.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn attach(&self, target: &str, observed: bool) -> Result<String> {
        let attached = self
            .cdp
            .call(
                "Target.attachToTarget",
                json!({ "targetId": target, "flatten": true }),
            )
            .await?;
        let session = attached["sessionId"]
            .as_str()
            .context("the browser names no session")?
            .to_owned();
        if observed {
            self.observe(&session).await?;
        }
        Ok(session)
    }

    /// Runs this script in every worker that starts from now on, before the worker's own.
    pub fn prepare_workers(&self, script: &str) {
        self.seen().worker_script = Some(script.to_owned());
    }

    /// Console errors that contain this text are part of the test.
    pub fn expect_error(&self, text: &str) {
        self.seen().expected.push(text.to_owned());
    }

    /// Console errors and uncaught exceptions that nobody expected.
    #[must_use]
    pub fn unexpected_errors(&self) -> Vec<String> {
        let seen = self.seen();
        let expected = |error: &&String| seen.expected.iter().any(|text| error.contains(text));
        seen.errors
            .iter()
            .filter(|error| !expected(error))
            .cloned()
            .collect()
    }

    /// The last lines of all consoles.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        self.seen().console.iter().cloned().collect()
    }

    /// The addresses that observed pages and workers asked for anything, in order, web sockets among them.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen().requests.clone()
    }

    /// Waits for the end of the first download that no test has asked for yet: its name and where it lies.
    ///
    /// # Errors
    /// When it fails or does not end within a minute.
    pub async fn download(&self) -> Result<(String, PathBuf)> {
        let ended = async {
            loop {
                let changed = self.changed.notified();
                if let Some(end) = self.take_download() {
                    return end;
                }
                changed.await;
            }
        };
        timeout(DOWNLOAD, ended).await.with_context(|| {
            format!(
                "no download ended within {DOWNLOAD:?}; all of them: {:?}",
                self.seen().downloads
            )
        })?
    }

    fn take_download(&self) -> Option<Result<(String, PathBuf)>> {
        let mut seen = self.seen();
        let download = seen
            .downloads
            .values_mut()
            .find(|download| !download.taken && download.end.is_some())?;
        download.taken = true;
        let end = download.end.clone()?;
        Some(
            end.map(|path| (download.name.clone(), path))
                .map_err(anyhow::Error::msg),
        )
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: Event) {
        let Event {
            session,
            method,
            params,
        } = event;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut seen = self.seen();
        match method.as_str() {
            "Target.attachedToTarget" => {
                let session = text(&params["sessionId"]);
                let (watch, prepare) = (self.clone(), seen.worker_script.is_some());
                // A session that this observer asked for is prepared where it asked.
                if params["waitingForDebugger"] == true {
                    self.attend(async move { watch.admit_worker(&session, prepare).await });
                }
            }
            "Debugger.paused" => {
                let (watch, script) = (self.clone(), seen.worker_script.clone());
                let (session, script) = (session.unwrap_or_default(), script.unwrap_or_default());
                self.attend(async move { watch.prepare_worker(&session, &script).await });
            }
            "Runtime.consoleAPICalled" => {
                let words = params["args"].as_array().into_iter().flatten();
                let words: Vec<_> = words
                    .map(|word| text(&word["value"]) + &text(&word["description"]))
                    .collect();
                seen.log(&text(&params["type"]), words.join(" "));
            }
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let exception = text(&details["exception"]["description"]);
                seen.log("error", format!("{} {exception}", text(&details["text"])));
            }
            "Log.entryAdded" if params["entry"]["level"] != "verbose" => {
                let entry = &params["entry"];
                let line = format!("{} ({})", text(&entry["text"]), text(&entry["url"]));
                seen.log(&text(&entry["level"]), line);
            }
            "Network.requestWillBeSent" => seen.requests.push(text(&params["request"]["url"])),
            "Network.webSocketCreated" => seen.requests.push(text(&params["url"])),
            "Network.webSocketFrameSent" | "Network.webSocketFrameReceived" => {
                let text = params["response"]["payloadData"].as_str().unwrap_or_default();
                let start: String = text.chars().filter(char::is_ascii).take(KEPT_FRAME).collect();
                seen.log(method.trim_start_matches("Network."), start);
            }
            "Browser.downloadWillBegin" => {
                let name = text(&params["suggestedFilename"]);
                seen.downloads.insert(
                    text(&params["guid"]),
                    Download {
                        name,
                        ..Download::default()
                    },
                );
            }
            "Browser.downloadProgress" if session.is_none() && params["state"] != "inProgress" => {
                if let Some(download) = seen.downloads.get_mut(&text(&params["guid"])) {
                    download.end = Some(match params["filePath"].as_str() {
                        Some(path) if params["state"] == "completed" => Ok(path.into()),
                        _ => Err(format!("the download ended with {params}")),
                    });
                }
            }
            _ => return,
        }
        drop(seen);
        self.changed.notify_waiters();
    }

    /// A worker waits to be looked at before its first line. Its scope is not furnished yet then: where there is a
    /// script to run, it is stopped once more, before its own script.
    async fn admit_worker(&self, session: &str, prepare: bool) -> Result<()> {
        self.observe(session).await?;
        if prepare {
            let before_scripts = json!({ "instrumentation": "beforeScriptExecution" });
            self.cdp.call_in(session, "Debugger.enable", json!({})).await?;
            self.cdp
                .call_in(session, "Debugger.setInstrumentationBreakpoint", before_scripts)
                .await?;
        }
        self.cdp
            .call_in(session, "Runtime.runIfWaitingForDebugger", json!({}))
            .await?;
        Ok(())
    }

    /// A worker has stopped before its own script: it gets the test's, then it may go.
    async fn prepare_worker(&self, session: &str, script: &str) -> Result<()> {
        let ran = self
            .cdp
            .call_in(session, "Runtime.evaluate", json!({ "expression": script }))
            .await?;
        let exception = &ran["exceptionDetails"];
        ensure!(exception.is_null(), "its preparation failed: {exception}");
        self.cdp.call_in(session, "Debugger.disable", json!({})).await?;
        Ok(())
    }

    /// Does what a worker waits for. One that ends meanwhile, or whose page does, is an error of the test: no test
    /// does that so soon.
    fn attend(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        let watch = self.clone();
        tokio::spawn(async move {
            if let Err(error) = work.await {
                watch
                    .seen()
                    .log("error", format!("a worker could not be observed: {error}"));
            }
        });
    }

    async fn observe(&self, session: &str) -> Result<()> {
        for domain in ["Runtime.enable", "Log.enable", "Network.enable"] {
            // Service workers and the like lack one or the other.
            if let Err(error) = self.cdp.call_in(session, domain, json!({})).await
                && !error.to_string().contains("wasn't found")
            {
                bail!(error);
            }
        }
        let children = json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true });
        self.cdp
            .call_in(session, "Target.setAutoAttach", children)
            .await?;
        Ok(())
    }
}
