//! Guarantees of the store. Each test is named after the failure that the store survives.

use super::*;
use crate::night::setup;
use crate::record::dry_run::DryRun;
use crate::record::ending::Ending;
use crate::record::key::Hash;
use crate::record::key::{CONTRACT, CompileKey, ComponentKey, Manifest, ProfileHash, SourceKey, TaskHash};
use crate::record::limits::Limits;
use crate::record::outcome::{GuestFault, HostFault, Outcome, Score, Status, encode_state};
use crate::record::spend::{Exchange, Spend};
use crate::record::trial::{Findings, Trial};
use kernels::session::{NamedState, Totals};
use kernels::spec::{Shape, Spec, Values};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

pub(super) fn manifest(random_seed: u64) -> Manifest {
    Manifest {
        component: ComponentKey::of(b"component"),
        task: TaskHash::of(b"task"),
        budget_ps: 1_000,
        profile: ProfileHash::of(b"profile"),
        limits: Limits::default(),
        forward_ps_per_token: 1_000,
        eval_rows: 8,
        random_seed,
        numerics: "cpu-0".into(),
        contract: CONTRACT.into(),
        intervals: 2,
    }
}

pub(super) fn state() -> Vec<u8> {
    let spec = Spec::f32(Shape::new(&[2]).unwrap());
    encode_state(&NamedState { tensors: vec![("w".into(), true, spec, Values::F32(vec![1.0, 2.0]))] }).unwrap()
}

pub(super) fn outcome() -> Outcome {
    Outcome {
        status: Status::Completed,
        score: Some(Score { bpb: 2.5, chunk_nats: vec![1.0, 2.0], chunk_bytes: vec![3, 4] }),
        curve: vec![],
        totals: Totals::default(),
        intervals: vec![[1; 32], [2; 32]],
        read_log: vec![],
        state: Some(Hash::of(&state()).0),
        fuel: 5,
    }
}

fn record(store: &Store, random_seed: u64) -> Result<ExperimentRecord, StoreError> {
    let checkpoint = store.put_blob(b"checkpoint")?;
    store.record_experiment(&Finished {
        manifest: &manifest(random_seed),
        outcome: &outcome(),
        state: Some(&state()),
        checkpoints: &[(0, checkpoint)],
        evaluation: None,
        finished_unix_ms: 1,
        wall_ms: 2,
        word: None,
    })
}

/// Whether the experiment is stored completely; panics if it is stored in part.
fn check_whole(store: &Store) -> bool {
    let key = manifest(1).key();
    let Some(record) = store.find_experiment(&key).unwrap() else {
        assert!(store.checkpoints(&key).unwrap().is_empty());
        return false;
    };
    assert_eq!(store.outcome(&record).unwrap(), outcome());
    let Model::Kept(kept) = store.model(&record).unwrap() else { panic!("its model is gone") };
    assert_eq!(encode_state(&kept).unwrap(), state());
    let checkpoints = store.checkpoints(&key).unwrap();
    assert_eq!(store.get_blob(&checkpoints[0].1).unwrap(), b"checkpoint");
    true
}

fn trial(store: &Store, number: u64, verdict: Ending, bpb: f64) -> Trial {
    Trial {
        number,
        unix_ms: 3,
        proposer: "evolve".into(),
        parent: 0,
        champion: 0,
        proposal: None,
        source_blob: store.put_blob(b"fn train() {}").unwrap(),
        found: Findings {
            source_key: Some(SourceKey::of(b"source")),
            component_key: Some(ComponentKey::of(b"component")),
            experiment: Some(manifest(1).key()),
            bpb: Some(bpb),
            p_better: Some(0.5),
            peak_bytes: Some(1 << 20),
            data_bytes: Some(900),
            trained_share: Some(0.75),
            ..Findings::new(verdict)
        },
        hypothesis: "fewer tokens, more steps".into(),
        description: "halve the batch".into(),
        operator: "sizes".into(),
        credit: None,
        wall_ms: 10,
    }
}

const CRASH_STORE: &str = "STORE_TEST_CRASH_DIR";
const CRASH_AT: &str = "STORE_TEST_CRASH_AT";

/// The child process of the next test: kills itself at the given visit of a write point.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn crash_child() {
    let (Ok(dir), Ok(at)) = (std::env::var(CRASH_STORE), std::env::var(CRASH_AT)) else {
        return;
    };
    let at: u32 = at.parse().unwrap();
    let visits = AtomicU32::new(0);
    let faults = move |_| {
        if visits.fetch_add(1, Ordering::Relaxed) == at {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        }
        Ok(())
    };
    let store = Store::open_with_faults(Path::new(&dir), Box::new(faults)).unwrap();
    record(&store, 1).unwrap();
}

