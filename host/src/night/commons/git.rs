//! Commits what was published, with the `git` of the user.

use crate::community::{LABS, PAGE, PublicKey};
use crate::system::sanitize;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The user's name, address and settings of Git come from there. Nothing else of the environment is handed on.
const KEPT: [&str; 3] = ["PATH", "HOME", "XDG_CONFIG_HOME"];
/// Characters of what Git says that an error repeats.
const SAID_CHARS: usize = 400;

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("`git` cannot be started: {0}; what was published is in the folder, and not committed")]
    Start(io::Error),
    #[error("`git {what}` failed: {said}; what was published is in the folder, and not committed")]
    Failed { what: &'static str, said: String },
    /// Who wrote the settings of a folder is not known: it need not be a clone.
    #[error(
        "the folder's own settings of Git have `{setting}`, which may run a program; nothing was published: if you trust the \
         settings, leave --commit out and commit it yourself"
    )]
    RunsProgram { setting: String },
}

/// Settings that run nothing, in a folder of whoever. What is between two points may be any name. Git has more settings
/// that run programs than anybody lists, so all others are refused.
const HARMLESS: [&str; 26] = [
    "branch.*.merge",
    "branch.*.rebase",
    "branch.*.remote",
    "color.ui",
    "commit.gpgsign",
    "core.autocrlf",
    "core.bare",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.logallrefupdates",
    "core.precomposeunicode",
    "core.quotepath",
    "core.repositoryformatversion",
    "core.symlinks",
    "extensions.objectformat",
    "init.defaultbranch",
    "pull.ff",
    "pull.rebase",
    "push.default",
    "remote.*.fetch",
    "remote.*.pushurl",
    "remote.*.url",
    "user.email",
    "user.name",
    "user.signingkey",
];

fn is_harmless(setting: &str) -> bool {
    let is = |known: &str| match known.split_once('*') {
        Some((head, tail)) => {
            let name = setting.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
            name.is_some_and(|name| !name.is_empty())
        }
        None => setting == known,
    };
    HARMLESS.into_iter().any(is)
}

/// Commits what is new in the folder of this lab, and the page of the commons.
pub fn commit(folder: &Path, lab: &PublicKey, message: &str) -> Result<(), GitError> {
    let own = format!("{LABS}/{lab}");
    git(folder, "add", &["--", PAGE, &own])?;
    git(folder, "commit", &["--quiet", "--message", message, "--", PAGE, &own])
}

/// Programs of the user's own settings may run, those of the folder may not.
///
/// # Errors
/// The folder's settings name a program, or Git cannot be started.
pub fn check_settings(folder: &Path) -> Result<(), GitError> {
    let found = run(folder, &["config", "--show-scope", "--name-only", "--list"])?;
    if !found.status.success() {
        return Err(failed("config", found));
    }
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let of_the_folder = |line: &str| {
        let (scope, setting) = line.split_once('\t').unwrap_or(("", line));
        // What the user or the machine has set is trusted; a line without a scope is part of a name.
        (!matches!(scope, "system" | "global" | "command") && !is_harmless(setting)).then(|| setting.to_owned())
    };
    match found.lines().find_map(of_the_folder) {
        Some(setting) => Err(GitError::RunsProgram { setting: sanitize::line(&setting, SAID_CHARS) }),
        None => Ok(()),
    }
}

fn git(folder: &Path, what: &'static str, arguments: &[&str]) -> Result<(), GitError> {
    let output = run(folder, &[&[what], arguments].concat())?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(what, output))
}

fn failed(what: &'static str, output: Output) -> GitError {
    let said = [output.stderr, output.stdout].concat();
    let said = sanitize::cut(String::from_utf8_lossy(&said).trim(), SAID_CHARS, "…");
    GitError::Failed { what, said }
}

/// Runs Git without the hooks of the folder, without its housekeeping, and without fetching what the folder lacks.
fn run(folder: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new("git");
    command.env_clear().envs(kept).env("GIT_NO_LAZY_FETCH", "1");
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
    command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).output().map_err(GitError::Start)
}
