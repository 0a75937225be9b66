//! Our page, as a person uses it. What is relied on is the page's contract: its `data-testid`s.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::tab::Tab;

/// How long what needs no peer may take.
const SOON: Duration = Duration::from_secs(30);

/// How long sharing a file of a test may take.
const HASHING: Duration = Duration::from_mins(2);

/// A tab with our page in it.
#[derive(Debug)]
pub struct CausewayPage {
    tab: Tab,
}

/// What whoever shares something sends to others.
#[derive(Clone, Debug)]
pub struct Shared {
    /// 40 hexadecimal digits.
    pub info_hash: String,
    /// The address that opens it, on the page that shared it where that is ours.
    pub link: String,
    /// The magnet link, for any client.
    pub magnet: String,
}

impl CausewayPage {
    /// Opens the page at `address`, its origin or a link to a torrent, and waits until it can be used.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn open(tab: Tab, address: &str) -> Result<Self> {
        tab.goto(address).await?;
        let page = Self { tab };
        page.ready().await?;
        Ok(page)
    }

    /// The page in a tab where it may be unable to come up.
    #[must_use]
    pub fn of(tab: Tab) -> Self {
        Self { tab }
    }

    /// Waits until files can be dropped and links opened; where another tab runs, until links can be handed to it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn ready(&self) -> Result<()> {
        let look =
            "const input = document.querySelector('[data-testid=file-input], [data-testid=open-input]');
                    return [input !== null && !input.disabled, document.body.innerText];";
        self.tab.wait("the page to come up", SOON, look, vec![]).await?;
        Ok(())
    }

    /// Chooses files to share and waits for the link.
    ///
    /// # Errors
    /// When no link appears.
    pub async fn share(&self, files: &[&Path]) -> Result<Shared> {
        self.share_through("file-input", files).await
    }

    /// Chooses a folder to share and waits for the link.
    ///
    /// # Errors
    /// When no link appears.
    pub async fn share_folder(&self, folder: &Path) -> Result<Shared> {
        self.share_through("folder-input", &[folder]).await
    }

    async fn share_through(&self, input: &str, paths: &[&Path]) -> Result<Shared> {
        let before = self.tab.run(LINKS, vec![]).await?;
        self.tab.choose(&test_id(input), paths).await?;
        let look = format!(
            "const links = (() => {{ {LINKS} }})();
             const link = links.find(link => !arguments[0].some(old => old[0] === link[0]));
             return [link !== undefined, link ?? document.body.innerText];"
        );
        let new = self
            .tab
            .wait("the link to what is shared", HASHING, &look, vec![before])
            .await?;
        let field = |index: usize| new[index].as_str().map(str::to_owned).context("a link is text");
        let link = field(1)?;
        let (_, magnet) = link
            .split_once('#')
            .with_context(|| format!("no magnet link in {link}"))?;
        Ok(Shared {
            info_hash: field(0)?,
            magnet: magnet.to_owned(),
            link,
        })
    }

    /// Types a link and opens it.
    ///
    /// # Errors
    /// When the field or its button aren't there.
    pub async fn open_link(&self, link: &str) -> Result<()> {
        self.tab.fill(&test_id("open-input"), link).await?;
        self.tab.click(&test_id("open-button")).await
    }

    /// Chooses a torrent file to open.
    ///
    /// # Errors
    /// When the input isn't there.
    pub async fn open_torrent_file(&self, path: &Path) -> Result<()> {
        self.tab.choose(&test_id("torrent-input"), &[path]).await
    }

    /// The torrent with this hash.
    #[must_use]
    pub fn torrent(&self, info_hash: &str) -> Torrent<'_> {
        Torrent {
            page: self,
            selector: format!("[data-testid=torrent][data-info-hash='{info_hash}']"),
        }
    }

    /// Waits for a message about something that went wrong that contains `words`, whatever their case, and returns
    /// it.
    ///
    /// # Errors
    /// When none appears.
    pub async fn error(&self, words: &str) -> Result<String> {
        let look =
            "const errors = [...document.querySelectorAll('[data-testid=error]')].map(e => e.innerText);
                    const error = errors.find(error => error && error.toLowerCase().includes(arguments[0]));
                    return [error !== undefined, error ?? document.body.innerText];";
        let what = format!("a message with \"{words}\"");
        let message = self
            .tab
            .wait(&what, SOON, look, vec![json!(words.to_lowercase())])
            .await?;
        message.as_str().map(str::to_owned).context("a message is text")
    }

    /// Takes note of all messages, so that they go.
    ///
    /// # Errors
    /// When one stays.
    pub async fn dismiss_errors(&self) -> Result<()> {
        self.tab
            .run(
                "document.querySelectorAll('[data-testid=dismiss]').forEach(button => button.click())",
                vec![],
            )
            .await?;
        let look = "const left = document.querySelectorAll('[data-testid=dismiss]').length;
                    return [left === 0, left];";
        self.tab.wait("the messages to go", SOON, look, vec![]).await?;
        Ok(())
    }

    /// Waits until the page says that it runs in another tab of this browser, or no longer does.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn says_another_tab_is_open(&self, says: bool) -> Result<()> {
        let look = "const says = document.querySelector('[data-testid=other-tab]') !== null;
                    return [says === arguments[0], document.body.innerText];";
        self.tab
            .wait("the word on the other tab", SOON, look, vec![json!(says)])
            .await?;
        Ok(())
    }

    /// Loads the page again and waits until it can be used.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn reload(&self) -> Result<()> {
        self.tab.reload().await?;
        self.ready().await
    }

    /// Closes the tab.
    ///
    /// # Errors
    /// When it is closed already.
    pub async fn close(self) -> Result<()> {
        self.tab.close().await
    }

    /// The tab.
    #[must_use]
    pub fn tab(&self) -> &Tab {
        &self.tab
    }
}

