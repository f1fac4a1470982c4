//! The lab as coding agents see it: the real server over real pipes, from an empty folder to a verdict; two agents on one
//! store; and clients that talk nonsense, change their mind, or vanish.

mod common;

use common::home::{Home, lines, said};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client: speaks JSON-RPC to a server that it started, and hears nothing else from it.
struct Agent {
    server: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    next: u64,
    progress: Vec<Value>,
}

impl Agent {
    /// Starts a server in a folder and greets it.
    fn start(command: Command, folder: &Path) -> Self {
        let mut agent = Self::mute(command, folder);
        let greeting = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "Test Agent", "version": "1" },
        });
        let hello = agent.request("initialize", greeting);
        assert_eq!(hello["result"]["serverInfo"]["name"], "host", "{hello}");
        agent.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        agent
    }

    fn mute(mut command: Command, folder: &Path) -> Self {
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let (send, from) = channel();
        let said = BufReader::new(server.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let message: Value =
                    serde_json::from_str(&line).unwrap_or_else(|e| panic!("not the protocol: {e}: {line}"));
                assert_eq!(message["jsonrpc"], "2.0");
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        Self { to: server.stdin.take(), server, from, next: 1, progress: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        let to = self.to.as_mut().unwrap();
        to.write_all(bytes).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush()).unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.write(message.to_string().as_bytes());
    }

    /// Sends a request; its number.
    fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The next message that is no progress; none where the server has nothing to say in time.
    fn hear(&mut self, patience: Duration) -> Option<Value> {
        let deadline = Instant::now() + patience;
        loop {
            match self.from.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) if message["method"] == "notifications/progress" => {
                    self.progress.push(message["params"].clone());
                }
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn answer(&mut self, id: u64) -> Value {
        let message = self.hear(PATIENCE).unwrap_or_else(|| panic!("no answer to {id}"));
        assert_eq!(message["id"], id, "{message}");
        message
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.answer(id)
    }

    /// Calls a tool; its result.
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert!(answer["result"]["content"][0]["text"].is_string(), "{tool}: {answer}");
        answer["result"].clone()
    }

    fn good(&mut self, tool: &str, arguments: Value) -> (String, Value) {
        let result = self.call(tool, arguments);
        assert_ne!(result["isError"], true, "{tool}: {result}");
        (result["content"][0]["text"].as_str().unwrap().to_owned(), result["structuredContent"].clone())
    }

    fn bad(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Starts a `try` that tells its progress, and waits until it has something to tell.
    fn begin_try(&mut self, source: &str) -> u64 {
        let meta = json!({ "progressToken": 7 });
        let id = self.ask("tools/call", json!({ "name": "try", "arguments": { "source": source }, "_meta": meta }));
        let deadline = Instant::now() + PATIENCE;
        let trains = |progress: &Value| progress["message"].as_str().is_some_and(|text| text.contains("step"));
        while !self.progress.iter().any(trains) {
            assert!(Instant::now() < deadline, "nothing was trained: {:?}", self.progress);
            let other = self.hear(Duration::from_millis(100));
            assert!(other.is_none(), "{other:?}");
        }
        id
    }

    /// Closes the connection; how the server ended.
    fn leave(&mut self) -> ExitStatus {
        self.to = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.server.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server outlives its client");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn tiny(rate: &str) -> String {
    common::guest("guests/tiny").replace("LR: f32 = 0.02", &format!("LR: f32 = {rate}"))
}

fn agent(home: &Home) -> Agent {
    Agent::start(home.command(&["mcp", "--policy", "night.toml"]), &home.path("."))
}

#[test]
fn an_agent_runs_the_whole_loop_from_an_empty_folder() {
    let home = Home::new();
    let made = home.host(&["init", "lab"]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let again = home.host(&["init", "lab"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("already has program.md, policy.toml"), "{}", said(&again));
    let checked = home.host(&["policy", "check", "lab/policy.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    home.write_policy("lab/policy.toml", 0.1, 2);
    let lab = home.path("lab");
    std::fs::write(lab.join("program.md"), "# Mine\n\nFewer bits.\n").unwrap();
    // The server is started as the lab's own file says.
    let config: Value = serde_json::from_str(&std::fs::read_to_string(lab.join(".mcp.json")).unwrap()).unwrap();
    let server = &config["mcpServers"]["host"];
    assert_eq!(server["command"], "host");
    let arguments: Vec<&str> = server["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut agent = Agent::start(home.command(&arguments), &lab);

    let listed = agent.request("tools/list", json!({}));
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["brief", "reference", "champion", "ideas", "trial", "dry_run", "try", "night"]);
    assert!(agent.good("brief", json!({})).0.contains("Fewer bits."));
    assert!(agent.good("reference", json!({ "find": "rms_norm" })).0.contains("rms_norm"));
    let (text, champion) = agent.good("champion", json!({}));
    assert!(text.contains("not measured yet") && text.contains("the budget goes to: "), "{text}");
    assert_eq!(champion["source"], common::guest("guests/tiny"));
    assert_eq!(agent.good("dry_run", json!({ "source": champion["source"] })).1["repeats"], 0);

    let broken = tiny("0.03").replace("[2 * width, width]", "[2 * width, 3]");
    let fault = agent.bad("dry_run", json!({ "source": broken }));
    assert!(fault.contains("train.rs:") && fault.contains("call `dry_run` again"), "{fault}");
    let fault = agent.bad("try", json!({ "source": broken }));
    assert!(fault.contains("Nothing was trained"), "{fault}");
    std::fs::write(lab.join("train.rs"), tiny("0.03")).unwrap();
    let (_, facts) = agent.good("dry_run", json!({ "file": "train.rs" }));
    assert!(facts["facts"]["steps"].as_u64().unwrap() > 0 && facts["repeats"].is_null(), "{facts}");

    let (text, tried) = agent.good("try", json!({ "file": "train.rs", "hypothesis": "a larger rate\nlearns faster" }));
    assert!(["keep", "discard", "noise"].contains(&tried["verdict"].as_str().unwrap()), "{tried}");
    assert!(text.contains("LR 0.02 → 0.03"), "{text}");
    let (_, again) = agent.good("try", json!({ "source": tiny("0.03") }));
    assert_eq!(again["verdict"], "same");
    let (_, ideas) = agent.good("ideas", json!({}));
    assert_eq!(ideas["ideas"][0]["hypothesis"], "a larger rate");
    assert_eq!(ideas["ideas"][0]["proposer"], "mcp.testagent");
    assert_eq!(agent.good("trial", json!({ "number": 1 })).1["source"], tiny("0.03"));
    let (text, night) = agent.good("night", json!({}));
    assert_eq!((&night["trials"], &night["log"][1]["verdict"]), (&json!(2), &json!("same")), "{text}");
    assert!(night["noise_floor"].as_f64().unwrap() > 0.0 && !text.contains("not measured"), "{text}");
    assert!(agent.leave().success());
}

#[test]
fn two_agents_share_one_store() {
    let home = Home::new();
    let (mut one, mut two) = (agent(&home), agent(&home));
    let ids: Vec<(u64, u64)> = ["0.021", "0.022"]
        .iter()
        .zip(["0.031", "0.032"])
        .map(|(a, b)| {
            let ask = |source: String| json!({ "name": "try", "arguments": { "source": source } });
            (one.ask("tools/call", ask(tiny(a))), two.ask("tools/call", ask(tiny(b))))
        })
        .collect();
    let mut numbers = Vec::new();
    for _ in &ids {
        for agent in [&mut one, &mut two] {
            let answer = agent.hear(PATIENCE).expect("an answer");
            numbers.push(answer["result"]["structuredContent"]["trial"].as_u64().unwrap_or_else(|| panic!("{answer}")));
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(one.good("night", json!({})).1["trials"], 4);
    let log = lines(&home.host(&["log", "--json"]));
    assert_eq!(log.iter().map(|trial| trial["number"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn nonsense_is_answered_or_passed_over() {
    let home = Home::new();
    let mut agent = agent(&home);
    for line in ["{", "not json", "", "\u{0}\u{1b}[2J", "{\"jsonrpc\":\"2.0\"", "[[[[[[[["] {
        agent.write(line.as_bytes());
    }
    agent.write(&vec![b'x'; 17 << 20]);
    assert!(agent.request("ping", json!({}))["result"].is_object());
    let unknown = agent.request("tools/call", json!({ "name": "rm", "arguments": {} }));
    assert!(
        unknown["error"]["message"].as_str().unwrap().contains("no tool is called `rm`: there are brief"),
        "{unknown}"
    );
    assert!(agent.request("no/such", json!({}))["error"].is_object());

    assert!(agent.bad("dry_run", json!({ "sorce": "x" })).contains("unknown field `sorce`"));
    assert!(agent.bad("dry_run", json!({})).contains("give either `source`"));
    assert!(agent.bad("dry_run", json!({ "source": "x", "file": "train.rs" })).contains("give either `source`"));
    assert!(agent.bad("try", json!({ "source": 7 })).contains("invalid type"));
    assert!(agent.bad("trial", json!({ "number": 99 })).contains("there is no trial 99"));
    assert!(agent.bad("reference", json!({ "find": "zzzzzz\u{1b}" })).contains("nothing in the reference"));
    let huge = agent.bad("dry_run", json!({ "source": "x".repeat(3 << 20) }));
    assert!(huge.contains("the limit is 262144"), "{huge}");
    let syntax = agent.bad("dry_run", json!({ "source": "fn train( {" }));
    assert!(syntax.contains("train.rs:1:"), "{syntax}");
    for (path, wanted) in
        [("/etc/passwd", "leaves the folder"), ("../x", "leaves the folder"), ("words", "no plain file")]
    {
        let refused = agent.bad("try", json!({ "file": path }));
        assert!(refused.contains(wanted), "{path}: {refused}");
    }
    std::os::unix::fs::symlink("/etc/passwd", home.path("link.rs")).unwrap();
    assert!(agent.bad("dry_run", json!({ "file": "link.rs" })).contains("symbolic link"));
    assert_eq!(agent.good("night", json!({ "last": 4_000_000 })).1["trials"], 0);
}

#[test]
fn a_cancelled_try_leaves_nothing_and_the_server_goes_on() {
    let home = Home::new();
    home.write_policy("night.toml", 5.0, 2);
    let mut agent = agent(&home);
    let id = agent.begin_try(&tiny("0.03"));
    let told: Vec<f64> = agent.progress.iter().map(|progress| progress["progress"].as_f64().unwrap()).collect();
    assert!(agent.progress.iter().all(|progress| progress["progressToken"] == 7), "{:?}", agent.progress);
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    agent.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } }));
    let started = Instant::now();
    assert_eq!(agent.good("night", json!({})).1["trials"], 0);
    assert!(agent.leave().success());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_client_that_vanishes_takes_its_try_along() {
    let home = Home::new();
    home.write_policy("night.toml", 5.0, 2);
    let mut gone = agent(&home);
    gone.begin_try(&tiny("0.03"));
    let started = Instant::now();
    gone.leave();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(lines(&home.host(&["log", "--json"])).is_empty());
    // The lock is free again.
    let collected = home.host(&["store", "gc"]);
    assert_eq!(collected.status.code(), Some(0), "{}", said(&collected));
}

#[test]
fn without_a_client_or_a_policy_the_error_is_not_on_the_protocols_stream() {
    let home = Home::new();
    for (arguments, wanted) in
        [(&["mcp"][..], "no MCP client"), (&["mcp", "--policy", "no.toml"], "cannot read no.toml")]
    {
        let output = home.command(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(String::from_utf8_lossy(&output.stderr).contains(wanted), "{}", said(&output));
    }
}
