//! Tests of the binary: exit codes, messages, JSON, and nights that are interrupted or damaged.

use crate::common::guest_path;
use crate::common::home::{Home, Running, lines, said, trials};
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Output, Stdio};

fn home() -> &'static Home {
    &Home::after_a_night().0
}

fn experiment() -> String {
    let log = trials(&home().host(&["log", "--json"]));
    let keys = log.iter().filter_map(|trial| trial["experiment"].as_str());
    keys.map(str::to_owned).next().expect("no trial was trained")
}

#[test]
fn usage_errors_exit_with_2_and_failures_with_1() {
    let home = home();
    for args in [&[][..], &["fly"], &["run", "--experiments", "0"], &["run", "--jobs", "0"], &["show"]] {
        assert_eq!(home.host(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(home.host(&["--help"]).status.code(), Some(0));
    let nowhere = home.host(&["log", "--store", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(said(&nowhere).contains("there is no store in nowhere"), "{}", said(&nowhere));
    let unknown = home.host(&["show", "0000000000"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("`host log` lists"), "{}", said(&unknown));
}

#[test]
fn a_typo_in_a_policy_is_shown_with_line_reason_and_remedy() {
    let home = home();
    let text = std::fs::read_to_string(home.path("night.toml")).unwrap();
    std::fs::write(home.path("typo.toml"), text.replace("seconds =", "secnods =")).unwrap();
    for command in [&["policy", "check", "typo.toml"][..], &["run", "--policy", "typo.toml"]] {
        let checked = home.host(command);
        assert_eq!(checked.status.code(), Some(1));
        let said = said(&checked);
        let wanted = ["typo.toml:9:1: unknown field `secnods`", "9 | secnods = 0.04", "did you mean `seconds`?"];
        assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
    }
    assert_eq!(home.host(&["policy", "check", "night.toml"]).status.code(), Some(0));
}

#[test]
fn files_that_users_name_are_plain_and_bounded() {
    let home = home();
    let made = std::process::Command::new("mkfifo").arg(home.path("pipe.toml")).status().unwrap();
    assert!(made.success());
    std::fs::File::create(home.path("hole.toml")).unwrap().set_len(3 << 30).unwrap();
    for command in [&["try"][..], &["policy", "check"], &["search", "--guest"], &["run", "--policy"]] {
        for (file, why) in [("pipe.toml", "no plain file"), ("/dev/zero", "no plain file"), ("hole.toml", "more than")]
        {
            let refused = home.host(&[command, &[file]].concat());
            assert_eq!(refused.status.code(), Some(1), "{command:?} {file}");
            assert!(said(&refused).contains(why), "{command:?} {file}: {}", said(&refused));
        }
    }
}

/// What a stranger wrote must not end the host, whatever a parser or a printer would do with it.
#[test]
fn texts_built_to_break_a_parser_are_refused_trials() {
    let home = Home::new();
    home.write_policy("night.toml", 0.04, 1);
    let deep = |open: &str, close: &str| format!("const A: u8 = {}1{};", open.repeat(30_000), close.repeat(30_000));
    let texts = [deep("(", ")"), deep("-", ""), deep("loop{}=", ""), format!("type A = {}u8;", "V<u8,".repeat(30_000))];
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(home.path("train.rs"), text).unwrap();
        let tried = home.host(&["try", "train.rs", "--policy", "night.toml"]);
        assert!(said(&tried).contains("nested too deeply"), "{number}: {}", said(&tried));
        assert!(tried.status.code().is_some(), "{number}: {:?}", tried.status);
    }
}

#[test]
fn every_command_that_only_looks_speaks_json() {
    let home = home();
    let key = experiment();
    for command in [
        &["log"][..],
        &["show", &key],
        &["replay", &key],
        &["replay", &key, "--interval", "1"],
        &["sample", "--length", "8"],
        &["doctor"],
        &["data", "list"],
        &["data", "show", "words"],
        &["policy", "check", "night.toml"],
        &["store", "gc"],
        &["store", "check"],
    ] {
        let output = home.host(&[command, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", said(&output));
        assert!(lines(&output).iter().all(Value::is_object) && !lines(&output).is_empty(), "{command:?}");
    }
    let failed = home.host(&["show", "0000000000", "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(lines(&failed)[0]["error"].is_string());
}

/// `host log | head -1`: the reader closes the pipe before the first line, or after some.
#[test]
fn a_reader_that_goes_away_ends_listings_quietly() {
    let (home, key) = (home(), experiment());
    for command in [
        &["log"][..],
        &["log", "--json"],
        &["show", &key],
        &["show", &key, "--json"],
        &["reference"],
        &["policy", "check", "night.toml"],
        &["data", "list"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(command).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()), "{command:?}");
    }
    // The whole reference is larger than a pipe's buffer.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = home.command(&["reference"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    drop(reader);
    let output = reading.wait_with_output().unwrap();
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for command in [&["log"][..], &["log", "--json"], &["help"], &["search", "--help"], &["--version"]] {
        let output = home().command(command).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("cannot write to standard output: No space left"), "{}", said(&output));
    }
}

#[test]
fn what_trains_speaks_json() {
    let home = home();
    let store = home.copy_of_store("working");
    let store = ["--json", "--store", store.to_str().unwrap()];
    let tiny = crate::common::guest("guests/tiny");
    std::fs::write(home.path("another.rs"), tiny.replace("LR: f32 = 0.02", "LR: f32 = 0.0123")).unwrap();
    std::fs::write(home.path("wrong.rs"), tiny.replace("adam.step(", "adam.stop(")).unwrap();
    let run = |code: i32, args: &[&str]| {
        let output = home.host(&[&store, args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        lines(&output)
    };
    let event = |lines: &[Value], name: &str| lines.iter().find(|line| line["event"] == name).cloned().unwrap();
    let kept = run(0, &["try", "another.rs", "--policy", "./night.toml"]);
    assert!(event(&kept, "baseline")["bpb"].is_number() && event(&kept, "trial")["bpb"].is_number(), "{kept:?}");
    let refused = event(&run(1, &["try", "wrong.rs", "--policy", "./night.toml"]), "trial");
    assert!(refused["verdict"] == "refused" && refused["reason"].as_str().unwrap().contains("stop"), "{refused}");

    let guest = guest_path("guests/tiny");
    let search = ["search", "--policy", "./night.toml", "--trials", "1", "--guest", guest.to_str().unwrap()];
    let points = run(0, &search);
    assert_eq!(points.len(), 2, "one line a point: {points:?}");
    assert!(points.iter().all(|point| point["bpb"].is_number() && point["steps"].is_u64()), "{points:?}");
    let nothing = run(1, &["search", "--guest", "nowhere.rs"]);
    assert!(nothing[0]["error"].as_str().unwrap().contains("nowhere.rs"), "{nothing:?}");
}

#[test]
fn what_measures_and_installs_speaks_json() {
    let home = home();
    let calibrated = home.host(&["calibrate", "--json"]);
    assert_eq!(calibrated.status.code(), Some(0), "{}", said(&calibrated));
    let [measured] = &lines(&calibrated)[..] else { panic!("{}", said(&calibrated)) };
    assert!(measured["speed"].as_f64().unwrap() > 0.0, "{measured}");
    let rows = measured["rows"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["measured_us"].as_f64().unwrap() > 0.0), "{measured}");
    // The shared cache, so that nothing is downloaded again.
    let setup = home.command(&["--json", "setup"]).env_remove("HOST_CACHE").output().unwrap();
    assert_eq!(setup.status.code(), Some(0), "{}", said(&setup));
    let [ready] = &lines(&setup)[..] else { panic!("{}", said(&setup)) };
    assert!(ready["seed_guest_bytes"].as_u64().unwrap() > 1000 && ready["corpus"].is_string(), "{ready}");
}

#[test]
fn the_log_accounts_for_every_trial() {
    let log = trials(&home().host(&["log", "--json"]));
    let numbers: Vec<u64> = log.iter().filter_map(|trial| trial["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(log.iter().filter(|trial| trial["experiment"].is_string()).count() >= 2, "{log:?}");
    let verdicts = ["keep", "discard", "noise", "same", "refused", "failed", "host-fault"];
    assert!(log.iter().all(|trial| verdicts.contains(&trial["verdict"].as_str().unwrap())), "{log:?}");
    let last = trials(&home().host(&["log", "-n", "1", "--json"]));
    assert_eq!(last, log[log.len() - 1..]);
    let plain = said(&home().host(&["log"]));
    assert!(log.iter().all(|trial| plain.contains(trial["description"].as_str().unwrap())), "{plain}");
}

#[test]
fn ideas_count_every_trial() {
    let all = lines(&home().host(&["ideas", "--json"]));
    let (changes, ideas): (Vec<_>, Vec<_>) = all.into_iter().partition(|line| line["change"].is_string());
    let log = trials(&home().host(&["log", "--json"]));
    let tries: u64 = ideas.iter().map(|idea| idea["tries"].as_u64().unwrap()).sum();
    let tried: Vec<_> = log.iter().filter(|trial| trial["number"] != 0 && trial["verdict"] != "host-fault").collect();
    assert_eq!(tries, tried.len() as u64, "{ideas:?}");
    assert!(tries > 0 && ideas.iter().any(|idea| idea["prior"] == 3 && idea["evidence"].is_string()));
    let one = tried.iter().find(|trial| trial["delta"].is_number()).unwrap();
    let of_it = ideas.iter().find(|idea| idea["operator"] == one["operator"]).unwrap();
    assert!(of_it["delta"].is_number(), "{of_it}");
    assert!(ideas.iter().any(|idea| idea["untried"] == true), "{ideas:?}");
    // The screen has the same changes.
    let screen = said(&home().host(&["ideas"]));
    assert!(!changes.is_empty() && changes.iter().all(|one| one["status"].is_string()), "{changes:?}");
    let said_first = changes.iter().filter(|one| screen.contains(one["change"].as_str().unwrap())).count();
    assert!(said_first > 0, "{screen}");
}

#[test]
fn a_replay_is_identical_whole_and_in_part() {
    let (home, key) = (home(), experiment());
    for threads in ["1", "2"] {
        let found = &lines(&home.host(&["replay", &key, "--threads", threads, "--json"]))[0];
        assert_eq!((&found["identical"], &found["compared"]), (&true.into(), &found["intervals"]), "{found}");
    }
    let part = home.host(&["replay", &key[..8], "--interval", "2"]);
    assert_eq!(part.status.code(), Some(0), "{}", said(&part));
    assert!(said(&part).contains("identical"), "{}", said(&part));
    let beyond = home.host(&["replay", &key, "--interval", "99"]);
    assert_eq!(beyond.status.code(), Some(1));
    assert!(said(&beyond).contains("no checkpoint before interval 99"), "{}", said(&beyond));
}

#[test]
fn the_model_writes_the_same_text_for_the_same_random_seed() {
    let write =
        |seed: &str| said(&home().host(&["sample", "--prompt", "oak ", "--length", "24", "--random-seed", seed]));
    let first = write("1");
    assert!(first.starts_with("oak ") && first.trim_end().chars().count() > 20, "{first}");
    assert_eq!(first, write("1"));
    assert_ne!(first, write("2"));
}

fn try_guest(store: &Path, guest: &Path) -> Output {
    let store = store.to_str().unwrap();
    home().host(&["--store", store, "try", guest.to_str().unwrap(), "--policy", "./night.toml"])
}

#[test]
fn trying_a_file_decides_it_once() {
    let store = home().copy_of_store("trying");
    let faster = home().path("faster.rs");
    let text = crate::common::guest("guests/tiny").replace("LR: f32 = 0.02", "LR: f32 = 0.0317");
    std::fs::write(&faster, text).unwrap();
    let first = try_guest(&store, &faster);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert!(["keep", "discard", "noise"].iter().any(|verdict| said(&first).contains(verdict)), "{}", said(&first));
    let again = try_guest(&store, &faster);
    assert!(said(&again).contains("(source key)"), "{}", said(&again));
    let baseline = try_guest(&store, &guest_path("guests/tiny"));
    assert!(said(&baseline).contains("as the baseline (source key)"), "{}", said(&baseline));
}

#[test]
fn a_refusal_names_the_line_and_no_guest_drives_the_terminal() {
    let store = home().copy_of_store("refusing");
    for (guest, wanted) in [("hostile/shape_error", "train.rs:11"), ("hostile/panics", "last words")] {
        let refused = try_guest(&store, &guest_path(guest));
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(wanted), "{}", said(&refused));
        assert!(!said(&refused).contains(['\u{1b}', '\u{7}']), "{}", said(&refused));
    }
    let log = home().host(&["--store", store.to_str().unwrap(), "log"]);
    assert!(said(&log).contains("last words") && !said(&log).contains('\u{1b}'), "{}", said(&log));
}

#[test]
fn a_night_goes_on_after_kill_9() {
    let home = Home::new();
    let mut night = Running::start(&home, "./night.toml");
    let mut events = night.events();
    let trial = night.wait_for(&mut events, "trial");
    night.wait_for(&mut events, "started");
    drop(night);
    let before = trials(&home.host(&["log", "--json"]));
    assert_eq!(before[0]["number"], trial["number"]);
    let again = home.host(&["--json", "run", "--policy", "./night.toml"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(lines(&again).iter().any(|event| event["what"] == "going on"), "{}", said(&again));
    let after = trials(&home.host(&["log", "--json"]));
    assert!(after.len() > before.len());
    assert_eq!(after[..before.len()], before, "nothing is lost or done twice");
    let numbers: Vec<u64> = after.iter().filter_map(|trial| trial["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=after.len() as u64).collect::<Vec<_>>());
}

#[test]
fn several_hosts_share_one_store_trial_by_trial() {
    let home = Home::new();
    home.write_policy("other.toml", 0.04, 3);
    let mut night = Running::start(&home, "./night.toml");
    let mut events = night.events();
    night.wait_for(&mut events, "baseline");
    let other = home.host(&["--json", "run", "--policy", "./other.toml"]);
    assert_eq!(other.status.code(), Some(0), "{}", said(&other));
    let tiny = home.path("tiny.rs");
    let text = crate::common::guest("guests/tiny").replace("LR: f32 = 0.02", "LR: f32 = 0.0317");
    std::fs::write(&tiny, text).unwrap();
    let tried = home.host(&["try", "tiny.rs", "--policy", "./night.toml"]);
    assert_eq!(tried.status.code(), Some(0), "{}", said(&tried));
    events.for_each(drop);
    let log = trials(&home.host(&["log", "--json"]));
    let mut numbers: Vec<u64> = log.iter().filter_map(|trial| trial["number"].as_u64()).collect();
    numbers.sort();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>(), "one numbering for all of them");
    let keys: std::collections::BTreeSet<&str> = log.iter().filter_map(|t| t["source_key"].as_str()).collect();
    assert!(keys.len() >= 6, "{log:?}");
    assert!(log.iter().filter(|t| t["verdict"] == "same").count() + keys.len() >= log.len(), "a repeat is a repeat");
}

#[test]
fn a_small_stack_is_raised_or_named() {
    let limited = |limit: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" policy check smoke"), crate::common::HOST]);
        shell.current_dir(home().path(".")).env("HOST_CACHE", home().path("cache")).output().unwrap()
    };
    for limit in ["-Ss 64", "-s 64"] {
        let output = limited(limit);
        let code = output.status.code();
        assert!(code.is_some(), "{limit}: {:?} {}", output.status, said(&output));
        assert!(code == Some(1) || !said(&output).contains("the stack is limited"), "{}", said(&output));
    }
}

#[test]
fn damaged_blobs_are_named_and_the_night_goes_on() {
    let (home, key) = (home(), experiment());
    let store = home.copy_of_store("damaged");
    for folder in std::fs::read_dir(store.join("blobs")).unwrap() {
        for blob in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            // Sources stay as they are, because no run can make them again.
            if std::str::from_utf8(&bytes).is_err() {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    let store = store.to_str().unwrap();
    let replayed = home.host(&["--store", store, "replay", &key]);
    assert_eq!(replayed.status.code(), Some(1));
    assert!(said(&replayed).contains("is damaged"), "{}", said(&replayed));
    let night = home.host(&["--store", store, "run", "--policy", "./night.toml", "--experiments", "1"]);
    assert_eq!(night.status.code(), Some(0), "{}", said(&night));
}
