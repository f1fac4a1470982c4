//! A Git repository of a night: one branch, on it a commit for the seed guest and one for each keep.
//!
//! `git fast-import` reads the commits from one stream, in which each text is preceded by its length. So nothing that a
//! stranger wrote is an argument or a command, and the hashes are the same wherever it is done.

use crate::night::export::error::ExportError;
use crate::night::export::past::{Guest, Keep, Past};
use crate::system::atomic_file::WriteError;
use crate::system::process;
use crate::system::sanitize::{self, one_line};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Files of a commit, named as in the folder of the champion.
const SOURCE: &str = "train.rs";
const CARD: &str = "card.txt";
const COMPONENT: &str = "component.wasm";
/// Longest subject of a commit; the whole change follows it.
const SUBJECT_CHARS: usize = 72;
/// Who commits. Whose mutation it is stands in the message.
const COMMITTER: &str = "host <host@localhost>";

/// Writes the repository into a folder that is empty or does not exist. Returns the name of its branch.
///
/// # Errors
/// The folder is in use, or `git` fails.
pub fn write(folder: &Path, past: &Past) -> Result<String, ExportError> {
    let write = |source| WriteError { path: folder.into(), source };
    std::fs::create_dir_all(folder).map_err(write)?;
    if std::fs::read_dir(folder).map_err(write)?.next().is_some() {
        return Err(ExportError::NotEmpty(folder.into()));
    }
    let branch = format!("night-{}", past.night.id);
    git(folder, "init", &["init", "--quiet", "--initial-branch", &branch], None)?;
    git(folder, "fast-import", &["fast-import", "--quiet"], Some(&stream(&branch, past)))?;
    git(folder, "reset", &["reset", "--quiet", "--hard"], None)?;
    Ok(branch)
}

/// The commits, as `git fast-import` reads them.
fn stream(branch: &str, past: &Past) -> Vec<u8> {
    let mut to = Vec::new();
    if let Some(seed) = &past.seed {
        let began = past.runs.first().map_or(past.night.started_unix_ms, |run| run.record.finished_unix_ms);
        commit(&mut to, branch, began.max(0), "The seed guest\n", seed);
    }
    for keep in &past.keeps {
        commit(&mut to, branch, keep.trial.unix_ms.max(0), &message(keep), &keep.guest);
    }
    to
}

fn commit(to: &mut Vec<u8>, branch: &str, unix_ms: i64, message: &str, guest: &Guest) {
    let seconds = unix_ms / 1000;
    to.extend(format!("commit refs/heads/{branch}\ncommitter {COMMITTER} {seconds} +0000\n").bytes());
    data(to, message.as_bytes());
    // A source may follow a component: what was there before goes.
    to.extend(b"deleteall\n");
    let mut file = |name: &str, bytes: &[u8]| {
        to.extend(format!("M 100644 inline {name}\n").bytes());
        data(to, bytes);
    };
    match guest {
        Guest::Source(text) => file(SOURCE, text.as_bytes()),
        Guest::Component { card, bytes } => {
            file(CARD, card.as_bytes());
            bytes.iter().for_each(|bytes| file(COMPONENT, bytes));
        }
    }
}

fn data(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(format!("data {}\n", bytes.len()).bytes());
    to.extend(bytes);
    to.push(b'\n');
}

/// The change as the subject, then the author's words, figures, keys and credits, each in one line: no text of a
/// stranger begins a line of its own.
fn message(Keep { trial, before, .. }: &Keep) -> String {
    let found = &trial.found;
    let change = one_line(&trial.description);
    let mut lines = vec![sanitize::cut(&change, SUBJECT_CHARS, "…"), String::new()];
    if lines[0] != change {
        lines.extend([change, String::new()]);
    }
    lines.push(format!("Trial: {}", trial.number));
    lines.push(format!("Proposer: {}", one_line(&trial.proposer)));
    if !trial.hypothesis.is_empty() {
        lines.push(format!("Hypothesis: {}", one_line(&trial.hypothesis)));
    }
    lines.extend(found.bpb.map(|bpb| format!("Bits-per-byte: {bpb:.6}")));
    lines.extend(found.delta.map(|delta| format!("Difference: {delta:+.6}")));
    lines.extend(found.p_better.map(|p| format!("Probability-better: {p:.4}")));
    lines.extend(found.pairs.map(|pairs| format!("Random-seeds: {pairs}")));
    lines.extend(found.experiment.map(|key| format!("Experiment: {key}")));
    if let Some(credit) = &trial.credit {
        lines.push(format!("Author: {}", one_line(&credit.author)));
        lines.extend(credit.licence.as_deref().map(|licence| format!("Licence: {}", one_line(licence))));
        lines.push(format!("Sent-as: {} {}", credit.sent.name(), credit.sent.hash()));
    }
    lines.extend(before.iter().map(|owed| format!("Goes-back-to: {owed}")));
    lines.join("\n") + "\n"
}

/// Runs `git` in a folder, without the user's settings: they could change what is written.
fn git(folder: &Path, command: &'static str, arguments: &[&str], input: Option<&[u8]>) -> Result<(), ExportError> {
    let mut git = Command::new("git");
    git.args(["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null"]).args(arguments).current_dir(folder);
    git.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", folder);
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = git.spawn().map_err(ExportError::NoGit)?;
    // Dropped after the write, so that git sees the end of its input. If git ends early, its exit status tells why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.unwrap_or_default()));
    let ended = child.wait_with_output().map_err(ExportError::NoGit)?;
    if ended.status.success() {
        return Ok(());
    }
    Err(ExportError::Git { command, said: process::last_lines(&String::from_utf8_lossy(&ended.stderr), 3) })
}
