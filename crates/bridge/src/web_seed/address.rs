//! The URLs of web seeds.

/// The URL of a web seed, as a torrent or link names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(String);

impl Address {
    /// `None` for what is no URL of a web seed over HTTP or HTTPS.
    pub(crate) fn new(url: &str) -> Option<Self> {
        let url = url.split('#').next().unwrap_or_default().trim();
        let (scheme, rest) = url.split_once("://")?;
        let is_http = ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        (is_http && !rest.is_empty() && rest.len() <= LONGEST).then(|| Self(url.to_owned()))
    }

    /// What it was made of.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes of a URL after its scheme.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_schemes_are_no_web_seeds() {
        for url in ["ftp://h/", "h/x", "file:///etc/passwd", "http://", "", "://x"] {
            assert_eq!(Address::new(url), None, "{url}");
        }
        assert_eq!(
            Address::new(" HTTP://h/x#y ").as_ref().map(Address::as_str),
            Some("HTTP://h/x")
        );
    }
}
