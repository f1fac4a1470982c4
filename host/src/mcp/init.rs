//! `host init`: sets up a folder in which a person or a coding agent can start to work. It never overwrites a file, and
//! writes all files or none.

use crate::system::sanitize;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What Gemini CLI reads, and Qwen Code, which descends from it.
const GEMINI: &str = include_str!("init/gemini.json");

/// An Agent Skill: <https://agentskills.io/specification>.
const SKILL: &str = include_str!("init/SKILL.md");

/// Name and text of each file. The policy is a short introduction, followed by the shipped policy `overnight`. In all
/// texts, `{HOST_SHELL}`, `{HOST_JSON}` and `{HOST_TOML}` stand for the path of this program.
const FILES: [(&str, &[&str]); 13] = [
    ("program.md", &[crate::night::setup::BRIEF]),
    ("policy.toml", &[include_str!("init/policy.head.toml"), include_str!("../../../policies/overnight.toml")]),
    ("train.rs", &[crate::guest::seed::SEED_GUEST]),
    ("AGENTS.md", &[include_str!("init/AGENTS.md")]),
    // Claude Code looks for skills in the first folder, Codex, Gemini CLI and others in the second.
    (".claude/skills/improve-training/SKILL.md", &[SKILL]),
    (".agents/skills/improve-training/SKILL.md", &[SKILL]),
    (".mcp.json", &[include_str!("init/mcp.json")]),
    (".claude/settings.json", &[include_str!("init/claude.json")]),
    (".codex/config.toml", &[include_str!("init/codex.toml")]),
    (".gemini/settings.json", &[GEMINI]),
    (".qwen/settings.json", &[GEMINI]),
    ("opencode.json", &[include_str!("init/opencode.json")]),
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
    /// No text file can name the program's path.
    #[error(
        "the path of this program, {0:?}, is not UTF-8 or has control characters, so no agent could be told it: install \
         it elsewhere"
    )]
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
/// If one of the files exists already, if the system refuses, or if no text can name the program. Then nothing is left
/// behind.
pub fn init(dir: &Path, program: &Path) -> Result<Vec<&'static str>, InitError> {
    let path = program.to_str().filter(|path| !path.contains(char::is_control));
    let path = path.ok_or_else(|| InitError::Path(program.to_owned()))?;
    // A symbolic link counts as an existing file, even if its target is missing.
    let is_there = |name: &&str| fs::symlink_metadata(dir.join(name)).is_ok();
    let names: Vec<String> = FILES.iter().map(|(name, _)| *name).filter(is_there).map(String::from).collect();
    if !names.is_empty() {
        return Err(InitError::Exists { dir: dir.to_owned(), names });
    }
    if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) {
        return Err(InitError::NoFolder(dir.to_owned()));
    }
    let mut made = Made::default();
    match write_all(dir, path, &mut made) {
        Ok(()) => Ok(FILES.iter().map(|(name, _)| *name).collect()),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

/// Writes the texts under other names first: a disk that is full is found before any file has its name.
fn write_all(dir: &Path, program: &str, made: &mut Made) -> Result<(), InitError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Io { path, source }
    };
    let mut written = Vec::new();
    for (name, parts) in FILES {
        let path = dir.join(name);
        let folder = path.parent().unwrap_or(dir);
        made.folder(folder).map_err(failed(folder))?;
        let mut builder = tempfile::Builder::new();
        // The user's mask applies, as for any file.
        builder.prefix(".host-init-").permissions(fs::Permissions::from_mode(0o666));
        let mut file = builder.tempfile_in(folder).map_err(failed(&path))?;
        file.write_all(with_program(&parts.concat(), program).as_bytes()).map_err(failed(&path))?;
        file.as_file().sync_all().map_err(failed(&path))?;
        written.push((file, path));
    }
    written.into_iter().try_for_each(|(file, path)| made.file(file, &path).map_err(failed(&path)))
}

fn with_program(text: &str, program: &str) -> String {
    text.replace("{HOST_SHELL}", &sanitize::shell_word(program))
        .replace("{HOST_JSON}", &serde_json::Value::from(program).to_string())
        .replace("{HOST_TOML}", &toml::Value::from(program).to_string())
        // The brief is for every place; in a lab, its commands have to be the right ones.
        .replace("`host ", &format!("`{} ", sanitize::shell_word(program)))
}

