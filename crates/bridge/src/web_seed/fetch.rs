//! One range of a torrent, as the engine asks for it: a request for each file that it touches.

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use causeway_core::{FileSlice, Info};
use causeway_engine::LinkId;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::Address;
use super::client::{Client, Failure, Reach};

/// Fetches the range and gives the bytes, in order, to the taker, as it has room for them.
///
/// # Errors
/// The server is at fault, or can't be reached; what came before was given.
pub(crate) async fn fetch(
    client: &Client,
    (address, reach): (&Address, Reach),
    info: &Arc<Info>,
    bytes: Range<u64>,
    taker: &Taker,
) -> Result<(), Failure> {
    for slice in info.slices_of(bytes) {
        let Some(file) = info.files().get(slice.file) else {
            continue;
        };
        if file.is_padding() {
            zeros(slice.length, taker).await;
            continue;
        }
        let range = slice.offset..slice.offset + u64::from(slice.length);
        let url = info.url_of(address.as_str(), slice.file);
        let response = client.get(&url, Some(&range), reach).await?;
        check(&response, &range, file.length())?;
        body(response.into_body(), slice, taker).await?;
    }
    Ok(())
}

/// Who gets the bytes: a torrent's task, which has room for a few parts.
#[derive(Debug)]
pub(crate) struct Taker {
    pub(crate) link: LinkId,
    /// Which fetch of that web seed this is: what comes of one that was stopped is nobody's.
    pub(crate) fetch: u64,
    pub(crate) news: mpsc::Sender<News>,
}

/// What comes of a fetch.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) link: LinkId,
    pub(crate) fetch: u64,
    pub(crate) what: What,
}

/// Bytes, or the end.
#[derive(Debug)]
pub(crate) enum What {
    Bytes(Bytes),
    Ended(Result<(), Failure>),
}

impl Taker {
    async fn take(&self, bytes: Bytes) {
        self.tell(What::Bytes(bytes)).await;
    }

    /// Tells the torrent. Where that has ended this is stopped at any moment.
    pub(crate) async fn tell(&self, what: What) {
        let (link, fetch) = (self.link, self.fetch);
        self.news
            .send(News { link, fetch, what })
            .await
            .unwrap_or_default();
    }
}

async fn body(mut body: Incoming, slice: FileSlice, taker: &Taker) -> Result<(), Failure> {
    let mut missing = slice.length as usize;
    while missing > 0 {
        let frame = body.frame().await;
        let frame = frame.ok_or_else(|| Failure::now("it sends less than it says"))?;
        let frame = frame.map_err(|error| Failure::now(format!("its answer breaks off ({error})")))?;
        // What else there is are trailers.
        if let Ok(mut data) = frame.into_data() {
            data.truncate(missing);
            missing -= data.len();
            if !data.is_empty() {
                taker.take(data).await;
            }
        }
    }
    // Read to its end, so that the next range goes over the same connection.
    while let Some(Ok(frame)) = body.frame().await {
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            return Err(Failure::forever("it sends more than it was asked for"));
        }
    }
    Ok(())
}

async fn zeros(length: u32, taker: &Taker) {
    const ZEROS: &[u8] = &[0; 16 * 1024];
    let mut left = length as usize;
    while left > 0 {
        let now = left.min(ZEROS.len());
        taker.take(Bytes::from_static(&ZEROS[..now])).await;
        left -= now;
    }
}

/// Checks that the answer is the range of the file, or the whole of it where that is the same.
fn check<Body>(response: &Response<Body>, range: &Range<u64>, length: u64) -> Result<(), Failure> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if header(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Failure::forever(
            "it sends the file compressed, which was not asked for",
        ));
    }
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let is_right = header(CONTENT_RANGE)
            .and_then(content_range)
            .is_some_and(|(sent, total)| sent == *range && total.is_none_or(|total| total == length));
        return if is_right {
            Ok(())
        } else {
            Err(Failure::forever(
                "its file has another length, or it sends another range than it was asked for",
            ))
        };
    }
    if response.status() != StatusCode::OK {
        return Err(Failure::forever(format!("it answers {}", response.status())));
    }
    let sent: Option<u64> = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if sent.is_some_and(|sent| sent != length) {
        return Err(Failure::forever("its file has another length"));
    }
    if *range != (0..length) {
        return Err(Failure::forever("it can't send parts of a file"));
    }
    Ok(())
}

/// `bytes FIRST-LAST/LENGTH`, where the length may be `*`.
fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, length) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let length = match length.trim() {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    (first <= last).then_some((first..last.checked_add(1)?, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_engine::FetchError;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).expect("valid")
    }

    #[test]
    fn nothing_but_the_range_that_was_asked_for_is_taken() {
        let range = 10..20;
        for (status, headers, is_right) in [
            (206, &[("content-range", "bytes 10-19/100")][..], true),
            (206, &[("content-range", "bytes 10-19/*")], true),
            (206, &[("content-range", "bytes 10-19/99")], false),
            (206, &[("content-range", "bytes 10-18/100")], false),
            (
                206,
                &[("content-range", "bytes 10-18446744073709551615/100")],
                false,
            ),
            (206, &[("content-range", "bytes 19-10/100")], false),
            (206, &[("content-range", "10-19/100")], false),
            (206, &[], false),
            (
                206,
                &[("content-range", "bytes 10-19/100"), ("content-encoding", "gzip")],
                false,
            ),
            (200, &[("content-length", "100")], false),
            (204, &[], false),
        ] {
            let checked = check(&answer(status, headers), &range, 100);
            assert_eq!(checked.is_ok(), is_right, "{status} {headers:?}");
            assert!(checked.is_ok() || checked.is_err_and(|failure| failure.error == FetchError::Useless));
        }
        assert!(check(&answer(200, &[("content-length", "100")]), &(0..100), 100).is_ok());
        assert!(check(&answer(200, &[]), &(0..100), 100).is_ok());
        assert!(check(&answer(200, &[("content-length", "101")]), &(0..100), 100).is_err());
    }
}
