//! Pages of stores that are made by hand: what they show, and what hostile, damaged or old stores do to them.

use super::*;
use crate::night::past;
use crate::night::trial::seeds::replica_seeds;
use crate::policy::Policy;
use crate::record::ending::Ending;
use crate::record::key::{
    CONTRACT, CompileKey, ComponentKey, ContextKey, ExperimentKey, Manifest, ProfileHash, SourceKey, TaskHash,
};
use crate::record::limits::Limits;
use crate::record::outcome::{Outcome, Score, Status};
use crate::record::spend::{Exchange, Spend};
use crate::record::store::{
    AnswerOutcome, ComponentRecord, ExperimentRecord, Finished, NewAnswer, Role, ScoreRecord, Store,
};
use crate::record::trial::{Findings, Trial};
use kernels::session::{LogPoint, Totals};
use std::collections::BTreeSet;

const SEED: &str = "const LR: f32 = 0.02;\n\nfn train() {\n    step(LR);\n}\n";

/// A store with one night of the policy `smoke`.
struct Lab {
    folder: tempfile::TempDir,
    store: Store,
    policy: Policy,
    night: i64,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let policy = Policy::load("smoke").unwrap();
        let (task, context) = (TaskHash::of(b"task"), ContextKey::of(b"context"));
        let night = store.start_night("smoke", &policy.canonical().unwrap(), &task, &context, 1_000_000).unwrap();
        Self { folder, store, policy, night }
    }

    /// Records a run of a guest on a random seed; `None` if its score is not finite.
    fn run(&self, guest: &str, random_seed: u64, bpb: f64) -> ExperimentRecord {
        let manifest = Manifest {
            component: ComponentKey::of(guest.as_bytes()),
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
        };
        let spent_by_class = [("product", 700), ("norm", 300)].map(|(class, ps)| (class.to_string(), ps)).to_vec();
        let curve = (1..=4).map(|step| LogPoint { step, key: "loss".into(), value: 3.0 / step as f64 });
        let outcome = Outcome {
            status: Status::Completed,
            score: Some(Score { bpb, chunk_nats: vec![90.0, 92.0], chunk_bytes: vec![60, 61] }),
            curve: curve.collect(),
            totals: Totals { spent_ps: 1_000, spent_by_class, ..Totals::default() },
            intervals: vec![],
            read_log: vec![],
            state: None,
            fuel: 5,
        };
        let (finished_unix_ms, wall_ms) = (990_000, 10_000);
        let finished = Finished {
            manifest: &manifest,
            outcome: &outcome,
            state: None,
            checkpoints: &[],
            evaluation: None,
            finished_unix_ms,
            wall_ms,
            word: None,
        };
        self.store.record_experiment(&finished).unwrap()
    }

    /// The seed guest, and its runs on the policy's random seeds.
    fn baseline(&self) -> Vec<ExperimentRecord> {
        let component = ComponentRecord {
            component_key: ComponentKey::of(SEED.as_bytes()),
            component_blob: self.store.put_blob(b"component").unwrap(),
            source_key: SourceKey::of(SEED.as_bytes()),
            source_blob: self.store.put_blob(SEED.as_bytes()).unwrap(),
            compiler: "rustc".into(),
        };
        self.store.put_component(&CompileKey::of(b"compile"), &component).unwrap();
        let seeds = replica_seeds(&self.policy);
        let run = |(i, seed): (usize, &u64)| self.run(SEED, *seed, 2.5 + 0.01 * i as f64);
        seeds.iter().enumerate().map(run).collect()
    }

    fn trial(&self, number: u64, verdict: Ending, delta: Option<f64>, source: &str) -> Trial {
        let found = Findings {
            bpb: delta.map(|delta| 2.5 + delta),
            delta,
            p_better: delta.map(|delta| if delta < 0.0 { 0.9 } else { 0.1 }),
            pairs: delta.map(|_| 2),
            component_key: Some(ComponentKey::of(source.as_bytes())),
            data_bytes: Some(397),
            ..Findings::new(verdict)
        };
        Trial {
            number,
            unix_ms: 1_000_000 + 20_000 * number as i64,
            proposer: "evolve".into(),
            source_blob: self.store.put_blob(source.as_bytes()).unwrap(),
            description: format!("change {number}"),
            operator: "constant".into(),
            wall_ms: 20_000,
            ..Trial::baseline("", found)
        }
    }

    fn add(&self, trial: &Trial, runs: &[(ExperimentKey, Role)]) {
        self.store.add_trial(self.night, trial, runs).unwrap();
    }

    fn page(&self) -> Page {
        let (night, policy) = past::night(&self.store, None).unwrap();
        Page::of(&self.store, &night, &policy).unwrap()
    }

    /// A night with two keeps, of which the second was made from the first.
    fn after_a_night() -> Self {
        let lab = Self::new();
        let baseline = lab.baseline();
        let (first, second) = (SEED.replace("0.02", "0.04"), SEED.replace("0.02", "0.04").replace("step(", "steps("));
        let own = lab.run(&first, replica_seeds(&lab.policy)[0], 2.4);
        let mut kept = lab.trial(1, Ending::Keep, Some(-0.1), &first);
        kept.found.experiment = Some(own.key);
        lab.add(&kept, &[(own.key, Role::Search), (baseline[0].key, Role::Search)]);
        let score = Score { bpb: 2.45, chunk_nats: vec![1.0], chunk_bytes: vec![1] };
        let (split, purpose) = ("confirm".into(), "keep".into());
        lab.store
            .add_score(&ScoreRecord { experiment_key: own.key, split, score, purpose, unix_ms: 1_010_000 })
            .unwrap();
        let on = |trial: Trial| Trial { parent: 1, champion: 1, ..trial };
        lab.add(&on(lab.trial(2, Ending::Noise, Some(-0.004), &first.replace("0.04", "0.05"))), &[]);
        let mut refused = on(lab.trial(3, Ending::Refused, None, "fn train() {"));
        refused.found.reason = "shape-error: 3 and 4 at line 3".into();
        lab.add(&refused, &[]);
        lab.add(&on(lab.trial(4, Ending::Same, None, &first)), &[]);
        lab.add(&on(lab.trial(5, Ending::Keep, Some(-0.02), &second)), &[]);
        lab.add(&Trial { parent: 5, champion: 5, ..lab.trial(6, Ending::Discard, Some(0.3), SEED) }, &[]);
        lab
    }
}