/// What was made so far, so that it can be undone.
#[derive(Default)]
struct Made {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    /// Makes a folder, with those above it.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.folder(above)?;
        }
        fs::create_dir(path)?;
        self.folders.push(path.to_owned());
        Ok(())
    }

    /// Gives a file its name, unless this name is taken by now.
    fn file(&mut self, file: NamedTempFile, path: &Path) -> io::Result<()> {
        file.persist_noclobber(path).map_err(|error| error.error)?;
        self.files.push(path.to_owned());
        Ok(())
    }

    /// Takes everything away again. What cannot be removed stays.
    fn undo(self) {
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
        self.folders.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
    }
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
        assert!(FILES.iter().all(|(name, _)| !read(name).contains("{HOST_") && !read(name).contains("`host ")));
        for name in [".gemini/settings.json", ".qwen/settings.json"] {
            let settings: serde_json::Value = serde_json::from_str(&read(name)).unwrap();
            let server = &settings["mcpServers"]["host"];
            assert_eq!((&server["command"], &server["trust"]), (&PROGRAM.into(), &true.into()), "{name}");
        }
        let opencode: serde_json::Value = serde_json::from_str(&read("opencode.json")).unwrap();
        assert_eq!(opencode["mcp"]["host"]["command"][0], PROGRAM);
        let codex: toml::Value = toml::from_str(&read(".codex/config.toml")).unwrap();
        assert_eq!(codex["mcp_servers"]["host"]["command"].as_str(), Some(PROGRAM));
        let claude: serde_json::Value = serde_json::from_str(&read(".claude/settings.json")).unwrap();
        assert_eq!(claude["permissions"]["allow"][0], "mcp__host");
        assert_eq!(fs::read_dir(&lab).unwrap().count(), 12, "nothing else is left");
        for folder in [".claude", ".agents"] {
            let skill = read(&format!("{folder}/skills/improve-training/SKILL.md"));
            let (head, body) = skill.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
            assert!(head.starts_with("name: improve-training\ndescription: ") && head.lines().count() == 2, "{head}");
            assert!(body.contains("try train.rs") && body.contains("AGENTS.md"));
        }
    }

    #[test]
    fn a_lab_that_fails_half_way_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        // A file stands where the folder of the last agent but one has to be.
        fs::write(folder.path().join(".qwen"), "mine").unwrap();
        assert!(matches!(init(folder.path(), Path::new(PROGRAM)), Err(InitError::Io { .. })));
        assert_eq!(names(), [".qwen"]);
        let mut made = Made::default();
        made.folder(&folder.path().join("a/b")).unwrap();
        let file = NamedTempFile::new_in(folder.path()).unwrap();
        made.file(file, &folder.path().join("a/b/c")).unwrap();
        let taken = NamedTempFile::new_in(folder.path()).unwrap();
        assert!(made.file(taken, &folder.path().join(".qwen")).is_err(), "a name that is taken meanwhile");
        made.undo();
        assert_eq!(names(), [".qwen"]);
        assert!(matches!(init(&folder.path().join("new"), Path::new("/a\nb")), Err(InitError::Path(_))));
        assert_eq!(names(), [".qwen"]);
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(init(file.path(), Path::new(PROGRAM)), Err(InitError::NoFolder(_))));
        let below = init(&file.path().join("lab"), Path::new(PROGRAM)).unwrap_err().to_string();
        assert!(below.contains("choose a folder"), "{below}");
    }

    #[test]
    fn the_brief_has_the_ideas_that_pay_first() {
        let brief = crate::night::setup::BRIEF;
        let (_, ideas) = brief.split_once("## Ideas to try").unwrap();
        let order =
            ["hashed 2-, 3-, 4-gram", "half the batch", "previous token", "Weight decay", "warm-down", "softcap"];
        let places: Vec<usize> = order.iter().map(|idea| ideas.find(idea).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), Path::new(PROGRAM)).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let words = |command: &str| format!("`{} {command}`", sanitize::shell_word(PROGRAM));
        assert!(read("program.md").contains(&words("ideas")) && !read("program.md").contains("`host "));
        assert!(read("AGENTS.md").contains(&words("ideas")) && read("AGENTS.md").contains("near-misses"));
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
