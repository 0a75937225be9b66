//! The real WebTorrent client in a page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::page::Shared;
use crate::site::Site;
use crate::tab::Tab;

/// A tab with npm's `webtorrent` in it, and one torrent in that.
#[derive(Debug)]
pub struct WebTorrentPage {
    tab: Tab,
}

impl WebTorrentPage {
    /// Opens the page and waits until it can be used; what it shares it will announce to `tracker`.
    ///
    /// # Errors
    /// When the page does not come up.
    pub async fn idle(tab: Tab, site: &Site, tracker: &str) -> Result<Self> {
        tab.goto(&format!("{}/webtorrent.html#tracker={tracker}", site.origin()))
            .await?;
        let page = Self { tab };
        page.wait(
            "WebTorrent to be there",
            Duration::from_secs(30),
            "d.state === 'idle'",
        )
        .await?;
        Ok(page)
    }

    /// Opens the page, chooses these files and announces them to `tracker`.
    ///
    /// # Errors
    /// When the page does not come up or the client fails.
    pub async fn share(tab: Tab, site: &Site, tracker: &str, files: &[&Path]) -> Result<(Self, Shared)> {
        let page = Self::idle(tab, site, tracker).await?;
        page.tab.choose("#files", files).await?;
        page.wait(
            "WebTorrent to hash the files",
            Duration::from_mins(2),
            "d.state === 'shared'",
        )
        .await?;
        let shared = page
            .tab
            .run("return { ...document.querySelector('#torrent').dataset }", vec![])
            .await?;
        let field = |name: &str| {
            shared[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        let magnet = field("magnet")?;
        Ok((
            page,
            Shared {
                info_hash: field("infoHash")?,
                link: magnet.clone(),
                magnet,
            },
        ))
    }

    /// Opens the page with a magnet link to download.
    ///
    /// # Errors
    /// When the page does not come up.
    pub async fn open(tab: Tab, site: &Site, magnet: &str) -> Result<Self> {
        tab.goto(&format!(
            "{}/webtorrent.html#magnet={}",
            site.origin(),
            escape(magnet)
        ))
        .await?;
        Ok(Self { tab })
    }

    /// Downloads what this magnet link names, on a page that is idle.
    ///
    /// # Errors
    /// When the page is gone.
    pub async fn download(&self, magnet: &str) -> Result<()> {
        let download = "window.download(arguments[0])";
        self.tab.run(download, vec![json!(magnet)]).await?;
        Ok(())
    }

    /// When the first block of each piece came, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the page is gone.
    pub async fn arrivals(&self) -> Result<BTreeMap<u32, f64>> {
        let arrivals = self.tab.run("return window.arrivals", vec![]).await?;
        Ok(serde_json::from_value(arrivals)?)
    }

    /// When something happened (`opened`, `first-piece`, `complete`), in milliseconds of the page's clock.
    ///
    /// # Errors
    /// When it hasn't.
    pub async fn mark(&self, name: &str) -> Result<f64> {
        let look = "return performance.getEntriesByName(arguments[0])[0]?.startTime";
        let time = self.tab.run(look, vec![json!(name)]).await?;
        time.as_f64()
            .with_context(|| format!("the page has no mark {name}"))
    }

    /// Waits until everything is there and verified.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn complete(&self, within: Duration) -> Result<()> {
        self.wait("WebTorrent to have everything", within, "d.state === 'complete'")
            .await
    }

    /// Waits until a condition on the page's figures holds, `d` being the element's `dataset` with `progress`,
    /// `peers`, `uploaded` and `downloaded`.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn wait(&self, what: &str, within: Duration, condition: &str) -> Result<()> {
        let look = format!(
            "const d = document.querySelector('#torrent').dataset;
             return [{condition} || d.state === 'error', {{ ...d }}];"
        );
        let seen = self.tab.wait(what, within, &look, vec![]).await?;
        anyhow::ensure!(seen["state"] != "error", "WebTorrent failed: {}", seen["error"]);
        Ok(())
    }

    /// Saves the file with this name and returns where it lies.
    ///
    /// # Errors
    /// When there is no such file or the download fails.
    pub async fn save(&self, name: &str) -> Result<PathBuf> {
        self.tab
            .run_async("await window.save(arguments[0])", vec![json!(name)])
            .await?;
        Ok(self.tab.browser().watch().download().await?.1)
    }

    /// One of the page's figures: `progress`, `peers`, `uploaded`, `downloaded`.
    ///
    /// # Errors
    /// When there is no torrent yet.
    pub async fn number(&self, name: &str) -> Result<f64> {
        let script = "return Number(document.querySelector('#torrent').dataset[arguments[0]])";
        let number = self.tab.run(script, vec![json!(name)]).await?;
        number
            .as_f64()
            .with_context(|| format!("WebTorrent shows no {name}"))
    }

    /// The tab.
    #[must_use]
    pub fn tab(&self) -> &Tab {
        &self.tab
    }
}

/// A magnet link as the value of a field in the fragment of an address.
#[must_use]
pub fn escape(magnet: &str) -> String {
    magnet.replace('%', "%25").replace('&', "%26")
}