#[test]
fn kill_at_every_write_point_leaves_a_whole_record_or_none() {
    let (mut whole, mut none) = (0, 0);
    for at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["record::store::tests::crash_child", "--exact", "--ignored"])
            .env(CRASH_STORE, dir.path())
            .env(CRASH_AT, at.to_string())
            .output()
            .unwrap();
        let store = Store::open(dir.path()).unwrap();
        let there = check_whole(&store);
        if child.status.success() {
            assert!(there);
            break;
        }
        if there {
            whole += 1
        } else {
            none += 1
        }
        record(&store, 1).unwrap();
        assert!(check_whole(&store));
        let later = SystemTime::now() + Duration::from_secs(7200);
        store.gc(later).unwrap();
        assert!(check_whole(&store));
        assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    }
    assert_eq!((none, whole), (13, 1), "three blobs of four points, before and after the commit");
}

#[test]
fn full_disk_at_every_write_point_is_said_and_harms_nothing() {
    for at in 0..14 {
        let dir = tempfile::tempdir().unwrap();
        let visits = AtomicU32::new(0);
        let faults = move |_| match visits.fetch_add(1, Ordering::Relaxed) {
            visit if visit == at => Err(rustix::io::Errno::NOSPC.into()),
            _ => Ok(()),
        };
        let store = Store::open_with_faults(dir.path(), Box::new(faults)).unwrap();
        assert!(matches!(record(&store, 1), Err(StoreError::Full(_))));
        assert_eq!(check_whole(&store), at == 13);
        record(&store, 1).unwrap();
        assert!(check_whole(&store));
    }
}

#[test]
fn damaged_and_missing_blobs_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let written = record(&store, 1).unwrap();
    let path = store.blob_path(&written.outcome_blob);
    fs::write(&path, b"damage").unwrap();
    assert!(matches!(store.outcome(&written), Err(StoreError::Corrupt { hash, .. }) if hash == written.outcome_blob));
    record(&store, 1).unwrap();
    assert!(check_whole(&store), "storing it again mends it");
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.outcome(&written), Err(StoreError::Missing { .. })));
}

#[test]
fn an_edited_manifest_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    record(&store, 1).unwrap();
    store.db.execute("UPDATE experiments SET manifest = json_set(manifest, '$.random_seed', 2)", []).unwrap();
    assert!(matches!(store.find_experiment(&manifest(1).key()), Err(StoreError::BadRecord { .. })));
}

#[test]
fn a_second_outcome_for_one_experiment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = record(&store, 1).unwrap();
    assert_eq!(record(&store, 1).unwrap(), first);
    let manifest = manifest(1);
    let offer = |outcome: &Outcome| {
        let state = outcome.state.map(|_| state());
        store.record_experiment(&Finished {
            manifest: &manifest,
            outcome,
            state: state.as_deref(),
            checkpoints: &[],
            evaluation: None,
            finished_unix_ms: 1,
            wall_ms: 2,
            word: None,
        })
    };
    assert!(matches!(offer(&Outcome { fuel: 6, ..outcome() }), Err(StoreError::Disagrees { .. })));
    let timeout = Outcome { status: Status::host(HostFault::Timeout, "60 s"), ..outcome() };
    assert!(matches!(offer(&timeout), Err(StoreError::NotAResult(_))));
    assert!(matches!(offer(&Outcome { state: Some([0; 32]), ..outcome() }), Err(StoreError::WrongState(_))));
    assert_eq!(store.find_experiment(&manifest.key()).unwrap(), Some(first));
}

#[test]
fn two_hosts_on_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
    let lock = one.lock_run().unwrap();
    let error = two.lock_run().unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    record(&one, 1).unwrap();
    assert!(check_whole(&two), "readers need no lock");
    drop(lock);
    two.lock_run().unwrap();
}

#[test]
fn many_open_a_new_store_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let dir = dir.path().join(round.to_string());
        let opened: Vec<_> =
            (0..8).map(|_| dir.clone()).map(|dir| std::thread::spawn(move || Store::open(&dir))).collect();
        opened.into_iter().for_each(|store| assert_eq!(store.join().unwrap().unwrap().nights().unwrap(), []));
    }
}

