//! Strangers: submissions are checked at the door, tried in turn, and answered once by a receipt that others can check.

use crate::common::home::{Home, Running, index, lines, said, trials};
use crate::common::{component, tiny};
use nightlab::community::{Claim, ClaimStatus, Content, PrivateKey, Receipt, Rounded, Signed, Status, Submission};
use nightlab::record::ending::Ending;
use nightlab::record::key::{BehaviourKey, ComponentKey, Hash, SourceKey, TaskHash};
use nightlab::record::quotas::Quotas;
use nightlab::record::store::{Arrival, NewSubmission, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

/// A home with a policy that takes submissions, on the small corpus and with a seed guest that learns slowly, with the
/// key of its store and those of two strangers.
fn inbox(quotas: &str) -> Home {
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

fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
}

fn fails(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", said(output));
    assert!(said(output).contains(words), "no `{words}` in: {}", said(output));
}

/// What could not be decided is told from what is refuted.
fn undecided(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", said(output));
    assert!(said(output).contains(words), "no `{words}` in: {}", said(output));
}

fn run(home: &Home) -> String {
    let night = home.host(&["inbox", "run", "--policy", "./inbox.toml"]);
    succeeds(&night);
    said(&night)
}

fn add(home: &Home, file: &str) -> Output {
    home.host(&["inbox", "add", file, "--policy", "./inbox.toml"])
}

/// The task that submissions have to be for.
fn task(home: &Home) -> TaskHash {
    store(home).nights().unwrap().last().unwrap().task
}

fn store(home: &Home) -> Store {
    Store::open(&home.path(".host")).unwrap()
}

/// A submission by one of the keys of the home, made by the binary.
fn submit(home: &Home, key: &str, name: &str, source: &str, more: &[&str]) -> PathBuf {
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

fn hash_of(file: &Path) -> Hash {
    Hash::of(&std::fs::read(file).unwrap())
}

/// The receipt of a submission, as its file says it.
fn receipt(home: &Home, submission: &Hash) -> Signed<Receipt> {
    let path = home.path(&format!(".host/receipts/{submission}.receipt"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Signed::read(&bytes).unwrap()
}

fn private(home: &Home, key: &str) -> PrivateKey {
    PrivateKey::open(&home.path(key)).unwrap()
}

const MARKUP: &str = "<script>alert(1)</script> | [x](y)";

/// An inbox that took a gain, a repeat of it, a source that does not compile, and one for another task; with the hashes
/// of these submissions. Its store is only read.
struct Answered {
    home: Home,
    gain: Hash,
    repeat: Hash,
    refused: Hash,
    elsewhere: Hash,
    said: String,
}

fn answered() -> &'static Answered {
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

#[test]
fn each_submission_is_answered_and_a_gain_is_kept_with_its_credit() {
    let Answered { home, gain, repeat, refused, elsewhere, said: night } = answered();
    let of = |submission: &Hash| receipt(home, submission);
    let gained = of(gain);
    assert_eq!(gained.by, private(home, ".host/key").public());
    assert_eq!(
        (gained.text.author, gained.text.status),
        (private(home, "alice").public(), Status::Tried(Ending::Keep))
    );
    assert!(gained.text.delta.is_some_and(|delta| delta.get() < 0.0) && gained.text.evidence.is_some());
    assert_eq!(of(repeat).text.status, Status::Tried(Ending::Same), "{night}");
    let of_refused = of(refused).text;
    assert_eq!((of_refused.status, of_refused.component_key), (Status::Tried(Ending::Refused), None));
    assert!(of_refused.reason.text().contains("no_norm"), "{}", of_refused.reason);
    assert_eq!((of(elsewhere).text.status, of(elsewhere).text.trial), (Status::OtherTask, None));
    assert_eq!(std::fs::read_dir(home.path(".host/receipts")).unwrap().count(), 4);

    let logged = trials(&home.host(&["log", "--json"]));
    assert_eq!(logged.len(), 3, "{logged:?}");
    let credit = &logged[0]["credit"];
    assert_eq!(credit["author"], private(home, "alice").public().to_string());
    assert_eq!((&credit["licence"], &credit["submission"]), (&"MIT".into(), &gain.to_string().into()));
    assert_eq!(credit["made_from"], Hash::of(tiny("0.02").as_bytes()).to_string());
    let report = std::fs::read_to_string(home.path(".host/report.md")).unwrap();
    let author = private(home, "alice").public().to_string();
    assert!(report.contains("## Credits") && report.contains(&author) && report.contains("licence MIT"), "{report}");
    assert!(report.contains("\\<script\\>") && !report.contains("<script>"), "{report}");
    let experiment = logged[0]["experiment"].as_str().unwrap();
    let shown = said(&home.host(&["show", experiment]));
    assert!(shown.contains(&author) && shown.contains("licence MIT"), "{shown}");
    let listed = said(&home.host(&["inbox", "list"]));
    assert!(listed.contains("keep") && listed.contains("other-task") && listed.contains(&task(home).to_string()));
    assert!(!home.path("../../etc/passwd.submission").exists());
}

#[test]
fn what_is_not_as_it_was_signed_stays_out() {
    let home = inbox("submissions_per_day = 2");
    let alice = private(&home, "alice");
    let made = |name: &str, source: &str| {
        Signed::sign(Submission::new(TaskHash::of(b"t"), name.parse().unwrap(), Content::Source(source.into())), &alice)
            .to_bytes()
    };
    let good = made("good", "fn main() {}");
    let text = String::from_utf8(good.clone()).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(home.path(name), bytes).unwrap();
        add(&home, name)
    };
    let changed = |from: &str, to: &str| file("changed", text.replace(from, to).as_bytes());
    fails(&changed("name: good\n", "name: good\nname: good\n"), "the field `name` is there twice");
    fails(&changed("fn main() {}", "fn main() { }"), "it is cut off, or something was added");
    fails(&changed("fn main() {}", "fn mean() {}"), "its source was changed");
    fails(&changed("name: good", "name: food"), "its signature is not by the key");
    fails(&changed("name: good", "name: g\u{202e}od"), "turn text around");
    fails(&changed("name: good", "name: g\u{1b}[31mod"), "control characters");
    fails(&changed("nightlab submission 1", "nightlab submission 2"), "one of another version");
    fails(&changed("kind: source", "kind: component"), "its signature is not by the key");
    fails(&file("truncated", &good[..good.len() / 2]), "it is cut off");
    fails(&file("empty", b""), "it is not a submission");
    fails(&file("claim", b"nightlab claim 1\n"), "it is not a submission");
    fails(&file("bytes", &[0xff; 4000]), "it is not a submission");
    let huge = std::fs::File::create(home.path("huge")).unwrap();
    huge.set_len(100 << 20).unwrap();
    fails(&add(&home, "huge"), "which is the limit");
    fails(&add(&home, "/dev/zero"), "no plain file");
    fails(&add(&home, "missing"), "missing is not taken in");
    let wasm = home.path("guest.wasm");
    std::fs::write(&wasm, b"\0asm").unwrap();
    fails(&home.host(&["submit", "guest.wasm", "--name", "x", "--key", "alice"]), "no valid component");
    assert!(!String::from_utf8_lossy(&add(&home, "claim").stderr).contains('\u{1b}'));
    assert_eq!(store(&home).submissions().unwrap(), []);

    succeeds(&file("good", &good));
    let again = file("good", &good);
    assert!(said(&again).contains("is here already"), "{}", said(&again));
    succeeds(&file("second", &made("second", "fn main() {}")));
    fails(&file("third", &made("third", "fn main() {}")), "has sent 2 submissions today, which is its quota");
    let other = Submission::new(TaskHash::of(b"t"), "bob's".parse().unwrap(), Content::Source("fn main() {}".into()));
    succeeds(&file("bob's", &Signed::sign(other, &private(&home, "bob")).to_bytes()));
    assert_eq!(lines(&home.host(&["inbox", "list", "--json"])).len(), 3);
}

#[test]
fn a_key_is_made_once_and_needed_to_answer() {
    let home = Home::new();
    home.write_policy("inbox.toml", 0.04, 1);
    home.set("inbox.toml", "search.proposers", vec!["inbox"]);
    fails(&home.host(&["run", "--policy", "./inbox.toml"]), "`host keygen` makes one");
    let made = home.host(&["keygen"]);
    succeeds(&made);
    let public = said(&made).lines().next().unwrap().to_owned();
    assert_eq!(public, private(&home, ".host/key").public().to_string());
    fails(&home.host(&["keygen"]), "a key is never overwritten");
    assert_eq!(public, private(&home, ".host/key").public().to_string());
}

#[test]
fn keys_take_turns_and_quotas_hold_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let task = TaskHash::of(b"t");
    let quotas = Quotas { bytes_per_day: 100, waiting: 9, ..Quotas::default() };
    let send = |author: &str, name: &str, now| {
        let file = format!("{author} {name}");
        let new = NewSubmission {
            file: file.as_bytes(),
            source: "",
            component: None,
            author,
            task,
            name,
            licence: None,
            parent: None,
        };
        store.add_submission(&new, &quotas, now).unwrap()
    };
    for name in ["1", "2", "3", "4"] {
        assert_eq!(send("eve", name, 0), Arrival::Added);
    }
    for (author, name) in [("alice", "1"), ("alice", "2"), ("bob", "1")] {
        assert_eq!(send(author, name, 0), Arrival::Added);
    }
    let taken = || {
        let next = store.take_submission(&task, &quotas, 0).unwrap()?;
        store.answer_submission(&next.hash, b"receipt", 0).unwrap();
        Some(format!("{} {}", next.author, next.name))
    };
    let first: Vec<String> = (0..4).map_while(|_| taken()).collect();
    assert_eq!(first, ["eve 1", "alice 1", "bob 1", "eve 2"]);
    // A key that is new stands behind those that are here.
    assert_eq!(send("mallory", "1", 0), Arrival::Added);
    let rest: Vec<String> = std::iter::from_fn(taken).collect();
    assert_eq!(rest, ["alice 2", "eve 3", "mallory 1", "eve 4"]);

    let long = "x".repeat(60);
    assert_eq!(send("carol", &long, 0), Arrival::Added);
    assert!(matches!(send("carol", &format!("{long}y"), 0), Arrival::Over(_)), "bytes of a day");
    assert_eq!(send("carol", &format!("{long}y"), 24 * 3600 * 1000), Arrival::Added);
}

#[test]
fn a_submission_whose_night_was_killed_is_answered_once() {
    let home = inbox("");
    run(&home);
    let policy = std::fs::read_to_string(home.path("inbox.toml")).unwrap();
    let killed_at = |number: u64, name: &str, rate: &str| {
        let file = submit(&home, "alice", name, &tiny(rate), &[]);
        succeeds(&add(&home, file.to_str().unwrap()));
        let mut night = Running::of(&mut home.command(&["--json", "inbox", "run", "--policy", "./inbox.toml"]));
        let mut events = night.events();
        while night.wait_for(&mut events, "started")["number"] != number {}
        drop(night);
        assert_eq!(trials(&home.host(&["log", "--json"])).len() as u64, number - 1);
        file
    };
    let file = killed_at(1, "same terms", "0.012");
    assert!(!home.path(".host/receipts").exists());
    run(&home);
    assert_eq!(receipt(&home, &hash_of(&file)).text.trial, Some(1));
    let file = killed_at(2, "other terms", "0.015");
    // Terms that the killed night did not have: what it held is free again.
    home.set("inbox.toml", "budget.seconds", 0.05);
    run(&home);
    let first = receipt(&home, &hash_of(&file));
    assert_eq!(first.text.trial, Some(1));
    std::fs::remove_dir_all(home.path(".host/receipts")).unwrap();
    std::fs::write(home.path("inbox.toml"), policy).unwrap();
    run(&home);
    assert_eq!(receipt(&home, &hash_of(&file)), first, "the receipt is written again, not made again");
    assert_eq!(trials(&home.host(&["log", "--json"])).len(), 2);
}

#[test]
fn what_a_guest_says_about_secret_text_is_not_sent() {
    let home = inbox("");
    home.set("inbox.toml", "task.split", "secret");
    run(&home);
    // In the dry run, which knows no values, it passes.
    let told = "        assert!(loss.item() < 2.0, \"the text is: {}\", loss.item());\n        lab.log(";
    let telling = tiny("0.01").replace("        lab.log(", told);
    let file = submit(&home, "alice", "telling", &telling, &[]);
    succeeds(&add(&home, file.to_str().unwrap()));
    let night = run(&home);
    assert!(night.contains("the text is: "), "its owner may read it: {night}");
    let text = receipt(&home, &hash_of(&file)).text;
    assert_eq!(text.status, Status::Tried(Ending::Failed), "{}", text.reason);
    assert!(text.reason.text().contains("not told") && !text.reason.text().contains("text is:"), "{}", text.reason);
}

/// A guest's state may be a few bits about the held-out text, whose hash could be looked for.
#[test]
fn hashes_of_what_depends_on_secret_text_are_blinded() {
    let home = inbox("");
    home.set("inbox.toml", "task.split", "secret");
    run(&home);
    let file = submit(&home, "alice", "honest", &tiny("0.01"), &[]);
    succeeds(&add(&home, file.to_str().unwrap()));
    run(&home);
    let told = receipt(&home, &hash_of(&file)).text.evidence.unwrap();
    let store = store(&home);
    let kept = store.evidence(&store.find_experiment(&told.experiment()).unwrap().unwrap()).unwrap();
    assert_eq!((&told.manifest, told.intervals.len()), (&kept.manifest, kept.intervals.len()));
    assert!(
        told.outcome != kept.outcome && told.intervals.iter().zip(&kept.intervals).all(|(told, kept)| told != kept)
    );
    let secret = store.current_secret(1).unwrap();
    assert_eq!(told, kept.blinded(&secret));

    // Who has the secret can check the receipt, also from the digits alone.
    let name = format!(".host/receipts/{}.receipt", hash_of(&file));
    succeeds(&home.host(&["verify", &name]));
    succeeds(&home.host(&["verify", &name, "--segment", "1"]));
    let _copy = home.copy_of_store("copy");
    std::fs::remove_dir_all(home.path("copy/secrets")).unwrap();
    let elsewhere = |more: &[&str]| home.host(&[&["--store", "copy", "verify", &name], more].concat());
    undecided(&elsewhere(&[]), "is lost");
    succeeds(&elsewhere(&["--secret", &secret.reveal()]));
}

#[test]
fn a_key_that_has_used_up_its_day_waits() {
    let home = inbox("seconds_per_day = 0.0");
    run(&home);
    let file = submit(&home, "alice", "waits", &tiny("0.01"), &[]);
    succeeds(&add(&home, file.to_str().unwrap()));
    run(&home);
    let listed: Vec<Value> = lines(&home.host(&["inbox", "list", "--json"]));
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &"waiting".into()));
}

