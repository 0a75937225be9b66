//! Who may use the tracker, and for which torrents.

use std::collections::HashSet;

use causeway_core::InfoHash;

/// The operator's rules. The default admits everybody to everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The only torrents that are tracked; all, where this is `None`.
    pub allowed: Option<HashSet<InfoHash>>,
    /// Torrents that are not tracked.
    pub denied: HashSet<InfoHash>,
    /// Torrents that are tracked only for who has a passkey. They are hidden from everybody else.
    pub private: HashSet<InfoHash>,
    /// Whether all torrents are private.
    pub all_private: bool,
    /// What is to be given as `/announce/PASSKEY`, `/PASSKEY/announce` or `?passkey=PASSKEY`; each of up to 128 bytes.
    pub passkeys: HashSet<String>,
    /// The pages that may use the WebSocket door; all, where this is `None`. Programs that are no browsers send no origin,
    /// and are not held up by this.
    pub origins: Option<Vec<OriginRule>>,
}

/// Why somebody is not admitted, as a sentence for the peer's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The torrent is not tracked here.
    #[error("this tracker does not serve this torrent")]
    Torrent,
    /// A passkey is wanted, and none or a wrong one was given.
    #[error("this tracker wants a passkey for this torrent: announce to the address with your own passkey")]
    Passkey,
}

impl Access {
    /// Whether somebody with this passkey may take part in this swarm.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn admit(&self, info_hash: InfoHash, passkey: Option<&str>) -> Result<(), Denial> {
        if !self.serves(info_hash) {
            return Err(Denial::Torrent);
        }
        if self.is_private(info_hash) && !passkey.is_some_and(|passkey| self.passkeys.contains(passkey)) {
            return Err(Denial::Passkey);
        }
        Ok(())
    }

    /// Whether the torrent is tracked for anybody.
    #[must_use]
    pub fn serves(&self, info_hash: InfoHash) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(&info_hash)) && !self.denied.contains(&info_hash)
    }

    /// Whether a passkey is wanted.
    #[must_use]
    pub fn is_private(&self, info_hash: InfoHash) -> bool {
        self.all_private || self.private.contains(&info_hash)
    }

    /// Says of each torrent whether all that were admitted to it under the rules `before` would be admitted still.
    pub(crate) fn keeps(&self, before: &Self) -> impl Fn(InfoHash) -> bool {
        let is_revoked = !before.passkeys.is_subset(&self.passkeys);
        move |info_hash| {
            let was_private = before.is_private(info_hash) && !is_revoked;
            self.serves(info_hash) && (was_private || !self.is_private(info_hash))
        }
    }

    /// Whether a page of this origin may use the tracker.
    #[must_use]
    pub fn admits_origin(&self, origin: Option<&str>) -> bool {
        match (&self.origins, origin) {
            (None, _) | (_, None) => true,
            (Some(rules), Some(origin)) => rules.iter().any(|rule| rule.matches(origin)),
        }
    }
}

/// Pages, by the origin that a browser gives for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRule {
    scheme: String,
    /// Where it begins with a dot: every name below it.
    host: String,
}

/// The text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is written as https://HOST, https://HOST:PORT, or https://*.DOMAIN for all names below a domain"
)]
pub struct ParseOriginError;

impl core::str::FromStr for OriginRule {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, host) = text.split_once("://").ok_or(ParseOriginError)?;
        let host = host.strip_prefix('*').unwrap_or(host);
        let is_plain = |char: char| char.is_ascii_alphanumeric() || ".-_:[]".contains(char);
        let all_below = text.contains("://*");
        if scheme.is_empty()
            || host.len() < 2
            || !host.chars().all(is_plain)
            || all_below != host.starts_with('.')
        {
            return Err(ParseOriginError);
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_ascii_lowercase(),
        })
    }
}

impl OriginRule {
    fn matches(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        let is_host = if self.host.starts_with('.') {
            host.len() > self.host.len() && host.ends_with(&self.host)
        } else {
            host == self.host
        };
        is_host && scheme.eq_ignore_ascii_case(&self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash::new([1; 20]);
    const OTHER: InfoHash = InfoHash::new([2; 20]);

    #[test]
    fn lists_say_which_torrents_are_tracked() {
        let mut access = Access::default();
        assert_eq!(access.admit(HASH, None), Ok(()));
        access.allowed = Some([HASH].into());
        assert_eq!(access.admit(HASH, None), Ok(()));
        assert_eq!(access.admit(OTHER, None), Err(Denial::Torrent));
        access.denied.insert(HASH);
        assert_eq!(
            access.admit(HASH, None),
            Err(Denial::Torrent),
            "denial is stronger"
        );
    }

    #[test]
    fn private_torrents_want_a_passkey() {
        let mut access = Access {
            private: [HASH].into(),
            passkeys: ["secret".to_owned()].into(),
            ..Access::default()
        };
        assert_eq!(access.admit(OTHER, None), Ok(()));
        assert_eq!(access.admit(HASH, Some("secret")), Ok(()));
        for wrong in [None, Some(""), Some("secre"), Some("Secret")] {
            assert_eq!(access.admit(HASH, wrong), Err(Denial::Passkey));
        }
        access.all_private = true;
        assert_eq!(access.admit(OTHER, None), Err(Denial::Passkey));
    }

    #[test]
    fn swarms_are_kept_where_all_their_members_would_be_admitted_again() {
        let open = Access::default();
        let private = |passkeys: &[&str]| Access {
            private: [HASH].into(),
            passkeys: passkeys.iter().map(|passkey| (*passkey).to_owned()).collect(),
            ..Access::default()
        };
        let all_private = Access {
            all_private: true,
            ..private(&["a", "b"])
        };
        let denied = Access {
            denied: [HASH].into(),
            ..Access::default()
        };
        for (before, after, is_kept) in [
            (&open, &open, true),
            (&open, &denied, false),
            (&open, &private(&["a"]), false),
            (&private(&["a"]), &open, true),
            (&private(&["a"]), &private(&["a", "b"]), true),
            (&private(&["a", "b"]), &private(&["b"]), false),
            (&private(&["a", "b"]), &all_private, true),
        ] {
            assert_eq!(after.keeps(before)(HASH), is_kept, "{before:?} {after:?}");
        }
        assert!(private(&["b"]).keeps(&private(&["a"]))(OTHER), "others are open");
        assert!(!all_private.keeps(&private(&["a"]))(OTHER));
    }

    #[test]
    fn origins_are_whole_hosts_or_all_names_below_a_domain() {
        let rules = [
            "https://a.example",
            "http://localhost:8080",
            "https://*.b.example",
        ];
        let access = Access {
            origins: Some(rules.map(|rule| rule.parse().expect("a rule")).into()),
            ..Access::default()
        };
        for (origin, admitted) in [
            ("https://a.example", true),
            ("HTTPS://A.Example", true),
            ("http://localhost:8080", true),
            ("https://x.b.example", true),
            ("https://x.y.b.example", true),
            ("http://a.example", false),
            ("https://a.example:444", false),
            ("https://a.example.evil", false),
            ("https://evil-a.example", false),
            ("https://b.example", false),
            ("https://evilb.example", false),
            ("https://.b.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(access.admits_origin(Some(origin)), admitted, "{origin}");
        }
        assert!(access.admits_origin(None), "programs send none");
    }

    #[test]
    fn what_is_no_origin_is_no_rule() {
        for text in [
            "",
            "a.example",
            "https://",
            "https://*",
            "https://a/b",
            "https://a.*.b",
            "https://.b",
            "://a.b",
        ] {
            assert!(text.parse::<OriginRule>().is_err(), "{text}");
        }
    }
}
