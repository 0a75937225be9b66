//! Pages in Firefox, which speaks `WebDriver` `BiDi` by itself.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use causeway_core::sha1;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::program::{Log, Program};

/// Firefox with one tab, on our page or WebTorrent's, which has one torrent. Dropping it kills it.
#[derive(Debug)]
pub struct Firefox {
    program: Program,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    context: Value,
    calls: u64,
    _profile: TempDir,
}

impl Firefox {
    /// Starts it with a profile of its own, and opens an address.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn open(address: &str) -> Result<Self> {
        Self::open_with("", address).await
    }

    /// The same where scripts get to know the time in steps of a tenth of a second, as where Firefox is set to resist
    /// fingerprinting.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn open_with_coarse_clock(address: &str) -> Result<Self> {
        Self::open_with(COARSE_CLOCK, address).await
    }

    async fn open_with(settings: &str, address: &str) -> Result<Self> {
        let profile = TempDir::with_prefix("causeway-firefox-")?;
        fs::write(profile.path().join("user.js"), format!("{SETTINGS}{settings}"))?;
        let name = std::env::var_os("CAUSEWAY_FIREFOX").unwrap_or_else(|| OsString::from("firefox-esr"));
        let mut command = Command::new(name);
        command
            .args([
                "--headless",
                "--no-remote",
                "--remote-debugging-port",
                "0",
                "--profile",
            ])
            .arg(profile.path())
            .arg("about:blank")
            .env("HOME", profile.path());
        let (program, socket) = Program::start("firefox", command, "WebDriver BiDi listening on ")
            .await
            .context("Firefox is needed: run `cargo xtask setup`")?;
        let (socket, _) = connect_async(format!("{}/session", socket.trim())).await?;
        let mut firefox = Self {
            program,
            socket,
            context: Value::Null,
            calls: 0,
            _profile: profile,
        };
        firefox.call("session.new", json!({ "capabilities": {} })).await?;
        let tree = firefox.call("browsingContext.getTree", json!({})).await?;
        firefox.context = tree["contexts"][0]["context"].clone();
        let to = json!({ "context": firefox.context, "url": address, "wait": "complete" });
        firefox.call("browsingContext.navigate", to).await?;
        Ok(firefox)
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }

    /// Waits until the torrent of our page is complete.
    ///
    /// # Errors
    /// When that takes longer: with what the page shows.
    pub async fn complete(&mut self, within: Duration) -> Result<()> {
        self.wait(
            "[data-testid=torrent]",
            "d.state === 'seeding' && Number(d.progress) === 1",
            within,
        )
        .await
    }

    /// Waits until a condition holds for the `dataset`, `d`, of an element.
    ///
    /// # Errors
    /// When that takes longer: with what the page shows.
    pub async fn wait(&mut self, element: &str, condition: &str, within: Duration) -> Result<()> {
        let wait = WAIT.replace("ELEMENT", element).replace("CONDITION", condition);
        if let Ok(done) = timeout(within, self.run(&wait)).await {
            return done.map(drop);
        }
        let shown = self.run("document.body.outerHTML").await?;
        bail!("{condition} does not come true in Firefox within {within:?}: {shown}")
    }

    /// Checks that the page has stored these bytes as a file of the torrent.
    ///
    /// # Errors
    /// When it has not.
    pub async fn assert_stored(&mut self, bytes: &[u8]) -> Result<()> {
        let stored = self
            .run(&STORED.replace("LENGTH", &bytes.len().to_string()))
            .await?;
        let sent = sha1(bytes).to_string();
        ensure!(stored == json!(sent), "Firefox has stored {stored}, not {sent}");
        Ok(())
    }

    /// What an expression comes to in the page, once it has.
    async fn run(&mut self, expression: &str) -> Result<Value> {
        let target = json!({ "context": self.context });
        let what = json!({ "expression": expression, "target": target, "awaitPromise": true });
        let answer = self.call("script.evaluate", what).await?;
        ensure!(
            answer["type"] == "success",
            "an expression failed in Firefox: {answer}"
        );
        Ok(answer["result"]["value"].clone())
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        self.socket.send(Message::text(text)).await?;
        while let Some(message) = self.socket.next().await {
            let Message::Text(text) = message? else { continue };
            let mut answer: Value = serde_json::from_str(&text)?;
            if answer["id"] == json!(id) {
                ensure!(answer["type"] == "success", "Firefox refuses {method}: {answer}");
                return Ok(answer["result"].take());
            }
        }
        bail!("Firefox has ended before it answered {method}")
    }
}

/// Its peers are on this machine, and nobody else is asked for anything.
const SETTINGS: &str = "\
user_pref('media.peerconnection.ice.loopback', true);
user_pref('media.peerconnection.ice.obfuscate_host_addresses', false);
user_pref('datareporting.policy.dataSubmissionEnabled', false);
user_pref('app.update.enabled', false);
user_pref('network.captive-portal-service.enabled', false);
user_pref('network.connectivity-service.enabled', false);
user_pref('services.settings.server', 'data:,');
";

const COARSE_CLOCK: &str = "\
user_pref('privacy.resistFingerprinting.reduceTimerPrecision.microseconds', 100000);
";

const WAIT: &str = "new Promise(done => {
    const look = () => {
        const d = document.querySelector('ELEMENT')?.dataset ?? {}
        if (CONDITION) { observer.disconnect(); done() }
    }
    const observer = new MutationObserver(look)
    observer.observe(document, { subtree: true, childList: true, attributes: true })
    look()
})";

const STORED: &str = "(async () => {
    const find = async folder => {
        for await (const entry of folder.values()) {
            const file = entry.kind === 'directory' ? await find(entry) : await entry.getFile()
            if (file?.size === LENGTH) return file
        }
    }
    const file = await find(await navigator.storage.getDirectory())
    const digest = await crypto.subtle.digest('SHA-1', await file.arrayBuffer())
    return Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, '0')).join('')
})()";