#[test]
fn claims_and_receipts_are_proved_or_refuted() {
    let Answered { home, gain, refused, .. } = answered();
    let verify = |file: &str, more: &[&str]| home.host(&[&["verify", file], more].concat());
    let of_gain = format!(".host/receipts/{gain}.receipt");
    let proved = verify(&of_gain, &[]);
    succeeds(&proved);
    for words in ["proved: identical", "the key of this store", "not proved: what the inbox made of the run (`keep`"] {
        assert!(said(&proved).contains(words), "no `{words}` in: {}", said(&proved));
    }
    let nothing = verify(&format!(".host/receipts/{refused}.receipt"), &[]);
    undecided(&nothing, "nothing to run again");
    let segment = verify(&of_gain, &["--segment", "2"]);
    succeeds(&segment);
    assert!(said(&segment).contains("1 of 8 intervals"), "{}", said(&segment));

    let key = receipt(home, gain).text.evidence.unwrap().experiment();
    let claim = home.path("true.claim");
    let made = home.host(&["claim", &key.to_string(), "--key", "alice", "-o", "true.claim"]);
    succeeds(&made);
    succeeds(&verify("true.claim", &[]));
    let honest: Signed<Claim> = Signed::read(&std::fs::read(&claim).unwrap()).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Claim)| {
        let mut text = honest.text.clone();
        change(&mut text);
        std::fs::write(home.path(name), Signed::sign(text, &private(home, "bob")).to_bytes()).unwrap();
    };
    changed("flattering.claim", &|claim| claim.bpb -= 0.5);
    fails(&verify("flattering.claim", &[]), "was claimed");
    changed("interval.claim", &|claim| claim.evidence.intervals[3] = Hash::of(b"x"));
    fails(&verify("interval.claim", &[]), "interval 3 of 8 has another state hash");
    fails(
        &verify("interval.claim", &["--segment", "3"]),
        "interval 3 has another state hash than the one that is claimed",
    );
    changed("terms.claim", &|claim| claim.evidence.manifest.budget_ps *= 1_000_000);
    undecided(&verify("nowhere.claim", &[]), "cannot read nowhere.claim");
    undecided(&verify("terms.claim", &[]), "on terms that no night of this store has");
    // A receipt by another key is not this store's own. It may not contradict its run.
    let forged = |name: &str, change: &dyn Fn(&mut Receipt)| {
        let mut text = receipt(home, gain).text;
        change(&mut text);
        std::fs::write(home.path(name), Signed::sign(text, &private(home, "bob")).to_bytes()).unwrap();
    };
    forged("other.receipt", &|receipt| receipt.answered_unix_ms += 1);
    succeeds(&verify("other.receipt", &[]));
    forged("figure.receipt", &|receipt| (receipt.bpb, receipt.pairs) = (Rounded::new(0.1), Some(1)));
    fails(&verify("figure.receipt", &[]), "and the receipt says 0.1000");
    forged("unpaired.receipt", &|receipt| (receipt.bpb, receipt.pairs) = (Rounded::new(0.1), None));
    fails(&verify("unpaired.receipt", &[]), "and the receipt says 0.1000");
    forged("task.receipt", &|receipt| receipt.task = TaskHash::of(b"another"));
    fails(&verify("task.receipt", &[]), "the experiment is of another task");
    forged("refused.receipt", &|receipt| receipt.status = Status::Tried(Ending::Refused));
    fails(&verify("refused.receipt", &[]), "what was not trained has no experiment");
    forged("source.receipt", &|receipt| receipt.source_key = Some(SourceKey::of(b"another")));
    fails(&verify("source.receipt", &[]), "it names another source than that of its submission");
    forged("unknown.receipt", &|receipt| receipt.submission = Hash::of(b"another"));
    undecided(&verify("unknown.receipt", &[]), "nothing here ties it to submission");
    forged("empty.receipt", &|receipt| receipt.evidence = None);
    undecided(&verify("empty.receipt", &[]), "nothing to run again");
    let bob = private(home, "bob").public();
    forged("author.receipt", &|receipt| receipt.author = bob);
    fails(&verify("author.receipt", &[]), "and the receipt says");
    forged("claim.receipt", &|receipt| receipt.claim = ClaimStatus::Holds);
    fails(&verify("claim.receipt", &[]), "the submission has no claim");
    forged("elsewhere.receipt", &|receipt| {
        (receipt.status, receipt.evidence, receipt.bpb) = (Status::OtherTask, None, None);
    });
    fails(&verify("elsewhere.receipt", &[]), "the submission is for this task");
    forged("same.receipt", &|receipt| (receipt.status, receipt.evidence) = (Status::Tried(Ending::Same), None));
    undecided(&verify("same.receipt", &[]), "nothing to run again");
    forged("unscored.receipt", &|receipt| receipt.bpb = None);
    fails(&verify("unscored.receipt", &[]), "gives no bits per byte");
    forged("behaviour.receipt", &|receipt| receipt.behaviour_key = Some(BehaviourKey::of(b"another")));
    fails(&verify("behaviour.receipt", &[]), "the dry run has another behaviour key");
    // A mutation may fail on a later random seed than that of its first run.
    forged("failed.receipt", &|receipt| (receipt.status, receipt.bpb) = (Status::Tried(Ending::Failed), None));
    undecided(&verify("failed.receipt", &[]), "that the submission failed is the word of the inbox");
    forged("component.receipt", &|receipt| receipt.component_key = Some(ComponentKey::of(b"another")));
    fails(&verify("component.receipt", &[]), "the experiment ran another component");
    let mut bytes = std::fs::read(&claim).unwrap();
    bytes[60] ^= 1;
    std::fs::write(home.path("flipped.claim"), bytes).unwrap();
    fails(&verify("flipped.claim", &[]), "it is refused");
}

