//! A condition of the machine is never a verdict on a mutation: nothing is recorded, the night waits, and what was hit
//! is tried again.

use crate::common::home::{Home, Running, said, trials};
use crate::common::{HOST, Place, guest, tiny};
use nightlab::night::{Night, NightError, Outsider, Plan, Stop};
use nightlab::policy::Policy;
use nightlab::propose::inbox::Inbox;
use nightlab::record::ending::Ending;
use nightlab::record::quotas::Quotas;
use nightlab::record::store::{Arrival, NewSubmission, Store};
use nightlab::sandbox::Sandbox;
use nightlab::system::clock::unix_ms;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

fn log(home: &Home) -> Vec<Value> {
    trials(&home.host(&["log", "--json"]))
}

/// A home with a baseline and a mutation that no trial has seen.
fn home_with_a_mutation() -> Home {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 1);
    let night = home.host(&["run", "--policy", "./night.toml"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
    std::fs::write(home.path("new.rs"), tiny("0.011")).unwrap();
    home
}

/// The mutation of this home was not judged; a sound machine then judges it.
fn was_not_judged(home: &Home, hit: &Output, named: &str) {
    assert_eq!(hit.status.code(), Some(1), "{}", said(hit));
    assert!(said(hit).contains(named), "{}", said(hit));
    let before = log(home).len();
    let tried = home.host(&["try", "new.rs", "--policy", "./night.toml"]);
    assert_eq!(tried.status.code(), Some(0), "{}", said(&tried));
    let after = log(home);
    assert_eq!(after.len(), before + 1);
    let verdict = &after.iter().max_by_key(|trial| trial["number"].as_u64()).unwrap()["verdict"];
    assert!(["keep", "discard", "noise"].iter().any(|judged| verdict == judged), "{verdict}");
}

#[test]
fn a_machine_without_room_for_temporary_files_judges_nothing() {
    let home = home_with_a_mutation();
    let mut tries = home.command(&["try", "new.rs", "--policy", "./night.toml"]);
    was_not_judged(&home, &tries.env("TMPDIR", "/nonexistent").output().unwrap(), "TMPDIR");
}

#[test]
fn a_machine_with_little_address_space_judges_nothing() {
    let home = home_with_a_mutation();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -v 3000000; exec \"$0\" try new.rs --policy ./night.toml", HOST]);
    let inner = home.command(&[]);
    shell.current_dir(home.path("")).envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    was_not_judged(&home, &shell.output().unwrap(), "ulimit -v");
}

/// Nothing else is taken or installed in its place.
#[test]
fn a_compiler_that_the_user_named_is_the_only_one() {
    let home = Home::new();
    let setup = home.command(&["setup"]).env("RUSTC", "/bin/false").output().unwrap();
    assert_eq!(setup.status.code(), Some(1), "{}", said(&setup));
    assert!(said(&setup).contains("RUSTC names /bin/false, which is not a compiler"), "{}", said(&setup));
}

/// As `cargo install` or an update does it.
#[test]
fn a_night_survives_that_its_binary_is_replaced() {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 4);
    std::fs::copy(HOST, home.path("host")).unwrap();
    let command = home.command(&["--json", "run", "--policy", "./night.toml"]);
    let mut replaced = Command::new(home.path("host"));
    replaced.args(command.get_args()).current_dir(home.path(""));
    replaced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut night = Running::of(&mut replaced);
    let mut told = night.events();
    night.wait_for(&mut told, "baseline");
    std::fs::copy("/bin/false", home.path("other")).unwrap();
    std::fs::rename(home.path("other"), home.path("host")).unwrap();
    night.wait_for(&mut told, "summary");
    assert!(log(&home).iter().all(|trial| trial["verdict"] != "host-fault"));
}

#[test]
fn a_cache_that_is_cleaned_during_the_night_is_filled_again() {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 3);
    home.set("night.toml", "limits.forward_cost_factor", 1000);
    let mut night = Running::start(&home, "./night.toml");
    let mut told = night.events();
    night.wait_for(&mut told, "baseline");
    std::fs::remove_file(home.path("cache/toolchain")).unwrap();
    night.wait_for(&mut told, "summary");
    let verdicts: BTreeSet<String> = log(&home).iter().map(|trial| trial["verdict"].to_string()).collect();
    assert!(!verdicts.contains("\"refused\"") && !verdicts.contains("\"host-fault\""), "{verdicts:?}");
}

/// Each proposal is tried once, in the order in which it would have been tried.
#[test]
fn a_killed_night_goes_on_as_if_it_had_not_been_killed() {
    let essence = |home: &Home| -> Vec<Vec<Value>> {
        let fields = ["number", "parent", "source_key", "description", "verdict", "delta"];
        log(home).iter().map(|trial| fields.map(|field| trial[field].clone()).to_vec()).collect()
    };
    let (whole, killed) = (Home::new(), Home::new());
    for home in [&whole, &killed] {
        home.write_policy("night.toml", 0.04, 6);
    }
    let run = |home: &Home| {
        let night = home.host(&["run", "--policy", "./night.toml"]);
        assert_eq!(night.status.code(), Some(0), "{}", said(&night));
        said(&night)
    };
    run(&whole);
    let mut night = Running::start(&killed, "./night.toml");
    let mut told = night.events();
    night.wait_for(&mut told, "trial");
    night.wait_for(&mut told, "trial");
    // The next training run has begun, and with it the turn of the proposal after it.
    night.wait_for(&mut told, "started");
    let store = Store::open(&killed.path(".host")).unwrap();
    let context = store.nights().unwrap().pop().unwrap().context;
    let waits = || !store.untried(&context).unwrap().is_empty();
    let in_hand = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        waits()
    });
    drop(night);
    assert!(in_hand && waits(), "nothing was in hand");
    assert!(run(&killed).contains("not tried yet"));
    assert_eq!(essence(&killed), essence(&whole));
    let tried: Vec<i64> =
        store.trials_in(&context).unwrap().iter().filter_map(|record| record.trial.proposal).collect();
    let once: BTreeSet<i64> = tried.iter().copied().collect();
    assert_eq!(tried.len(), once.len(), "{tried:?}");
}

