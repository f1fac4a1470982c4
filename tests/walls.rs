//! The second wall: what runs guests and what compiles them tries every forbidden act and every file of store and
//! cache, as root and as another user; and a night for strangers does not begin where a wall is missing.

use crate::common::home::{Home, lines, said};
use crate::common::{HOST, toolchain};
use nightlab::sandbox::Sandbox;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `nobody` on most systems; any number but 0 would do.
const ORDINARY: u32 = 65_534;

/// A home with records, a key, and held-out text that a secret has chosen.
fn home_with_secrets() -> Home {
    let home = Home::new();
    home.set("night.toml", "task.split", "secret");
    for args in [&["keygen"][..], &["score", "--policy", "./night.toml", "tiny.rs"]] {
        std::fs::write(home.path("tiny.rs"), crate::common::tiny("0.02")).unwrap();
        let output = home.host(args);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    home
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn row<'a>(rows: &'a [Value], what: &str) -> &'a Value {
    rows.iter().find(|row| row["what"] == what).unwrap_or_else(|| panic!("no {what} in {rows:?}"))
}

#[test]
fn nothing_confined_does_a_forbidden_act_or_opens_a_file_of_ours() {
    let home = home_with_secrets();
    let doctor = home.host(&["--json", "doctor"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
    for what in ["sandbox", "compiler's walls"] {
        let rows = lines(&doctor);
        let text = row(&rows, what)["text"].as_str().unwrap();
        assert!(text.contains("landlock on, seccomp on (tried by forbidden acts)"), "{text}");
        let (kept, of) = text.split_once("; ").unwrap().1.split_once(" of ").unwrap();
        assert!(of.starts_with(&format!("{kept} files")) && kept.parse::<usize>().unwrap() > 8, "{text}");
    }
    // The same by name: the index, the key, the secret, the records, the corpus and its split.
    let files: Vec<PathBuf> =
        [".host", "cache/corpora", "cache/splits"].iter().flat_map(|folder| files_below(&home.path(folder))).collect();
    for part in ["index.sqlite", "/key", "/secrets/", "/blobs/", ".corpus", ".split"] {
        assert!(files.iter().any(|file| file.to_string_lossy().contains(part)), "no {part} in {files:?}");
    }
    let sandbox = Sandbox::new(Some(HOST.into())).walls(&files).unwrap();
    let compiler = toolchain().walls(&files).unwrap();
    assert_eq!((sandbox.missing(), compiler.missing()), (None, None));
    assert!(sandbox.hold() && compiler.hold());
}

/// Everything below a folder, and the folder, given to a user.
fn give(path: &Path, user: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(path, Some(user), Some(user)).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => give(&entry.path(), user),
            kind if kind.is_file() => chown(entry.path(), Some(user), Some(user)).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn the_walls_of_an_ordinary_user_hold_too() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user; the other tests ran as an ordinary one");
        return;
    }
    let home = home_with_secrets();
    let host = home.path("host-of-all");
    std::fs::copy(HOST, &host).unwrap();
    give(&home.path("."), ORDINARY);
    let mut command = Command::new(&host);
    command.args(["--json", "doctor"]).current_dir(home.path(".")).env_clear().env("HOST_CACHE", home.path("cache"));
    let doctor = command.env("HOME", home.path(".")).uid(ORDINARY).gid(ORDINARY).output().unwrap();
    let rows = lines(&doctor);
    let sandbox = row(&rows, "sandbox");
    assert_eq!(sandbox["ok"], true, "{sandbox}");
    // It could open the files itself, so that they are refused says something.
    assert_eq!(row(&rows, "store")["ok"], true, "{rows:?}");
    assert!(!sandbox["text"].as_str().unwrap().contains(" 0 of 0 "), "{sandbox}");
}

/// The output of a command on a system without some calls, as an old kernel or a container has it.
fn without(calls: &[i64], mut command: Command) -> Output {
    let rules = calls.iter().map(|&call| (call, Vec::new())).collect::<BTreeMap<_, _>>();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, missing, arch).unwrap().try_into().unwrap();
    // SAFETY: between fork and exec, the closure makes two system calls with memory that exists already.
    unsafe {
        command.pre_exec(move || apply_filter(&filter).map_err(|_| std::io::Error::from_raw_os_error(libc::EINVAL)));
    }
    command.output().unwrap()
}

#[test]
fn a_night_for_strangers_names_the_wall_that_is_missing() {
    let home = Home::new();
    home.write_policy("inbox.toml", 0.04, 2);
    home.set("inbox.toml", "search.proposers", vec!["inbox"]);
    home.set("inbox.toml", "community.submissions_per_day", 20);
    let made = home.host(&["keygen"]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    for (calls, named) in [
        (&[libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self][..], "Landlock lets files be opened"),
        (&[libc::SYS_seccomp][..], "seccomp"),
    ] {
        let night = without(calls, home.command(&["run", "--policy", "./inbox.toml"]));
        assert_eq!(night.status.code(), Some(1), "{}", said(&night));
        assert!(said(&night).contains(named), "no `{named}` in: {}", said(&night));
        let doctor = without(calls, home.command(&["--json", "doctor"]));
        assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
        let rows = lines(&doctor);
        for what in ["sandbox", "compiler's walls"] {
            let row = row(&rows, what);
            assert!(row["ok"] == false && row["text"].as_str().unwrap().contains(named), "{row}");
        }
    }
}