#[test]
fn a_store_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().db.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: 99, known: 10, .. })));
}

#[test]
fn gc_spares_the_named_the_young_and_what_a_running_experiment_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    record(&store, 1).unwrap();
    let orphan = store.put_blob(b"orphan").unwrap();
    assert_eq!(store.gc(SystemTime::now()).unwrap(), Collected::default());
    let later = SystemTime::now() + Duration::from_secs(7200);
    let running = store.lock_run().unwrap();
    assert_eq!(store.gc(later).unwrap(), Collected::default());
    drop(running);
    assert_eq!(store.gc(later).unwrap(), Collected { files: 1, bytes: 6 });
    assert!(matches!(store.get_blob(&orphan), Err(StoreError::Missing { .. })));
    assert!(check_whole(&store));
}

#[test]
fn memos_give_back_what_they_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let component = ComponentRecord {
        component_key: ComponentKey::of(b"component"),
        component_blob: store.put_blob(b"wasm").unwrap(),
        source_key: SourceKey::of(b"source"),
        source_blob: store.put_blob(b"source").unwrap(),
        compiler: "rustc".into(),
    };
    let compile_key = CompileKey::new(&component.source_key, &Hash::of(b"sdk"), "rustc", &[]);
    assert_eq!(store.find_component(&compile_key).unwrap(), None);
    store.put_component(&compile_key, &component).unwrap();
    assert_eq!(store.find_component(&compile_key).unwrap().as_ref(), Some(&component));
    assert_eq!(store.component(&component.component_key).unwrap(), Some(component));

    let facts = DryRun {
        train: Totals { op_hash: [7; 32], ..Totals::default() },
        forward: Totals::default(),
        named: NamedState::default(),
        advisory: false,
        fuel: u64::MAX,
        causality: None,
        step_ps: 0,
        lines: Vec::new(),
    };
    let failed = Err((GuestFault::LooksAhead, "row 3".to_owned()));
    for result in [failed, Ok(facts)] {
        store.put_dry_run(&manifest(1), &result).unwrap();
        assert_eq!(store.find_dry_run(&manifest(2).dry_run_key()).unwrap(), Some(result));
    }
}

#[test]
fn prefixes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = record(&store, u64::MAX).unwrap().key;
    assert_eq!(store.resolve(&key.short()).unwrap(), Found::Experiment(key));
    assert_eq!(store.resolve(&key.to_string()).unwrap(), Found::Experiment(key));
    let fresh = manifest(1).key().to_string();
    assert!(matches!(store.resolve(&fresh), Err(StoreError::NotFound(_))));
    for bad in ["", "abc", "ABCD", "abcg", "ab%d", &"a".repeat(65)] {
        assert!(matches!(store.resolve(bad), Err(StoreError::BadPrefix(_))), "{bad}");
    }
    store.db.execute("INSERT INTO components VALUES ('', ?, '', ?, '', '')", [&key.to_string(), &fresh]).unwrap();
    let error = store.resolve(&key.short()).unwrap_err().to_string();
    assert!(error.contains("experiment ") && error.contains("component "), "{error}");
    assert!(matches!(store.resolve(&fresh), Ok(Found::Source(_))));
}

