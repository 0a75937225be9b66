//! A tracker's socket: one for all torrents.

use super::io::TrackerState;
use causeway_core::Time;
use core::time::Duration;

/// A browser may take minutes to give up on an address that swallows everything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a tracker may owe us a reply while it says nothing else either. A page can't send pings, so this is
/// how it learns that the machine slept or changed its network.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection that held so long and brought messages has worked: what follows is a new fault.
const WORKED_AFTER: Duration = Duration::from_mins(1);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// Longest text of a stranger that is kept for the user, in bytes.
const TEXT_BYTES: usize = 300;

#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) url: String,
    link: Link,
    /// Connections in a row that did not work.
    failures: u32,
    /// What it said that belongs to no torrent, until the next reply.
    pub(super) warning: Option<String>,
}

#[derive(Debug)]
enum Link {
    Idle,
    Connecting {
        until: Time,
    },
    Connected {
        since: Time,
        heard: bool,
        owes_since: Option<Time>,
    },
    Waiting {
        reason: String,
        until: Time,
    },
}

impl Tracker {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            link: Link::Idle,
            failures: 0,
            warning: None,
        }
    }

    /// Whether the socket is to be opened now.
    pub(super) fn can_connect(&self, now: Time) -> bool {
        match self.link {
            Link::Idle => true,
            Link::Waiting { until, .. } => until <= now,
            Link::Connecting { .. } | Link::Connected { .. } => false,
        }
    }

    pub(super) fn connect(&mut self, now: Time) {
        self.link = Link::Connecting {
            until: now + CONNECT_TIMEOUT,
        };
    }

    /// The socket is open. False where nobody asked for it.
    pub(super) fn connected(&mut self, now: Time) -> bool {
        let asked = matches!(self.link, Link::Connecting { .. });
        if asked {
            self.link = Link::Connected {
                since: now,
                heard: false,
                owes_since: None,
            };
        }
        asked
    }

    /// The socket is gone, or could not be opened. False where there was none.
    pub(super) fn lost(&mut self, now: Time, reason: &str, rng: &mut fastrand::Rng) -> bool {
        match self.link {
            Link::Idle | Link::Waiting { .. } => return false,
            Link::Connected {
                since, heard: true, ..
            } if now - since >= WORKED_AFTER => self.failures = 0,
            Link::Connecting { .. } | Link::Connected { .. } => {}
        }
        let delay = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(16))
            .min(LAST_RETRY);
        // A tracker that comes back must not meet all its clients in the same second.
        let delay = delay.mul_f64(0.75 + rng.f64() / 2.0).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Waiting {
            reason: excerpt(reason),
            until: now + delay,
        };
        true
    }

    /// No torrent needs it. True where a socket must be closed.
    pub(super) fn rest(&mut self) -> bool {
        let open = matches!(self.link, Link::Connecting { .. } | Link::Connected { .. });
        self.link = Link::Idle;
        open
    }

    /// A message came that could be read.
    pub(super) fn heard(&mut self) {
        if let Link::Connected {
            heard, owes_since, ..
        } = &mut self.link
        {
            *heard = true;
            *owes_since = None;
        }
    }

    /// A message was sent that wants a reply.
    pub(super) fn asked(&mut self, now: Time) {
        if let Link::Connected { owes_since, .. } = &mut self.link {
            owes_since.get_or_insert(now);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.link, Link::Connected { .. })
    }

    /// Whether the socket is open, or being opened and nothing speaks against it so far.
    pub(super) fn is_promising(&self) -> bool {
        match self.link {
            Link::Connected { .. } => true,
            Link::Connecting { .. } => self.failures == 0,
            Link::Idle | Link::Waiting { .. } => false,
        }
    }

    /// Why the socket is to be given up now.
    pub(super) fn overdue(&self, now: Time) -> Option<&'static str> {
        match self.link {
            Link::Connecting { until } if until <= now => Some("the tracker can't be reached"),
            Link::Connected {
                owes_since: Some(since),
                ..
            } if since + SILENCE_TIMEOUT <= now => Some("the tracker does not reply"),
            Link::Idle | Link::Waiting { .. } | Link::Connecting { .. } | Link::Connected { .. } => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match self.link {
            Link::Idle => None,
            Link::Connecting { until } | Link::Waiting { until, .. } => Some(until),
            Link::Connected { owes_since, .. } => owes_since.map(|since| since + SILENCE_TIMEOUT),
        }
    }

    pub(super) fn state(&self) -> TrackerState<'_> {
        match &self.link {
            Link::Idle => TrackerState::Idle,
            Link::Connecting { .. } => TrackerState::Connecting,
            Link::Connected { .. } => TrackerState::Connected,
            Link::Waiting { reason, until } => TrackerState::Waiting {
                reason,
                until: *until,
            },
        }
    }
}

/// As much of a stranger's text as is kept.
pub(super) fn excerpt(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
}

/// A WebSocket address in the form in which two spellings of it are the same: a tracker must not see one peer on
/// two sockets. `None` for every other address.
pub(super) fn websocket_url(url: &str) -> Option<String> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "ws" | "wss") || url.len() > super::MAX_URL_BYTES {
        return None;
    }
    // A WebSocket address has no fragment; browsers refuse one that does.
    let rest = rest.split('#').next()?;
    let (host, path) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
    let path = if path == "/" { "" } else { path };
    (!host.is_empty()).then(|| format!("{scheme}://{}{path}", host.to_ascii_lowercase()))
}
