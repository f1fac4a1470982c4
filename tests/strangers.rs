//! Swarms with contributors: machines of strangers, some of which lie. What they may do on the server, and what is left
//! of what they say.

use crate::common::home::{Home, index, lines, said};
use crate::common::liar::{self, Lie};
use crate::common::swarm::{Process, Swarm, ended_well};
use nightlab::community::Signed;
use nightlab::record::key::Hash;
use nightlab::swarm::{Job, Link, Pass, Role, SwarmError};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// See [`liar::command`].
#[test]
#[ignore = "other tests start it as a process of its own"]
fn another_process_plays_the_liar() {
    liar::play();
}

fn start(command: &mut Command) -> Process {
    Process::start(command)
}

fn work(swarm: &Swarm, pass: &Path, jobs: &str) -> Process {
    let (url, pass) = (swarm.url(), pass.to_str().unwrap());
    let machine =
        start(&mut swarm.home.command(&["--json", "--threads", "1", "--jobs", jobs, "work", &url, "--pass", pass]));
    machine.event("ready");
    machine
}

fn is_note(event: &Value, text: &str) -> bool {
    event["event"] == "note" && event["text"].as_str().is_some_and(|said| said.contains(text))
}

/// The experiments, trials and scores of a store, whatever the order in which its runs were made.
fn results(swarm: &Swarm, store: &str) -> Vec<Vec<String>> {
    let mut all = swarm.results(store);
    all.iter_mut().for_each(|rows| rows.sort());
    all
}

/// Starts a night with a liar who is there first, and waits until it is out. The night goes on with a machine of the
/// owner's.
fn night_with(swarm: &Swarm, name: &str, lie: Lie, why: &str) -> (Process, Process) {
    let pass = swarm.invite(name, 4);
    let _liar = start(&mut liar::command(&swarm.url(), &pass, lie));
    swarm.wait_for_machine_of(name);
    let night = start(&mut swarm.night(name, true));
    night.wait_for("its offer", |event| is_note(event, "honest-machine of"));
    let own = swarm.machine("1");
    let out = night.wait_for("the end of it", |event| is_note(event, &format!("{name} is out")))["text"].to_string();
    assert!(out.contains(why), "{out}");
    assert!(swarm.contributor(name)["is_out"].is_string());
    (night, own)
}

#[test]
fn who_lies_is_out_and_the_night_is_that_of_one_machine() {
    let Some(swarm) = Swarm::up() else { return };
    ended_well(start(&mut swarm.night("alone", false)));
    for (name, lie, why) in [("anna", Lie::Score, "interval 0 of"), ("bert", Lie::Fault, "it lied about")] {
        let (night, _own) = night_with(&swarm, name, lie, why);
        ended_well(night);
        assert_eq!(results(&swarm, name), results(&swarm, "alone"), "{name}");
    }
}

#[test]
fn who_forges_replays_sends_bombs_or_floods_is_out_at_once() {
    let Some(swarm) = Swarm::up() else { return };
    for (name, lie, why) in [
        ("anna", Lie::Forged, "has no pass for it"),
        ("bert", Lie::OtherJob, "it answers another job"),
        ("carl", Lie::Bomb, "what it names is missing or another"),
        ("dora", Lie::Flood, "it floods"),
    ] {
        let (night, _own) = night_with(&swarm, name, lie, why);
        let pass = Pass::read(&swarm.home.path(&format!("{name}.pass")), &[Role::Contributor]).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        // The server needs a moment to hear of it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        while !runtime.block_on(async {
            let link = Link::connect(&swarm.url(), pass.clone(), |_| {}).await;
            matches!(link.err(), Some(SwarmError::NotLetIn { .. }))
        }) {
            assert!(Instant::now() < until, "{name} is let in");
            std::thread::sleep(Duration::from_millis(200));
        }
        // In order, so that the next night need not wait.
        night.signal("-TERM");
        night.signal("-TERM");
        night.end();
    }
}