#[test]
fn a_night_reads_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = record(&store, 1).unwrap().key;
    let task = TaskHash::of(b"task");
    let night = store.start_night("smoke", "[task]", &task, &manifest(1).context_key(), 1).unwrap();
    let runs = [(key, Role::FreshSeed), (key, Role::Search)];
    let first = trial(&store, 0, Ending::Keep, 2.5);
    let id = store.add_trial(night, &first, &runs).unwrap();
    let second = Trial { parent: 1, ..trial(&store, 1, Ending::Noise, 2.25) };
    store.add_trial(night, &second, &[]).unwrap();
    let roles = store.rows("SELECT role FROM runs WHERE trial = ? ORDER BY role", [id], |row| row.get::<_, String>(0));
    assert_eq!(roles.unwrap(), ["fresh-seed", "search"]);
    assert_eq!(store.trials(Some(night)).unwrap()[0], TrialRecord { id, night, trial: first });
    assert_eq!(store.trials(Some(night)).unwrap()[1].trial, second);
    assert_eq!(store.trials(None).unwrap().len(), 2);
    assert_eq!(store.trials(Some(night + 1)).unwrap(), []);
    assert_eq!(store.trial_of_source(&SourceKey::of(b"source")).unwrap().unwrap().id, id);
    assert_eq!(store.trial_of_experiment(&key).unwrap().unwrap().id, id);
    assert!(store.add_trial(night, &second, &[]).is_err(), "numbers are unique within a night");
    assert!(store.add_trial(night + 1, &second, &[]).is_err(), "the night must exist");
    store.end_night(night, 9).unwrap();
    assert_eq!(store.nights().unwrap()[0].ended_unix_ms, Some(9));

    let in_context = store.trials_in(&manifest(1).context_key()).unwrap();
    assert_eq!(
        in_context.iter().map(|record| record.id).collect::<Vec<_>>(),
        store.trials(None).unwrap().iter().map(|record| record.id).collect::<Vec<_>>()
    );
    assert_eq!(store.latest_champion().unwrap(), Some(key));

    store.put_definition(&Hash::of(b"task"), "task", "{}").unwrap();
    assert_eq!(store.definition(&Hash::of(b"task")).unwrap().as_deref(), Some("{}"));
    assert_eq!(store.definition(&Hash::of(b"other")).unwrap(), None);

    let look = ScoreRecord {
        experiment_key: key,
        split: "confirm".into(),
        score: outcome().score.unwrap(),
        purpose: "keep".into(),
        unix_ms: 5,
    };
    store.add_score(&look).unwrap();
    store.add_score(&look).unwrap();
    assert_eq!(store.scores(&key).unwrap(), [look.clone(), look]);
    assert_eq!(store.count_scores(&task, "confirm").unwrap(), 2);
    assert_eq!(store.count_scores(&task, "test").unwrap(), 0);
}

#[test]
fn an_experiment_of_another_contract_says_so_and_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let numerics = kernels::cpu::CLASS.into();
    let other = Manifest { contract: "lab:train@0.1.0".into(), numerics, ..manifest(1) };
    let finished = Finished {
        manifest: &other,
        outcome: &outcome(),
        state: Some(&state()),
        checkpoints: &[],
        evaluation: None,
        finished_unix_ms: 1,
        wall_ms: 2,
        word: None,
    };
    let record = store.record_experiment(&finished).unwrap();
    assert_eq!(store.outcome(&record).unwrap(), outcome());
    let error = setup::for_record(store, &record, None, setup::Power::of_threads(None)).err().unwrap().to_string();
    assert!(error.contains("under the contract lab:train@0.1.0, this host speaks lab:train@0.2.0"), "{error}");
}

/// A store written by version 1, with one night of one trial.
fn store_of_version_1(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let db = rusqlite::Connection::open(dir.join("index.sqlite")).unwrap();
    db.execute_batch(include_str!("schema.sql")).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    let (hash, context) = (Hash::of(b"fn train() {}").to_string(), manifest(1).context_key());
    let task = TaskHash::of(b"task");
    let night = "INSERT INTO nights VALUES (1, 'smoke', ?, ?, ?, 5, 9)";
    db.execute(night, rusqlite::params![hash, task, context]).unwrap();
    let trial = "INSERT INTO trials VALUES (7, 1, 3, 6, 'evolve', 2, ?, NULL, NULL, NULL, NULL, 'keep', 2.5, -0.1, 0.9,
         'halve the batch', 'sizes', 'confirmed', 1024, 10)";
    db.execute(trial, [hash]).unwrap();
}

#[test]
fn a_store_of_an_earlier_version_stays_readable_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    store_of_version_1(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let old = store.trials(None).unwrap().remove(0).trial;
    assert_eq!((old.number, old.parent, old.champion, old.proposal), (3, 2, 2, None));
    assert_eq!((old.hypothesis.as_str(), old.description.as_str()), ("", "halve the batch"));
    assert_eq!((old.found.data_bytes, old.found.trained_share), (None, None));
    assert_eq!(store.accounts(1).unwrap(), []);
    assert_eq!(store.trials_in(&manifest(1).context_key()).unwrap().len(), 1);
    let again = Trial { found: Findings::new(Ending::Refused), ..trial(&store, 4, Ending::Noise, 2.25) };
    store.add_trial(1, &again, &[]).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().trials(Some(1)).unwrap()[1].trial, again);
}

#[test]
fn a_trial_of_another_version_is_readable_and_decides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    store_of_version_1(dir.path());
    let store = Store::open(dir.path()).unwrap();
    store.db.execute("UPDATE trials SET verdict = 'promising'", []).unwrap();
    let read = store.trials(None).unwrap().remove(0).trial;
    assert_eq!((read.found.verdict, read.found.bpb), (Ending::HostFault, Some(2.5)));
    assert_eq!(store.latest_champion().unwrap(), None);
}

