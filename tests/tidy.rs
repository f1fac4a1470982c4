//! Rules for the source tree that a test can check: which names may appear where, how files begin, how long they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Largest number of lines of code in a file, without its unit tests.
const CODE_LINES: usize = 600;
/// Largest number of lines of a test file.
const TEST_LINES: usize = 700;
/// Longest line, in characters: what rustfmt is told.
const WIDTH: usize = 120;
/// Files that a generator writes in its own style.
const GENERATED: [&str; 1] = ["guest-sdk/src/bindings.rs"];

struct File {
    /// Path from the top of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_generated(&self) -> bool {
        GENERATED.contains(&self.path.as_str())
    }

    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// The text without comment lines (those that begin with `//`) and without the unit tests at the end.
    fn code(&self) -> String {
        let code = self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
    }
}

/// Every text file of the repository, in order of path. Output of builds, nights and tools is left out.
fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    collect(&top, &mut paths);
    let mut files: Vec<File> = paths
        .into_iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(&top).ok()?.to_str()?.to_owned();
            Some(File { path, text })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.iter().any(|file| file.path == "host/src/main.rs"), "the tree was not found");
    files
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        let name = name.to_string_lossy();
        let left_over = name == "target" || name == "results.tsv" || name.starts_with('.');
        let ours = [".cargo", ".ci", ".gitignore"].contains(&&*name);
        if left_over && !ours {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), paths);
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

/// Paths of the Rust files whose code contains one of `words`.
fn naming(words: &[&str]) -> Vec<String> {
    let found = files().into_iter().filter(|file| file.is_rust() && !file.is_generated());
    found
        .filter(|file| file.path != "tests/tidy.rs")
        .filter(|file| {
            let code = file.code();
            words.iter().any(|word| code.contains(word))
        })
        .map(|file| file.path)
        .collect()
}