/// Makes the swarm believe that a contributor has been right a thousand times.
fn trust(swarm: &Swarm, name: &str) {
    let pass = Pass::read(&swarm.pass("coordinator.pass"), &[Role::Coordinator]).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let link = Link::connect(&swarm.url(), pass, |_| {}).await.unwrap();
        let known = link.jetstream.get_key_value("swarm-contributors").await.unwrap();
        let mut value: Value = serde_json::from_slice(&known.get(name).await.unwrap().unwrap()).unwrap();
        value["agreed"] = 1000.into();
        known.put(name, value.to_string().into()).await.unwrap();
    });
}

#[test]
fn a_lie_of_who_was_right_a_thousand_times_becomes_no_keep() {
    let Some(swarm) = Swarm::up() else { return };
    ended_well(start(&mut swarm.night("alone", false)));
    let pass = swarm.invite("anna", 4);
    trust(&swarm, "anna");
    let own = swarm.machine("1");
    let night = start(&mut swarm.night("many", true));
    // The baseline is made by the owner's machine; what comes later is also at the liar.
    own.event("ended");
    let _liar = start(&mut liar::command(&swarm.url(), &pass, Lie::Score));
    let (events, code) = night.end();
    assert_eq!(code, Some(0), "{events:#?}");
    let found = |event: &Value| is_note(event, "anna lied about") || is_note(event, "anna is out: it lied about");
    assert!(events.iter().any(found), "{events:#?}");
    assert!(swarm.contributor("anna")["is_out"].is_string());
    let scores = |store: &str| results(&swarm, store)[0].clone();
    for experiment in scores("many") {
        let key = experiment.split(' ').next().unwrap().to_owned();
        let alone = scores("alone").into_iter().find(|other| other.starts_with(&key));
        assert!(alone.is_none_or(|alone| alone == experiment), "{experiment}");
    }
    let db = rusqlite::Connection::open(swarm.home.path("many/index.sqlite")).unwrap();
    let doubted: i64 = db.query_row("SELECT count(*) FROM words", [], |row| row.get(0)).unwrap();
    assert_eq!(doubted, 0, "all that rested on its word was made again");
    let checked = swarm.home.host(&["--store", "many", "store", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
}

#[test]
#[ignore = "on an idle machine the night may end before one of the contributor's runs was made again"]
fn an_honest_contributor_makes_a_record_and_is_kicked_by_name() {
    let Some(swarm) = Swarm::up() else { return };
    ended_well(start(&mut swarm.night("alone", false)));
    let pass = swarm.invite("anna", 1);
    let again = swarm.swarm(&["invite", "anna", "--out", "again.pass"]);
    assert!(said(&again).contains("anna is invited already"), "{}", said(&again));
    let (_own, theirs) = (swarm.machine("1"), work(&swarm, &pass, "2"));
    ended_well(start(&mut swarm.night("many", true)));
    assert_eq!(results(&swarm, "many"), results(&swarm, "alone"));
    let record = swarm.contributor("anna");
    assert!(record["agreed"].as_u64() > Some(0) && record["is_out"].is_null(), "{record}");
    let kicked = lines(&swarm.swarm(&["kick", "anna"])).pop().unwrap();
    assert_eq!(kicked["machine"], "anna");
    // Its machine is not let in any more; what it has heard of the server is that it is away.
    theirs.wait_for("the server goes", |event| is_note(event, "is away"));
    assert_eq!(swarm.contributor("anna")["is_out"], "its owner kicked it");
}

/// A night that goes on without its swarm makes the runs again itself.
#[test]
fn a_word_is_held_against_this_machine_where_there_is_no_swarm() {
    let home = Home::new();
    let night = || home.host(&["--json", "run", "--policy", "./night.toml"]);
    assert_eq!(night().status.code(), Some(0));
    let db = index(&home.path(".host"));
    let marked =
        db.execute("INSERT INTO words SELECT key, 'anna' FROM experiments ORDER BY rowid LIMIT 2", []).unwrap();
    assert_eq!(marked, 2, "the runs of the baseline");
    let again = night();
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(said(&again).matches("rests on the word of anna alone").count(), 2, "{}", said(&again));
    let left: i64 = db.query_row("SELECT count(*) FROM words", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

/// Text that a secret has chosen goes to the owner's machines alone.
#[test]
fn a_contributor_gets_no_run_on_secret_text() {
    let Some(swarm) = Swarm::up() else { return };
    swarm.home.set("night.toml", "task.split", "secret");
    let pass = swarm.invite("anna", 4);
    let (_own, theirs) = (swarm.machine("1"), work(&swarm, &pass, "4"));
    ended_well(start(&mut swarm.night("many", true)));
    theirs.signal("-TERM");
    let (events, code) = theirs.end();
    assert_eq!(code, Some(0), "{events:#?}");
    assert!(events.iter().all(|event| event["event"] != "begun"), "{events:#?}");
}

/// What a contributor may do is in the nights above. Here it tries the rest.
#[tokio::test]
async fn a_contributor_can_do_nothing_with_what_is_anothers() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let [anna, bert] = ["anna", "bert"].map(|name| Pass::read(&swarm.invite(name, 1), &[Role::Contributor]).unwrap());
    let owner = Pass::read(&swarm.pass("coordinator.pass"), &[Role::Coordinator]).unwrap();
    let owner = Link::connect(&swarm.url(), owner, |_| {}).await.unwrap();
    let anna = Link::connect(&swarm.url(), anna, |_| {}).await.unwrap();
    let (mut own, mut strange) =
        (owner.client.subscribe("swarm.>").await.unwrap(), owner.client.subscribe("swarm-of.>").await.unwrap());
    owner.jetstream.get_stream("JOBS").await.unwrap();
    let said = [
        "swarm.said.x",
        "swarm.receipt.x",
        "swarm.beat.x",
        "swarm.stop",
        "swarm.job.x",
        "swarm-of.bert.said.x",
        "swarm-of.bert.receipt.x",
        "swarm-of.bert.beat.x",
        "swarm-of.bert.stop",
        "swarm-of.bert.job.x",
        "swarm-of.anna.job.x",
        "swarm-of.anna.stop",
        "swarm-of.anna.other.x",
        "swarm-of.anna.said.x.y",
    ];
    for subject in said {
        anna.client.publish(subject, "forged".into()).await.unwrap();
    }
    // After all of them, so that what is heard first is this if they went nowhere.
    anna.client.publish("swarm-of.anna.said.last", "allowed".into()).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(20), tokio_stream::StreamExt::next(&mut strange)).await;
    assert_eq!(next.unwrap().unwrap().subject.as_str(), "swarm-of.anna.said.last");
    let quiet = tokio::time::timeout(Duration::from_millis(300), tokio_stream::StreamExt::next(&mut own)).await;
    assert!(quiet.is_err(), "{quiet:?}");

    let streams = [
        "JOBS",
        "RECEIPTS",
        "JOBS-anna",
        "RECEIPTS-anna",
        "JOBS-bert",
        "RECEIPTS-bert",
        "OBJ_swarm-inputs",
        "OBJ_swarm-results",
        "OBJ_swarm-offered",
        "OBJ_swarm-results-bert",
        "KV_swarm-lease",
        "KV_swarm-contributors",
    ];
    let acts = [
        "STREAM.DELETE",
        "STREAM.PURGE",
        "STREAM.UPDATE",
        "STREAM.MSG.DELETE",
        "STREAM.SNAPSHOT",
        "CONSUMER.LIST",
        "CONSUMER.CREATE",
        "CONSUMER.NAMES",
    ];
    let mut tried: Vec<String> =
        streams.iter().flat_map(|stream| acts.iter().map(move |act| format!("$JS.API.{act}.{stream}"))).collect();
    let hidden = streams.iter().filter(|stream| **stream != "OBJ_swarm-offered");
    tried.extend(hidden.clone().flat_map(|stream| {
        ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"].map(|act| format!("$JS.API.{act}.{stream}"))
    }));
    for lane in ["JOBS", "JOBS-bert"] {
        tried.extend(
            ["CONSUMER.INFO", "CONSUMER.MSG.NEXT", "CONSUMER.DELETE"]
                .map(|act| format!("$JS.API.{act}.{lane}.machines")),
        );
        tried.push(format!("$JS.ACK.{lane}.machines.1.1.1.1.1"));
    }
    tried.extend(
        ["$O.swarm-offered.M.x", "$O.swarm-offered.C.x", "$O.swarm-results.M.x", "$O.swarm-results-bert.C.x"]
            .map(String::from),
    );
    tried.extend(
        ["$KV.swarm-lease.coordinator", "$KV.swarm-contributors.anna", "$SYS.REQ.SERVER.PING"].map(String::from),
    );
    let mut all = tokio::task::JoinSet::new();
    for subject in tried {
        let client = anna.client.clone();
        all.spawn(async move {
            let asked = client.request(subject.clone(), "{}".into());
            (subject, matches!(tokio::time::timeout(Duration::from_secs(3), asked).await, Ok(Ok(_))))
        });
    }
    while let Some(answered) = all.join_next().await {
        let (subject, is_answered) = answered.unwrap();
        assert!(!is_answered, "{subject} has an answer");
    }
    for subject in [
        ">",
        "swarm.>",
        "swarm.stop",
        "swarm-of.>",
        "swarm-of.bert.stop",
        "_INBOX_contributor_bert.>",
        "_INBOX_machine.>",
    ] {
        let mut listens = anna.client.subscribe(subject).await.unwrap();
        for told in ["swarm.stop", "swarm-of.bert.stop"] {
            owner.client.publish(told, "secret".into()).await.unwrap();
        }
        owner.client.flush().await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(400), tokio_stream::StreamExt::next(&mut listens)).await;
        assert!(!matches!(heard, Ok(Some(_))), "{subject} is heard");
    }
    let mut stranger = bert.clone();
    stranger.key = nightlab::community::PrivateKey::of_seed(&[9; 32]);
    assert!(matches!(Link::connect(&swarm.url(), stranger, |_| {}).await.err(), Some(SwarmError::NotLetIn { .. })));
}

/// The owner's key signs whatever the coordinator wants. A machine runs nothing but guests, and reads nothing but what
/// it is offered.
#[tokio::test]
async fn a_hostile_coordinator_gets_no_file_of_a_machine() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let owner = Pass::read(&swarm.pass("coordinator.pass"), &[Role::Coordinator]).unwrap();
    let owner = Link::connect(&swarm.url(), owner, |_| {}).await.unwrap();
    let secret = "a secret of this machine";
    std::fs::write(swarm.home.path("secret"), secret).unwrap();
    let inputs = owner.jetstream.get_object_store("swarm-inputs").await.unwrap();
    let program = std::fs::read("/bin/true").unwrap();
    let blobs = [("a program", program.clone()), ("text", b"../../secret".to_vec())];
    for (_, blob) in &blobs {
        inputs.put(Hash::of(blob).to_string().as_str(), &mut &blob[..]).await.unwrap();
    }
    let manifest = |seed| nightlab::record::key::Manifest {
        component: nightlab::record::key::ComponentKey::of(b"component"),
        task: nightlab::record::key::TaskHash::of(b"task"),
        budget_ps: 1_000_000_000_000,
        profile: nightlab::record::key::ProfileHash::of(b"profile"),
        limits: nightlab::record::limits::Limits::default(),
        forward_ps_per_token: 500_000,
        eval_rows: 8,
        random_seed: seed,
        numerics: kernels::cpu::CLASS.into(),
        contract: nightlab::record::key::CONTRACT.into(),
        intervals: 8,
    };
    let (program, path) = (Hash::of(&blobs[0].1), Hash::of(&blobs[1].1));
    // A file that the machine has and the server has not; a program in the place of a guest; a path for a text.
    let offered = [(Hash::of(secret.as_bytes()), path), (program, program), (path, path)];
    let machine = swarm.machine("1");
    for (seed, (component, other)) in offered.into_iter().enumerate() {
        let job = Job { manifest: manifest(seed as u64), probe_seed: 1, component, lesson: other, profile: other };
        let subject = format!("swarm.job.{}", job.experiment());
        let signed = Signed::sign(job, &owner.pass.key).to_bytes();
        owner.jetstream.publish(subject, signed.into()).await.unwrap().await.unwrap();
        let refused = machine.wait_for("refusal", |event| is_note(event, "the job: "));
        assert!(!refused["text"].as_str().unwrap().contains(secret), "{refused}");
    }
    machine.signal("-KILL");
}