#[test]
fn a_number_that_does_not_fit_is_an_error_not_another_number() {
    let dir = tempfile::tempdir().unwrap();
    store_of_version_1(dir.path());
    let store = Store::open(dir.path()).unwrap();
    let large = Trial { parent: u64::MAX, ..trial(&store, 4, Ending::Noise, 2.25) };
    assert!(matches!(store.add_trial(1, &large, &[]), Err(StoreError::Index { .. })));
    let mut heavy = trial(&store, 4, Ending::Noise, 2.25);
    heavy.found.peak_bytes = Some(u64::MAX);
    assert!(matches!(store.add_trial(1, &heavy, &[]), Err(StoreError::Index { .. })));
    for column in ["number", "parent", "peak_bytes"] {
        store.db.execute(&format!("UPDATE trials SET {column} = -1"), []).unwrap();
        assert!(matches!(store.trials(None), Err(StoreError::Index { .. })), "{column}");
        store.db.execute(&format!("UPDATE trials SET {column} = 1"), []).unwrap();
    }
}

fn answer<'a>(first: Option<i64>, outcome: AnswerOutcome, text: Option<&'a str>) -> NewAnswer<'a> {
    NewAnswer {
        first,
        unix_ms: 1,
        proposer: "llm.a",
        parent: 0,
        outcome,
        stage: None,
        fault: "",
        text,
        hypothesis: "",
        description: "",
        operator: "",
        sent: None,
        wall_ms: 3,
    }
}

fn paid(store: &Store, night: i64, micro_dollars: u64) -> i64 {
    let spend = Spend { requests: 1, input_tokens: 10, output_tokens: 5, micro_dollars };
    let id = store.reserve(night, "llm.a", &spend, 1, &|_| true).unwrap().unwrap();
    let exchange = Exchange { spend, request: b"ask".to_vec(), response: b"said".to_vec(), ..Exchange::default() };
    store.settle(id, &exchange).unwrap();
    id
}

#[test]
fn accounts_say_what_each_proposer_cost_lost_and_earned() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = record(&store, 1).unwrap().key;
    let context = manifest(1).context_key();
    let night = store.start_night("n", "", &TaskHash::of(b"task"), &context, 1).unwrap();
    // One turn is repaired and kept, one never becomes readable, one waits.
    let faulty = answer(None, AnswerOutcome::Faulty, Some("fn bad() {}"));
    let first = store.add_answer(night, &faulty, &[paid(&store, night, 100)]).unwrap();
    let mended = answer(Some(first), AnswerOutcome::Ready, Some("fn good() {}"));
    let mended = store.add_answer(night, &mended, &[paid(&store, night, 20)]).unwrap();
    let lost = answer(None, AnswerOutcome::Unreadable, Some("I'd rather not"));
    store.add_answer(night, &lost, &[paid(&store, night, 3)]).unwrap();
    store.add_answer(night, &answer(None, AnswerOutcome::Later, None), &[]).unwrap();
    let mut kept = Trial { proposer: "llm.a".into(), proposal: Some(mended), ..trial(&store, 1, Ending::Keep, 2.5) };
    kept.found.delta = Some(-0.25);
    store.add_trial(night, &kept, &[(key, Role::Search)]).unwrap();

    let spend = Spend { requests: 3, input_tokens: 30, output_tokens: 15, micro_dollars: 123 };
    let account = Account {
        proposer: "llm.a".into(),
        proposed: 2,
        faults: 2,
        mended: 1,
        lost: 1,
        repeats: 0,
        kept: 1,
        gain: 0.25,
        spend,
        unanswered: 1,
        failure: Some(answer(None, AnswerOutcome::Later, None).fault.into()),
        stopped: None,
    };
    assert_eq!(store.accounts(night).unwrap(), [account]);
    let used = store.night_used(night).unwrap();
    assert_eq!((used.trained, used.wall_ms), (1, 10));
    let refused = NewAnswer { fault: "a cap", ..answer(None, AnswerOutcome::Stopped, None) };
    store.add_answer(night, &refused, &[]).unwrap();
    assert_eq!(store.accounts(night).unwrap()[0].stopped.as_deref(), Some("a cap"));
    assert_eq!(store.spent(night).unwrap(), spend);
    let turn = Spend { requests: 2, input_tokens: 20, output_tokens: 10, micro_dollars: 120 };
    assert_eq!(store.cost_of(&kept).unwrap(), (turn, 1));
    assert_eq!(store.cost_of(&Trial { proposal: None, ..kept }).unwrap(), (Spend::default(), 0));
    assert_eq!(store.spends().unwrap(), [(mended, turn)].into());
    let turns = store.decided_turns(&context).unwrap();
    let found: Vec<_> = turns.iter().map(|t| (t.delta, t.spend.micro_dollars)).collect();
    assert_eq!(found, [(Some(-0.25), 120), (None, 3)]);

    let later = SystemTime::now() + Duration::from_secs(7200);
    store.gc(later).unwrap();
    let named = store.exchanges(night).unwrap()[0].clone();
    let (ask, said) = (named.request.unwrap(), named.response.unwrap());
    assert_eq!((store.get_blob(&ask).unwrap(), store.get_blob(&said).unwrap()), (b"ask".to_vec(), b"said".to_vec()));
    assert_eq!(store.resolve(&said.to_string()[..12]).unwrap(), Found::Exchanged(said));
    assert_eq!(store.turn_exchanges(mended).unwrap().len(), 2);
    assert!(store.exchanges_of_blob(&said).unwrap().contains(&named));
}

