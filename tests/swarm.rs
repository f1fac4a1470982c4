//! Nights over many machines: a real server, machines as processes of their own, and what is left when some of them are
//! killed, away or not let in.

use crate::common::home::{lines, said};
use crate::common::swarm::{Process, Swarm, ended_well};
use nightlab::community::PrivateKey;
use nightlab::swarm::{Link, Pass, Role, SwarmError};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_night_on_machines_is_the_night_of_one_though_one_of_them_dies() {
    let Some(swarm) = Swarm::up() else { return };
    let alone = ended_well(Process::start(&mut swarm.night("alone", false)));
    let (dies, lives) = (swarm.machine("1"), swarm.machine("2"));
    let night = Process::start(&mut swarm.night("many", true));
    dies.event("begun");
    dies.signal("-KILL");
    let many = ended_well(night);
    assert_eq!(swarm.results("many"), swarm.results("alone"));
    for figure in ["champion", "champion_bpb", "champion_experiment", "test_bpb", "sample", "runs"] {
        assert_eq!(many[figure], alone[figure], "{figure}");
    }
    assert!(many["champion"].as_u64() > Some(0), "the night kept something: {many}");
    lives.signal("-TERM");
    let (said, code) = lives.end();
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(said.iter().any(|event| event["event"] == "ended"), "{said:#?}");
    let status = lines(&swarm.swarm(&["status"])).pop().unwrap();
    for (what, wanted) in [("waiting", 0), ("under_way", 0), ("receipts", 0)] {
        assert_eq!(status[what], wanted, "{status}");
    }
    assert_eq!((&status["coordinator"], &status["machines"]), (&Value::Null, &Value::Array(Vec::new())));
}

#[test]
fn a_killed_coordinator_and_a_server_that_goes_lose_nothing() {
    let Some(mut swarm) = Swarm::up() else { return };
    ended_well(Process::start(&mut swarm.night("alone", false)));
    let machine = swarm.machine("2");
    let night = Process::start(&mut swarm.night("many", true));
    machine.event("begun");
    // Paused for longer than a job waits for its machine.
    machine.signal("-STOP");
    let second = swarm.night("other", true).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("coordinates this swarm already"), "{}", said(&second));
    night.signal("-KILL");
    drop(night);
    swarm.stop();
    swarm.start();
    machine.signal("-CONT");
    let night = Process::start(&mut swarm.night("many", true));
    machine.event("ended");
    // What has ended may be a run of the night that was killed. The server goes in the midst of this one.
    night.wait_for("run", |event| ["progress", "baseline", "trial"].iter().any(|name| event["event"] == *name));
    swarm.stop();
    swarm.start();
    ended_well(night);
    assert_eq!(swarm.results("many"), swarm.results("alone"));
}

#[test]
fn a_run_that_hangs_is_made_by_another_machine_too() {
    let Some(swarm) = Swarm::up() else { return };
    // So long that a run of it can be stopped.
    swarm.home.set("night.toml", "search.experiments", 4);
    ended_well(Process::start(&mut swarm.night("alone", false)));
    let mut hangs = swarm.machine("1");
    let night = Process::start(&mut swarm.night("many", true));
    // So many that the night knows how long a run takes. What the machine itself says goes on.
    (0..3).for_each(|_| drop(hangs.event("ended")));
    hangs.hang();
    let helps = swarm.machine("1");
    let note = night.wait_for("note", |event| event["text"].as_str().is_some_and(|text| text.contains("is slow with")));
    assert!(note["text"].as_str().unwrap().ends_with("another machine makes it too"), "{note}");
    helps.event("begun");
    hangs.event("taken-back");
    ended_well(night);
    assert_eq!(swarm.results("many"), swarm.results("alone"));
}

#[test]
fn machines_drain_and_are_kicked_by_name() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let (first, second) = (swarm.machine("3"), swarm.machine("1"));
    let status = lines(&swarm.swarm(&["status"])).pop().unwrap();
    let machines = status["machines"].as_array().unwrap();
    let mut jobs: Vec<u64> = machines.iter().map(|machine| machine["jobs"].as_u64().unwrap()).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, [1, 3], "{status}");
    for order in ["drain", "kick"] {
        let status = lines(&swarm.swarm(&["status"])).pop().unwrap();
        let works = |machine: &&Value| machine["is_draining"] == false;
        let name = status["machines"].as_array().unwrap().iter().find(works).unwrap()["machine"].as_str().unwrap();
        let said = lines(&swarm.swarm(&[order, name])).pop().unwrap();
        assert_eq!(said["machine"], name);
    }
    for machine in [first, second] {
        assert_eq!(machine.end().1, Some(0));
    }
    let nobody = swarm.swarm(&["kick", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("no machine or contributor of this swarm is called nobody"), "{}", said(&nobody));
}

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn pass(path: &Path, role: Role) -> Pass {
    Pass::read(path, &[role]).unwrap()
}

