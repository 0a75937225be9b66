//! HTTP servers that have the files, more or less (BEP 19).

use bytes::Bytes;
use causeway_engine::{FetchError, Input, LinkId};
use core::ops::Range;
use core::time::Duration;

/// A server, and what was asked of it.
pub(crate) struct WebServer {
    pub(crate) conduct: Manner,
    /// Bytes a second.
    pub(crate) rate: u64,
    pub(crate) requests: usize,
    pub(crate) bytes: u64,
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    /// With an error, so many times at first.
    Failing(usize),
    /// With half of what was asked for.
    Short,
    /// With other bytes.
    Wrong,
    /// Not at all.
    Silent,
    /// That it has no such file.
    Useless,
}

impl WebServer {
    pub(crate) fn new(conduct: Manner, rate: u64) -> Self {
        Self {
            conduct,
            rate,
            requests: 0,
            bytes: 0,
        }
    }

    /// What it says to a request for this range, and when.
    pub(crate) fn answer(
        &mut self,
        link: LinkId,
        range: Range<u64>,
        content: &Bytes,
    ) -> Vec<(Duration, Input)> {
        self.requests += 1;
        let latency = Duration::from_millis(80);
        let place = |at: u64| usize::try_from(at).expect("small");
        let mut data = content.slice(place(range.start)..place(range.end));
        let result = match self.conduct {
            Manner::Failing(times) if self.requests <= times => Err(FetchError::Failed),
            Manner::Useless => Err(FetchError::Useless),
            Manner::Silent => return Vec::new(),
            Manner::Well | Manner::Failing(_) | Manner::Short | Manner::Wrong => Ok(()),
        };
        match self.conduct {
            _ if result.is_err() => data.clear(),
            Manner::Short => data.truncate(data.len() / 2),
            Manner::Wrong => data = vec![0; data.len()].into(),
            Manner::Well | Manner::Failing(_) | Manner::Silent | Manner::Useless => {}
        }
        self.bytes += data.len() as u64;
        let mut answers = Vec::new();
        let mut sent = 0;
        while !data.is_empty() {
            let bytes = data.split_to(data.len().min(10_000));
            sent += bytes.len() as u64;
            let delay = latency + Duration::from_micros(sent * 1_000_000 / self.rate);
            answers.push((delay, Input::Fetched { link, bytes }));
        }
        let end = answers.last().map_or(latency, |(delay, _)| *delay);
        answers.push((end, Input::FetchEnded { link, result }));
        answers
    }
}