/// What is between the tags of `main`, which is well-formed XML too.
fn main_part(html: &str) -> &str {
    let from = html.find("<main").unwrap();
    &html[from..html.find("</main>").unwrap() + "</main>".len()]
}

/// The names of all elements of a page, without its head and scripts.
fn elements(html: &str) -> BTreeSet<String> {
    let main = main_part(html);
    let document = roxmltree::Document::parse(main).unwrap_or_else(|error| panic!("{error}\n{main}"));
    document.descendants().filter(|node| node.is_element()).map(|node| node.tag_name().name().to_string()).collect()
}

/// The data that the script of a page reads.
fn data(html: &str) -> serde_json::Value {
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_night_is_shown() {
    let html = report(&Lab::after_a_night().page()).unwrap();
    elements(&html);
    assert_eq!(html, report(&Lab::after_a_night().page()).unwrap(), "the same night, the same page");
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("page", main_part(&html));
        insta::assert_snapshot!("data", serde_json::to_string_pretty(&data(&html)).unwrap());
    });
}

#[test]
fn a_later_night_begins_at_the_champion_of_the_one_before() {
    let lab = Lab::after_a_night();
    let before = lab.page();
    let (task, context) = (TaskHash::of(b"task"), ContextKey::of(b"context"));
    let policy = lab.policy.canonical().unwrap();
    let night = lab.store.start_night("smoke", &policy, &task, &context, 2_000_000).unwrap();
    let trial = Trial { parent: 5, champion: 5, ..lab.trial(7, Ending::Keep, Some(-0.05), "fn train() {}") };
    lab.store.add_trial(night, &trial, &[]).unwrap();
    let page = lab.page();
    assert_eq!(page.picture.start, before.picture.last_level());
    assert_eq!(page.path.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 5, 7]);
    assert_eq!(page.trials().map(|entry| entry.number).collect::<Vec<_>>(), [7]);
    assert_eq!(page.entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [0, 1, 5, 7]);
    // And of the first night, the champion is still the one that it ended with.
    let (first, policy) = past::night(&lab.store, Some(lab.night)).unwrap();
    let first = Page::of(&lab.store, &first, &policy).unwrap();
    assert_eq!(first.champion.map(|champion| champion.number), Some(5));
    assert_eq!(first.entries.len(), before.entries.len());
}

