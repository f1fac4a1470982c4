//! The commons: labs show each other what they kept, in a folder of Git, and take in what holds.

use crate::common::home::{Home, lines, said, trials};
use crate::common::tiny;
use nightlab::community::{Credits, Finding, Line, PAGE, PrivateKey, SOURCE, Signed};
use nightlab::record::key::{Hash, TaskHash};
use nightlab::record::store::Store;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A lab: a home with a key and a policy that tries findings, whose seed guest learns slowly.
fn lab() -> Home {
    let home = Home::new();
    home.write_policy("lab.toml", 0.04, 50);
    home.set("lab.toml", "search.proposers", vec!["commons"]);
    home.start_slowly("lab.toml", "0.002");
    succeeds(&home.host(&["keygen"]));
    home
}

fn succeeds(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    said(output)
}

fn run(home: &Home) -> String {
    succeeds(&home.host(&["run", "--policy", "./lab.toml"]))
}

/// Tries a source and returns its verdict.
fn attempt(home: &Home, source: &str) -> Value {
    std::fs::write(home.path("mutation.rs"), source).unwrap();
    succeeds(&home.host(&["try", "mutation.rs", "--policy", "./lab.toml"]));
    trials(&home.host(&["log", "--json"])).pop().unwrap()
}

fn attempt_to_be(home: &Home, source: &str, verdict: &str) {
    let trial = attempt(home, source);
    assert_eq!(trial["verdict"], verdict, "{trial}");
}

fn key(home: &Home) -> PrivateKey {
    PrivateKey::open(&home.path(".host/key")).unwrap()
}

fn store(home: &Home) -> Store {
    Store::open(&home.path(".host")).unwrap()
}

fn publish(home: &Home, more: &[&str]) -> Value {
    let output = home.host(&[&["--json", "commons", "publish", "commons", "--licence", "MIT"], more].concat());
    succeeds(&output);
    lines(&output).pop().unwrap()
}

/// What was taken and refused, and the summary.
fn follow(home: &Home, one_in: &str) -> (Vec<Value>, Vec<Value>, Value) {
    let output = home.host(&["--json", "commons", "follow", "commons", "--one-in", one_in]);
    succeeds(&output);
    let mut all = lines(&output);
    let summary = all.pop().unwrap();
    let (taken, refused) = all.into_iter().partition(|line| line["status"] == "taken");
    (taken, refused, summary)
}

/// The reason for which a path was refused.
fn reason(refused: &[Value], path: &str) -> String {
    let found = refused.iter().find(|line| line["path"].as_str().unwrap().contains(path));
    found.unwrap_or_else(|| panic!("{path} is not in {refused:#?}"))["reason"].as_str().unwrap().to_owned()
}

fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env_remove("GIT_DIR").env("GIT_CONFIG_GLOBAL", "/dev/null").current_dir(folder).args(args);
    succeeds(&command.output().unwrap())
}

/// A bare repository, and how a lab gets a clone of it in its folder `commons`.
struct Hub(tempfile::TempDir);

impl Hub {
    fn new() -> Self {
        let hub = Self(tempfile::tempdir().unwrap());
        git(hub.0.path(), &["init", "--quiet", "--bare", "--initial-branch", "main"]);
        hub
    }

    fn clone_for(&self, home: &Home) -> PathBuf {
        let hub = self.0.path().to_str().unwrap();
        git(&home.path(""), &["clone", "--quiet", hub, "commons"]);
        let clone = home.path("commons");
        for (field, value) in [("user.name", "a lab"), ("user.email", "lab@example.org")] {
            git(&clone, &["config", field, value]);
        }
        git(&clone, &["checkout", "--quiet", "-B", "main"]);
        clone
    }
}

/// The pages of a commons and their findings.
fn findings(commons: &Path) -> Vec<(PathBuf, Signed<Finding>)> {
    let mut found = Vec::new();
    let below = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    for lab in below(commons.join("labs")) {
        for finding in below(lab.join("findings")) {
            let page = std::fs::read(finding.join(PAGE)).unwrap();
            found.push((finding, Signed::<Finding>::read_page(&page).unwrap()));
        }
    }
    found
}

