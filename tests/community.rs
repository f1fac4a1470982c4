//! Strangers: submissions are checked at the door, tried in turn, and answered once by a receipt that others can check.

use crate::common::home::{Home, Running, lines, said, trials};
use crate::common::inbox::{
    Answered, add, answered, fails, hash_of, inbox, private, receipt, run, store, submit, succeeds, task, undecided,
};
use crate::common::{component, tiny};
use nightlab::community::{Content, Signed, Status, Submission};
use nightlab::record::ending::Ending;
use nightlab::record::key::{Hash, TaskHash};
use nightlab::record::quotas::Quotas;
use nightlab::record::store::{Arrival, NewSubmission, Store};
use serde_json::Value;

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