#[test]
fn levels_add_up_what_each_champion_gained() {
    let page = Lab::after_a_night().page();
    let baseline = page.picture.baseline.unwrap().bpb;
    let level = |number: u64| page.picture.trials.iter().find(|dot| dot.number == number).unwrap().level;
    assert_eq!(level(1), Some(baseline - 0.1));
    assert_eq!(level(5), Some(baseline - 0.1 - 0.02));
    assert_eq!(level(6), Some(baseline - 0.1 - 0.02 + 0.3));
    assert_eq!((level(3), page.picture.last_level()), (None, level(5)));
    assert_eq!(page.path.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(page.search.failures, [("shape-error".to_string(), 1)]);
    assert_eq!(page.search.near_misses, [2]);
}

#[test]
fn stores_without_trials_with_one_and_with_failures_only() {
    let empty = Lab::new();
    let html = report(&empty.page()).unwrap();
    assert!(html.contains("No trials yet") && html.contains("the champion is the baseline"), "{}", main_part(&html));
    elements(&html);

    let one = Lab::new();
    one.add(&one.trial(1, Ending::Keep, Some(-0.1), SEED), &[]);
    let html = report(&one.page()).unwrap();
    assert!(html.contains("change 1"));
    elements(&html);

    let failures = Lab::new();
    for number in 1..=3 {
        failures.add(&failures.trial(number, Ending::Failed, None, SEED), &[]);
    }
    let page = failures.page();
    assert_eq!(page.search.failures, [("no reason recorded".to_string(), 3)]);
    elements(&report(&page).unwrap());
    elements(&compared(&[page, empty.page()], &Served::default()).unwrap());
}

#[test]
fn figures_that_are_not_finite_are_left_out() {
    let lab = Lab::new();
    lab.baseline();
    for (number, figure) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300].into_iter().enumerate() {
        let mut trial = lab.trial(number as u64 + 1, Ending::Keep, Some(figure), SEED);
        trial.found.bpb = Some(figure);
        trial.found.p_better = Some(figure);
        trial.found.spread = Some(figure);
        trial.found.trained_share = Some(figure);
        lab.add(&trial, &[]);
    }
    let html = report(&lab.page()).unwrap();
    elements(&html);
    assert!(!main_part(&html).contains("NaN") && !main_part(&html).contains("inf"), "{}", main_part(&html));
    assert_eq!(data(&html).as_array().unwrap().len(), 6);
}

/// A damaged index may hold any number that SQLite can.
#[test]
fn odd_numbers_in_the_index_leave_a_page() {
    let (most, least) = (i64::MAX, i64::MIN);
    let odd = [
        "UPDATE experiments SET val_bpb = 9e999".to_string(),
        "UPDATE experiments SET val_bpb = 1.7e308".to_string(),
        "UPDATE experiments SET val_bpb = 0.0; UPDATE trials SET bpb = 0.0, delta = 0.0".to_string(),
        "UPDATE trials SET bpb = -9e999, delta = 9e999, p_better = 9e999, spread = -9e999".to_string(),
        "UPDATE trials SET bpb = 1.7e308, delta = -1.7e308, p_better = 1.7e308, spread = 1.7e308".to_string(),
        "UPDATE scores SET bpb = 9e999".to_string(),
        format!("UPDATE experiments SET finished_unix_ms = {most}, wall_ms = {most}"),
        format!("UPDATE experiments SET finished_unix_ms = {least}, wall_ms = {least}"),
        format!("UPDATE trials SET unix_ms = {most}, wall_ms = {most}"),
        format!("UPDATE trials SET unix_ms = {least}, wall_ms = {least}"),
        format!("UPDATE nights SET started_unix_ms = {most}"),
        format!("UPDATE nights SET started_unix_ms = {least}, ended_unix_ms = {most}"),
    ];
    for sql in odd {
        let lab = Lab::after_a_night();
        let index = rusqlite::Connection::open(lab.folder.path().join("index.sqlite")).unwrap();
        crate::record::store::define_checksum(&index).unwrap();
        index.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let page = lab.page();
        let served = live(&page, &View::default(), &Served::default()).unwrap();
        for html in [report(&page).unwrap(), served] {
            elements(&html);
            let main = main_part(&html);
            assert!(!main.contains("NaN") && !main.contains(">inf") && !main.contains("inf<"), "{sql}: {main}");
        }
    }
}

