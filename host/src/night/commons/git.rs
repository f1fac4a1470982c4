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
        "the folder's own settings of Git run a program: `{setting}`; nothing was published: if you trust the settings, leave \
         --commit out and commit it yourself"
    )]
    RunsProgram { setting: String },
}

/// Settings that name programs, which `git add` and `git commit` run.
const PROGRAMS: &str = "^(filter\\..*\\.(clean|process)|gpg\\.(.*\\.)?program)$";

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
    let found = run(folder, &["config", "--show-scope", "--get-regexp", PROGRAMS])?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let of_the_folder =
        |line: &str| line.strip_prefix("local\t").or(line.strip_prefix("worktree\t")).map(str::to_owned);
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
    let said = [output.stderr, output.stdout].concat();
    let said = sanitize::cut(String::from_utf8_lossy(&said).trim(), SAID_CHARS, "…");
    Err(GitError::Failed { what, said })
}

/// Runs Git without the hooks of the folder.
fn run(folder: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new("git");
    command.env_clear().envs(kept).args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).output().map_err(GitError::Start)
}