/// A child that dies at these turns, counted from 0.
fn dying_child(place: &Place, dies: &str) -> PathBuf {
    let (count, child) = (place.folder.path().join("count"), place.folder.path().join("child"));
    std::fs::write(&count, "0\n").unwrap();
    let count = count.display();
    let script = format!(
        "#!/bin/sh\nread n < {count}; echo $((n+1)) > {count}\ncase $n in {dies}) exit 1;; esac\nexec {HOST} \"$@\"\n"
    );
    std::fs::write(&child, script).unwrap();
    std::fs::set_permissions(&child, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    child
}

fn outsider(source: String) -> Outsider<'static> {
    Outsider { author: "inbox", operator: "file", source, hypothesis: String::new() }
}

/// A plan for one whose patience is short.
fn plan<'a>(policy: &'a Policy, place: &Place) -> Plan<'a> {
    let seed_guest = place.bench.prepare(&guest("guests/tiny")).unwrap();
    Plan { patience: Duration::from_secs(3), ..Plan::for_one(policy, "smoke", "", seed_guest) }
}

#[test]
fn a_child_that_cannot_start_ends_the_night_with_nothing_recorded() {
    let mut place = Place::new();
    let policy = Policy::load("smoke").unwrap();
    let (stop, mut tell) = (Stop::new(), |_| {});
    let first = Night::begin(&place.bench, plan(&policy, &place), &stop, &mut tell).unwrap();
    drop(first);
    let plan = plan(&policy, &place);
    place.bench.sandbox = Sandbox::new(Some("/bin/false".into()));
    let mut night = Night::begin(&place.bench, plan, &stop, &mut tell).unwrap();
    let tried = night.try_text(outsider(tiny("0.012")));
    assert!(matches!(tried, Err(NightError::Machine(_))), "{tried:?}");
    assert_eq!(place.bench.store.trials(None).unwrap(), []);
}

/// Others must not wait for ever for a mutation that the host cannot finish.
#[test]
fn what_fails_alone_is_set_aside_without_a_verdict() {
    let mut place = Place::new();
    let policy = Policy::load("smoke").unwrap();
    let (stop, mut tell) = (Stop::new(), |_| {});
    drop(Night::begin(&place.bench, plan(&policy, &place), &stop, &mut tell).unwrap());
    let plan = plan(&policy, &place);
    // After the dry run, each training run dies, and a control is trained and scored.
    place.bench.sandbox = Sandbox::new(Some(dying_child(&place, "1 | 4 | 7")));
    let plan = Plan { patience: Duration::from_secs(600), ..plan };
    let mut night = Night::begin(&place.bench, plan, &stop, &mut tell).unwrap();
    let line = night.try_text(outsider(tiny("0.012"))).unwrap().unwrap();
    assert_eq!(line.trial.found.verdict, Ending::HostFault, "{line:?}");
    assert!(line.trial.found.reason.contains("crashed"), "{line:?}");
    let count = std::fs::read_to_string(place.folder.path().join("count")).unwrap();
    assert_eq!(count, "8\n", "three training runs");
}

/// Whoever sends what hangs or crashes its child ends no night for others, and pays for the time.
#[test]
fn what_strangers_make_fail_is_set_aside_each_time() {
    let mut place = Place::new();
    let policy = Policy::load("smoke").unwrap();
    let (stop, mut tell) = (Stop::new(), |_| {});
    drop(Night::begin(&place.bench, plan(&policy, &place), &stop, &mut tell).unwrap());
    let plan = plan(&policy, &place);
    let quotas = Quotas { seconds_per_day: 1e-9, ..Quotas::default() };
    let store = &place.bench.store;
    for (author, rate) in [("first", "0.012"), ("second", "0.013"), ("first", "0.014")] {
        let source = tiny(rate);
        // So that there is no dry run to come.
        place.bench.prepare(&source).unwrap();
        let new = NewSubmission {
            file: source.as_bytes(),
            source: &source,
            component: None,
            author,
            task: place.bench.task.hash(),
            name: rate,
            licence: None,
            parent: None,
        };
        assert_eq!(store.add_submission(&new, &quotas, unix_ms()).unwrap(), Arrival::Added);
    }
    let inbox = Inbox::new(Store::open(store.dir()).unwrap(), quotas);
    // Of each: a training run that dies, a control that is trained and scored, a training run that dies.
    place.bench.sandbox = Sandbox::new(Some(dying_child(&place, "0 | 3 | 4 | 7")));
    let night = Night::begin(&place.bench, plan, &stop, &mut tell).unwrap();
    night.run(vec![Box::new(inbox)]).unwrap();
    let trials = place.bench.store.trials(None).unwrap();
    let found: Vec<_> = trials.iter().map(|it| (it.trial.hypothesis.as_str(), it.trial.found.verdict)).collect();
    assert_eq!(found, [("0.012", Ending::HostFault), ("0.013", Ending::HostFault)], "the third waits for the next day");
}