#[test]
fn another_store_proves_a_submission_by_its_source() {
    let Answered { home, gain, .. } = answered();
    let key = receipt(home, gain).text.evidence.unwrap().experiment().to_string();
    let file = submit(home, "alice", "with a claim", &tiny("0.01"), &["--claim", &key]);
    let other = inbox("");
    run(&other);
    std::fs::copy(&file, other.path("claimed.submission")).unwrap();
    let proved = other.host(&["verify", "claimed.submission"]);
    succeeds(&proved);
    assert!(said(&proved).contains("8 of 8 intervals"), "{}", said(&proved));
    // What its inbox measured says the same of the claim.
    succeeds(&add(&other, "claimed.submission"));
    let bob = private(&other, "bob");
    let honest = Signed::<Submission>::read(&std::fs::read(&file).unwrap()).unwrap().text;
    let mut claim = honest.claim.clone().unwrap().text;
    claim.bpb -= 0.5;
    let flattering = Submission::new(honest.task, "flattering".parse().unwrap(), honest.content.clone());
    let flattering = Signed::sign(flattering.with_claim(Signed::sign(claim, &bob)), &bob).to_bytes();
    std::fs::write(other.path("flattering.submission"), &flattering).unwrap();
    fails(&other.host(&["verify", "flattering.submission"]), "was claimed");
    succeeds(&add(&other, "flattering.submission"));
    run(&other);
    assert_eq!(receipt(&other, &Hash::of(&flattering)).text.claim.name(), "refuted");
    let text = receipt(&other, &hash_of(&file)).text;
    assert_eq!((text.claim.name(), text.status), ("holds", Status::Tried(Ending::Keep)), "{}", text.reason);
    let audit = other.host(&["verify", "--audit", "2"]);
    succeeds(&audit);
    assert!(said(&audit).contains("3 checked, 0 refuted"), "{}", said(&audit));

    // Any flipped bit is found, and what it is in is named.
    let flip = |blob: &Hash| {
        let path = store(&other).blob_path(blob);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let audit = || other.host(&["verify", "--audit", "2"]);
    let evidence = text.evidence.unwrap();
    let component = store(&other).component(&evidence.manifest.component).unwrap().unwrap().component_blob;
    let outcome = store(&other).find_experiment(&evidence.experiment()).unwrap().unwrap().outcome_blob;
    let answer = store(&other).submission(&hash_of(&file)).unwrap().unwrap().receipt.unwrap();
    for blob in [component, outcome, answer, hash_of(&file)] {
        flip(&blob);
        fails(&audit(), &blob.to_string()[2..]);
        flip(&blob);
    }
    succeeds(&audit());
    // The copy of a receipt is handed on.
    let copy = other.path(&format!(".host/receipts/{}.receipt", hash_of(&file)));
    let check = |more: &[&str]| other.host(&[&["store", "check"], more].concat());
    succeeds(&check(&[]));
    std::fs::write(&copy, "another").unwrap();
    fails(&check(&[]), "is not the receipt that the store keeps");
    succeeds(&check(&["--mend"]));
    assert!(!copy.exists());
    run(&other);
    assert_eq!(Hash::of(&std::fs::read(&copy).unwrap()), answer);
    let index = index(&other.path(".host"));
    index.execute("UPDATE submissions SET licence = 'GPL-3.0'", []).unwrap();
    fails(&audit(), "its row in the index is not what its file says");
    let spoil = "UPDATE experiments SET manifest = replace(manifest, '\"eval_rows\":8', '\"eval_rows\":9')";
    index.execute(spoil, []).unwrap();
    fails(&audit(), "its manifest has another key");
}

/// `guests/tiny` with another learning rate, as a component of a file.
fn tiny_component(rate: &str) -> Vec<u8> {
    component(&tiny(rate)).bytes().to_vec()
}

#[test]
fn a_component_is_tried_like_a_source_and_the_night_goes_on() {
    let home = inbox("");
    run(&home);
    let task = task(&home).to_string();
    std::fs::write(home.path("guest.wasm"), tiny_component("0.01")).unwrap();
    let words = ["submit", "guest.wasm", "--name", "compiled elsewhere", "--key", "alice", "--task", &task];
    succeeds(&home.host(&[&words[..], &["-o", "gain.submission"]].concat()));
    // A card is refused as a source, also that of a component that somebody else has sent.
    let card = nightlab::guest::component::Card::of(&tiny_component("0.01"));
    let forged = Submission::new(
        task.parse().unwrap(),
        "a card alone".parse().unwrap(),
        Content::Source(card.text().to_owned()),
    );
    std::fs::write(home.path("card.submission"), Signed::sign(forged, &private(&home, "bob")).to_bytes()).unwrap();
    let broken = Content::Component(tiny_component("0.012")[..5000].to_vec());
    let broken = Submission::new(task.parse().unwrap(), "cut off".parse().unwrap(), broken);
    std::fs::write(home.path("cut.submission"), Signed::sign(broken, &private(&home, "bob")).to_bytes()).unwrap();
    for file in ["gain.submission", "cut.submission"] {
        succeeds(&add(&home, file));
    }
    fails(&add(&home, "card.submission"), "send the `.wasm` file itself");
    std::fs::write(home.path("card.rs"), card.text()).unwrap();
    fails(
        &home.host(&["submit", "card.rs", "--name", "x", "--key", "bob", "--task", &task]),
        "send the `.wasm` file itself",
    );
    let night = run(&home);
    let of = |file: &str| receipt(&home, &hash_of(&home.path(file))).text;
    let gained = of("gain.submission");
    assert_eq!(gained.status, Status::Tried(Ending::Keep), "{night}");
    assert!(gained.component_key.is_some() && gained.evidence.is_some());
    let cut = of("cut.submission");
    assert_eq!(cut.status, Status::Tried(Ending::Refused));
    assert!(cut.reason.text().contains("no valid component"), "{}", cut.reason);
    // A store that has taken in the submission and not tried it proves the receipt too.
    let other = inbox("");
    run(&other);
    std::fs::copy(home.path("gain.submission"), other.path("gain.submission")).unwrap();
    let answer = format!(".host/receipts/{}.receipt", hash_of(&home.path("gain.submission")));
    std::fs::copy(home.path(&answer), other.path("gain.receipt")).unwrap();
    undecided(&other.host(&["verify", "gain.receipt"]), "--submission FILE");
    succeeds(&add(&other, "gain.submission"));
    succeeds(&other.host(&["verify", "gain.receipt"]));
    // The record shows the card; the champion's folder has it beside the component.
    let shown = std::fs::read_to_string(home.path(".host/champion/card.txt")).unwrap();
    assert!(shown.starts_with("component ") && !home.path(".host/champion/train.rs").exists(), "{shown}");
    assert_eq!(std::fs::read(home.path(".host/champion/component.wasm")).unwrap(), tiny_component("0.01"));
    succeeds(&home.host(&["verify", &format!(".host/receipts/{}.receipt", hash_of(&home.path("gain.submission")))]));

    // Proposers go on from the last champion that is a source, and its changes meet the component.
    std::fs::copy(home.path("inbox.toml"), home.path("evolve.toml")).unwrap();
    home.set("evolve.toml", "search.proposers", vec!["evolve"]);
    let night = home.host(&["run", "--policy", "./evolve.toml", "--experiments", "3"]);
    succeeds(&night);
    let trials = trials(&home.host(&["log", "--json"]));
    let evolved: Vec<_> = trials.iter().filter(|trial| trial["proposer"] == "evolve").collect();
    assert!(!evolved.is_empty(), "{}", said(&night));
    let component = trials.iter().find(|trial| trial["verdict"] == "keep").unwrap()["number"].clone();
    for trial in &evolved {
        assert_eq!((&trial["parent"], &trial["champion"]), (&0.into(), &component), "{trial}");
    }
    // A file that the user tries, against the champion that is a component; then the component again.
    std::fs::write(home.path("better.rs"), tiny("0.02")).unwrap();
    let tried = home.host(&["try", "better.rs", "--policy", "./inbox.toml"]);
    assert!(said(&tried).contains("LR 0.002 → 0.02"), "{}", said(&tried));
    let again = home.host(&["try", "guest.wasm", "--policy", "./inbox.toml"]);
    assert!(said(&again).contains("same"), "{}", said(&again));
    std::fs::write(home.path("other.wasm"), tiny_component("0.015")).unwrap();
    let scored = lines(&home.host(&["--json", "score", "other.wasm", "--seeds", "1", "--policy", "./inbox.toml"]));
    assert!(scored[0]["bpb"].as_f64().is_some(), "{scored:?}");
}

#[test]
fn a_policy_caps_what_a_component_may_carry() {
    let home = inbox("");
    std::fs::write(home.path("guest.wasm"), tiny_component("0.01")).unwrap();
    let program = component(&tiny("0.01")).program_bytes();
    let policy = std::fs::read_to_string(home.path("inbox.toml")).unwrap();
    let score = |cap: u64| {
        let policy = format!("{policy}\n[rules]\ncomponent_bytes = {cap}\n");
        std::fs::write(home.path("capped.toml"), policy).unwrap();
        home.host(&["score", "guest.wasm", "--seeds", "1", "--policy", "./capped.toml"])
    };
    fails(&score(0), "the policy tries sources alone");
    fails(&score(program - 1), &format!("the component has {program} bytes without custom sections"));
    succeeds(&score(program));
}