#[tokio::test]
async fn nobody_comes_in_without_a_pass_and_to_no_other_server() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let own = pass(&swarm.pass("machine.pass"), Role::Machine);
    assert!(Link::connect(&swarm.url(), own.clone(), |_| {}).await.is_ok());
    let forged = Pass { key: PrivateKey::of_seed(&[9; 32]), ..own.clone() };
    let error = Link::connect(&swarm.url(), forged, |_| {}).await.err().unwrap();
    assert!(matches!(error, SwarmError::NotLetIn { .. }), "{error}");
    // One that the pass does not know must not learn what this machine says.
    let elsewhere = Pass { certificate: nightlab::record::key::Hash([0; 32]), ..own };
    let error = Link::connect(&swarm.url(), elsewhere, |_| {}).await.err().unwrap();
    assert!(matches!(error, SwarmError::Unreachable { .. }), "{error}");
}

/// What a machine may do is in the night on machines. Here it tries the rest.
#[tokio::test]
async fn a_machine_has_no_more_rights_than_it_needs() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let machine = Link::connect(&swarm.url(), pass(&swarm.pass("machine.pass"), Role::Machine), |_| {}).await.unwrap();
    let owner = pass(&swarm.pass("coordinator.pass"), Role::Coordinator);
    let owner = Link::connect(&swarm.url(), owner, |_| {}).await.unwrap();
    let mut heard = owner.client.subscribe("swarm.>").await.unwrap();
    // What it says itself comes back when the server has heard of the subscription.
    owner.client.publish("swarm.said.first", "allowed".into()).await.unwrap();
    let mut next = async || tokio::time::timeout(PATIENCE, tokio_stream::StreamExt::next(&mut heard)).await;
    assert_eq!(next().await.unwrap().unwrap().subject.as_str(), "swarm.said.first");
    for subject in ["swarm.job.x", "swarm.stop", "swarm.roll", "swarm.order.x", "swarm.other", "swarm.said.a.b"] {
        machine.client.publish(subject, "forged".into()).await.unwrap();
    }
    // After all of them, so that what is heard first is this if they went nowhere.
    machine.client.publish("swarm.said.last", "allowed".into()).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap().subject.as_str(), "swarm.said.last");

    let streams = ["JOBS", "RECEIPTS", "OBJ_swarm-inputs", "OBJ_swarm-results", "KV_swarm-lease"];
    let acts =
        ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "CONSUMER.LIST"];
    let mut tried: Vec<String> =
        streams.iter().flat_map(|stream| acts.iter().map(move |act| format!("$JS.API.{act}.{stream}"))).collect();
    tried.extend(["STREAM.NAMES", "STREAM.LIST", "INFO"].map(|act| format!("$JS.API.{act}")));
    tried.extend(["JOBS", "RECEIPTS", "KV_swarm-lease"].map(|stream| format!("$JS.API.STREAM.MSG.GET.{stream}")));
    tried.extend(["JOBS", "RECEIPTS"].map(|stream| format!("$JS.API.CONSUMER.CREATE.{stream}.mine")));
    tried.extend(["$JS.API.CONSUMER.DELETE.JOBS.machines", "$JS.API.STREAM.CREATE.MINE"].map(String::from));
    tried.extend(["$O.swarm-inputs.M.x", "$O.swarm-inputs.C.x", "$KV.swarm-lease.coordinator"].map(String::from));
    tried.extend(["$SYS.REQ.SERVER.PING", "anything.else"].map(String::from));
    let mut all = tokio::task::JoinSet::new();
    for subject in tried {
        let client = machine.client.clone();
        all.spawn(async move {
            let answer =
                tokio::time::timeout(Duration::from_secs(3), client.request(subject.clone(), "{}".into())).await;
            (subject, matches!(answer, Ok(Ok(_))))
        });
    }
    while let Some(answered) = all.join_next().await {
        let (subject, is_answered) = answered.unwrap();
        assert!(!is_answered, "{subject} has an answer");
    }
    // It hears neither what others are told nor what others say.
    for subject in [">", "swarm.>", "swarm.job.*", "swarm.receipt.*", "_INBOX_coordinator.>", "$JS.>"] {
        let mut listens = machine.client.subscribe(subject).await.unwrap();
        owner.client.publish("swarm.receipt.x", "secret".into()).await.unwrap();
        owner.client.flush().await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(500), tokio_stream::StreamExt::next(&mut listens)).await;
        assert!(!matches!(heard, Ok(Some(_))), "{subject} is heard");
    }
    for stream in streams {
        assert!(owner.jetstream.get_stream(stream).await.is_ok(), "{stream} is gone");
    }
}

#[tokio::test]
async fn a_job_of_another_version_is_refused_with_a_sentence() {
    let Some(swarm) = Swarm::without_nights() else { return };
    let owner = pass(&swarm.pass("coordinator.pass"), Role::Coordinator);
    let owner = Link::connect(&swarm.url(), owner, |_| {}).await.unwrap();
    let put = |text: &'static str, key: &str| {
        let subject = format!("swarm.job.{}", key.repeat(64));
        let jetstream = owner.jetstream.clone();
        async move { jetstream.publish(subject, text.into()).await.unwrap().await.unwrap() }
    };
    put("nonsense", "a").await;
    let machine = swarm.machine("1");
    machine.wait_for("refusal", |event| event["text"].as_str().is_some_and(|text| text.contains("a job is refused")));
    put("nightlab job 2\nby: somebody\n", "b").await;
    let (said, code) = machine.end();
    assert_eq!(code, Some(1), "{said:#?}");
    let error = said.last().unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("install the same version of host on both machines"), "{error}");
}
