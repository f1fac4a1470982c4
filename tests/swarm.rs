//! Nights over many machines: a real server, machines as processes of their own, and what is left when some of them are
//! killed, away or not let in.

use crate::common::home::{Home, lines, said};
use nightlab::community::PrivateKey;
use nightlab::swarm::{Link, Pass, Role, SwarmError};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program of the server, or none with a message where there is none.
fn server_program() -> Option<PathBuf> {
    let named = std::env::var_os("HOST_TEST_NATS_SERVER").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = named.into_iter().chain(std::env::split_paths(&paths).map(|folder| folder.join("nats-server")));
    let found = found.find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: there is no nats-server on this machine; tests/README.md says how to run this test");
    }
    found
}

/// A process whose output is read as it comes. It is killed on drop.
struct Process {
    child: Child,
    lines: Receiver<Value>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines }
    }

    /// Waits for an event that fits.
    fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if fits(&event) => return event,
                Ok(event) => heard.push(event),
                Err(_) => panic!("no {what}, but {heard:#?}"),
            }
        }
    }

    fn event(&self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Everything that it says until its end, and its exit code.
    fn end(mut self) -> (Vec<Value>, Option<i32>) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        let code = self.child.wait().unwrap().code();
        (std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_secs(1)).ok()).collect(), code)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server with its keys in a home, and what runs there.
struct Swarm {
    home: Home,
    program: PathBuf,
    port: u16,
    server: Option<Process>,
}

impl Swarm {
    /// In a home whose night finds a gain; none where there is no server.
    fn up() -> Option<Self> {
        let program = server_program()?;
        let home = Home::new();
        // Enough for what `evolve` tries first to gain.
        home.write_policy("night.toml", 0.3, 3);
        home.set("night.toml", "selection.most_seeds", 6);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut swarm = Self { home, program, port, server: None };
        swarm.start();
        Some(swarm)
    }

    fn start(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let program = self.program.to_str().unwrap().to_owned();
        let args = ["--store", "many", "--json", "swarm", "up", "--listen", &listen, "--server", &program];
        let server = Process::start(&mut self.home.command(&args));
        let ready = server.wait_for("server", |event| event["url"].is_string());
        assert_eq!(ready["url"], self.url());
        self.server = Some(server);
    }

    /// Ends the server in order. Its children must not outlive it.
    fn stop(&mut self) {
        let server = self.server.take().unwrap();
        server.signal("-TERM");
        assert_eq!(server.end().1, Some(0));
    }

    fn url(&self) -> String {
        format!("tls://127.0.0.1:{}", self.port)
    }

    fn pass(&self, name: &str) -> PathBuf {
        self.home.path("many/swarm").join(name)
    }

    /// A machine that offers its cores.
    fn machine(&self, jobs: &str) -> Process {
        let (url, pass) = (self.url(), self.pass("machine.pass"));
        let args = ["--json", "--threads", "1", "--jobs", jobs, "work", &url, "--pass", pass.to_str().unwrap()];
        let machine = Process::start(&mut self.home.command(&args));
        machine.event("ready");
        machine
    }

    /// A night in a store: alone, or on machines.
    fn night(&self, store: &str, on_machines: bool) -> Command {
        let (url, pass) = (self.url(), self.pass("coordinator.pass"));
        let mut args = vec!["--store", store, "--json", "run", "--policy", "./night.toml"];
        if on_machines {
            args.extend(["--swarm", &url, "--pass", pass.to_str().unwrap()]);
        }
        self.home.command(&args)
    }

    /// Everything of a store that must not depend on who made its runs.
    fn results(&self, store: &str) -> Vec<Vec<String>> {
        let path = self.home.path(store).join("index.sqlite");
        let db = rusqlite::Connection::open(path).unwrap();
        let rows = |sql: &str| {
            let mut statement = db.prepare(sql).unwrap();
            let width = statement.column_count();
            let row = |row: &rusqlite::Row| (0..width).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect();
            let rows: Vec<Vec<String>> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
            rows.into_iter().map(|row| row.join(" ")).collect::<Vec<_>>()
        };
        vec![
            rows("SELECT key, outcome_hash, state_blob, val_bpb, causality FROM experiments ORDER BY rowid"),
            rows(
                "SELECT number, verdict, bpb, delta, p_better, reason, source_key, experiment_key FROM trials ORDER BY rowid",
            ),
            rows("SELECT * FROM runs ORDER BY rowid"),
            rows("SELECT experiment_key, split, bpb, purpose FROM scores ORDER BY rowid"),
        ]
    }

    fn swarm(&self, args: &[&str]) -> Output {
        let (url, pass) = (self.url(), self.pass("coordinator.pass"));
        let at = ["--swarm", &url, "--pass", pass.to_str().unwrap()];
        self.home.host(&[&["--json", "swarm"], args, &at].concat())
    }
}

fn ended_well(night: Process) -> Value {
    let (mut events, code) = night.end();
    assert_eq!(code, Some(0), "{events:#?}");
    events.pop().unwrap()
}

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
    swarm.stop();
    swarm.start();
    ended_well(night);
    assert_eq!(swarm.results("many"), swarm.results("alone"));
}

#[test]
fn machines_drain_and_are_kicked_by_name() {
    let Some(swarm) = Swarm::up() else { return };
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
    assert!(said(&nobody).contains("no machine of this swarm is called nobody"), "{}", said(&nobody));
}

fn pass(path: &Path, role: Role) -> Pass {
    Pass::read(path, role).unwrap()
}

#[tokio::test]
async fn nobody_comes_in_without_a_pass_and_to_no_other_server() {
    let Some(swarm) = Swarm::up() else { return };
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
    let Some(swarm) = Swarm::up() else { return };
    let machine = Link::connect(&swarm.url(), pass(&swarm.pass("machine.pass"), Role::Machine), |_| {}).await.unwrap();
    let owner = pass(&swarm.pass("coordinator.pass"), Role::Coordinator);
    let owner = Link::connect(&swarm.url(), owner, |_| {}).await.unwrap();
    let mut heard = owner.client.subscribe("swarm.>").await.unwrap();
    owner.client.flush().await.unwrap();
    for subject in ["swarm.job.x", "swarm.stop", "swarm.roll", "swarm.order.x", "swarm.other", "swarm.said.a.b"] {
        machine.client.publish(subject, "forged".into()).await.unwrap();
    }
    // After all of them, so that what is heard first is this if they went nowhere.
    machine.client.publish("swarm.said.last", "allowed".into()).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(20), tokio_stream::StreamExt::next(&mut heard)).await;
    assert_eq!(first.unwrap().unwrap().subject.as_str(), "swarm.said.last");

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
    let Some(swarm) = Swarm::up() else { return };
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
