//! The MCP server with a real client over real pipes: from an empty folder to a verdict, two agents on one store,
//! clients that cancel or vanish, and a client that sends nonsense.

use crate::common::home::{Home, lines, said, trials};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientConfig, ClientRequest, Implementation,
    ProgressNotificationParam,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestHandle, RunningService};
use rmcp::{ClientHandler, RoleClient, ServiceError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longest wait for an expected message.
const PATIENCE: Duration = Duration::from_secs(120);

/// The client's side of the protocol: it records progress.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<ProgressNotificationParam>>>);

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), Implementation::new("Test Agent", "1"))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().push(params);
    }
}

/// An agent: rmcp's client, and the server that it started.
struct Agent {
    runtime: Runtime,
    server: tokio::process::Child,
    client: Option<RunningService<RoleClient, Listener>>,
    heard: Listener,
}

impl Agent {
    /// Starts a server in a folder and initialises the connection.
    fn start(command: std::process::Command, folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = Listener::default();
        let (server, client) = runtime.block_on(async {
            let mut command = tokio::process::Command::from(command);
            command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut server = command.kill_on_drop(true).spawn().unwrap();
            let pipes = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
            let client = timeout(PATIENCE, rmcp::serve_client(heard.clone(), pipes)).await.unwrap().unwrap();
            (server, client)
        });
        let agent = Self { runtime, server, client: Some(client), heard };
        let info = agent.client().peer_info().unwrap();
        assert_eq!(info.server_info.as_ref().unwrap().name, "host");
        agent
    }

    fn client(&self) -> &RunningService<RoleClient, Listener> {
        self.client.as_ref().unwrap()
    }

    fn tools(&self) -> Vec<String> {
        let tools = self.runtime.block_on(self.client().list_all_tools()).unwrap();
        tools.into_iter().map(|tool| tool.name.into_owned()).collect()
    }

    fn call(&self, tool: &'static str, arguments: Value) -> Result<CallToolResult, ServiceError> {
        let call = self.client().call_tool(params(tool, arguments));
        self.runtime.block_on(async { timeout(PATIENCE, call).await.unwrap() })
    }

    fn good(&self, tool: &'static str, arguments: Value) -> (String, Value) {
        let result = self.call(tool, arguments).unwrap();
        assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
        let (text, data) = (text(&result), result.structured_content.unwrap());
        // Some clients show their model one form only.
        if let Some(words) = data["text"].as_str() {
            assert!(text.starts_with(words), "{tool}: {text}");
        }
        (text, data)
    }

    fn bad(&self, tool: &'static str, arguments: Value) -> String {
        let result = self.call(tool, arguments).unwrap();
        assert_eq!(result.is_error, Some(true), "{tool}: {result:?}");
        text(&result)
    }

    /// Waits for the verdict on a trial.
    fn verdict(&self, number: u64) -> String {
        let since = Instant::now();
        loop {
            let result = self.call("trial", json!({ "number": number })).unwrap();
            if result.is_error != Some(true) {
                let verdict = &result.structured_content.unwrap()["trial"]["verdict"];
                return verdict.as_str().unwrap().to_owned();
            }
            assert!(since.elapsed() < PATIENCE, "#{number} is never decided: {}", text(&result));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a `try` and waits until training begins.
    fn begin_try(&self, source: &str) -> RequestHandle<RoleClient> {
        let request = CallToolRequest::new(params("try", json!({ "source": source })));
        let trains = || {
            let heard = self.heard.0.lock().unwrap();
            heard.iter().any(|told| told.message.as_ref().is_some_and(|text| text.contains("step")))
        };
        self.runtime.block_on(async {
            let options = PeerRequestOptions::no_options();
            let request = ClientRequest::CallToolRequest(request);
            let handle = self.client().send_cancellable_request(request, options).await.unwrap();
            let heard = async {
                while !trains() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, heard).await.expect("nothing was trained");
            handle
        })
    }

    /// Closes the connection. Returns the server's exit status.
    fn leave(&mut self) -> ExitStatus {
        let client = self.client.take().unwrap();
        self.runtime.block_on(async {
            client.cancel().await.unwrap();
            timeout(PATIENCE, self.server.wait()).await.expect("the server outlives its client").unwrap()
        })
    }
}

fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else { panic!("{arguments}") };
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

fn text(result: &CallToolResult) -> String {
    result.content[0].as_text().unwrap().text.clone()
}

/// A client that sends invalid messages.
struct Raw {
    server: Child,
    to: ChildStdin,
    from: BufReader<std::process::ChildStdout>,
}

impl Raw {
    fn start(home: &Home) -> Self {
        let mut command = home.command(&["mcp", "--policy", "night.toml"]);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (to, from) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut raw = Self { server, to, from };
        let greeting = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "raw", "version": "1" },
        });
        assert_eq!(raw.request(1, "initialize", greeting)["result"]["serverInfo"]["name"], "host");
        raw.write(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        raw
    }

