//! How a torrent stands, for programs and for people.

use std::sync::Arc;

use causeway_bridge::Status;
use causeway_core::Info;
use causeway_engine::{LinkKind, State};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::show::{bytes, plain};

/// For a program.
pub(crate) fn progress(status: &Status) -> Value {
    let numbers = &status.stats;
    json!({"event": "progress", "state": state(&status.state), "verified": numbers.wanted_verified, "wanted": numbers.wanted,
        "downloaded": numbers.downloaded, "uploaded": numbers.uploaded, "downloadRate": numbers.download_rate,
        "downloadedOverHttp": numbers.carried_by(LinkKind::Http).downloaded, "uploadRate": numbers.upload_rate, "peers": numbers.peers, "seeds": numbers.seeds})
}

fn state(state: &State) -> &'static str {
    match state {
        State::Checking => "checking",
        State::FetchingMetadata => "connecting",
        State::Downloading => "downloading",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed(_) => "error",
    }
}

/// A line on a terminal that shows how far it is.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Shown on standard error where that is a terminal, unless it is hidden.
    pub(crate) fn new(is_hidden: bool) -> Self {
        let bar = if is_hidden {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        let style = ProgressStyle::with_template("{prefix} {bar:30} {percent} % {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message("looking for peers");
        Self(bar)
    }

    /// The torrent's name is known.
    pub(crate) fn name(&self, info: &Arc<Info>) {
        self.0.set_prefix(plain(info.name()).into_owned());
    }

    /// This is how it stands.
    pub(crate) fn show(&self, status: &Status) {
        let numbers = &status.stats;
        self.0.set_length(numbers.wanted);
        self.0.set_position(numbers.wanted_verified);
        let left = numbers.wanted.saturating_sub(numbers.wanted_verified);
        let seconds = left.checked_div(numbers.download_rate).filter(|_| left > 0);
        self.0.set_message(format!(
            "of {}, {}/s, {} peers, {}{}",
            bytes(numbers.wanted),
            bytes(numbers.download_rate),
            numbers.peers,
            state(&status.state),
            seconds.map_or_else(String::new, |seconds| format!(", {} left", span(seconds)))
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// So many seconds: `4:05`, `1:00:09`, `3 days`.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours) {
        (2.., _) => format!("{days} days"),
        (_, 0) => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{:02}:{:02}", minutes % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_short_to_read() {
        for (seconds, text) in [
            (5, "0:05"),
            (245, "4:05"),
            (3609, "1:00:09"),
            (100_000, "27:46:40"),
            (200_000, "2 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