#[test]
fn the_search_says_what_moved_the_score_and_when_runs_ran() {
    let lab = Lab::new();
    let html = report(&lab.page()).unwrap();
    assert!(!html.contains("What moved the score") && !html.contains("When runs ran"), "nothing ran yet");
    lab.add(&lab.trial(1, Ending::Failed, None, SEED), &[]);
    assert!(report(&lab.page()).unwrap().contains("No constant or switch was moved in a trial that was measured."));

    let lab = Lab::after_a_night();
    let page = lab.page();
    let changes: Vec<&str> = page.search.importance.moved.iter().map(|one| one.change.as_str()).collect();
    assert_eq!((page.search.importance.trials, changes.len()), (4, 4), "{changes:?}");
    // The three runs of the baseline, and that of trial 1.
    let own: Vec<(u64, Option<Ending>)> = page.clock.spans.iter().map(|span| (span.trial, span.ending)).collect();
    assert_eq!(own, [(0, None), (0, None), (0, None), (1, Some(Ending::Keep))]);
    let html = report(&page).unwrap();
    let document = roxmltree::Document::parse(main_part(&html)).unwrap();
    let marks_of = |id: &str, class: &str| {
        let within = document.descendants().find(|node| node.attribute("id") == Some(id)).unwrap().parent().unwrap();
        let marks = within.descendants().filter(|node| node.has_attribute("data-trial"));
        marks.filter(|node| node.attribute("class") == Some(class)).count()
    };
    assert_eq!((marks_of("lanes-title", "better"), marks_of("lanes-title", "train")), (1, 3));
    assert_eq!((marks_of("sealed-plot-title", "train"), marks_of("sealed-plot-title", "held-out")), (3, 0));

    // The test is read for the champion's run.
    let score = |split: &str, bpb| ScoreRecord {
        experiment_key: lab.run(&SEED.replace("0.02", "0.04"), replica_seeds(&lab.policy)[0], 2.4).key,
        split: split.into(),
        score: Score { bpb, chunk_nats: vec![1.0], chunk_bytes: vec![1] },
        purpose: "end".into(),
        unix_ms: 1,
    };
    lab.store.add_score(&score("test", 2.47)).unwrap();
    let html = report(&lab.page()).unwrap();
    assert!(html.contains("The sealed test was read for #1 only") && html.contains(">+0.0700</td>"), "{html}");
}

#[test]
fn hostile_words_stay_words() {
    let hostile = "</td></pre></script><!--<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;\u{1b}[31m\
                   \u{202e}\u{0}\u{ffff}{{data}}";
    let lab = Lab::new();
    let kept = lab.run(hostile, 1, 2.4);
    let mut trial = lab.trial(1, Ending::Keep, Some(-0.1), &format!("{hostile}\n{hostile}"));
    trial.found.experiment = Some(kept.key);
    for words in [&mut trial.description, &mut trial.proposer, &mut trial.operator, &mut trial.hypothesis] {
        *words = hostile.into();
    }
    trial.found.reason = hostile.into();
    let fits = |_: &Spend| true;
    let request = lab.store.reserve(lab.night, hostile, &Spend::default(), 1, &fits).unwrap().unwrap();
    let spend = Spend { requests: 1, micro_dollars: 12_300, ..Spend::default() };
    let (sent, status) = (hostile.as_bytes().to_vec(), hostile.to_string());
    let exchange = Exchange { spend, request: sent.clone(), response: sent, status, wall_ms: 1 };
    lab.store.settle(request, &exchange).unwrap();
    let answer = NewAnswer {
        sent: None,
        first: None,
        unix_ms: 1,
        proposer: hostile,
        parent: 0,
        outcome: AnswerOutcome::Ready,
        stage: None,
        fault: "",
        text: Some(hostile),
        hypothesis: hostile,
        description: hostile,
        operator: hostile,
        wall_ms: 1,
    };
    trial.proposal = Some(lab.store.add_answer(lab.night, &answer, &[request]).unwrap());
    lab.add(&trial, &[]);
    let mut failed = lab.trial(2, Ending::Failed, None, hostile);
    failed.found.reason = hostile.into();
    failed.parent = u64::MAX >> 1;
    lab.add(&failed, &[]);

    let mut honest: BTreeSet<String> = elements(&report(&Lab::after_a_night().page()).unwrap());
    // The costs of a champion whose run is recorded.
    honest.insert("meter".into());
    let (night, policy) = past::night(&lab.store, None).unwrap();
    let page = Page::of(&lab.store, &night, &policy).unwrap();
    let page = Page { sample: crate::system::sanitize::printable(hostile), ..page };
    assert_eq!(page.entry(1).unwrap().exchanges.len(), 1);
    for html in [report(&page).unwrap(), compared(&[page.clone(), page.clone()], &Served::default()).unwrap()] {
        let new: Vec<String> = elements(&html).difference(&honest).cloned().collect();
        assert!(new.is_empty(), "{new:?}");
        assert!(!html.contains("<script>alert") && !html.contains("<img") && !html.contains("<!--<"), "{html}");
        assert!(!html.contains(['\u{1b}', '\u{202e}', '\u{0}']));
        assert_eq!(html.matches("<script").count(), 2, "the data and the script of the page");
        assert!(main_part(&html).contains("&lt;script&gt;alert(1)"));
    }
    assert_eq!(data(&report(&page).unwrap())[1]["exchanges"][0]["status"], page.entry(1).unwrap().exchanges[0].status);
}

