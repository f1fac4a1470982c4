//! Checks redirects. Only another path of the same server is allowed, so that the key and the prompt stay there. Pure.

use crate::propose::llm::error::AskError;
use crate::system::sanitize;
use reqwest::Url;

/// Largest number of consecutive redirects.
pub(super) const MOST: u32 = 3;

/// Longest address in an error, in characters.
const SAID_CHARS: usize = 200;

/// The address that replaces `from`.
///
/// # Errors
/// Another scheme, host or port; a status that would change the request; a missing or invalid address.
pub(super) fn target(from: &Url, status: u16, location: Option<&str>) -> Result<Url, AskError> {
    let to = location.unwrap_or("an address that it does not say");
    let refused = |why| Err(refusal(to, why));
    if !matches!(status, 301 | 302 | 307 | 308) {
        return refused("such a status is not followed: is `base_url` an API?");
    }
    let Some(url) = location.and_then(|location| from.join(location).ok()) else {
        return refused("there is nothing to follow: is `base_url` an API?");
    };
    if url.origin() != from.origin() || !url.username().is_empty() || url.password().is_some() {
        return refused("no other scheme, host or port is followed to: set `base_url` to it if you trust it");
    }
    Ok(url)
}

/// The error for one redirect too many.
pub(super) fn too_many(to: &Url) -> AskError {
    refusal(to.as_str(), "it has done so too often in a row: is `base_url` right?")
}

fn refusal(to: &str, why: &'static str) -> AskError {
    AskError::Redirect { to: sanitize::line(to, SAID_CHARS), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(status: u16, location: &str) -> Option<String> {
        let from = Url::parse("https://example.org/v1/messages").unwrap();
        target(&from, status, Some(location)).ok().map(String::from)
    }

    #[test]
    fn the_same_server_is_followed_to() {
        for status in [301, 302, 307, 308] {
            assert_eq!(follow(status, "/v2/messages").as_deref(), Some("https://example.org/v2/messages"));
        }
        for to in ["messages/", "https://EXAMPLE.org:443/v1/messages/", "//example.org/v1/messages/"] {
            assert_eq!(
                follow(307, to).as_deref().map(|to| to.trim_end_matches('/')),
                Some("https://example.org/v1/messages")
            );
        }
    }

    #[test]
    fn nobody_else_is() {
        for to in [
            "https://example.com/v1/messages",
            "http://example.org/v1/messages",
            "https://example.org:8443/v1/messages",
            "https://example.org.evil.net/",
            "//evil.net/v1/messages",
            "https://me:secret@example.org/v1/messages",
            "https://example.org@evil.net/",
            "\\\\evil.net/x",
            "file:///etc/passwd",
            "javascript:1",
            "https://",
        ] {
            assert_eq!(follow(307, to), None, "{to}");
        }
        for status in [300, 303, 304, 305, 399] {
            assert_eq!(follow(status, "/v2"), None, "{status}");
        }
        let from = Url::parse("https://example.org").unwrap();
        assert!(target(&from, 307, None).unwrap_err().to_string().contains("does not say"));
    }
}