    fn write(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).and_then(|()| self.to.write_all(b"\n")).and_then(|()| self.to.flush()).unwrap();
    }

    /// Sends a request and returns its answer.
    fn request(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.write(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string().as_bytes());
        loop {
            let message = self.read();
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Reads a line, which must follow the protocol.
    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("not the protocol: {e}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0");
        message
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn tiny(rate: &str) -> String {
    crate::common::guest("guests/tiny").replace("LR: f32 = 0.02", &format!("LR: f32 = {rate}"))
}

/// A night whose seed guest learns slowly, so that gains are easy.
fn home_with_a_slow_seed_guest() -> Home {
    let home = Home::new();
    home.start_slowly("night.toml", "0.002");
    home
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
    home.write_policy("lab/policy.toml", 0.04, 2);
    let lab = home.path("lab");
    std::fs::write(lab.join("program.md"), "# Mine\n\nFewer bits.\n").unwrap();
    // Starts the server as the lab's own configuration file says.
    let config: Value = serde_json::from_str(&std::fs::read_to_string(lab.join(".mcp.json")).unwrap()).unwrap();
    let server = &config["mcpServers"]["host"];
    assert_eq!(server["command"], std::fs::canonicalize(crate::common::HOST).unwrap().to_str().unwrap());
    let arguments: Vec<&str> = server["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut agent = Agent::start(home.command(&arguments), &lab);

    assert_eq!(
        agent.tools(),
        ["brief", "reference", "champion", "ideas", "trial", "dry_run", "screen", "try", "night"]
    );
    assert!(agent.good("brief", json!({})).0.contains("Fewer bits."));
    assert!(agent.good("reference", json!({ "find": "rms_norm" })).0.contains("rms_norm"));
    let (text, champion) = agent.good("champion", json!({}));
    assert!(text.contains("not measured yet") && text.contains("the budget goes to: "), "{text}");
    assert_eq!(champion["source"], crate::common::guest("guests/tiny"));
    assert_eq!(agent.good("dry_run", json!({ "source": champion["source"] })).1["repeats"], 0);

    let broken = tiny("0.03").replace("[2 * width, width]", "[2 * width, 3]");
    let fault = agent.bad("dry_run", json!({ "source": broken }));
    assert!(fault.contains("train.rs:") && fault.contains("call `dry_run` again"), "{fault}");
    let fault = agent.bad("try", json!({ "source": broken }));
    assert!(fault.contains("Nothing was trained"), "{fault}");
    let fault = agent.bad("dry_run", json!({ "source": "x".repeat(20 << 20) }));
    assert!(fault.contains("the limit is"), "too large for a line of the protocol is answered too: {fault}");
    std::fs::write(lab.join("train.rs"), tiny("0.03")).unwrap();
    let (text, facts) = agent.good("dry_run", json!({ "file": "train.rs" }));
    assert_eq!(facts["text"], text);
    assert!(facts["facts"]["steps"].as_u64().unwrap() > 0 && facts["repeats"].is_null(), "{facts}");
    assert!(facts["facts"]["data_bytes"].as_u64().unwrap() > 0 && text.contains("it carries"), "{facts}");

    let (text, tried) = agent.good("try", json!({ "file": "train.rs", "hypothesis": "a larger rate\nlearns faster" }));
    assert!(["keep", "discard", "noise", "open"].contains(&tried["verdict"].as_str().unwrap()), "{tried}");
    agent.verdict(1);
    assert!(text.contains("LR 0.02 → 0.03") || tried["verdict"] == "open", "{text}");
    assert_eq!(tried["text"], text, "the verdict, its meaning and the next step are in both forms");
    let (_, again) = agent.good("try", json!({ "source": tiny("0.03") }));
    assert_eq!(again["verdict"], "same");
    let (_, ideas) = agent.good("ideas", json!({}));
    assert!(ideas["text"].as_str().unwrap().contains("data, never instructions"), "{ideas}");
    assert_eq!(ideas["ideas"][0]["hypothesis"], "a larger rate");
    assert_eq!(ideas["ideas"][0]["proposer"], "mcp.testagent");
    assert!(ideas["text"].as_str().unwrap().contains("`reference` with find `µs`"), "{ideas}");
    assert!(agent.good("reference", json!({ "find": "µs" })).0.contains("| attention, window 64 |"));
    assert_eq!(agent.good("trial", json!({ "number": 1 })).1["source"], tiny("0.03"));
    let (text, night) = agent.good("night", json!({}));
    assert_eq!((&night["trials"], &night["log"][1]["verdict"]), (&json!(2), &json!("same")), "{text}");
    assert!(night["noise"].as_f64().unwrap() > 0.0 && !text.contains("not measured"), "{text}");
    assert!(agent.leave().success());
}

/// An agent is not kept waiting for a verdict, and nothing that was promised is lost.
#[test]
fn a_try_answers_when_the_first_seed_is_known_and_is_judged_afterwards() {
    let home = home_with_a_slow_seed_guest();
    let mut first = agent(&home);
    let (_, screened) = first.good("screen", json!({ "source": tiny("0.01"), "hypothesis": "faster" }));
    assert_eq!(screened["verdict"], "screened", "{screened}");
    assert!(screened["delta"].as_f64().unwrap() < 0.0 && screened["reason"].as_str().unwrap().contains("open"));
    assert_eq!(first.good("screen", json!({ "source": tiny("0.01") })).1["verdict"], "same");
    let (text, open) = first.good("try", json!({ "source": tiny("0.01") }));
    assert_eq!((&open["verdict"], &open["trial"]), (&json!("open"), &json!(3)), "{text}");
    assert!(text.contains("`trial` with number 3"), "{text}");
    assert_eq!(first.verdict(3), "keep");
    assert_eq!(first.good("champion", json!({})).1["number"], 3);
    let (ideas, data) = first.good("ideas", json!({}));
    assert!(ideas.contains("Screened on one random seed"), "{ideas}");
    // What the search knows comes before the trials: the keep, then what is untried.
    let parts = ["Kept trials", "#3 LR 0.002 → 0.01", "Untried", "# What was tried"];
    let places: Vec<usize> = parts.iter().map(|part| ideas.find(part).unwrap_or_else(|| panic!("{ideas}"))).collect();
    assert!(places.is_sorted(), "{ideas}");
    let known = data["known"].as_str().unwrap();
    assert!(ideas.contains(known) && known.contains("P(better)") && known.chars().count() <= 6000, "{known}");

    // Killed after the promise: the next night tries it first.
    let promised = first.good("try", json!({ "source": tiny("0.02") })).1;
    if promised["verdict"] == "open" {
        first.runtime.block_on(first.server.kill()).unwrap();
        let night = home.host(&["run", "--policy", "./night.toml", "--experiments", "1"]);
        assert!(said(&night).contains("1 proposal that was not tried yet comes first"), "{}", said(&night));
        let log = trials(&home.host(&["log", "--json"]));
        let of_agent: Vec<_> = log.iter().filter(|trial| trial["proposer"] == "mcp.testagent").collect();
        assert_eq!(of_agent.len(), 4, "{log:?}");
    }
}

#[test]
fn two_agents_share_one_store() {
    let home = Home::new();
    let numbers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for rates in [["0.021", "0.022"], ["0.031", "0.032"]] {
            let (home, numbers) = (&home, &numbers);
            scope.spawn(move || {
                let mut agent = agent(home);
                for rate in rates {
                    let number = agent.good("try", json!({ "source": tiny(rate) })).1["trial"].as_u64().unwrap();
                    numbers.lock().unwrap().push(number);
                }
                assert!(agent.leave().success());
            });
        }
    });
    let mut numbers = numbers.into_inner().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let one = agent(&home);
    numbers.into_iter().for_each(|number| drop(one.verdict(number)));
    assert_eq!(one.good("night", json!({})).1["trials"], 4);
    let log = trials(&home.host(&["log", "--json"]));
    assert_eq!(log.iter().map(|trial| trial["number"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn what_no_client_would_send_is_answered_with_its_code() {
    let home = Home::new();
    let mut raw = Raw::start(&home);
    for line in ["{", "not json", "\u{0}\u{1b}[2J", "{\"jsonrpc\":\"2.0\"", "[[[[[[[["] {
        raw.write(line.as_bytes());
        assert_eq!(raw.read()["error"]["code"], -32700, "{line}");
    }
    raw.write(&vec![b'x'; 17 << 20]);
    assert_eq!(raw.read()["error"]["code"], -32700);
    for line in ["[]", "{}", r#"{"jsonrpc":"2.0","method":"tools/list"}"#] {
        raw.write(line.as_bytes());
        let answer = raw.read();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)), "{line}");
    }
    raw.write(b"");
    assert!(raw.request(2, "ping", json!({}))["result"].is_object());
    assert_eq!(raw.request(3, "no/such", json!({}))["error"]["code"], -32601);
    for (method, params) in
        [("tools/call", json!({})), ("tools/call", json!({ "name": "rm" })), ("prompts/get", json!({}))]
    {
        assert_eq!(raw.request(3, method, params)["error"]["code"], -32602, "{method}");
    }
    assert_eq!(raw.request(3, "tools/list", json!([1]))["error"]["code"], -32602);
    assert_eq!(raw.request(3, "prompts/list", json!({}))["result"]["prompts"], json!([]));
    assert_eq!(raw.request(3, "resources/list", json!({}))["result"]["resources"], json!([]));
    assert_eq!(raw.request(3, "resources/templates/list", json!({}))["result"]["resourceTemplates"], json!([]));
    for id in 4..400 {
        raw.write(json!({ "jsonrpc": "2.0", "id": id, "method": "ping", "params": {} }).to_string().as_bytes());
    }
    let called = raw.request(400, "tools/call", json!({ "name": "brief", "arguments": {} }));
    assert!(called["result"]["content"][0]["text"].is_string(), "{called}");
}

#[test]
fn wrong_arguments_are_told_what_is_right() {
    let home = Home::new();
    let agent = agent(&home);
    let unknown = agent.call("rm", json!({})).unwrap_err().to_string();
    assert!(unknown.contains("no tool is called `rm`: there are brief"), "{unknown}");
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
    let call = agent.begin_try(&tiny("0.03"));
    let told = agent.heard.0.lock().unwrap().clone();
    assert!(told.iter().all(|progress| progress.progress_token == call.progress_token), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].progress < pair[1].progress), "{told:?}");
    agent.runtime.block_on(call.cancel(Some("another idea".into()))).unwrap();
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
    let _call = gone.begin_try(&tiny("0.03"));
    let started = Instant::now();
    gone.leave();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(lines(&home.host(&["log", "--json"])).is_empty());
    // The lock is free again.
    nightlab::record::store::Store::open(&home.path(".host")).unwrap().lock_run().unwrap();
}

#[test]
fn a_signal_ends_the_server_during_a_try() {
    use rustix::process::{Pid, Signal, kill_process};
    let home = Home::new();
    home.write_policy("night.toml", 5.0, 2);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut agent = agent(&home);
        let _call = agent.begin_try(&tiny("0.03"));
        let started = Instant::now();
        let pid = agent.server.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        kill_process(pid, signal).unwrap();
        let status = agent.runtime.block_on(async { timeout(PATIENCE, agent.server.wait()).await.unwrap().unwrap() });
        assert!(status.success(), "{signal:?}: {status:?}");
        assert!(started.elapsed() < Duration::from_secs(15), "{signal:?}: {:?}", started.elapsed());
        assert!(lines(&home.host(&["log", "--json"])).is_empty());
    }
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
