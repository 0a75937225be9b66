//! Which torrents are carried over, and for whom.

use std::collections::{BTreeSet, HashSet};

use causeway_core::InfoHash;

use super::report::Reason;

/// The operator's rules. The default carries over everything for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The only torrents that are carried over; all, where there is none of it.
    pub allowed: Option<BTreeSet<InfoHash>>,
    /// Torrents that are not.
    pub denied: BTreeSet<InfoHash>,
    /// What a browser has to give, as `?gateway=TOKEN` in the address of the tracker; nothing where it is empty.
    pub tokens: HashSet<String>,
}

impl Policy {
    /// Whether this torrent may be carried over for who gave this token.
    pub(super) fn admit(&self, info_hash: InfoHash, token: Option<&str>) -> Result<(), Reason> {
        let is_allowed = self
            .allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&info_hash));
        if !is_allowed || self.denied.contains(&info_hash) {
            return Err(Reason::Policy);
        }
        if !self.tokens.is_empty() && !token.is_some_and(|token| self.tokens.contains(token)) {
            return Err(Reason::Token);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InfoHash = InfoHash::new([1; 20]);
    const B: InfoHash = InfoHash::new([2; 20]);

    #[test]
    fn lists_and_tokens_say_what_is_carried_over_for_whom() {
        let mut policy = Policy::default();
        assert_eq!(policy.admit(A, None), Ok(()));
        policy.tokens.insert("secret".to_owned());
        for wrong in [None, Some(""), Some("Secret")] {
            assert_eq!(policy.admit(A, wrong), Err(Reason::Token));
        }
        assert_eq!(policy.admit(A, Some("secret")), Ok(()));
        policy.allowed = Some([A].into());
        assert_eq!(policy.admit(B, Some("secret")), Err(Reason::Policy));
        policy.denied.insert(A);
        assert_eq!(policy.admit(A, Some("secret")), Err(Reason::Policy));
    }
}
