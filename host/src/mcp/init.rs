//! `host init`: a folder in which a person or a coding agent can start at once. Writes files, and only new ones.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of a lab: name and text. The policy is the shipped `overnight` below a few words on what a policy is.
const FILES: [(&str, &[&str]); 6] = [
    ("program.md", &[crate::night::setup::BRIEF]),
    ("policy.toml", &[include_str!("init/policy.head.toml"), include_str!("../../../policies/overnight.toml")]),
    ("train.rs", &[crate::guest::seed::SEED_GUEST]),
    ("AGENTS.md", &[include_str!("init/AGENTS.md")]),
    (".mcp.json", &[include_str!("init/mcp.json")]),
    (".gitignore", &[include_str!("init/gitignore")]),
];

/// Why a lab was not set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there already. Nothing was written.
    #[error("{dir} already has {}; nothing was written: move them away, or choose another folder", names.join(", "))]
    Exists {
        /// The folder.
        dir: PathBuf,
        /// What is in the way.
        names: Vec<String>,
    },
    /// Something else is in the folder's place.
    #[error("{0} is a file: name a folder, such as `host init lab`")]
    NoFolder(PathBuf),
    /// The system refused.
    #[error("cannot write {path}: {source}; choose a folder that you may write in")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Sets up a lab in a folder, which is made where there is none; returns the files' names.
///
/// # Errors
/// Where a file of that name is there already: a lab never overwrites. Where the system refuses.
pub fn init(dir: &Path) -> Result<Vec<&'static str>, InitError> {
    // A link counts as there, even where it leads nowhere.
    let is_there = |name: &&str| fs::symlink_metadata(dir.join(name)).is_ok();
    let names: Vec<String> = FILES.iter().map(|(name, _)| *name).filter(is_there).map(String::from).collect();
    if !names.is_empty() {
        return Err(InitError::Exists { dir: dir.to_owned(), names });
    }
    if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(InitError::NoFolder(dir.to_owned()));
    }
    fs::create_dir_all(dir).map_err(|source| InitError::Io { path: dir.to_owned(), source })?;
    for (name, parts) in FILES {
        write_new(&dir.join(name), parts)?;
    }
    Ok(FILES.iter().map(|(name, _)| *name).collect())
}

fn write_new(path: &Path, parts: &[&str]) -> Result<(), InitError> {
    let failed = |source| InitError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    parts.iter().try_for_each(|part| file.write_all(part.as_bytes())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn a_lab_is_ready_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let lab = folder.path().join("new/lab");
        assert_eq!(init(&lab).unwrap().len(), FILES.len());
        let read = |name: &str| fs::read_to_string(lab.join(name)).unwrap();
        let policy = Policy::parse("policy.toml", &read("policy.toml")).unwrap();
        assert_eq!(policy, Policy::load("overnight").unwrap());
        assert_eq!(read("train.rs"), crate::guest::seed::SEED_GUEST);
        let mcp: serde_json::Value = serde_json::from_str(&read(".mcp.json")).unwrap();
        assert_eq!(mcp["mcpServers"]["host"]["command"], "host");
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(init(file.path()), Err(InitError::NoFolder(_))));
        let below = init(&file.path().join("lab")).unwrap_err().to_string();
        assert!(below.contains("choose a folder"), "{below}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("program.md"), "mine").unwrap();
        std::os::unix::fs::symlink("nowhere", at("AGENTS.md")).unwrap();
        let error = init(folder.path()).unwrap_err();
        assert!(matches!(&error, InitError::Exists { names, .. } if names == &["program.md", "AGENTS.md"]), "{error}");
        assert_eq!(fs::read_to_string(at("program.md")).unwrap(), "mine");
        assert!(!at("policy.toml").exists());
    }
}
