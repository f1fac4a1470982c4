//! What strangers sent, in other tools.

use super::*;
use crate::guest::component::Card;
use crate::record::ending::Ending;
use crate::record::key::{CONTRACT, ComponentKey, ContextKey, ExperimentKey, Hash, Manifest, ProfileHash, TaskHash};
use crate::record::limits::Limits;
use crate::record::outcome::{GuestFault, Outcome, Score, Status};
use crate::record::store::{ExperimentRecord, NightRecord};
use crate::record::trial::{Credit, Findings, Sent, Trial};
use crate::system::user_file::read_bytes;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use kernels::session::{LogPoint, Totals};
use std::path::Path;
use std::process::Command;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\ndata 5\n";

/// A keep whose every field of one line has more than one.
fn hostile(number: u64, guest: Guest) -> Keep {
    let mut trial = Trial::baseline("", Findings::new(Ending::Keep));
    let words = |field: &str| format!("{field}\nAuthor: forged {field}\r\u{2028}\u{202e}");
    (trial.number, trial.description, trial.hypothesis) = (number, words("subject"), words("hypothesis"));
    (trial.proposer, trial.operator, trial.found.reason) = (words("proposer"), words("operator"), words("reason"));
    trial.credit = Some(Credit {
        sent: Sent::Finding(Hash::of(b"finding")),
        author: words("key"),
        licence: Some(words("licence")),
        made_from: None,
    });
    Keep { trial, guest, before: vec!["key k, licence MIT, file f".into()] }
}

fn night() -> Past {
    let night = NightRecord {
        id: 7,
        policy_name: "p".into(),
        policy_blob: Hash::of(b""),
        task: TaskHash::of(b"t"),
        context: ContextKey::of(b"c"),
        started_unix_ms: 0,
        ended_unix_ms: None,
    };
    let card = Card::of(COMPONENT).text().to_owned();
    let keeps = vec![
        hostile(1, Guest::Component { card, bytes: Some(COMPONENT.into()) }),
        hostile(2, Guest::Source("fn main() {}\n".into())),
    ];
    let trials = keeps.iter().map(|keep| keep.trial.clone()).collect();
    Past {
        night,
        trials,
        seed: Some(Guest::Source("seed".into())),
        keeps,
        runs: Vec::new(),
        lost: Vec::new(),
        champion: 0,
    }
}

/// A run with these points and this score, of trial 1.
fn run(random_seed: u64, curve: &[(u64, &str, f64)], bpb: Option<f64>) -> Run {
    let manifest = Manifest {
        component: ComponentKey::of(b"component"),
        task: TaskHash::of(b"t"),
        budget_ps: 1,
        profile: ProfileHash::of(b"profile"),
        limits: Limits::default(),
        forward_ps_per_token: 1,
        eval_rows: 1,
        random_seed,
        numerics: "cpu-2".into(),
        contract: CONTRACT.into(),
        intervals: 1,
    };
    let status = match bpb {
        Some(_) => Status::Completed,
        None => Status::GuestFault { kind: GuestFault::Trap, message: "a\nb".into() },
    };
    let record = ExperimentRecord {
        key: ExperimentKey::of(&random_seed.to_le_bytes()),
        manifest,
        outcome_hash: crate::record::key::OutcomeHash::of(b""),
        outcome_blob: Hash::of(b""),
        status: status.name().into(),
        message: String::new(),
        val_bpb: bpb,
        state_blob: None,
        evaluation: None,
        finished_unix_ms: 1_700_000_000_123,
        wall_ms: 61_000,
    };
    let outcome = Outcome {
        status,
        score: bpb.map(|bpb| Score { bpb, chunk_nats: Vec::new(), chunk_bytes: Vec::new() }),
        curve: curve.iter().map(|&(step, key, value)| LogPoint { step, key: key.into(), value }).collect(),
        totals: Totals { steps: 3, tokens: 96, flops: u64::MAX, ..Totals::default() },
        intervals: Vec::new(),
        read_log: Vec::new(),
        state: None,
        fuel: 0,
    };
    Run { trial: 1, role: "search".into(), record, outcome }
}

/// A night of numbers that are none, and of names that act.
fn odd_night() -> Past {
    let mut past = night();
    let long = "long ".repeat(20_000);
    past.trials[0].description = format!("={long}");
    (past.trials[0].found.bpb, past.trials[1].found.bpb) = (Some(f64::NAN), Some(f64::NEG_INFINITY));
    let curve = [
        (0, "loss", 5.5),
        (0, "\u{1b}[31m\nred", f64::NAN),
        (2, "loss", f64::INFINITY),
        (2, "_step", 7.0),
        (1, "loss", f64::NEG_INFINITY),
        (2, &*long, -0.0),
    ];
    past.runs = vec![run(u64::MAX, &curve, Some(f64::NAN)), run(1, &[], None), run(2, &[(1, "loss", 2.0)], Some(1.5))];
    past
}

/// A night that ended before its first run.
fn empty_night() -> Past {
    Past { trials: Vec::new(), seed: None, keeps: Vec::new(), runs: Vec::new(), ..night() }
}