/// A torrent's row on the page.
#[derive(Debug)]
pub struct Torrent<'a> {
    page: &'a CausewayPage,
    selector: String,
}

impl Torrent<'_> {
    /// Waits until its state is this one.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn state(&self, state: &str, within: Duration) -> Result<()> {
        self.wait(
            &format!("the state {state}"),
            within,
            &format!("d.state === '{state}'"),
        )
        .await?;
        Ok(())
    }

    /// Waits until everything that is wanted is there.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn complete(&self, within: Duration) -> Result<()> {
        self.wait(
            "everything to be there",
            within,
            "d.state === 'seeding' && Number(d.progress) === 1",
        )
        .await?;
        Ok(())
    }

    /// Waits until a condition holds and returns what the row shows then. `d` is the row's `dataset`, with
    /// `state` and `progress`, `peers` the number of peers, `row` the element or `null`.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn wait(&self, what: &str, within: Duration, condition: &str) -> Result<Row> {
        let look = format!(
            "const row = document.querySelector(arguments[0]), d = row?.dataset ?? {{}};
             const peers = parseInt(row?.querySelector('[data-testid=peers]')?.innerText ?? '0');
             return [{condition}, {{ ...d, peers, text: (row ?? document.body).innerText }}];"
        );
        let seen = self
            .page
            .tab
            .wait(what, within, &look, vec![json!(self.selector)])
            .await?;
        Row::read(&seen)
    }

    /// What the row shows now.
    ///
    /// # Errors
    /// When there is no such row.
    pub async fn now(&self) -> Result<Row> {
        self.wait("the row", SOON, "row !== null").await
    }

    /// The paths of its files.
    ///
    /// # Errors
    /// When they don't appear.
    pub async fn files(&self) -> Result<Vec<String>> {
        let look = "const files = [...document.querySelectorAll(arguments[0] + ' [data-testid=file]')];
                    return [files.length > 0, files.map(file => file.dataset.path)];";
        let paths = self
            .page
            .tab
            .wait("the files", SOON, look, vec![json!(self.selector)])
            .await?;
        let paths = paths.as_array().into_iter().flatten();
        Ok(paths.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Saves the file with this path and returns where it lies.
    ///
    /// # Errors
    /// When there is no such file or the download fails.
    pub async fn save(&self, path: &str) -> Result<PathBuf> {
        let file = format!("{} [data-testid=file][data-path={}]", self.selector, json!(path));
        let button = format!("{file} [data-testid=save]");
        let look = "const file = document.querySelector(arguments[0]);
                    return [file?.querySelector('[data-testid=save]')?.disabled === false, file?.outerHTML];";
        let what = format!("{path} to be there for saving");
        self.page.tab.wait(&what, SOON, look, vec![json!(file)]).await?;
        self.page.tab.click(&button).await?;
        let (name, saved) = self.page.tab.browser().watch().download().await?;
        let expected = path.rsplit('/').next().unwrap_or(path);
        ensure!(name == expected, "{path} is offered as \"{name}\"");
        Ok(saved)
    }

    /// Presses the button of this name: `pause`, `resume`, `remove`.
    ///
    /// # Errors
    /// When there is no such button.
    pub async fn press(&self, button: &str) -> Result<()> {
        self.page
            .tab
            .click(&format!("{} {}", self.selector, test_id(button)))
            .await
    }
}

/// What a torrent's row shows.
#[derive(Clone, Debug)]
pub struct Row {
    /// `downloading` and the like.
    pub state: String,
    /// 0 to 1.
    pub progress: f64,
    /// Connected peers.
    pub peers: u64,
    /// All its words.
    pub text: String,
}

impl Row {
    fn read(seen: &Value) -> Result<Self> {
        let text = |name: &str| {
            seen[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name} in {seen}"))
        };
        let progress = text("progress")?.parse()?;
        let peers = seen["peers"]
            .as_u64()
            .context("the number of peers is a number")?;
        Ok(Self {
            state: text("state")?,
            progress,
            peers,
            text: text("text")?,
        })
    }
}

/// The info-hash and the link of every torrent that has both, but for those that wait for the user.
const LINKS: &str = "return [...document.querySelectorAll('[data-testid=torrent]:not([data-state=paused])')]
    .map(row => [row.dataset.infoHash, row.querySelector('[data-testid=share-link]')?.href])
    .filter(([hash, link]) => hash && link)";

fn test_id(name: &str) -> String {
    format!("[data-testid={name}]")
}
