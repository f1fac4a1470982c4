//! A swarm in a home: a real server, and nights and machines as processes of their own.

use super::home::Home;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A night on machines is several processes that train, so that one is there at a time. Who waits for its turn has been
/// running for minutes, as far as the suite says.
static ONE: Mutex<()> = Mutex::new(());

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
pub struct Process {
    child: Child,
    lines: Receiver<Value>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
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
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
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

    pub fn event(&self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills the processes that it has started.
    pub fn kill_children(&self) {
        self.signal_children("-KILL");
    }

    /// Pauses for good what it runs, and waits until it is sure that the run will not end: a child may have been at its
    /// end.
    pub fn hang(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until && !self.has_ended(), "nothing ran that could be stopped");
            self.lines.try_iter().for_each(drop);
            match self.signal_children("-STOP") {
                true => std::thread::sleep(Duration::from_secs(3)),
                false => std::thread::sleep(Duration::from_millis(20)),
            }
            if self.lines.try_iter().all(|event| event["event"] != "ended") && self.signal_children("-STOP") {
                return;
            }
        }
    }

    fn signal_children(&self, signal: &str) -> bool {
        let parent = self.child.id().to_string();
        Command::new("pkill").args([signal, "-P", &parent]).status().unwrap().success()
    }

    /// Everything that it says until its end, and its exit code.
    pub fn end(mut self) -> (Vec<Value>, Option<i32>) {
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
pub struct Swarm {
    pub home: Home,
    program: PathBuf,
    ip: &'static str,
    port: u16,
    server: Option<Process>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Swarm {
    /// In a home whose night finds a gain; none where there is no server.
    pub fn up() -> Option<Self> {
        Self::up_at("127.0.0.1")
    }

    /// With a server that listens at this address.
    pub fn up_at(ip: &'static str) -> Option<Self> {
        server_program()?;
        Self::of(ip, Some(ONE.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// For tests in which nothing trains, which need not wait for others.
    pub fn without_nights() -> Option<Self> {
        Self::of("127.0.0.1", None)
    }

    fn of(ip: &'static str, alone: Option<MutexGuard<'static, ()>>) -> Option<Self> {
        let program = server_program()?;
        let home = Home::new();
        // Enough for what `evolve` tries first to gain.
        home.write_policy("night.toml", 0.3, 2);
        home.set("night.toml", "selection.most_seeds", 6);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut swarm = Self { home, program, ip, port, server: None, _alone: alone };
        swarm.start();
        Some(swarm)
    }

    pub fn start(&mut self) {
        let listen = format!("{}:{}", self.ip, self.port);
        let program = self.program.to_str().unwrap().to_owned();
        let args = ["--store", "many", "--json", "swarm", "up", "--listen", &listen, "--server", &program];
        let server = Process::start(&mut self.home.command(&args));
        let ready = server.wait_for("server", |event| event["url"].is_string());
        assert_eq!(ready["url"], self.url());
        self.server = Some(server);
    }

    /// Ends the server in order. Its children must not outlive it.
    pub fn stop(&mut self) {
        let server = self.server.take().unwrap();
        server.signal("-TERM");
        assert_eq!(server.end().1, Some(0));
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("tls://127.0.0.1:{}", self.port)
    }

    pub fn pass(&self, name: &str) -> PathBuf {
        self.home.path("many/swarm").join(name)
    }

    /// A machine that offers its cores.
    pub fn machine(&self, jobs: &str) -> Process {
        let (url, pass) = (self.url(), self.pass("machine.pass"));
        let args = ["--json", "--threads", "1", "--jobs", jobs, "work", &url, "--pass", pass.to_str().unwrap()];
        let machine = Process::start(&mut self.home.command(&args));
        machine.event("ready");
        machine
    }

    /// Invites a contributor, and returns its pass.
    pub fn invite(&self, name: &str, quota: u32) -> PathBuf {
        let path = self.home.path(&format!("{name}.pass"));
        let said = self.swarm(&["invite", name, "--quota", &quota.to_string(), "--out", path.to_str().unwrap()]);
        assert_eq!(said.status.code(), Some(0), "{}", super::home::said(&said));
        path
    }

    /// What `host swarm status` says of a contributor.
    pub fn contributor(&self, name: &str) -> Value {
        let status = super::home::lines(&self.swarm(&["status"])).pop().unwrap();
        let all = status["contributors"].as_array().unwrap();
        all.iter().find(|contributor| contributor["name"] == name).unwrap().clone()
    }

    /// Waits until a contributor offers a machine.
    pub fn wait_for_machine_of(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.contributor(name)["machines"] == Value::Array(Vec::new()) {
            assert!(Instant::now() < until, "{name} offers no machine");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A night in a store: alone, or on machines.
    pub fn night(&self, store: &str, on_machines: bool) -> Command {
        let (url, pass) = (self.url(), self.pass("coordinator.pass"));
        let mut args = vec!["--store", store, "--json", "run", "--policy", "./night.toml"];
        if on_machines {
            args.extend(["--swarm", &url, "--pass", pass.to_str().unwrap()]);
        }
        self.home.command(&args)
    }

    /// Everything of a store that must not depend on who made its runs.
    pub fn results(&self, store: &str) -> Vec<Vec<String>> {
        let path = self.home.path(store).join("index.sqlite");
        let db = rusqlite::Connection::open(path).unwrap();
        let rows = |sql: &str| {
            let mut statement = db.prepare(sql).unwrap();
            let width = statement.column_count();
            let cell = |value: rusqlite::types::Value| match value {
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            let row = |row: &rusqlite::Row| (0..width).map(|i| row.get(i).map(cell)).collect();
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

    pub fn swarm(&self, args: &[&str]) -> Output {
        let (url, pass) = (self.url(), self.pass("coordinator.pass"));
        let at = ["--swarm", &url, "--pass", pass.to_str().unwrap()];
        self.home.host(&[&["--json", "swarm"], args, &at].concat())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal("-TERM");
            let _ = server.end();
        }
    }
}

pub fn ended_well(night: Process) -> Value {
    let (mut events, code) = night.end();
    assert_eq!(code, Some(0), "{events:#?}");
    events.pop().unwrap()
}
