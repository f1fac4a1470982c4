//! `host init`: sets up a folder in which a person or a coding agent can start to work. It never overwrites a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name and text of each file. The policy is a short introduction, followed by the shipped policy `overnight`.
const FILES: [(&str, &[&str]); 6] = [
    ("program.md", &[crate::night::setup::BRIEF]),
    ("policy.toml", &[include_str!("init/policy.head.toml"), include_str!("../../../policies/overnight.toml")]),
    ("train.rs", &[crate::guest::seed::SEED_GUEST]),
    ("AGENTS.md", &[include_str!("init/AGENTS.md")]),
    (".mcp.json", &[include_str!("init/mcp.json")]),
    (".gitignore", &[include_str!("init/gitignore")]),
];

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Files exist already, so nothing was written.
    #[error("{dir} already has {}; nothing was written: move them away, or choose another folder", names.join(", "))]
    Exists {
        dir: PathBuf,
        /// The existing files.
        names: Vec<String>,
    },
    /// The path of the folder is a file.
    #[error("{0} is a file: name a folder, such as `host init lab`")]
    NoFolder(PathBuf),
    /// The program's path is not UTF-8, so no text file can name it.
    #[error("the path of this program, {0:?}, is not UTF-8, so no agent could be told it: install it elsewhere")]
    Path(PathBuf),
    #[error("cannot write {path}: {source}; choose a folder that you may write in")]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
}

/// Sets up a lab in a folder and returns the names of its files. Creates the folder if needed. `program` is the path of
/// the `host` that agents start. A bare name is not enough, because the system may find another program of that name
/// first.
///
/// # Errors
/// If one of the files exists already, if the system refuses, or if a path is not UTF-8.
pub fn init(dir: &Path, program: &Path) -> Result<Vec<&'static str>, InitError> {
    let program = program.to_str().ok_or_else(|| InitError::Path(program.to_owned()))?;
    // A symbolic link counts as an existing file, even if its target is missing.
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
        let text = match name {
            "AGENTS.md" => parts.concat().replace("{HOST_SHELL}", &shell_word(program)),
            ".mcp.json" => parts.concat().replace("{HOST_JSON}", &serde_json::Value::from(program).to_string()),
            _ => parts.concat(),
        };
        write_new(&dir.join(name), &text)?;
    }
    Ok(FILES.iter().map(|(name, _)| *name).collect())
}

/// Quotes a text as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match text.chars().all(plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const PROGRAM: &str = r#"/opt/my "own" bin/it's/host"#;

    #[test]
    fn a_lab_is_ready_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let lab = folder.path().join("new/lab");
        assert_eq!(init(&lab, Path::new(PROGRAM)).unwrap().len(), FILES.len());
        let read = |name: &str| fs::read_to_string(lab.join(name)).unwrap();
        let policy = Policy::parse("policy.toml", &read("policy.toml")).unwrap();
        assert_eq!(policy, Policy::load("overnight").unwrap());
        assert_eq!(read("train.rs"), crate::guest::seed::SEED_GUEST);
        let mcp: serde_json::Value = serde_json::from_str(&read(".mcp.json")).unwrap();
        assert_eq!(mcp["mcpServers"]["host"]["command"], PROGRAM);
        assert!(
            read("AGENTS.md").contains(r#"`'/opt/my "own" bin/it'\''s/host' try train.rs`"#),
            "{}",
            read("AGENTS.md")
        );
        assert!(FILES.iter().all(|(name, _)| !read(name).contains("{HOST_")));
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(init(file.path(), Path::new(PROGRAM)), Err(InitError::NoFolder(_))));
        let below = init(&file.path().join("lab"), Path::new(PROGRAM)).unwrap_err().to_string();
        assert!(below.contains("choose a folder"), "{below}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("program.md"), "mine").unwrap();
        std::os::unix::fs::symlink("nowhere", at("AGENTS.md")).unwrap();
        let error = init(folder.path(), Path::new(PROGRAM)).unwrap_err();
        assert!(matches!(&error, InitError::Exists { names, .. } if names == &["program.md", "AGENTS.md"]), "{error}");
        assert_eq!(fs::read_to_string(at("program.md")).unwrap(), "mine");
        assert!(!at("policy.toml").exists());
    }
}
