//! Whom the gateway serves over HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use causeway_core::InfoHash;

use super::Policy;
use super::quota::Quotas;
use super::report::Reason;
use crate::web_seed::Visitor;

/// The rules of the gateway, as its web seed asks for them.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) policy: Arc<Mutex<Arc<Policy>>>,
    pub(super) quotas: Arc<Quotas>,
}

/// Somebody who wants something of one torrent.
#[derive(Debug)]
pub(crate) struct Guest {
    gate: Arc<Gate>,
    torrent: InfoHash,
    visitor: Visitor,
}

/// Why it may not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The operator's lists don't admit the torrent.
    Torrent,
    /// It has no token, or a wrong one.
    Token,
    /// A quota is used up.
    Quota,
}

impl Gate {
    fn policy(&self) -> Arc<Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Guest {
    pub(crate) const fn new(gate: Arc<Gate>, torrent: InfoHash, visitor: Visitor) -> Self {
        Self {
            gate,
            torrent,
            visitor,
        }
    }

    /// Whether it may have more, at this moment.
    pub(crate) fn admit(&self) -> Result<(), Denied> {
        let admitted = self
            .gate
            .policy()
            .admit(self.torrent, self.visitor.token.as_deref());
        admitted.map_err(|reason| {
            if reason == Reason::Token {
                Denied::Token
            } else {
                Denied::Torrent
            }
        })?;
        let quota = self.gate.quotas.admit(Some(self.visitor.address), self.torrent);
        quota.map_err(|_| Denied::Quota)
    }

    /// It was given so much.
    pub(crate) fn charge(&self, bytes: u64) {
        let address = Some(self.visitor.address);
        self.gate.quotas.charge(address, self.torrent, bytes);
    }

    /// Whether anybody else might have been given the same.
    pub(crate) fn is_anybody(&self) -> bool {
        self.gate.policy().tokens.is_empty()
    }
}