fn write(commons: &Path, folder: &str, page: &str, source: &str) {
    let folder = commons.join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(PAGE), page).unwrap();
    std::fs::write(folder.join(SOURCE), source).unwrap();
}

/// Puts a finding of a stranger into a commons, as that stranger would.
fn plant(commons: &Path, by: u8, source: &str, like: &Finding, change: impl Fn(&mut Finding)) -> (String, Hash) {
    let by = PrivateKey::of_seed(&[by; 32]);
    let mut text = Finding { source: Hash::of(source.as_bytes()), source_bytes: source.len() as u64, ..like.clone() };
    (text.author, text.credits) = (by.public(), Credits::default());
    change(&mut text);
    let signed = Signed::sign(text, &by);
    write(commons, &signed.folder(), &signed.page(), source);
    (signed.folder(), signed.hash())
}

#[test]
fn a_keep_of_one_lab_becomes_the_parent_of_anothers_and_keeps_its_credit() {
    let hub = Hub::new();
    let (anna, bert, carl) = (lab(), lab(), lab());

    // The first lab keeps a gain, and finds something without one.
    let commons = hub.clone_for(&anna);
    let gain = tiny("0.0026");
    attempt_to_be(&anna, &gain, "keep");
    let without_gain = attempt(&anna, &tiny("0.0018"));
    assert!(["discard", "noise"].contains(&without_gain["verdict"].as_str().unwrap()), "{without_gain}");
    let published = publish(&anna, &["--commit"]);
    assert_eq!(published["findings"].as_array().unwrap().len(), 1, "{published}");
    assert_eq!((published["negatives"].as_array().unwrap().len(), &published["committed"]), (1, &true.into()));
    git(&commons, &["push", "--quiet", "--set-upstream", "origin", "main"]);
    assert_eq!(git(&commons, &["status", "--porcelain"]), "");

    // Publishing again changes nothing.
    let again = publish(&anna, &["--commit"]);
    assert_eq!((again["findings"].as_array().unwrap().len(), &again["known"]), (0, &1.into()), "{again}");
    assert_eq!(git(&commons, &["status", "--porcelain"]), "");

    // The second one takes it in, keeps it, and builds on it.
    run(&bert);
    let commons_of_bert = hub.clone_for(&bert);
    git(&commons_of_bert, &["pull", "--quiet", "origin", "main"]);
    let page = &findings(&commons_of_bert)[0];
    let verified = succeeds(&bert.host(&["verify", page.0.to_str().unwrap()]));
    assert!(verified.contains("proved: identical"), "{verified}");
    let (taken, refused, summary) = follow(&bert, "1");
    assert_eq!((taken.len(), &taken[0]["proof"]), (1, &"proved".into()), "{taken:?} {refused:?}");
    assert_eq!((&summary["comparable"], &summary["replayed"], &summary["hints"]), (&1.into(), &1.into(), &1.into()));
    assert!(succeeds(&bert.host(&["ideas"])).contains("Tried by other labs without gain"));
    run(&bert);
    let kept = trials(&bert.host(&["log", "--json"])).pop().unwrap();
    assert_eq!((&kept["verdict"], &kept["proposer"]), (&"keep".into(), &"commons".into()), "{kept}");
    let of_anna = page.1.hash();
    assert_eq!(kept["credit"]["finding"], of_anna.to_string());
    assert_eq!(kept["credit"]["author"], key(&anna).public().to_string());
    attempt_to_be(&bert, &tiny("0.006"), "keep");

    // Both publish at the same time; the branches merge without conflict.
    attempt_to_be(&anna, &tiny("0.0015"), "discard");
    let published = publish(&anna, &["--commit"]);
    assert_eq!(published["negatives"].as_array().unwrap().len(), 1, "{published}");
    let list = commons.join(published["negatives"][0].as_str().unwrap());
    assert!(succeeds(&anna.host(&["verify", list.to_str().unwrap()])).contains("nothing to run again"));
    std::fs::copy(&list, anna.path("list.txt")).unwrap();
    let moved = anna.host(&["verify", "list.txt"]);
    assert!(moved.status.code() == Some(1) && said(&moved).contains("lies in another place"), "{}", said(&moved));
    let published = publish(&bert, &["--commit"]);
    assert_eq!((published["findings"].as_array().unwrap().len(), &published["known"]), (1, &1.into()), "{published}");
    git(&commons_of_bert, &["push", "--quiet", "--set-upstream", "origin", "main"]);
    git(&commons, &["fetch", "--quiet"]);
    git(&commons, &["merge", "--quiet", "--no-edit", "origin/main"]);
    git(&commons, &["push", "--quiet"]);

    // The third one takes in both, the parent first, and owes both.
    run(&carl);
    let commons_of_carl = hub.clone_for(&carl);
    git(&commons_of_carl, &["pull", "--quiet", "origin", "main"]);
    let (taken, refused, summary) = follow(&carl, "1");
    assert_eq!((taken.len(), refused.len()), (2, 0), "{taken:?} {refused:?}");
    assert_eq!(taken[0]["finding"], of_anna.to_string());
    assert_eq!(summary["hints"], 2);
    assert_eq!(follow(&carl, "1").2["known"], 2);
    run(&carl);
    let logged = trials(&carl.host(&["log", "--json"]));
    assert_eq!(logged.iter().map(|trial| &trial["verdict"]).collect::<Vec<_>>(), ["keep", "keep"], "{logged:#?}");
    assert_eq!(logged[1]["parent"], logged[0]["number"]);
    let report = std::fs::read_to_string(carl.path(".host/report.md")).unwrap();
    for lab in [&anna, &bert] {
        assert!(report.contains(&key(lab).public().to_string()), "{report}");
    }
    assert!(report.contains("## Credits") && report.contains(&format!("finding {of_anna}")), "{report}");
    let listed = succeeds(&carl.host(&["commons", "list"]));
    assert_eq!(listed.matches("keep").count(), 2, "{listed}");

    // A flipped bit in what was taken in is found.
    let audit = || carl.host(&["verify", "--audit", "0"]);
    assert!(succeeds(&audit()).contains("2 checked, 0 refuted"));
    let blob = store(&carl).blob_path(&of_anna);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    assert!(said(&audit()).contains("2 checked, 1 refuted"), "{}", said(&audit()));
    bytes[300] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();

    // What the second lab built names the first.
    let all = findings(&commons_of_carl);
    let of_bert = all.iter().find(|(_, signed)| signed.by == key(&bert).public()).unwrap();
    let owed: Vec<_> = of_bert.1.text.credits.iter().map(|owed| (owed.author, owed.file)).collect();
    assert_eq!(owed, [(key(&anna).public(), of_anna)]);
    assert_eq!(of_bert.1.text.parent, Hash::of(gain.as_bytes()));
    let verified = succeeds(&carl.host(&["verify", of_bert.0.to_str().unwrap()]));
    assert!(verified.contains("proved: identical"), "{verified}");
}

