//! A tab of a browser, driven as a person would: addresses, clicks, keys, files. Waits are waits for an event.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::Locator;
use fantoccini::elements::Element;
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};

use crate::browser::Browser;

/// A tab. Commands to the tabs of one browser go one after another.
#[derive(Clone, Debug)]
pub struct Tab {
    browser: Arc<Browser>,
    window: WindowHandle,
    session: String,
}

impl Tab {
    pub(crate) fn new(browser: Arc<Browser>, window: WindowHandle, session: String) -> Self {
        Self {
            browser,
            window,
            session,
        }
    }

    /// The browser that it belongs to.
    #[must_use]
    pub fn browser(&self) -> &Arc<Browser> {
        &self.browser
    }

    /// Opens an address and waits until the page is loaded.
    ///
    /// # Errors
    /// When that fails.
    pub async fn goto(&self, url: &str) -> Result<()> {
        let focused = self.browser.focus(&self.window).await?;
        focused
            .client
            .goto(url)
            .await
            .with_context(|| format!("opening {url}"))
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// When that fails.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.browser.focus(&self.window).await?.client.refresh().await?)
    }

    /// Closes the tab.
    ///
    /// # Errors
    /// When it is closed already.
    pub async fn close(self) -> Result<()> {
        self.browser.focus(&self.window).await?.close().await
    }

    /// Runs the body of a function in the page, with `arguments`, and returns what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, body: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self
            .browser
            .focus(&self.window)
            .await?
            .client
            .execute(body, arguments)
            .await?)
    }

    /// Runs the body of an async function in the page, and returns what its promise gives.
    ///
    /// # Errors
    /// When it throws or rejects.
    pub async fn run_async(&self, body: &str, arguments: Vec<Value>) -> Result<Value> {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async function () {{ {body} }}).apply(null, [...arguments].slice(0, -1))
                 .then(value => done({{ value }}), error => done({{ error: String(error) }}));"
        );
        let focused = self.browser.focus(&self.window).await?;
        let mut answer = focused.client.execute_async(&script, arguments).await?;
        match answer["error"].as_str() {
            Some(error) => bail!("the page's script failed: {error}"),
            None => Ok(answer["value"].take()),
        }
    }

    /// Waits until `look` returns `[true, value]` and returns the value. `look` is the body of a function that is
    /// called when anything in the document changes; what it returned beside `false` last is part of the error.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        look: &str,
        arguments: Vec<Value>,
    ) -> Result<Value> {
        let script = format!(
            "const look = function () {{ {look} }}, deadline = arguments[0], rest = [...arguments].slice(1);
             return new Promise(resolve => {{
                 let seen;
                 const end = found => {{ observer.disconnect(); clearTimeout(timer); resolve({{ found, seen }}); }};
                 const glance = () => {{
                     const [found, value] = look.apply(null, rest);
                     seen = value;
                     if (found) end(true);
                 }};
                 const observer = new MutationObserver(glance);
                 observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
                 const timer = setTimeout(() => end(false), deadline);
                 glance();
             }});"
        );
        let milliseconds = u64::try_from(within.as_millis())?;
        let all = [vec![json!(milliseconds)], arguments].concat();
        let mut answer = self
            .run_async(&script, all)
            .await
            .with_context(|| format!("waiting for {what}"))?;
        if answer["found"] != true {
            bail!("waited {within:?} for {what}; last seen: {}", answer["seen"]);
        }
        Ok(answer["seen"].take())
    }

    /// Clicks on the first element that matches.
    ///
    /// # Errors
    /// When there is none or it can't be clicked.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let focused = self.browser.focus(&self.window).await?;
        let element = find(focused.client, selector).await?;
        element
            .click()
            .await
            .with_context(|| format!("clicking on {selector}"))
    }

    /// Replaces what stands in a text field.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let focused = self.browser.focus(&self.window).await?;
        let element = find(focused.client, selector).await?;
        element.clear().await?;
        element
            .send_keys(text)
            .await
            .with_context(|| format!("typing into {selector}"))
    }

    /// Chooses files, or one folder, in a file input.
    ///
    /// # Errors
    /// When there is no such input.
    pub async fn choose(&self, selector: &str, paths: &[&Path]) -> Result<()> {
        let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        let focused = self.browser.focus(&self.window).await?;
        let element = find(focused.client, selector).await?;
        element
            .send_keys(&paths.join("\n"))
            .await
            .with_context(|| format!("choosing files in {selector}"))
    }

    /// Runs a script in every document that this tab opens from now on, before the document's own.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn prepare(&self, script: &str) -> Result<()> {
        self.cdp("Page.enable", json!({})).await?;
        self.cdp(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": script }),
        )
        .await?;
        Ok(())
    }

    /// Calls a method of the debugging protocol for this page.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn cdp(&self, method: &str, params: Value) -> Result<Value> {
        self.browser.cdp().call_in(&self.session, method, params).await
    }
}

async fn find(client: &fantoccini::Client, selector: &str) -> Result<Element> {
    client
        .find(Locator::Css(selector))
        .await
        .with_context(|| format!("looking for {selector}"))
}
