//! The pages of the tests' own: the real WebTorrent client, a bare data channel, a peer that misbehaves. And a web server
//! that knows nothing of the page whose files it has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A web server on a free port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct Site {
    origin: String,
    server: JoinHandle<()>,
}

impl Site {
    /// Starts it.
    ///
    /// # Errors
    /// When the packages of `package.json` aren't installed, or no port is to be had.
    pub async fn start() -> Result<Self> {
        let webtorrent = std::fs::read(node_modules().join("webtorrent/dist/webtorrent.min.js"))
            .context("npm's webtorrent is not installed: run `cargo xtask setup`")?;
        let script = move || async move { ([(header::CONTENT_TYPE, "text/javascript")], webtorrent) };
        let routes = Router::new()
            .route("/webtorrent.html", page(include_str!("../www/webtorrent.html")))
            .route("/channel.html", page(include_str!("../www/channel.html")))
            .route("/stranger.html", page(include_str!("../www/stranger.html")))
            .route(
                "/webtorrent.min.js",
                get(|| async { script().await.into_response() }),
            );
        Self::serve(routes).await
    }

    /// Starts one that has the files of this folder under this path, `/like/this`.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn of_files(folder: &Path, path: &str) -> Result<Self> {
        let (index, folder) = (folder.join("index.html"), folder.to_owned());
        let routes = Router::new()
            .route(&format!("{path}/"), get(move || async move { file(&index) }))
            .route(
                &format!("{path}/{{*name}}"),
                get(
                    move |extract::Path(name): extract::Path<String>| async move { file(&folder.join(name)) },
                ),
            );
        Self::serve(routes).await
    }

    async fn serve(routes: Router) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // It has no other end than being dropped.
            axum::serve(listener, routes).await.ok();
        });
        Ok(Self { origin, server })
    }

    /// Where it answers, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn page(html: &'static str) -> axum::routing::MethodRouter {
    get(move || async move { Html(html) })
}

/// A file, with the type that web servers know its ending by.
fn file(path: &Path) -> Response {
    let kind = match path.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    match std::fs::read(path) {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Where npm installs the packages of `package.json`.
pub(crate) fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules")
}
