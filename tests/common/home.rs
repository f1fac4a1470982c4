//! Runs the binary as a user does: a folder with a cache, a corpus and policies, the printed output, and running
//! nights.

use super::{HOST, documents, guest_path, tiny, toolchain};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A folder with a cache, a corpus and policies. The binary sees nothing else of the user.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// A home with the policy `night.toml`: two experiments of a tenth of a second.
    pub fn new() -> Self {
        // The compiler is found or installed once, in the shared cache.
        toolchain();
        let home = Self { folder: tempfile::tempdir().unwrap() };
        let installed = nightlab::system::cache::cache_dir().unwrap().join("toolchain");
        std::fs::create_dir(home.path("cache")).unwrap();
        std::os::unix::fs::symlink(installed, home.path("cache/toolchain")).unwrap();
        std::fs::create_dir(home.path("words")).unwrap();
        for document in documents() {
            std::fs::write(home.path("words").join(document.name), document.bytes).unwrap();
        }
        home.write_policy("night.toml", 0.04, 2);
        let added = home.host(&["data", "add", "words", "words"]);
        assert!(added.status.success(), "{added:?}");
        home
    }

    /// A home in which a night of two experiments has run, and its output. Its store is only read.
    pub fn after_a_night() -> &'static (Self, String) {
        static HOME: OnceLock<(Home, String)> = OnceLock::new();
        HOME.get_or_init(|| {
            let home = Self::new();
            let night = home.host(&["run", "--policy", "./night.toml"]);
            assert_eq!(night.status.code(), Some(0), "{}", said(&night));
            assert!(said(&night).contains("done in"), "{}", said(&night));
            (home, said(&night))
        })
    }

    /// A path in the home folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a policy on the small corpus, with `guests/tiny` as its seed guest.
    pub fn write_policy(&self, name: &str, seconds: f64, experiments: u32) {
        let tiny = guest_path("guests/tiny");
        let text = format!(
            "[task]\ncorpora = [\"words\"]\ncontext = 32\neval_chunks = 24\nseed_guest = {tiny:?}\n\n\
             [budget]\nprofile = \"zen-2c\"\nseconds = {seconds}\n\n\
             [search]\nexperiments = {experiments}\n\n\
             [selection]\nreplicas = 2\nmost_seeds = 4\n"
        );
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Sets a field of a policy, given with its table, as in `search.proposers`.
    pub fn set(&self, policy: &str, field: &str, value: impl Into<toml::Value>) {
        let mut fields: toml::Table = std::fs::read_to_string(self.path(policy)).unwrap().parse().unwrap();
        let (table, field) = field.split_once('.').unwrap();
        let table = fields.entry(table).or_insert_with(|| toml::Table::new().into());
        table.as_table_mut().unwrap().insert(field.to_owned(), value.into());
        std::fs::write(self.path(policy), toml::to_string(&fields).unwrap()).unwrap();
    }

    /// Gives a policy a seed guest that learns slowly, so that gains are easy: `tiny` with this rate, as `slow.rs`.
    pub fn start_slowly(&self, policy: &str, rate: &str) {
        std::fs::write(self.path("slow.rs"), tiny(rate)).unwrap();
        self.set(policy, "task.seed_guest", "slow.rs");
    }

    /// A command of the binary with these arguments, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(HOST);
        command.args(args).current_dir(self.folder.path()).env("HOST_CACHE", self.path("cache"));
        command
    }

    pub fn host(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A copy of the night's store, which the test may change. Of a home that tests share, each copy has its own name.
    pub fn copy_of_store(&self, name: &str) -> StoreCopy {
        let to = self.path(name);
        copy(&self.path(".host"), &to);
        StoreCopy(to)
    }
}

/// The index of a store, to be changed as `host` could have: with its checksums.
pub fn index(store: &Path) -> rusqlite::Connection {
    let index = rusqlite::Connection::open(store.join("index.sqlite")).unwrap();
    nightlab::record::store::define_checksum(&index).unwrap();
    index
}

/// The folder of a copied store. It is removed on drop: a home that tests share is there until the last of them ends.
pub struct StoreCopy(PathBuf);

impl Deref for StoreCopy {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for StoreCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            // The index's temporary files come and go with its readers.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// The output of both streams.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines of standard output, each a JSON object.
pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A running night. It is killed on drop.
pub struct Running(Child);

impl Running {
    pub fn start(home: &Home, policy: &str) -> Self {
        Self::of(&mut home.command(&["--json", "run", "--policy", policy]))
    }

    /// A night that another command starts.
    pub fn of(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Reads events until one with this name.
    pub fn wait_for(&mut self, events: &mut dyn Iterator<Item = String>, name: &str) -> Value {
        events
            .map(|line| serde_json::from_str::<Value>(&line).unwrap())
            .find(|event| event["event"] == name)
            .unwrap_or_else(|| panic!("the night ended before `{name}`"))
    }

    /// Output lines as they arrive.
    pub fn events(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map_while(Result::ok)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The trials in the output of `host log --json`, which also lists the accounts of proposers.
pub fn trials(output: &Output) -> Vec<Value> {
    lines(output).into_iter().filter(|line| line["number"].is_u64()).collect()
}

/// Names the Python that has the packages, if it is not `python3`.
const PYTHON: &str = "HOST_TEST_PYTHON";

/// Runs a program of Python in a home, if there is the module that it needs. Where there is none, this says so.
pub fn python(home: &Home, module: &str, program: &str) {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".into());
    let run = |program: &str| Command::new(&python).args(["-c", program]).current_dir(home.path(".")).output();
    if !run(&format!("import {module}")).is_ok_and(|output| output.status.success()) {
        eprintln!("{python} has no {module}: {PYTHON} can name one that has");
        return;
    }
    let output = run(program).unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