#[test]
fn what_the_champion_wrote_is_on_its_page() {
    let lab = Lab::after_a_night();
    let folder = lab.folder.path().join("champion");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sample.txt"), "ROMEO\u{1b}[31m").unwrap();
    let champion = SEED.replace("0.02", "0.04").replace("step(", "steps(");
    for (text, sample) in [(champion.as_str(), "ROMEO\\u{1b}[31m"), (SEED, "")] {
        std::fs::write(folder.join("train.rs"), text).unwrap();
        assert_eq!(lab.page().sample, sample);
    }
}

#[test]
fn a_night_without_a_measured_trial_has_its_baseline() {
    let lab = Lab::new();
    let baseline = lab.baseline();
    lab.store.set_baseline(lab.night, &baseline[0].manifest.component).unwrap();
    lab.add(&lab.trial(1, Ending::Refused, None, "no Rust"), &[]);
    let page = lab.page();
    assert_eq!((page.picture.runs, page.baseline.seeds), (baseline.len(), baseline.len()));
    assert_eq!(page.picture.scores[1].search, page.picture.baseline.map(|level| level.bpb));
    assert!(page.picture.start.is_some() && page.entry(0).unwrap().source.is_some());
    assert_eq!(page.picture.gains(1), [None, None]);
}

#[test]
fn what_is_damaged_or_lost_is_named_and_the_rest_is_shown() {
    let lab = Lab::after_a_night();
    let (whole, mut blobs) = (lab.page(), Vec::new());
    assert_eq!(whole.lost, Vec::<String>::new());
    for folder in std::fs::read_dir(lab.folder.path().join("blobs")).unwrap() {
        blobs.extend(std::fs::read_dir(folder.unwrap().path()).unwrap().map(|blob| blob.unwrap().path()));
    }
    let (night, policy) = past::night(&lab.store, None).unwrap();
    for (i, blob) in blobs.iter().enumerate() {
        match i % 2 {
            0 => std::fs::write(blob, "damaged").unwrap(),
            _ => std::fs::remove_file(blob).unwrap(),
        }
    }
    let page = Page::of(&lab.store, &night, &policy).unwrap();
    assert_eq!(page.entries.len(), whole.entries.len());
    assert!(page.lost.iter().any(|lost| lost.contains("is damaged")), "{:?}", page.lost);
    assert!(page.lost.iter().any(|lost| lost.contains("is missing")), "{:?}", page.lost);
    let html = report(&page).unwrap();
    elements(&html);
    assert!(main_part(&html).contains("One of the two sources is lost"));
}

#[test]
fn a_store_of_an_older_version_is_shown() {
    let lab = Lab::after_a_night();
    let trials = lab.store.trials(None).unwrap();
    let night = lab.store.nights().unwrap().remove(0);
    let Lab { folder, store, .. } = lab;
    drop(store);
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    let old = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    old.execute_batch(include_str!("../../../record/store/schema.sql")).unwrap();
    old.execute_batch(include_str!("../../../record/store/schema_2.sql")).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    let sql = "INSERT INTO nights VALUES (?, ?, ?, ?, ?, ?, NULL)";
    let (task, context) = (night.task.to_string(), night.context.to_string());
    old.execute(sql, (night.id, &night.policy_name, night.policy_blob.to_string(), task, context, 1)).unwrap();
    for record in &trials {
        let trial = &record.trial;
        let sql = "INSERT INTO trials (night, number, unix_ms, proposer, parent, source_blob, verdict, bpb, delta,
             description, operator, reason, wall_ms, champion) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 1, ?)";
        let (number, parent) = (trial.number as i64, trial.parent as i64);
        old.execute(
            sql,
            rusqlite::params![
                night.id,
                number,
                trial.unix_ms,
                trial.proposer,
                parent,
                trial.source_blob.to_string(),
                trial.found.verdict.name(),
                trial.found.bpb,
                trial.found.delta,
                trial.description,
                trial.champion as i64
            ],
        )
        .unwrap();
    }
    drop(old);
    let store = Store::open_to_read(folder.path()).unwrap();
    let (night, policy) = past::night(&store, None).unwrap();
    let page = Page::of(&store, &night, &policy).unwrap();
    assert_eq!(page.entries.len(), trials.len() + 1);
    assert_eq!(page.path.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 5]);
    elements(&report(&page).unwrap());
}