#[test]
fn a_night_that_did_not_end_is_found_again_and_digests_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (task, context) = (TaskHash::of(b"task"), manifest(1).context_key());
    let night = store.start_night("n", "[search]", &task, &context, 100).unwrap();
    assert_eq!(store.open_night("[search]", &context, 100).unwrap(), Some(night));
    assert_eq!(store.open_night("[search]", &context, 101).unwrap(), None, "too long ago");
    assert_eq!(store.open_night("[other]", &context, 0).unwrap(), None);
    store.end_night(night, 200).unwrap();
    assert_eq!(store.open_night("[search]", &context, 0).unwrap(), None);

    assert_eq!(store.latest_digest(&context).unwrap(), None);
    store.add_digest(&context, 20, 1, "host", "nothing helped").unwrap();
    store.add_digest(&context, 40, 2, "llm.a", "width harms").unwrap();
    assert_eq!(store.latest_digest(&context).unwrap(), Some((40, "width harms".into())));
}

#[test]
fn a_figure_that_contradicts_its_outcome_is_found() {
    for damage in ["val_bpb = val_bpb + 1e-12", "val_bpb = NULL", "status = 'panic'"] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        record(&store, 1).unwrap();
        store.db.execute(&format!("UPDATE experiments SET {damage}"), []).unwrap();
        let record = store.find_experiment(&manifest(1).key()).unwrap().unwrap();
        assert!(matches!(store.outcome(&record), Err(StoreError::BadRecord { .. })), "{damage}");
        let faults = store.check(false, &mut |_| {}).unwrap().faults;
        assert!(faults.iter().any(|fault| fault.what.contains("its outcome has another")), "{damage}: {faults:?}");
    }
}

#[test]
fn hosts_that_wait_for_the_lock_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap();
    let finished = std::sync::Mutex::new(Vec::new());
    let work = |name: char, rounds: u32| {
        let store = Store::open(dir.path()).unwrap();
        for _ in 0..rounds {
            let lock = store.wait_to_run(&mut |_| ControlFlow::Continue(())).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            finished.lock().unwrap().push(name);
            drop(lock);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work('a', 12));
        std::thread::sleep(Duration::from_millis(60));
        scope.spawn(|| work('b', 1));
    });
    let finished = finished.into_inner().unwrap();
    let b = finished.iter().position(|name| *name == 'b').unwrap();
    assert!(b < 11, "one that wants the lock again at once does not keep it: {finished:?}");
    let store = Store::open(dir.path()).unwrap();
    let _lock = store.lock_run().unwrap();
    let other = Store::open(dir.path()).unwrap();
    assert!(other.wait_to_run(&mut |_| ControlFlow::Break(())).unwrap().is_none(), "and a wait can be given up");
}

#[test]
fn processes_that_begin_at_the_same_time_share_a_night() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(folder.path()).unwrap();
    let start = std::sync::Barrier::new(4);
    let join = || {
        let store = Store::open(folder.path()).unwrap();
        start.wait();
        store.join_night("n", "[search]", &TaskHash::of(b"task"), &manifest(1).context_key(), 100, 0).unwrap()
    };
    let nights: Vec<i64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(join)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(nights.iter().all(|night| *night == nights[0]), "{nights:?}");
}
