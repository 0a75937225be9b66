//! A plain HTTP server with files, as a web seed that knows nothing of torrents, and such as do not behave.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As the standard says, with the ranges that are asked for.
    Well,
    /// With an error, so many times at first.
    Failing(usize),
    /// From another path, which the first one names.
    Redirecting,
    /// With other bytes.
    Lying,
    /// With whole files, whatever is asked for.
    WithoutRanges,
    /// With half of what it says.
    BreakingOff,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct WebServer {
    origin: String,
    asked: Arc<Asked>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Asked {
    folder: PathBuf,
    manner: Manner,
    requests: AtomicUsize,
    bytes: AtomicU64,
}

impl WebServer {
    /// Serves the files of this folder on a free port of this machine.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn start(folder: &Path, manner: Manner) -> Result<Self> {
        let asked = Arc::new(Asked {
            folder: folder.to_owned(),
            manner,
            requests: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // It has no other end than being dropped.
            axum::serve(listener, routes).await.ok();
        });
        Ok(Self {
            origin,
            asked,
            server,
        })
    }

    /// Where it answers, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.asked.requests.load(Ordering::Relaxed)
    }

    /// How many bytes of files it has given.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.asked.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Pages may fetch from it, too.
async fn answer(State(asked): State<Arc<Asked>>, request: Request) -> Response {
    let mut response = file(&asked, &request);
    let everybody = header::HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    response
}

fn file(asked: &Asked, request: &Request) -> Response {
    let before = asked.requests.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path().replace("%20", " ");
    match asked.manner {
        Manner::Failing(times) if before < times => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Redirecting if !path.starts_with("/moved") => {
            let place = format!("/moved{}", request.uri().path());
            return (StatusCode::FOUND, [(header::LOCATION, place)]).into_response();
        }
        Manner::Well
        | Manner::Failing(_)
        | Manner::Redirecting
        | Manner::Lying
        | Manner::WithoutRanges
        | Manner::BreakingOff => {}
    }
    let path = path.trim_start_matches("/moved").trim_start_matches('/');
    let Ok(mut bytes) = fs::read(asked.folder.join(path)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let length = bytes.len();
    let range = request
        .headers()
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let range =
        range.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
    if asked.manner == Manner::Lying {
        bytes.fill(7);
    }
    let Some((first, last)) = range.filter(|_| asked.manner != Manner::WithoutRanges) else {
        return bytes.into_response();
    };
    if first > last || last >= length {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let part = bytes[first..=last].to_vec();
    asked.bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
    let headers = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}"))];
    let body = if asked.manner == Manner::BreakingOff {
        let half = part[..part.len() / 2].to_vec();
        let parts = [Ok(half), Err(std::io::Error::other("enough"))];
        Body::from_stream(futures_util::stream::iter(parts))
    } else {
        Body::from(part)
    };
    (StatusCode::PARTIAL_CONTENT, headers, body).into_response()
}