/// Each file below a folder, in order of path.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.display().to_string(), read_bytes(&path, 1 << 30).unwrap())),
        }
    }
    found.sort();
    found
}

/// Writes nights into a folder, each twice: the second time changes nothing.
fn twice(past: &Past, write: impl Fn(&Path, &Past)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), past);
    let first = files(folder.path());
    assert!(!first.is_empty());
    write(folder.path(), past);
    assert_eq!(files(folder.path()), first);
    folder
}

fn git(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("git").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

#[test]
fn a_component_is_committed_under_its_own_name_beside_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    write_repository(&repo, &night()).unwrap();
    let files = |commit: &str| String::from_utf8(git(&repo, &["ls-tree", "--name-only", commit])).unwrap();
    assert_eq!(files("HEAD~2"), "train.rs\n");
    assert_eq!(files("HEAD~1"), "card.txt\ncomponent.wasm\n");
    assert_eq!(files("HEAD"), "train.rs\n");
    assert_eq!(git(&repo, &["show", "HEAD~1:component.wasm"]), COMPONENT);
    assert_eq!(git(&repo, &["show", "HEAD~1:card.txt"]), Card::of(COMPONENT).text().as_bytes());
}

#[test]
fn no_word_of_a_stranger_begins_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (repo, tables) = (folder.path().join("repo"), folder.path().join("tables"));
    write_repository(&repo, &night()).unwrap();
    let message = String::from_utf8(git(&repo, &["log", "-1", "--format=%B"])).unwrap();
    assert_eq!(message.matches("\nAuthor: ").count(), 1, "{message}");
    assert!(message.starts_with("subject Author: forged subject"), "{message}");
    assert!(message.contains("\nAuthor: key Author: forged key"), "{message}");
    assert!(message.contains("\nHypothesis: hypothesis Author:"), "{message}");
    assert!(message.contains(&format!("\nSent-as: finding {}\n", Hash::of(b"finding"))), "{message}");
    assert!(message.contains("\nGoes-back-to: key k, licence MIT, file f\n"), "{message}");

    write_tables(&tables, &night()).unwrap();
    let mut rows = ::csv::Reader::from_path(tables.join("trials.csv")).unwrap();
    let names = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    for acts in ['\n', '\u{2028}', '\u{202e}', '\r'] {
        assert!(row.iter().all(|cell| !cell.contains(acts)), "{row:?}");
        assert!(acts == '\n' || !message.contains(acts), "{message}");
    }
    let cell = |name: &str| &row[names.iter().position(|known| known == name).unwrap()];
    assert_eq!(cell("sent_as"), format!("finding {}", Hash::of(b"finding")));
    assert_eq!(cell("goes_back_to"), "key k, licence MIT, file f");
}

#[test]
fn parquet_has_the_values_of_csv_typed() {
    for past in [odd_night(), empty_night()] {
        let typed = twice(&past, |folder, past| drop(write_parquet(folder, past).unwrap()));
        let plain = twice(&past, |folder, past| drop(write_tables(folder, past).unwrap()));
        for name in ["trials", "runs", "curves"] {
            let reader = std::fs::File::open(typed.path().join(format!("{name}.parquet"))).unwrap();
            let reader = SerializedFileReader::new(reader).unwrap();
            let about = reader.metadata().file_metadata();
            assert_eq!(about.created_by(), Some("nightlab"));
            let mut rows = ::csv::Reader::from_path(plain.path().join(format!("{name}.csv"))).unwrap();
            let names: Vec<_> = about.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
            assert_eq!(rows.headers().unwrap(), &names);
            let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
            assert_eq!(reader.metadata().file_metadata().num_rows(), rows.len() as i64);
            for (typed, plain) in reader.get_row_iter(None).unwrap().zip(&rows) {
                for ((name, value), cell) in typed.unwrap().get_column_iter().zip(plain) {
                    let text = match value {
                        Field::Null => String::new(),
                        // CSV alone has a quote before what a spreadsheet takes for a formula.
                        Field::Str(text) if text.starts_with('=') => format!("'{text}"),
                        Field::Str(text) => text.clone(),
                        Field::ULong(count) => count.to_string(),
                        Field::Long(integer) => integer.to_string(),
                        Field::Double(real) => real.to_string(),
                        other => panic!("{name}: {other:?}"),
                    };
                    assert_eq!(text, cell, "{name}");
                }
            }
        }
    }
}

#[test]
fn parquet_names_night_and_units_and_keeps_what_is_missing_apart() {
    let folder = twice(&odd_night(), |folder, past| drop(write_parquet(folder, past).unwrap()));
    let read = |name: &str| SerializedFileReader::new(std::fs::File::open(folder.path().join(name)).unwrap()).unwrap();
    let (trials, runs) = (read("trials.parquet"), read("runs.parquet"));
    let about = trials.metadata().file_metadata().key_value_metadata().unwrap();
    let about = |key: &str| about.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
    assert_eq!(about("night"), Some("7"));
    assert_eq!(about("unit of bpb"), Some("bits per byte"));
    assert_eq!(about("unit of trial"), None);
    let rows: Vec<_> = runs.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let (_, field) = rows[row].get_column_iter().find(|(known, _)| *known == name).unwrap();
        field.clone()
    };
    assert!(matches!(cell(0, "bpb"), Field::Double(bpb) if bpb.is_nan()));
    assert_eq!(cell(1, "bpb"), Field::Null);
    assert_eq!((cell(0, "random_seed"), cell(0, "flops")), (Field::ULong(u64::MAX), Field::ULong(u64::MAX)));
}