#[test]
fn only_the_sandbox_names_the_engine() {
    let named = naming(&["wasmtime::", "use wasmtime"]);
    assert!(!named.is_empty(), "the check sees nothing");
    // The test that runs the kernels as WebAssembly has its own engine.
    let may = ["host/src/sandbox/", "tests/bits/tests/"];
    let elsewhere: Vec<_> = named.iter().filter(|path| !may.iter().any(|place| path.starts_with(place))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// A parser is recursive, and what a stranger wrote may be as deep as it is long: see the file.
#[test]
fn rust_is_parsed_behind_one_guard() {
    let words =
        ["syn::parse", "parse_quote", "LexError", "TokenStream::from_str", "parse::<TokenStream>", "prettyplease"];
    let named = naming(&words).into_iter().filter(|path| path.starts_with("host/src/"));
    // The reference has a parser for a table of the SDK, which runs behind the guard.
    let elsewhere: Vec<_> = named.filter(|path| path != "host/src/guest/reference.rs").collect();
    assert_eq!(elsewhere, ["host/src/guest/source/syntax.rs"]);
}

/// A file that a user names may be a pipe, a device, or larger than memory.
#[test]
fn users_files_are_read_in_one_way() {
    let named = naming(&["fs::read_to_string", "fs::read("]);
    let rooms = ["cli", "mcp", "policy", "night", "experiment", "propose"].map(|room| format!("host/src/{room}/"));
    let of_users: Vec<_> =
        named.iter().filter(|path| rooms.iter().any(|room| path.starts_with(room.as_str()))).collect();
    // One reads /proc, the other is a test.
    assert_eq!(of_users, ["host/src/propose/command/supervisor.rs", "host/src/propose/prompt/tests.rs"]);
}

#[test]
fn the_arithmetic_core_names_no_tensor_library() {
    let named = naming(&["candle"]);
    assert!(!named.is_empty(), "the check sees nothing");
    assert_eq!(named.iter().filter(|path| path.starts_with("kernels/src/cpu/")).count(), 0, "{named:?}");
}

/// `math::fma` is exact on targets where the standard library's version is not.
#[test]
fn kernels_fuse_by_their_own_function() {
    let named = naming(&["mul_add("]);
    let fusing: Vec<_> = named.iter().filter(|path| path.starts_with("kernels/src/")).collect();
    assert_eq!(fusing, ["kernels/src/cpu/math.rs"]);
}

#[test]
fn libraries_are_silent() {
    let printing = naming(&["print!(", "println!(", "dbg!("]);
    let tools = [
        "host/src/cli/",
        "xtask/",
        "tests/",
        "kernels/examples/",
        "host/benches/",
        "tests/bits/src/main.rs",
        "tests/bits/tests/",
    ];
    let allowed = |path: &String| tools.iter().any(|folder| path.starts_with(folder));
    assert!(printing.iter().any(|path| path.starts_with("host/src/cli/")), "the check sees nothing");
    let loud: Vec<_> = printing.iter().filter(|path| !allowed(path)).collect();
    assert!(loud.is_empty(), "{loud:?}");
}

/// The standard macros panic if the reader of a pipe is gone.
#[test]
fn commands_print_through_one_module() {
    let printing = naming(&["print!(", "println!("]);
    let commands: Vec<_> = files()
        .into_iter()
        .filter(|file| {
            file.is_under("host/src/cli/") && file.path != "host/src/cli/out.rs" && printing.contains(&file.path)
        })
        .collect();
    assert!(commands.len() > 3, "the check sees nothing");
    let others: Vec<_> =
        commands.iter().filter(|file| !file.text.contains("use crate::cli::out::")).map(|file| &file.path).collect();
    assert!(others.is_empty(), "{others:?} print by the standard macros");
}

#[test]
fn the_kernels_know_nothing_of_the_host() {
    let named = naming(&["nightlab::", "wasm", "policy", "rusqlite"]);
    let lower: Vec<_> = named.iter().filter(|path| path.starts_with("kernels/")).collect();
    assert!(lower.is_empty(), "{lower:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = files()
        .into_iter()
        .filter(|file| file.is_rust() && !file.is_generated() && !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

/// A file without a module declaration would never run.
#[test]
fn every_topic_is_a_module_of_the_end_to_end_tests() {
    let files = files();
    let main = files.iter().find(|file| file.path == "tests/main.rs").expect("tests/main.rs");
    let modules: BTreeSet<&str> =
        main.text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    let topics = files.iter().filter_map(|file| file.path.strip_prefix("tests/")?.strip_suffix(".rs"));
    let topics: BTreeSet<&str> = topics.filter(|topic| !topic.contains('/') && *topic != "main").collect();
    assert!(topics.contains("tidy"), "the check sees nothing");
    let left_out: Vec<_> = topics.difference(&modules).collect();
    assert!(left_out.is_empty(), "tests/main.rs does not name {left_out:?}");
    let elsewhere: Vec<_> =
        files.iter().map(|file| &file.path).filter(|path| path.starts_with("host/tests/")).collect();
    assert!(elsewhere.is_empty(), "end-to-end tests belong in tests/: {elsewhere:?}");
}

#[test]
fn files_stay_short() {
    let lengths = files().into_iter().filter(|file| file.is_rust() && !file.is_generated()).map(|file| {
        let tests = file.path.ends_with("tests.rs") || file.is_under("tests/") || file.is_under("tests/bits/tests/");
        let code = file.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let limit = if tests { TEST_LINES } else { CODE_LINES };
        (code.lines().count(), limit, file.path)
    });
    let long: Vec<_> = lengths.filter(|(lines, limit, _)| lines > limit).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// rustfmt looks after code; nothing else looks after comments.
#[test]
fn comments_keep_to_the_width() {
    for file in files().into_iter().filter(|file| !file.is_generated()) {
        let marks: &[&str] = match file.path.rsplit_once('.').map(|(_, end)| end) {
            Some("rs" | "wit" | "cu" | "cuh" | "h") => &["//"],
            Some("toml" | "yml" | "sh") => &["#"],
            Some("sql") => &["--"],
            _ => continue,
        };
        for (number, line) in file.text.lines().enumerate() {
            let comment = marks.iter().any(|mark| line.trim_start().starts_with(mark));
            assert!(
                !comment || line.chars().count() <= WIDTH,
                "{}:{} is a comment of more than {WIDTH} characters",
                file.path,
                number + 1
            );
        }
    }
}

#[test]
fn nothing_committed_knows_a_machine() {
    // Split, so that this file passes its own check.
    let places = [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/")].map(|(a, b)| format!("{a}{b}"));
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            let found = places.iter().find(|place| line.contains(place.as_str()));
            assert!(found.is_none(), "{}:{} names a place on one machine: {line}", file.path, number + 1);
        }
    }
}

#[test]
fn the_map_names_every_part() {
    let files = files();
    let map = files.iter().find(|file| file.path == "ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let words: BTreeSet<&str> = map.text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for folder in ["host/src/", "kernels/src/"] {
        let parts: BTreeSet<&str> = files
            .iter()
            .filter_map(|file| file.path.strip_prefix(folder)?.split('/').next())
            .map(|part| part.trim_end_matches(".rs"))
            .filter(|part| !["lib", "main", "mod"].contains(part))
            .collect();
        for part in parts {
            assert!(words.contains(part), "ARCHITECTURE.md does not say what {folder}{part} is");
        }
    }
}