#[test]
fn nights_whose_scores_do_not_compare_say_so() {
    let (a, mut b) = (Lab::after_a_night().page(), Lab::after_a_night().page());
    let both = |a: &Page, b: &Page| compared(&[a.clone(), b.clone()], &Served::default()).unwrap();
    assert!(!both(&a, &b).contains("do not compare"));
    (b.task, b.picture.budget_s) = (TaskHash::of(b"other"), 20.0);
    assert!(both(&a, &b).contains("These nights differ in text and budget, so"));
}

#[test]
fn a_night_under_way_says_so() {
    let lab = Lab::after_a_night();
    assert!(report(&lab.page()).unwrap().contains("under way, or stopped"));
    lab.store.end_night(lab.night, 2_000_000).unwrap();
    assert!(!report(&lab.page()).unwrap().contains("under way, or stopped"));
}

#[test]
fn a_browser_may_run_the_script_of_the_page_alone() {
    let html = report(&Lab::after_a_night().page()).unwrap();
    let (_, rest) = html.split_once("http-equiv=\"Content-Security-Policy\" content=\"").unwrap();
    let policy = rest.split_once('"').unwrap().0;
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for needs in [" style=", " onclick", "http://", "https://", "url(", "@import"] {
        let found = main_part(&html).contains(needs);
        assert!(!found, "{needs}");
    }
}

/// Most of a page are the changes that sources make, so a page of many trials stays small.
#[test]
fn pages_of_many_trials_stay_small() {
    let lab = Lab::new();
    let source: String =
        (0..300).map(|i| format!("    let x{i} = weight({i}) * {i}; // a line of usual length\n")).collect();
    let mut champion = (0, source.clone());
    for number in 1..=100 {
        let own = champion.1.replace(&format!("let x{number} ="), &format!("let y{number} ="));
        let ending = if number % 20 == 0 { Ending::Keep } else { Ending::Noise };
        let trial = lab.trial(number, ending, Some(-0.001), &own);
        lab.add(&Trial { parent: champion.0, champion: champion.0, ..trial }, &[]);
        if ending == Ending::Keep {
            champion = (number, own);
        }
    }
    let bytes = report(&lab.page()).unwrap().len();
    // Those without a kept parent come in full.
    assert!(bytes < 20 * source.len() + 300_000, "{bytes}");
}

#[test]
fn a_page_without_details_is_the_same_but_for_them() {
    let lab = Lab::after_a_night();
    let (night, policy) = past::night(&lab.store, None).unwrap();
    let (mut whole, outline) = (lab.page(), Page::outline(&lab.store, &night, &policy).unwrap());
    let champions: Vec<u64> = whole.path.iter().map(|step| step.number).collect();
    let every = whole.entries.clone();
    for entry in whole.entries.iter_mut().filter(|entry| entry.number > 0 && !champions.contains(&entry.number)) {
        (entry.source, entry.edits) = (None, None);
    }
    assert_eq!(whole, outline);
    // What is left out is had one by one, with the source that it changes.
    for wanted in every.iter().skip(1) {
        let found = details(&lab.store, &night, &policy, wanted.number).unwrap().unwrap();
        let [parent, own] = &found.entries[..] else { panic!("{found:?}") };
        assert_eq!((own, parent.number), (wanted, wanted.parent));
        assert!(parent.source.is_some() && found.lost.is_empty());
    }
    assert_eq!(details(&lab.store, &night, &policy, 0).unwrap().unwrap().entries, every[..1]);
    assert_eq!(details(&lab.store, &night, &policy, 99).unwrap(), None);
}
