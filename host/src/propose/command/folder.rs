//! The work folder: the files that a program gets, and the files that are read back.

use crate::guest::source::MAX_SOURCE_BYTES;
use crate::propose::command::work::Work;
use crate::propose::history;
use crate::propose::proposer::HYPOTHESIS_CHARS;
use crate::system::sanitize;
use crate::system::scratch::Scratch;
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

/// The program's instructions, under a name that coding agents look for.
const INSTRUCTIONS: &str = include_str!("instructions.md");
const REPAIR: &str = include_str!("repair.md");

/// Rows in each table of `history.md`. `history.jsonl` has all trials.
const HISTORY_ROWS: usize = 60;
/// Largest `hypothesis.txt` in bytes.
const HYPOTHESIS_BYTES: u64 = 16 << 10;

/// A folder in the system's temporary folder. It is removed on drop.
pub(super) struct WorkFolder {
    dir: Scratch,
    held: Folder,
}

impl WorkFolder {
    pub(super) fn make(work: &Work) -> io::Result<Self> {
        let dir = Scratch::new()?;
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text);
        write("train.rs", work.source)?;
        write("program.md", work.brief)?;
        write("sdk.md", work.reference)?;
        write("facts.md", work.facts)?;
        write("ideas.md", work.ideas)?;
        write("history.md", &history::markdown(work.history, HISTORY_ROWS))?;
        write("history.jsonl", &history::json_lines(work.history)?)?;
        let mut instructions = INSTRUCTIONS.to_owned();
        if let Some(error) = work.error {
            write("error.txt", &sanitize::printable(error))?;
            instructions += REPAIR;
        }
        write("AGENTS.md", &instructions)?;
        Ok(Self { held: Folder::open(dir.path())?, dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn source(&self) -> Result<String, UntrustedFileError> {
        self.held.read(Path::new("train.rs"), MAX_SOURCE_BYTES as u64)
    }

    /// The first line with words. A file that cannot be read counts as missing.
    pub(super) fn hypothesis(&self) -> Option<String> {
        let text = self.held.read(Path::new("hypothesis.txt"), HYPOTHESIS_BYTES).ok()?;
        Some(sanitize::line(&text, HYPOTHESIS_CHARS)).filter(|line| !line.is_empty())
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // Package caches are often read-only. Files that still cannot be removed are left to the system.
        open_up(self.dir.path());
    }
}

/// Makes every folder in it writable for its owner. Links are not followed.
fn open_up(dir: &Path) {
    let Ok(kind) = fs::symlink_metadata(dir) else { return };
    if !kind.is_dir() {
        return;
    }
    if kind.permissions().mode() & 0o700 != 0o700 {
        let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work<'_> = Work {
        source: "fn a() {}",
        brief: "the brief",
        reference: "the sdk",
        facts: "the facts",
        ideas: "the ideas",
        history: &[],
        error: None,
    };

    #[test]
    fn a_folder_holds_the_work_and_is_gone_afterwards() {
        let folder = WorkFolder::make(&WORK).unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in
            [("train.rs", "fn a() {}"), ("program.md", "the brief"), ("sdk.md", "the sdk"), ("ideas.md", "the ideas")]
        {
            assert_eq!(fs::read_to_string(at(name)).unwrap(), text);
        }
        assert!(at("history.md").exists() && at("history.jsonl").exists() && at("AGENTS.md").exists());
        assert!(!at("error.txt").exists());
        fs::create_dir_all(at("cache/deep")).unwrap();
        fs::write(at("cache/deep/file"), "x").unwrap();
        fs::set_permissions(at("cache/deep"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(at("cache"), fs::Permissions::from_mode(0o000)).unwrap();
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_repair_says_what_was_wrong() {
        let folder = WorkFolder::make(&Work { error: Some("train.rs:3: \u{1b}[31mno"), ..WORK }).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("error.txt")).unwrap(), "train.rs:3: \\u{1b}[31mno");
        assert!(fs::read_to_string(folder.path().join("AGENTS.md")).unwrap().contains("error.txt"));
    }

    /// Aider opens no file by itself: its command line has to name all of them.
    #[test]
    fn the_command_line_for_aider_names_every_file() {
        let folder = WorkFolder::make(&Work { error: Some("no"), ..WORK }).unwrap();
        let page = include_str!("../../../../docs/agents.md");
        let line = page.lines().find(|line| line.contains("\"aider\"")).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // The other form of the history is for programs.
            assert!(name == "history.jsonl" || line.contains(&format!("\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn the_hypothesis_is_one_clean_line_or_none() {
        let folder = WorkFolder::make(&WORK).unwrap();
        assert_eq!(folder.hypothesis(), None);
        let at = folder.path().join("hypothesis.txt");
        fs::write(&at, "\n  wider\u{7} is better \nmore").unwrap();
        assert_eq!(folder.hypothesis().as_deref(), Some("wider\\u{7} is better"));
        fs::write(&at, vec![b'x'; 17 << 10]).unwrap();
        assert_eq!(folder.hypothesis(), None);
    }
}
