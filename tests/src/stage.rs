//! Where a test plays: it starts what it needs, and when it fails the stage shows why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, panic::AssertUnwindSafe};

use anyhow::{Result, anyhow, ensure};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::browser::Browser;
use crate::native::Seed;
use crate::page::CausewayPage;
use crate::program::Log;
use crate::server::{ReferenceTracker, Server};
use crate::site::Site;
use crate::turn::Turn;

/// The longest that a test may take, below what the runner allows so that the stage can still report.
const LIMIT: Duration = Duration::from_mins(5);

/// What a test has at hand. All of it ends with the test, however that ends.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    browsers: Mutex<Vec<Arc<Browser>>>,
    logs: Mutex<Vec<Log>>,
}

/// Plays a test.
///
/// # Panics
/// When the test fails, or a page wrote an error to its console that the test did not expect. Before that,
/// pictures of all tabs are saved, and what the programs wrote is printed.
pub fn run(test: impl AsyncFnOnce(&Stage) -> Result<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a test has threads").block_on(async {
        let stage = Stage {
            folder: TempDir::with_prefix("causeway-test-").expect("a test has a folder"),
            browsers: Mutex::default(),
            logs: Mutex::default(),
        };
        let played = timeout(LIMIT, AssertUnwindSafe(test(&stage)).catch_unwind()).await;
        let outcome = match played {
            Ok(Ok(outcome)) => outcome.and_then(|()| stage.check_consoles()),
            Ok(Err(_)) => Err(anyhow!("the test panicked, see above")),
            Err(_) => Err(anyhow!("the test did not end within {LIMIT:?}")),
        };
        if let Err(error) = outcome {
            stage.report().await;
            panic!("{error:#}");
        }
    });
}

impl Stage {
    /// Starts a browser; `name` is what reports call it.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn browser(&self, name: &str) -> Result<Arc<Browser>> {
        let browser = Browser::start(name).await?;
        self.browsers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&browser));
        Ok(browser)
    }

    /// Starts a browser of its own and opens our page at `address` in it.
    ///
    /// # Errors
    /// When it can't be started or the page does not come up.
    pub async fn page(&self, name: &str, address: &str) -> Result<CausewayPage> {
        let browser = self.browser(name).await?;
        self.page_in(&browser, address).await
    }

    /// Opens our page at `address` in another tab of a browser.
    ///
    /// # Errors
    /// When the page does not come up.
    pub async fn page_in(&self, browser: &Arc<Browser>, address: &str) -> Result<CausewayPage> {
        CausewayPage::open(browser.tab().await?, address).await
    }

    /// Starts `causeway serve` with these further arguments.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn server(&self, arguments: &[&str]) -> Result<Server> {
        let server = Server::start(arguments).await?;
        self.keep(server.log());
        Ok(server)
    }

    /// Starts `causeway serve` with the ICE servers that these arguments name.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn server_with_ice(&self, arguments: &[&str]) -> Result<Server> {
        let server = Server::with_ice(arguments).await?;
        self.keep(server.log());
        Ok(server)
    }

    /// Starts coturn.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn turn(&self) -> Result<Turn> {
        let turn = Turn::start().await?;
        self.keep(turn.log());
        Ok(turn)
    }

    /// Starts `causeway seed` on a file or folder, with this tracker and these further arguments.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn seed(&self, path: &Path, tracker: &str, arguments: &[&str]) -> Result<Seed> {
        let seed = Seed::start(path, tracker, arguments).await?;
        self.keep(seed.log());
        Ok(seed)
    }

    /// Starts the reference tracker.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn reference_tracker(&self) -> Result<ReferenceTracker> {
        let tracker = ReferenceTracker::start().await?;
        self.keep(tracker.log());
        Ok(tracker)
    }

    /// Starts the site of the tests' own pages.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn site(&self) -> Result<Site> {
        Site::start().await
    }

    /// Writes a file of `length` bytes to share, other ones for each name.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn file(&self, name: &str, length: u64) -> Result<PathBuf> {
        let seed = name.bytes().fold(length, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(byte.into())
        });
        crate::files::generate(&self.folder().join(name), length, seed)
    }

    /// The test's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has what a program writes told if the test fails.
    pub fn keep(&self, log: Log) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }

    fn browsers(&self) -> Vec<Arc<Browser>> {
        self.browsers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn check_consoles(&self) -> Result<()> {
        for browser in self.browsers() {
            let errors = browser.watch().unexpected_errors();
            ensure!(
                errors.is_empty(),
                "the console of {} has errors:\n{}",
                browser.name(),
                errors.join("\n")
            );
        }
        Ok(())
    }

    async fn report(&self) {
        for log in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            eprintln!("{log}");
        }
        for browser in self.browsers() {
            for line in browser.watch().console() {
                eprintln!("{}, {line}", browser.name());
            }
            for (index, picture) in browser.screenshots().await.into_iter().enumerate() {
                match save_picture(browser.name(), index, &picture) {
                    Ok(path) => eprintln!("{}: see {}", browser.name(), path.display()),
                    Err(error) => eprintln!("{}: no picture: {error}", browser.name()),
                }
            }
        }
    }
}

/// Saves a picture beside the build, under the name of the test.
fn save_picture(browser: &str, index: usize, picture: &[u8]) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).unwrap_or(Path::new("."));
    let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
    let folder = target.join("e2e-failures").join(test);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{browser}-{index}.png"));
    fs::write(&path, picture)?;
    Ok(path)
}
