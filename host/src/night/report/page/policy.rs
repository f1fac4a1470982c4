//! What a browser may do with a page: run the one script that is in it and apply the one style sheet, both named by
//! their hashes. It may load nothing and send nothing. So even words that were not escaped could not run. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// The content security policy of a page with this style sheet and this script. A page that a server sends may ask the
/// same server for more.
pub fn policy(style: &str, script: &str, is_served: bool) -> String {
    let (more, forms) = if is_served { (" connect-src 'self';", "'self'") } else { ("", "'none'") };
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:;{more} base-uri 'none'; form-action {forms}",
        hash(style),
        hash(script)
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_browsers() {
        // The example of the specification of content security policies.
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }
}
