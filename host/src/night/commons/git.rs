//! Commits what was published, with the `git` of the user.

use crate::community::{LABS, PAGE, PublicKey};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

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
}

/// Commits what is new in the folder of this lab, and the page of the commons.
pub fn commit(folder: &Path, lab: &PublicKey, message: &str) -> Result<(), GitError> {
    let own = format!("{LABS}/{lab}");
    git(folder, "add", &["--", PAGE, &own])?;
    git(folder, "commit", &["--quiet", "--message", message, "--", PAGE, &own])
}

fn git(folder: &Path, what: &'static str, arguments: &[&str]) -> Result<(), GitError> {
    let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new("git");
    command.env_clear().envs(kept).arg("-C").arg(folder).arg(what).args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(GitError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = crate::system::sanitize::cut(String::from_utf8_lossy(&said).trim(), SAID_CHARS, "…");
    Err(GitError::Failed { what, said })
}