#[test]
fn trackers_get_each_run_and_the_night() {
    for (past, runs) in [(odd_night(), 4_i64), (empty_night(), 1)] {
        let offline = twice(&past, |folder, past| drop(write_wandb(folder, past).unwrap()));
        let folders: Vec<_> = std::fs::read_dir(offline.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len() as i64, runs);
        for folder in folders {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                name.starts_with("offline-run-19700101_000000-night-7-")
                    || name.starts_with("offline-run-20231114_221219-")
            );
            let id = name.splitn(4, '-').nth(3).unwrap();
            let log = read_bytes(&folder.join(format!("run-{id}.wandb")), 1 << 30).unwrap();
            assert!(log.starts_with(b":W&B") && log.windows(7).any(|bytes| bytes == b"night-7"));
        }

        let project = twice(&past, |folder, past| drop(write_trackio(folder, past).unwrap()));
        let project = rusqlite::Connection::open(project.path().join("night-7.db")).unwrap();
        let count = |sql: &str| project.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM configs WHERE json_valid(config)"), runs);
        assert_eq!(count("SELECT count(DISTINCT run_id) FROM metrics WHERE json_valid(metrics)"), runs);
        assert_eq!(count("SELECT count(*) FROM metrics WHERE NOT json_valid(metrics)"), 0);
    }
}

/// A trial and its champion run on one random seed: neither takes the other's place.
#[test]
fn runs_of_one_trial_on_one_random_seed_stay_apart() {
    let mut past = night();
    past.trials[0].found.component_key = Some(ComponentKey::of(b"component"));
    past.runs = vec![run(1, &[], Some(1.5)), run(1, &[], Some(1.25))];
    past.runs[1].record.key = ExperimentKey::of(b"the champion's");
    past.runs[1].record.manifest.component = ComponentKey::of(b"the champion");
    let events = twice(&past, |folder, past| drop(write_tensorboard(folder, past).unwrap()));
    assert_eq!(files(events.path()).len(), 3);
    let runs = twice(&past, |folder, past| drop(write_wandb(folder, past).unwrap()));
    assert_eq!(files(runs.path()).len(), 3);
    let folder = twice(&past, |folder, past| drop(write_trackio(folder, past).unwrap()));
    let project = rusqlite::Connection::open(folder.path().join("night-7.db")).unwrap();
    let sql = "SELECT config ->> 'role', config ->> 'verdict' FROM configs ORDER BY id";
    let mut roles = project.prepare(sql).unwrap();
    let roles = roles.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap);
    let roles: Vec<(Option<String>, Option<String>)> = roles.collect();
    let of = |role: &str, verdict: Option<&str>| (Some(role.to_owned()), verdict.map(ToOwned::to_owned));
    assert_eq!(roles[1..], [of("search", Some("keep")), of("comparison", None)]);
}

#[test]
fn no_name_of_a_guest_is_one_of_ours() {
    let folder = twice(&odd_night(), |folder, past| drop(write_trackio(folder, past).unwrap()));
    let project = rusqlite::Connection::open(folder.path().join("night-7.db")).unwrap();
    let mut names = project.prepare("SELECT DISTINCT key FROM metrics, json_each(metrics) ORDER BY key").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let (curves, ours): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with("curve/"));
    let expected =
        ["champion bits per byte", "held-out bits per byte", "keeps", "tokens", "trial bits per byte", "trials"];
    assert_eq!(ours, expected.each_ref());
    assert!(curves.iter().any(|name| *name == "curve/_step"), "{curves:?}");
    assert!(curves.iter().any(|name| *name == "curve/\\u{1b}[31m red"), "{curves:?}");
    let sql = "SELECT metrics FROM metrics WHERE run_name LIKE '%seed-18446744073709551615-%' ORDER BY step";
    let mut rows = project.prepare(sql).unwrap();
    let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(rows[0].contains("\"NaN\"") && rows[1].contains("\"-Infinity\""), "{rows:?}");
}

#[test]
fn a_database_of_somebody_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("night-7.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE metrics (id)").unwrap();
    let before = files(folder.path());
    let error = write_trackio(folder.path(), &night()).unwrap_err();
    assert!(error.to_string().ends_with("is not of `host export`; name another folder"), "{error}");
    assert_eq!(files(folder.path()), before);

    std::fs::remove_file(&path).unwrap();
    write_trackio(folder.path(), &night()).unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE more (id)").unwrap();
    let error = write_trackio(folder.path(), &night()).unwrap_err();
    assert!(error.to_string().contains("is open in another program"), "{error}");
    drop(reader);
    write_trackio(folder.path(), &night()).unwrap();
}
