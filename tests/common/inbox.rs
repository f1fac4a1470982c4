//! The door of strangers: a home with an inbox, keys, submissions and receipts.

use super::home::{Home, said};
use super::tiny;
use nightlab::community::{Content, PrivateKey, Receipt, Signed, Submission};
use nightlab::record::key::{Hash, TaskHash};
use nightlab::record::store::Store;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

/// A home with a policy that takes submissions, on the small corpus and with a seed guest that learns slowly, with the
/// key of its store and those of two strangers.
pub fn inbox(quotas: &str) -> Home {
    let home = Home::new();
    home.write_policy("inbox.toml", 0.04, 50);
    home.set("inbox.toml", "search.proposers", vec!["inbox"]);
    home.start_slowly("inbox.toml", "0.002");
    let text = std::fs::read_to_string(home.path("inbox.toml")).unwrap();
    std::fs::write(home.path("inbox.toml"), format!("{text}\n[community]\n{quotas}\n")).unwrap();
    for args in [&["keygen"][..], &["keygen", "alice"], &["keygen", "bob"]] {
        succeeds(&home.host(args));
    }
    home
}

pub fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
}

pub fn fails(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    assert!(said(output).contains(words), "no `{words}` in: {}", said(output));
}

/// What could not be decided is told from what is refuted.
pub fn undecided(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", said(output));
    assert!(said(output).contains(words), "no `{words}` in: {}", said(output));
}

pub fn run(home: &Home) -> String {
    let night = home.host(&["inbox", "run", "--policy", "./inbox.toml"]);
    succeeds(&night);
    said(&night)
}

pub fn add(home: &Home, file: &str) -> Output {
    home.host(&["inbox", "add", file, "--policy", "./inbox.toml"])
}

/// The task that submissions have to be for.
pub fn task(home: &Home) -> TaskHash {
    store(home).nights().unwrap().last().unwrap().task
}

pub fn store(home: &Home) -> Store {
    Store::open(&home.path(".host")).unwrap()
}

/// A submission by one of the keys of the home, made by the binary.
pub fn submit(home: &Home, key: &str, name: &str, source: &str, more: &[&str]) -> PathBuf {
    let file = home.path("source.rs");
    std::fs::write(&file, source).unwrap();
    let out = home.path("out.submission");
    let task = task(home).to_string();
    let words = ["submit", "source.rs", "--name", name, "--key", key, "--task", &task, "-o", "out.submission"];
    succeeds(&home.host(&[&words, more].concat()));
    let at = home.path(&format!("{}.submission", Hash::of(&std::fs::read(&out).unwrap()).short()));
    std::fs::rename(out, &at).unwrap();
    at
}

pub fn hash_of(file: &Path) -> Hash {
    Hash::of(&std::fs::read(file).unwrap())
}

/// The receipt of a submission, as its file says it.
pub fn receipt(home: &Home, submission: &Hash) -> Signed<Receipt> {
    let path = home.path(&format!(".host/receipts/{submission}.receipt"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Signed::read(&bytes).unwrap()
}

pub fn private(home: &Home, key: &str) -> PrivateKey {
    PrivateKey::open(&home.path(key)).unwrap()
}

pub const MARKUP: &str = "<script>alert(1)</script> | [x](y)";

/// An inbox that took a gain, a repeat of it, a source that does not compile, and one for another task; with the hashes
/// of these submissions. Its store is only read.
pub struct Answered {
    pub home: Home,
    pub gain: Hash,
    pub repeat: Hash,
    pub refused: Hash,
    pub elsewhere: Hash,
    pub said: String,
}

pub fn answered() -> &'static Answered {
    static HOME: OnceLock<Answered> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = inbox("");
        assert!(run(&home).contains("nobody has anything left to propose"));
        let seed = home.path("seed.rs");
        std::fs::write(&seed, tiny("0.02")).unwrap();
        let gain = submit(&home, "alice", MARKUP, &tiny("0.01"), &["--licence", "MIT", "--parent", "seed.rs"]);
        let repeat = submit(&home, "bob", "../../etc/passwd", &tiny("0.01"), &[]);
        let refused = submit(&home, "bob", "no such function", &tiny("0.01").replace("rms_norm", "no_norm"), &[]);
        let source = tiny("0.03");
        let other = Submission::new(TaskHash::of(b"another"), "elsewhere".parse().unwrap(), Content::Source(source));
        let elsewhere = home.path("elsewhere.submission");
        std::fs::write(&elsewhere, Signed::sign(other, &private(&home, "bob")).to_bytes()).unwrap();
        for file in [&gain, &repeat, &refused, &elsewhere] {
            succeeds(&add(&home, file.to_str().unwrap()));
        }
        let said = run(&home);
        let [gain, repeat, refused, elsewhere] = [&gain, &repeat, &refused, &elsewhere].map(|file| hash_of(file));
        Answered { home, gain, repeat, refused, elsewhere, said }
    })
}