#[test]
fn what_does_not_hold_is_refused_with_its_reason() {
    let (anna, bert) = (lab(), lab());
    for home in [&anna, &bert] {
        std::fs::create_dir(home.path("commons")).unwrap();
    }
    let commons = bert.path("commons");
    attempt_to_be(&anna, &tiny("0.006"), "keep");
    publish(&anna, &[]);
    let (folder, honest) = findings(&anna.path("commons")).remove(0);
    let path = honest.folder();
    let page = std::fs::read_to_string(folder.join(PAGE)).unwrap();
    let source = std::fs::read_to_string(folder.join(SOURCE)).unwrap();
    run(&bert);

    let rate = |rate: &str| tiny(rate);
    // Forged: another figure above the signature, and below it.
    let figure = format!("- {:.4} bits", honest.text.bpb);
    write(&commons, &path, &page.replace(&figure, "- 0.1000 bits"), &source);
    let (taken, refused, _) = follow(&bert, "1");
    assert!(taken.is_empty() && reason(&refused, &path).contains("it was changed"), "{refused:?}");
    write(&commons, &path, &page.replace(&format!("bpb: {}", honest.text.bpb), "bpb: 0.1"), &source);
    assert!(reason(&follow(&bert, "1").1, &path).contains("its signature is not by the key"));
    // Another source beside it.
    write(&commons, &path, &page, &source.replace("0.006", "0.007"));
    assert!(reason(&follow(&bert, "1").1, &path).contains("its source was changed"));
    let shown = bert.host(&["verify", commons.join(&path).to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(said(&shown).contains("train.rs") && said(&shown).contains("its source was changed"), "{}", said(&shown));
    // In another place, and in the folder of another lab.
    std::fs::rename(commons.join(&path), commons.join(format!("{path}-x"))).unwrap();
    assert!(reason(&follow(&bert, "1").1, "-x").contains("it lies in another place"));
    let shown = bert.host(&["verify", commons.join(format!("{path}-x")).to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(said(&shown).contains("lies in another place") && said(&shown).contains(&path), "{}", said(&shown));
    std::fs::remove_dir_all(commons.join("labs")).unwrap();
    let mallory = PrivateKey::of_seed(&[66; 32]).public().to_string();
    let stolen = path.replace(&honest.by.to_string(), &mallory);
    write(&commons, &stolen, &page, &source);
    assert!(reason(&follow(&bert, "1").1, &stolen).contains("lies in the folder of another lab"));
    std::fs::remove_dir_all(commons.join("labs")).unwrap();

    // An honest one, and beside it what strangers planted.
    write(&commons, &path, &page, &source);
    let like = &honest.text;
    let (stale, _) = plant(&commons, 1, &rate("0.008"), like, |text| text.parent = Hash::of(b"nowhere"));
    let (copied, _) = plant(&commons, 2, &source, like, |_| {});
    let (elsewhere, _) = plant(&commons, 3, &rate("0.009"), like, |text| {
        text.evidence.manifest.task = TaskHash::of(b"another");
    });
    let (broken, _) = plant(&commons, 4, "fn train( {", like, |_| {});
    let (seed, _) = plant(&commons, 5, &format!("// mine\n{}", rate("0.002")), like, |_| {});
    let odd = |text: &mut Finding| text.change = Line::new("../../../etc/passwd\u{1b}[31m");
    let (named, _) = plant(&commons, 6, "fn (", like, odd);
    assert!(!named.contains(".."), "{named}");
    std::os::unix::fs::symlink(bert.path(".host/key"), commons.join("labs").join("secret")).unwrap();
    let of_seven = commons.join("labs").join(PrivateKey::of_seed(&[7; 32]).public().to_string());
    std::fs::create_dir_all(of_seven.join("findings")).unwrap();
    std::os::unix::fs::symlink(&folder, of_seven.join("findings/linked")).unwrap();
    std::os::unix::fs::symlink(&folder, of_seven.join("negatives")).unwrap();
    std::fs::create_dir_all(of_seven.join("findings/large")).unwrap();
    let large = std::fs::File::create(of_seven.join("findings/large").join(PAGE)).unwrap();
    large.set_len(1 << 40).unwrap();
    let (taken, refused, _) = follow(&bert, "1000");
    let by = |taken: &[Value]| taken.iter().map(|one| one["lab"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let first = by(&taken);
    assert_eq!(first.len(), 1, "{taken:?} {refused:#?}");
    for (path, words) in [
        (&*stale, "it is stale"),
        (if first[0] == honest.by.to_string() { &copied } else { &path }, "it is a duplicate"),
        (&elsewhere, "it is for another task"),
        (&broken, "its source is refused"),
        (&seed, "this store has run the same source"),
        (&named, "its source is refused"),
        ("labs/secret", "it does not belong in a commons"),
        ("findings/linked", "is a symbolic link"),
        ("/negatives", "is a symbolic link"),
        ("findings/large", "has more than"),
    ] {
        assert!(reason(&refused, path).contains(words), "{path}: {}", reason(&refused, path));
    }
    let shown = said(&bert.host(&["commons", "follow", "commons"]));
    assert!(!shown.contains('\u{1b}') && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn what_goes_back_to_work_without_a_free_licence_is_not_published() {
    let (anna, bert) = (lab(), lab());
    let commons = bert.path("commons");
    std::fs::create_dir(anna.path("commons")).unwrap();
    std::fs::create_dir(&commons).unwrap();
    attempt_to_be(&anna, &tiny("0.0026"), "keep");
    succeeds(&anna.host(&["commons", "publish", "commons"]));
    let (_, finding) = findings(&anna.path("commons")).remove(0);
    write(&commons, &finding.folder(), &finding.page(), &tiny("0.0026"));
    run(&bert);
    let shown = succeeds(&bert.host(&["commons", "follow", "commons", "--free"]));
    assert!(shown.contains("it has no free licence") && shown.contains("0 taken"), "{shown}");
    assert_eq!(follow(&bert, "1").0.len(), 1);
    run(&bert);
    attempt_to_be(&bert, &tiny("0.006"), "keep");
    let published = publish(&bert, &[]);
    assert_eq!((published["findings"].as_array().unwrap().len(), &published["known"]), (0, &1.into()), "{published}");
    let reason = published["left_out"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&finding.hash().short()) && reason.contains("which has no licence"), "{published}");
    assert!(reason.contains(&key(&anna).public().to_string()), "{published}");
    // Nothing is published either where the store has lost what says to whom it goes back.
    std::fs::remove_file(store(&bert).blob_path(&finding.hash())).unwrap();
    let published = publish(&bert, &[]);
    let reason = published["left_out"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the store has lost the finding"), "{published}");
}

#[test]
fn a_lab_whose_claim_is_refuted_is_distrusted() {
    let (anna, bert) = (lab(), lab());
    std::fs::create_dir(anna.path("commons")).unwrap();
    let commons = bert.path("commons");
    std::fs::create_dir(&commons).unwrap();
    attempt_to_be(&anna, &tiny("0.006"), "keep");
    publish(&anna, &[]);
    let like = findings(&anna.path("commons")).remove(0).1.text;
    run(&bert);
    // The component of this very source, with a score that nobody reaches.
    let (lie, _) = plant(&commons, 9, &tiny("0.006"), &like, |text| text.bpb -= 0.5);
    let verified = bert.host(&["verify", commons.join(&lie).to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(1));
    assert!(said(&verified).contains("REFUTED"), "{}", said(&verified));
    let (taken, refused, _) = follow(&bert, "1");
    assert!(taken.is_empty() && reason(&refused, &lie).contains("its claim is refuted"), "{refused:?}");
    // Nothing else of it is taken, with the reason.
    let (next, _) = plant(&commons, 9, &tiny("0.007"), &like, |text| text.change = Line::new("LR 0.007"));
    let (taken, refused, _) = follow(&bert, "1");
    assert!(taken.is_empty() && reason(&refused, &next).contains("its lab is distrusted here"), "{refused:?}");
    let liar = PrivateKey::of_seed(&[9; 32]).public().to_string();
    let listed = succeeds(&bert.host(&["commons", "list"]));
    assert!(listed.contains("distrusted") && listed.contains(&liar), "{listed}");
    run(&bert);
    assert_eq!(trials(&bert.host(&["log", "--json"])).len(), 0);
    // Its owner may think otherwise.
    succeeds(&bert.host(&["commons", "trust", &liar]));
    std::fs::remove_dir_all(commons.join(&lie)).unwrap();
    // The compiler makes another component of this source, whose score is about the one that is claimed.
    let (taken, ..) = follow(&bert, "1");
    assert_eq!((taken.len(), &taken[0]["proof"]), (1, &"other-terms".into()), "{taken:?}");
    assert_eq!(store(&bert).findings().unwrap().len(), 1);

    // A score that this source does not reach is refuted, whatever component is claimed.
    let (lie, _) = plant(&commons, 10, &tiny("0.0075"), &like, |text| text.bpb -= 0.5);
    assert!(reason(&follow(&bert, "1").1, &lie).contains("by the component that its source compiles to here"));

    // One run at most: the other lab waits for the next time.
    let broken = format!("{}\nconst X: u32 = \"\";\n", tiny("0.006"));
    let (broken, _) = plant(&commons, 11, &broken, &like, |text| text.change = Line::new("X"));
    let (other, _) = plant(&commons, 12, &format!("{}\nconst X: u32 = true;\n", tiny("0.006")), &like, |_| {});
    let once = || {
        let output = bert.host(&["--json", "commons", "follow", "commons", "--one-in", "1", "--replays", "1"]);
        succeeds(&output);
        lines(&output)
    };
    let summary = once().pop().unwrap();
    assert_eq!((&summary["replayed"], &summary["later"]), (&1.into(), &1.into()), "{summary}");
    // Each is tried three times, and then left alone.
    for _ in 0..5 {
        once();
    }
    let (_, refused, summary) = follow(&bert, "1");
    for path in [&broken, &other] {
        let reason = reason(&refused, path);
        assert!(reason.contains("was tried 3 times") && reason.contains("does not compile here"), "{reason}");
    }
    assert_eq!(summary["replayed"], 0);
}

#[test]
fn what_may_not_be_shown_is_left_out() {
    let home = lab();
    home.set("lab.toml", "task.split", "secret");
    attempt_to_be(&home, &tiny("0.006"), "keep");
    let commons = home.path("commons");
    std::fs::create_dir(&commons).unwrap();
    assert_eq!(publish(&home, &[])["findings"].as_array().unwrap().len(), 0);
    succeeds(&home.host(&["split", "reveal"]));
    assert_eq!(publish(&home, &[])["findings"].as_array().unwrap().len(), 1);

    // A name that is taken is not overwritten, and nothing is written through a link.
    let (folder, signed) = findings(&commons).remove(0);
    std::fs::write(folder.join(SOURCE), "mine").unwrap();
    let said_so = publish(&home, &[]);
    assert!(said_so["left_out"][0]["reason"].as_str().unwrap().contains("with another content"), "{said_so}");
    assert_eq!(std::fs::read_to_string(folder.join(SOURCE)).unwrap(), "mine");
    let own = commons.join("labs").join(signed.by.to_string());
    std::fs::remove_dir_all(&own).unwrap();
    std::os::unix::fs::symlink(home.path("words"), &own).unwrap();
    let refused = home.host(&["commons", "publish", "commons"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("symbolic link"), "{}", said(&refused));
    assert!(!home.path("words/findings").exists());
}

#[test]
fn a_commit_runs_no_program_of_the_folder() {
    let home = lab();
    attempt_to_be(&home, &tiny("0.006"), "keep");
    let commons = home.path("commons");
    std::fs::create_dir(&commons).unwrap();
    git(&commons, &["init", "--quiet"]);
    let ran = home.path("ran");
    let program = format!("touch {}", ran.display());
    std::fs::write(commons.join(".gitattributes"), "* filter=x\n").unwrap();
    let hook = commons.join(".git/hooks/pre-commit");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\n{program}\n")).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (field, value) in [("user.name", "a lab"), ("user.email", "a@b.c"), ("remote.x.url", "elsewhere")] {
        git(&commons, &["config", field, value]);
    }
    let commit = || home.host(&["commons", "publish", "commons", "--licence", "MIT", "--commit"]);
    // Git has more settings that run programs than these; whatever is not known to run none is refused.
    for setting in [
        "filter.x.clean",
        "core.fsmonitor",
        "gpg.ssh.defaultKeyCommand",
        "gc.recentObjectsHook",
        "remote.x.uploadpack",
        "extensions.partialClone",
        "include.path",
        "any.thing",
    ] {
        git(&commons, &["config", setting, &program]);
        let refused = commit();
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        let words = format!("own settings of Git have `{}`, which may run", setting.to_lowercase());
        assert!(said(&refused).to_lowercase().contains(&words.to_lowercase()), "{}", said(&refused));
        git(&commons, &["config", "--unset", setting]);
    }
    succeeds(&commit());
    assert!(!ran.exists());
    assert!(git(&commons, &["log", "--oneline"]).contains("finding"));
}

/// The script of a step of the workflow in `docs/commons.md`.
fn step(name: &str) -> String {
    let page = include_str!("../docs/commons.md");
    let (_, step) = page.split_once(&format!("- name: {name}\n        run: |\n")).unwrap();
    let lines = step.lines().map_while(|line| line.strip_prefix("          "));
    lines.fold(String::new(), |script, line| script + line + "\n")
}

#[test]
fn the_check_of_the_documentation_takes_new_files_of_labs_and_nothing_else() {
    let script = step("Findings and lists of labs are added, and nothing else is done");
    let place = tempfile::tempdir().unwrap();
    let repository = place.path().join("commons");
    std::fs::create_dir(&repository).unwrap();
    let git = |args: &[&str]| git(&repository, args);
    let put = |path: &str, text: &str| {
        let path = repository.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let commit = || {
        git(&["add", "."]);
        git(&["-c", "user.name=a lab", "-c", "user.email=lab@example.org", "commit", "--quiet", "-m", "a change"]);
    };
    let (lab, list) = ("a".repeat(64), "b".repeat(64));
    let finding = |name: &str, file: &str| format!("labs/{lab}/findings/{name}/{file}");
    git(&["init", "--quiet", "--initial-branch", "main"]);
    put("README.md", "a commons");
    put(&finding("first", PAGE), "a page");
    put(&finding("first", SOURCE), "a source");
    commit();
    git(&["update-ref", "refs/remotes/origin/main", "main"]);

    // What the check says of a pull request with these changes.
    let check = |change: &dyn Fn()| {
        git(&["checkout", "--quiet", "-B", "change", "main"]);
        change();
        commit();
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail", "-c", &script]).current_dir(&repository);
        let output = bash.env("GITHUB_BASE_REF", "main").env("RUNNER_TEMP", place.path()).output().unwrap();
        (output.status.code(), said(&output))
    };
    let adds = |name: &str| {
        put(&finding(name, PAGE), "another page");
        put(&finding(name, SOURCE), "another source");
    };
    let (code, told) = check(&|| {
        adds("second");
        adds("third-2");
        put(&format!("labs/{lab}/negatives/{list}.txt"), "a list");
    });
    assert_eq!((code, &*told), (Some(0), ""));
    assert_eq!(check(&|| (0..20).for_each(|number| adds(&number.to_string()))).0, Some(0));

    let refused = |change: &dyn Fn(), reason: &str| {
        let (code, told) = check(change);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(reason), "{told}");
    };
    let no_places = "these are not new files of a lab in their places";
    refused(&|| put(".github/workflows/findings.yml", "on: push"), no_places);
    refused(&|| put(&finding("first", SOURCE), "another source"), no_places);
    refused(&|| std::fs::remove_file(repository.join(finding("first", PAGE))).unwrap(), no_places);
    refused(&|| put(&finding("second", "notes.md"), "more"), no_places);
    refused(&|| put(&finding("a\nb", PAGE), "a page"), no_places);
    refused(&|| put(&format!("labs/{lab}x/findings/second/{PAGE}"), "a page"), no_places);
    let link = || {
        adds("second");
        let source = repository.join(finding("second", SOURCE));
        std::fs::remove_file(&source).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", source).unwrap();
    };
    refused(&link, no_places);
    refused(&|| put(&finding("second", PAGE), "a page"), "each finding has a page and a source");
    refused(&|| put(&finding("second", SOURCE), "a source"), "each finding has a page and a source");
    refused(&|| (0..21).for_each(|number| adds(&number.to_string())), "more than 20 findings");
}
