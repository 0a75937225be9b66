//! A Chromium of its own for a test: fresh profile, own driver, nothing shared with another.

use std::ffi::OsString;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fantoccini::wd::{TimeoutConfiguration, WindowHandle};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::cdp::Cdp;
use crate::program::Program;
use crate::tab::Tab;
use crate::watch::Watch;

/// Without a network mDNS names don't resolve between browsers, so candidates carry addresses here. The rest
/// keeps Chromium from talking to anybody on its own, and lets it run as root, as in containers.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--remote-debugging-port=0",
    "--window-size=1200,900",
];

/// Above the longest wait of any test: waits have deadlines of their own, with better messages.
const SCRIPT_TIMEOUT: Duration = Duration::from_mins(30);

/// Starts a driver, a second time where the first fails: two that start in the same moment may choose the same port.
async fn start_driver() -> Result<(Program, String)> {
    let start = || {
        let mut driver = Command::new(program("CAUSEWAY_CHROMEDRIVER", "chromedriver"));
        driver.arg("--port=0");
        Program::start("chromedriver", driver, "started successfully on port ")
    };
    match start().await {
        Ok(started) => Ok(started),
        Err(_) => start().await,
    }
}

/// A browser and its driver. Dropping it ends both and deletes its profile.
#[derive(Debug)]
pub struct Browser {
    name: String,
    client: Client,
    /// The window that the client's commands go to.
    current: Mutex<Option<WindowHandle>>,
    cdp: Cdp,
    watch: Watch,
    /// Whether `watch` observes the tabs.
    observed: bool,
    /// The tabs that were opened, by their sessions of the debugging protocol.
    sessions: std::sync::Mutex<Vec<String>>,
    chromium: Program,
    _driver: Program,
    /// The profile, and beside it the downloads.
    folder: TempDir,
}

impl Browser {
    /// Starts a browser; `name` is what reports call it.
    ///
    /// # Errors
    /// When Chromium or its driver isn't installed or doesn't start. `CAUSEWAY_CHROMIUM` and
    /// `CAUSEWAY_CHROMEDRIVER` name others than those on the path.
    pub async fn start(name: &str) -> Result<Arc<Self>> {
        Self::launch(name, true).await
    }

    /// Starts a browser whose pages run undisturbed, for measuring: its [`Watch`] sees downloads only.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn unobserved(name: &str) -> Result<Arc<Self>> {
        Self::launch(name, false).await
    }

    async fn launch(name: &str, observed: bool) -> Result<Arc<Self>> {
        let folder = TempDir::with_prefix("causeway-browser-")?;
        let mut chromium = Command::new(program("CAUSEWAY_CHROMIUM", "chromium"));
        chromium.args(FLAGS).arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ));
        let ((chromium, debugger), (driver, port)) = tokio::try_join!(
            Program::start(name, chromium, "DevTools listening on "),
            start_driver(),
        )?;
        let (cdp, events) = Cdp::connect(&debugger).await?;
        let watch = Watch::start(&cdp, events);
        let downloads = folder.path().join("downloads");
        let behavior = json!({ "behavior": "allow", "downloadPath": downloads, "eventsEnabled": true });
        cdp.call("Browser.setDownloadBehavior", behavior).await?;
        let client = connect(&debugger, port.trim_end_matches('.')).await?;
        Ok(Arc::new(Self {
            name: name.into(),
            client,
            current: Mutex::default(),
            cdp,
            watch,
            observed,
            sessions: std::sync::Mutex::default(),
            chromium,
            _driver: driver,
            folder,
        }))
    }

    /// Opens an empty tab.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn tab(self: &Arc<Self>) -> Result<Tab> {
        self.open(json!({ "url": "about:blank" })).await
    }

    /// Opens an empty tab in a private context of its own: it shares no storage with any other, and the browser
    /// keeps what it stores in memory.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn private_tab(self: &Arc<Self>) -> Result<Tab> {
        let context = self.cdp.call("Target.createBrowserContext", json!({})).await?;
        self.open(json!({ "url": "about:blank", "browserContextId": context["browserContextId"] }))
            .await
    }

    async fn open(self: &Arc<Self>, target: serde_json::Value) -> Result<Tab> {
        let created = self.cdp.call("Target.createTarget", target).await?;
        let target = created["targetId"]
            .as_str()
            .context("the browser names no target")?;
        let session = self.watch.attach(target, self.observed).await?;
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(session.clone());
        let window = WindowHandle::try_from(target.to_owned())?;
        Ok(Tab::new(Arc::clone(self), window, session))
    }

    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its pages did.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Its debugging protocol.
    #[must_use]
    pub fn cdp(&self) -> &Cdp {
        &self.cdp
    }

    /// The process id of the browser process, the parent of all others.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.chromium.pid()
    }

    /// A picture, as PNG, of each tab that is still there.
    pub async fn screenshots(&self) -> Vec<Vec<u8>> {
        let sessions = self
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut pictures = Vec::new();
        for session in sessions {
            let answer = self
                .cdp
                .call_in(&session, "Page.captureScreenshot", json!({}))
                .await;
            let picture = answer
                .ok()
                .and_then(|answer| BASE64.decode(answer["data"].as_str()?).ok());
            pictures.extend(picture);
        }
        pictures
    }

    /// Lets `window` be the one that commands go to, for as long as the guard lives.
    pub(crate) async fn focus(&self, window: &WindowHandle) -> Result<Focused<'_>> {
        let mut current = self.current.lock().await;
        if current.as_ref() != Some(window) {
            self.client.switch_to_window(window.clone()).await?;
            *current = Some(window.clone());
        }
        Ok(Focused {
            client: &self.client,
            current,
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.chromium.kill();
        // Its helper processes end by themselves a moment later, and may write until then.
        for _ in 0..50 {
            if std::fs::remove_dir_all(self.folder.path()).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The driver's client, with the right window before it.
#[derive(Debug)]
pub(crate) struct Focused<'a> {
    pub(crate) client: &'a Client,
    current: tokio::sync::MutexGuard<'a, Option<WindowHandle>>,
}

impl Focused<'_> {
    /// Closes the window.
    pub(crate) async fn close(mut self) -> Result<()> {
        *self.current = None;
        self.client.close_window().await?;
        Ok(())
    }
}

/// Lets the driver on this port take over the browser that listens at `debugger`.
async fn connect(debugger: &str, port: &str) -> Result<Client> {
    let address = debugger
        .trim_start_matches("ws://")
        .split('/')
        .next()
        .context("the debugger has an address")?;
    let mut capabilities = serde_json::Map::new();
    capabilities.insert("goog:chromeOptions".into(), json!({ "debuggerAddress": address }));
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .context("chromedriver can't take over the browser")?;
    let timeouts = TimeoutConfiguration::new(Some(SCRIPT_TIMEOUT), Some(Duration::from_mins(1)), None);
    client.update_timeouts(timeouts).await?;
    Ok(client)
}

fn program(variable: &str, default: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| default.into())
}
