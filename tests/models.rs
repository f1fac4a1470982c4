//! Language models over real HTTP, with a server that behaves well or badly.

use crate::common::model_server::{ModelServer, Part, Reply, Request, TOKENS_IN, TOKENS_OUT, streamed, whole};
use nightlab::propose::llm::{AskError, Class, Dialect, Model, ModelConfig, Phase, Response, Writer};
use nightlab::propose::prompt::Prompt;
use nightlab::propose::proposer::{
    Desk, Failed, Ledger, Parent, Proposal, ProposeError, Proposer, Reservation, Situation,
};
use nightlab::record::facts::Facts;
use nightlab::record::key::{ContextKey, TaskHash};
use nightlab::record::spend::{Exchange, Spend};
use nightlab::record::stage::Stage;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BOTH: [Dialect; 2] = [Dialect::Anthropic, Dialect::Openai];
const KEY: &str = "sk-test-0123456789abcdef";

/// Longer than one event.
const ANSWER: &str = "Hypothesis: a longer warm-down.\n```rust\nfn main() {} // naïve → ünï\n```\n";

fn question() -> Prompt {
    Prompt { system: "You write mutations.".into(), text: "Change one thing.".into() }
}

/// A ledger in memory, with one cap.
#[derive(Default)]
struct Accounts {
    cap: Option<Spend>,
    spent: Spend,
    exchanges: Vec<Exchange>,
}

impl Ledger for Accounts {
    fn reserve(&mut self, worst: &Spend) -> Result<Reservation, ProposeError> {
        let total = self.spent.plus(worst);
        let fits = self.cap.is_none_or(|cap| {
            total.requests <= cap.requests && total.tokens() <= cap.tokens() && total.micro_dollars <= cap.micro_dollars
        });
        if fits { Ok(Reservation(0)) } else { Err(ProposeError::Stop("cap".into())) }
    }

    fn settle(&mut self, _: Reservation, exchange: &Exchange) -> Result<(), ProposeError> {
        self.spent = self.spent.plus(&exchange.spend);
        self.exchanges.push(exchange.clone());
        Ok(())
    }
}

/// Result of a request.
struct Asked {
    result: Result<Response, AskError>,
    spent: Spend,
    exchanges: Vec<Exchange>,
}

fn ask_within(model: &Model, cap: Option<Spend>, cancelled: &AtomicBool) -> Asked {
    let mut accounts = Accounts { cap, ..Accounts::default() };
    let result = model.ask(&question(), &mut Desk { ledger: &mut accounts, cancelled });
    Asked { result, spent: accounts.spent, exchanges: accounts.exchanges }
}

fn ask(config: &ModelConfig) -> Asked {
    ask_within(&Model::open(config).unwrap(), None, &AtomicBool::new(false))
}

/// Asks a server once, which sends this reply. There is no second try.
fn once(dialect: Dialect, reply: Reply) -> Asked {
    let server = ModelServer::scripted(dialect, vec![reply]);
    ask(&ModelConfig { tries: 1, ..server.config() })
}

fn failure(dialect: Dialect, reply: Reply) -> AskError {
    once(dialect, reply).result.unwrap_err()
}

fn parts(parts: Vec<Part>) -> Reply {
    Reply::Parts("text/event-stream", parts)
}

fn status(code: u16, body: &str) -> Reply {
    Reply::Status(code, Vec::new(), body.into())
}

/// A configuration with a key in a private file.
fn keyed(server: &ModelServer, folder: &tempfile::TempDir) -> ModelConfig {
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    ModelConfig { key_file: Some(path.display().to_string()), ..server.config() }
}

#[test]
fn a_streamed_and_a_whole_answer_are_the_same() {
    for dialect in BOTH {
        for reply in [Reply::Say(ANSWER.into()), Reply::Whole(ANSWER.into())] {
            let asked = once(dialect, reply);
            assert_eq!(asked.result.unwrap().text, ANSWER);
            let spent = Spend { requests: 1, input_tokens: TOKENS_IN, output_tokens: TOKENS_OUT, micro_dollars: 0 };
            assert_eq!(asked.spent, spent);
        }
        let asked = once(dialect, Reply::SayUncounted(ANSWER.into()));
        assert_eq!(asked.spent.output_tokens, (ANSWER.len() as u64).div_ceil(4));
    }
}

#[test]
fn requests_are_as_the_dialect_has_them() {
    let folder = tempfile::tempdir().unwrap();
    for dialect in BOTH {
        let server = ModelServer::scripted(dialect, vec![Reply::Say(ANSWER.into())]);
        let config = ModelConfig { temperature: Some(0.7), max_output_tokens: 777, ..keyed(&server, &folder) };
        ask(&config).result.unwrap();
        let requests = server.requests();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.words().trim(), "You write mutations.\nChange one thing.");
        assert_eq!(request.body["max_tokens"], 777);
        assert_eq!(request.body["temperature"], 0.7);
        assert_eq!(request.body["model"], "test-model");
        assert_eq!(request.body["stream"], true);
        match dialect {
            Dialect::Anthropic => {
                assert_eq!(request.path, "/v1/messages");
                assert_eq!(request.header("x-api-key"), Some(KEY));
                assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
                assert_eq!(request.header("authorization"), None);
            }
            Dialect::Openai => {
                assert_eq!(request.path, "/v1/chat/completions");
                assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
                assert_eq!(request.header("x-api-key"), None);
            }
        }
        let model = Model::open(&config).unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&model.body(&question()).unwrap()).unwrap(),
            request.body
        );
        assert!(!format!("{model:?}").contains("sk-test"));
    }
}

#[test]
fn a_key_that_a_server_repeats_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = ModelServer::scripted(
        Dialect::Openai,
        vec![status(401, &format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#)), Reply::Say(format!("it is {KEY}"))],
    );
    let config = keyed(&server, &folder);
    let refused = ask(&config).result.unwrap_err();
    assert_eq!(refused.class(), Class::Stop);
    assert!(refused.to_string().contains("bad key [key]"), "{refused}");
    assert_eq!(ask(&config).result.unwrap().text, "it is [key]");
}

#[test]
fn what_only_a_person_can_mend_is_not_tried_again() {
    for dialect in BOTH {
        for (code, body) in [(401, "no"), (403, "no"), (402, "pay"), (404, r#"{"error":"model 'x' not found"}"#)] {
            let server = ModelServer::scripted(dialect, vec![status(code, body)]);
            let asked = ask(&server.config());
            assert_eq!(asked.result.unwrap_err().class(), Class::Stop, "{code}");
            assert_eq!(server.requests().len(), 1);
            assert_eq!(asked.spent, Spend { requests: 1, ..Spend::default() });
        }
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    for dialect in BOTH {
        let replies = vec![
            Reply::Status(429, vec![("retry-after", "0.05".into())], "slow down".into()),
            status(500, "oops"),
            Reply::Close,
            Reply::Say(ANSWER.into()),
        ];
        let server = ModelServer::scripted(dialect, replies);
        let began = Instant::now();
        let asked = ask(&server.config());
        assert_eq!(asked.result.unwrap().text, ANSWER);
        assert!(began.elapsed() >= Duration::from_millis(50), "Retry-After was not kept");
        assert_eq!((server.requests().len(), asked.spent.requests), (4, 4));
    }
}

#[test]
fn tries_are_counted_and_a_long_wait_is_not_waited() {
    let server = ModelServer::scripted(Dialect::Openai, vec![status(503, "Loading model")]);
    let error = ask(&server.config()).result.unwrap_err();
    assert_eq!((server.requests().len(), error.class()), (4, Class::Retry));

    let server = ModelServer::scripted(
        Dialect::Openai,
        vec![Reply::Status(429, vec![("retry-after", "3600".into())], String::new())],
    );
    let error = ask(&server.config()).result.unwrap_err();
    assert_eq!((server.requests().len(), error.retry_after()), (1, Some(Duration::from_secs(3600))));
    assert_eq!(error.class(), Class::Retry);
}

fn moved(code: u16, to: &str) -> Reply {
    Reply::Status(code, vec![("location", to.into())], String::new())
}

#[test]
fn a_redirect_to_another_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for dialect in BOTH {
        let elsewhere = ModelServer::scripted(dialect, vec![Reply::Say(ANSWER.into())]);
        for code in [301, 302, 303, 307, 308] {
            let to = format!("{}/v1/messages", elsewhere.url());
            // Another port, also with another name for this machine or without a scheme: each is another server.
            for to in [to.clone(), to.replace("127.0.0.1", "localhost"), to.replacen("http:", "", 1)] {
                let server = ModelServer::scripted(dialect, vec![moved(code, &to)]);
                let error = ask(&keyed(&server, &folder)).result.unwrap_err();
                assert!(matches!(&error, AskError::Redirect { to: said, .. } if *said == to), "{error}");
                assert_eq!(error.to_string().contains("set `base_url`"), code != 303, "{error}");
                assert_eq!((error.class(), server.requests().len()), (Class::Stop, 1));
            }
        }
        assert_eq!(elsewhere.requests().len(), 0);
    }
}

#[test]
fn a_redirect_within_the_server_is_followed_a_few_times() {
    let folder = tempfile::tempdir().unwrap();
    for dialect in BOTH {
        for code in [301, 302, 307, 308] {
            let server = ModelServer::scripted(
                dialect,
                vec![moved(code, "/proxy/v1"), moved(code, "v2"), Reply::Say(ANSWER.into())],
            );
            let asked = ask(&keyed(&server, &folder));
            assert_eq!(asked.result.unwrap().text, ANSWER);
            let requests = server.requests();
            let paths: Vec<&str> = requests.iter().skip(1).map(|request| request.path.as_str()).collect();
            assert_eq!(paths, ["/proxy/v1", "/proxy/v2"]);
            let key = |request: &Request| request.headers.iter().any(|(_, value)| value.contains(KEY));
            assert!(requests.iter().all(|request| key(request) && request.body == requests[0].body));
            assert_eq!(asked.spent.requests, 3, "each was a request");
            let server = ModelServer::scripted(dialect, vec![moved(code, "/v2"), Reply::Say(ANSWER.into())]);
            let cap = Spend { requests: 1, input_tokens: 1 << 40, output_tokens: 0, micro_dollars: 0 };
            let model = Model::open(&server.config()).unwrap();
            let capped = ask_within(&model, Some(cap), &AtomicBool::new(false)).result.unwrap_err();
            assert!(matches!(capped, AskError::Ledger(_)), "{capped}");
            assert_eq!(server.requests().len(), 1, "not one more than the cap allows");
        }
        let server = ModelServer::scripted(dialect, vec![moved(307, "/round")]);
        let error = ask(&server.config()).result.unwrap_err();
        assert_eq!((error.class(), server.requests().len()), (Class::Stop, 4));
        assert!(error.to_string().contains("too often") && !error.to_string().contains("trust"), "{error}");
        let server = ModelServer::scripted(dialect, vec![moved(303, "/get")]);
        assert_eq!((ask(&server.config()).result.unwrap_err().class(), server.requests().len()), (Class::Stop, 1));
    }
}

#[test]
fn streams_that_break_off_are_no_answers() {
    for dialect in BOTH {
        let stream = streamed(dialect, ANSWER, true);
        let half = stream[..stream.len() / 2].to_owned();
        let half = half.rsplit_once("\n\n").map(|(whole, _)| format!("{whole}\n\n")).unwrap();
        let asked = once(dialect, parts(vec![Part::Send(half)]));
        assert_eq!(asked.result, Err(AskError::Truncated));
        // The cost is unknown, so it counts as the worst case.
        assert_eq!(asked.spent.output_tokens, 8192);
        assert_eq!(failure(dialect, parts(Vec::new())), AskError::Truncated);
    }
}

#[test]
fn what_is_no_answer_is_said_to_be_none() {
    for dialect in BOTH {
        let html = Reply::Parts("text/html", vec![Part::Send("<html>login</html>".into())]);
        assert_eq!(failure(dialect, html), AskError::ContentType { found: "text/html".into() });
        let json = |body: &str| Reply::Parts("application/json", vec![Part::Send(body.into())]);
        for body in ["{\"choices\": [{", "", "[[[[", "{}", "\u{0}"] {
            assert!(failure(dialect, json(body)).class() != Class::Stop, "{body:?}");
        }
        let malformed = failure(dialect, parts(vec![Part::Send("data: {nonsense\n\n".into())]));
        assert!(matches!(malformed, AskError::Malformed(_)), "{malformed}");
        assert_eq!(failure(dialect, Reply::Say(String::new())), AskError::Empty);
    }
}

#[test]
fn an_answer_that_is_called_nothing_is_read_as_what_it_is() {
    for dialect in BOTH {
        for body in [streamed(dialect, ANSWER, true), whole(dialect, ANSWER), format!("\n{}", whole(dialect, ANSWER))] {
            let asked = once(dialect, Reply::Parts("", vec![Part::Send(body)]));
            assert_eq!(asked.result.unwrap().text, ANSWER);
        }
        for blank in ["", " \n"] {
            let error = failure(dialect, Reply::Parts("", vec![Part::Send(blank.into())]));
            assert_eq!(error, AskError::NoBody { status: 200 });
        }
        let error = failure(dialect, status(204, ""));
        assert!(error.to_string().contains("answers 204 and nothing more"), "{error}");
    }
}

#[test]
fn a_server_that_never_fits_is_asked_three_times_in_a_row() {
    for (reply, asked_first) in [(status(413, "too large"), 1), (Reply::Parts("text/html", Vec::new()), 3)] {
        let server = ModelServer::scripted(Dialect::Openai, vec![reply]);
        let model = Model::open(&server.config()).unwrap();
        let ask = || ask_within(&model, None, &AtomicBool::new(false)).result.unwrap_err();
        let first = ask();
        assert_eq!(server.requests().len(), asked_first);
        let last = if asked_first == 1 { [ask(), ask()][1].clone() } else { first };
        assert_eq!((last.class(), server.requests().len()), (Class::Stop, 3), "{last}");
        assert!(last.to_string().contains("do not fit together"), "{last}");
    }
    let replies = vec![status(400, "no"), status(400, "no"), Reply::Say(ANSWER.into()), status(400, "no")];
    let server = ModelServer::scripted(Dialect::Openai, replies);
    let model = Model::open(&server.config()).unwrap();
    let asked: Vec<_> = (0..4).map(|_| ask_within(&model, None, &AtomicBool::new(false)).result).collect();
    assert!(asked[2].is_ok() && asked[3].as_ref().is_err_and(|error| error.class() == Class::Refused), "{asked:?}");
}

#[test]
fn bodies_without_end_hit_a_cap() {
    for dialect in BOTH {
        let line = parts(vec![Part::Forever("x".repeat(1 << 16))]);
        assert!(matches!(failure(dialect, line), AskError::TooLarge { what: "line", .. }));
        let comments = parts(vec![Part::Forever(": keep-alive\n".repeat(1 << 14))]);
        assert!(matches!(failure(dialect, comments), AskError::TooLarge { what: "body", .. }));
        let words = streamed(dialect, &"words ".repeat(1 << 13), true);
        let delta = words.split_inclusive("\n\n").nth(1).unwrap().repeat(200);
        assert!(matches!(failure(dialect, parts(vec![Part::Forever(delta)])), AskError::TooLarge { what: "text", .. }));
        let json = Reply::Parts("application/json", vec![Part::Forever(" ".repeat(1 << 16))]);
        assert!(matches!(failure(dialect, json), AskError::TooLarge { what: "body", .. }));
    }
}

#[test]
fn an_error_page_without_end_does_not_hang() {
    let page = "x".repeat(1 << 17);
    let error = failure(Dialect::Openai, status(500, &page));
    assert_eq!(error.to_string(), "the server is busy or failing (status 500)");
}

#[test]
fn slow_streams_are_read_and_silent_ones_given_up() {
    for dialect in BOTH {
        let stream = streamed(dialect, ANSWER, true);
        let slow = stream.split_inclusive("\n\n").flat_map(|event| {
            let (a, b) = event.split_at(event.len() / 2);
            [Part::Send(a.into()), Part::Wait(Duration::from_millis(20)), Part::Send(b.into())]
        });
        assert_eq!(once(dialect, parts(slow.collect())).result.unwrap().text, ANSWER);
    }
    let limits = |reply, first_byte_s, idle_s, total_s| {
        let server = ModelServer::scripted(Dialect::Openai, vec![reply]);
        ask(&ModelConfig { tries: 1, first_byte_s, idle_s, total_s, ..server.config() }).result.unwrap_err()
    };
    let timeout = |phase| AskError::Timeout { phase, limit_s: 1 };
    assert_eq!(limits(Reply::Hang, 1, 60, 60), timeout(Phase::FirstByte));
    let minute = Part::Wait(Duration::from_secs(60));
    assert_eq!(limits(parts(vec![minute.clone()]), 1, 60, 60), timeout(Phase::FirstByte));
    assert_eq!(limits(parts(vec![Part::Send(": hi\n".into()), minute]), 60, 1, 60), timeout(Phase::Idle));
    let drip = [Part::Send(": hi\n".into()), Part::Wait(Duration::from_millis(100))];
    assert_eq!(limits(parts(drip.into_iter().cycle().take(100).collect()), 60, 60, 1), timeout(Phase::Total));
}

#[test]
fn ctrl_c_ends_a_request_at_once() {
    let interrupted = |config: &ModelConfig| {
        let (began, cancelled) = (Instant::now(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                cancelled.store(true, Ordering::Relaxed);
            });
            let asked = ask_within(&Model::open(config).unwrap(), None, &cancelled);
            assert_eq!(asked.result, Err(AskError::Interrupted));
        });
        assert!(began.elapsed() < Duration::from_secs(5));
    };
    let server = ModelServer::scripted(Dialect::Anthropic, vec![Reply::Hang]);
    interrupted(&server.config());
    // The same for a wait between two tries.
    let server = ModelServer::scripted(Dialect::Anthropic, vec![status(529, "")]);
    interrupted(&ModelConfig { wait_ms: 60_000, ..server.config() });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn no_bound_is_passed() {
    let server = ModelServer::scripted(Dialect::Openai, vec![status(500, ""), Reply::Say(ANSWER.into())]);
    let config = ModelConfig { usd_per_million_input: 3.0, usd_per_million_output: 15.0, tries: 9, ..server.config() };
    let model = Model::open(&config).unwrap();
    let worst = model.worst_case(&question());
    assert!(worst.micro_dollars > 8192 * 15 && worst.output_tokens == 8192);
    let ask = |cap| ask_within(&model, Some(cap), &AtomicBool::new(false));
    for cap in [
        Spend { micro_dollars: worst.micro_dollars - 1, ..worst },
        Spend { input_tokens: worst.input_tokens - 1, ..worst },
        Spend { requests: 0, ..worst },
    ] {
        let asked = ask(cap);
        assert!(matches!(asked.result, Err(AskError::Ledger(ProposeError::Stop(_)))));
        assert_eq!(asked.spent, Spend::default());
    }
    assert_eq!(server.requests().len(), 0);
    // The failed first try counts as one request, so the second one would exceed the cap.
    let one = ask(worst);
    assert!(matches!(one.result, Err(AskError::Ledger(_))));
    assert_eq!((one.spent.requests, server.requests().len()), (1, 1));
    let asked = ask(worst);
    assert_eq!(asked.result.unwrap().text, ANSWER);
    assert_eq!(asked.spent.micro_dollars, TOKENS_IN * 3 + TOKENS_OUT * 15);
}

#[test]
fn every_try_is_filed_as_it_was_sent_and_came() {
    for dialect in BOTH {
        let server = ModelServer::scripted(
            dialect,
            vec![status(500, "<oops>"), Reply::Close, Reply::Whole(ANSWER.into()), Reply::Say(ANSWER.into())],
        );
        let (first, second) = (ask(&server.config()), ask(&server.config()));
        assert_eq!(first.result.unwrap().text, second.result.unwrap().text);
        let exchanges = [first.exchanges, second.exchanges].concat();
        let statuses: Vec<&str> = exchanges.iter().map(|exchange| exchange.status.as_str()).collect();
        assert_eq!(statuses, ["busy", "broken", "ok", "ok"]);
        let sent: Vec<String> =
            vec!["<oops>".into(), String::new(), whole(dialect, ANSWER), streamed(dialect, ANSWER, true)];
        for ((exchange, request), sent) in exchanges.iter().zip(server.requests()).zip(sent) {
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&exchange.request).unwrap(), request.body);
            assert_eq!(String::from_utf8_lossy(&exchange.response), sent);
        }
        let half = streamed(dialect, ANSWER, true)[..90].to_owned();
        let asked = once(dialect, parts(vec![Part::Send(half.clone())]));
        assert_eq!(String::from_utf8_lossy(&asked.exchanges[0].response), half, "what broke off is filed too");
        let endless = once(dialect, parts(vec![Part::Forever(": keep-alive\n".repeat(1 << 14))]));
        assert_eq!(endless.exchanges[0].response.len(), 8 << 20);
    }
}

#[test]
fn nothing_filed_or_said_holds_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let echo = |words: &str| status(500, &format!(r#"{{"error":{{"message":"{words}"}}}}"#));
    let escaped: String = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    for reply in [
        echo(KEY),
        echo(&format!("{}{KEY}", "x".repeat(285))),
        echo(&escaped),
        moved(307, &format!("http://elsewhere.example/{KEY}")),
        Reply::Parts(KEY, Vec::new()),
        parts(vec![Part::Send(format!(": {KEY}\ndata: {KEY}\n\n"))]),
        parts(vec![Part::Send(format!(": {}", &KEY[..20]))]),
        Reply::Say(format!("not quite thirty characters: {KEY}")),
        Reply::Whole(KEY.into()),
    ] {
        let server = ModelServer::scripted(Dialect::Anthropic, vec![reply.clone()]);
        let asked = ask(&ModelConfig { tries: 1, ..keyed(&server, &folder) });
        let [exchange] = asked.exchanges.as_slice() else { panic!("{reply:?}") };
        let filed = String::from_utf8_lossy(&[&exchange.request[..], b" ", &exchange.response].concat()).into_owned();
        let said = asked.result.map_or_else(|error| format!("{error} {error:?}"), |response| response.text);
        for text in [filed, said, format!("{exchange:?}")] {
            assert!(!text.contains(&KEY[..12]) && !text.contains(&escaped), "{reply:?}: {text}");
        }
    }
}

#[test]
fn a_claim_beyond_the_possible_counts_as_the_worst_case() {
    let body = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}}"#;
    let server =
        ModelServer::scripted(Dialect::Openai, vec![Reply::Parts("application/json", vec![Part::Send(body.into())])]);
    let asked = ask(&server.config());
    assert_eq!(asked.result.unwrap().text, "hi");
    assert_eq!(asked.spent, Model::open(&server.config()).unwrap().worst_case(&question()));
}

#[test]
fn the_newer_name_of_the_limit_is_learnt() {
    let server = ModelServer::start(Dialect::Openai, |request, _| {
        if request.body.get("max_tokens").is_some() {
            status(400, r#"{"error":{"message":"Unsupported parameter: use 'max_completion_tokens' instead."}}"#)
        } else {
            Reply::Say(ANSWER.into())
        }
    });
    let model = Model::open(&server.config()).unwrap();
    for _ in 0..2 {
        assert_eq!(ask_within(&model, None, &AtomicBool::new(false)).result.unwrap().text, ANSWER);
    }
    assert_eq!(server.requests().len(), 3);
    assert_eq!(server.requests()[2].body["max_completion_tokens"], 8192);
}

#[test]
fn a_server_that_is_not_there_is_said_not_to_be() {
    let gone = ModelServer::scripted(Dialect::Openai, vec![Reply::Close]).config();
    let asked = ask(&ModelConfig { tries: 2, ..gone });
    let error = asked.result.unwrap_err();
    assert!(matches!(error, AskError::Connect(_)), "{error}");
    assert_eq!((error.class(), asked.spent), (Class::Retry, Spend::default()));
}

#[test]
fn keys_are_asked_for_where_they_are_missing() {
    let server = ModelServer::scripted(Dialect::Openai, vec![Reply::Close]);
    let config = ModelConfig { key_env: Some("A_VARIABLE_THAT_NOBODY_SETS".into()), ..server.config() };
    let error = Model::open(&config).unwrap_err().to_string();
    assert!(error.contains("export A_VARIABLE_THAT_NOBODY_SETS="), "{error}");
    assert_eq!(server.requests().len(), 0);
}

/// The source that a writer changes.
const PARENT: &str = "use guest_sdk::prelude::*;\n\nconst LR: f32 = 0.02;\n\nguest!(train, model);\n";

fn situation() -> Situation {
    let (source, description) = (PARENT.into(), "baseline".into());
    Situation {
        brief: "Lower is better.".into(),
        task: TaskHash::of(b"t"),
        context: ContextKey::of(b"t"),
        hints: [].into(),
        parent: Arc::new(Parent { number: 0, source, description, bpb: 2.5, facts: Facts::default() }),
        past: Vec::new(),
        underway: Vec::new(),
        noise: 0.01,
        budget_seconds: 6.0,
        digest: "".into(),
        number: 1,
        random_seed: 1,
    }
}

fn edit(search: &str, replace: &str) -> Reply {
    Reply::Say(format!("Hypothesis: faster.\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"))
}

/// One turn of a writer, whose server sends this reply.
fn turn<T>(
    replies: Vec<Reply>,
    ask: impl Fn(&mut Writer, &Situation, &mut Desk) -> Result<T, ProposeError>,
) -> (Result<T, ProposeError>, Vec<Request>) {
    let server = ModelServer::scripted(Dialect::Anthropic, replies);
    let mut writer = Writer::open("scripted", &server.config(), "- `fn linear(&self)`: a product.").unwrap();
    let (mut accounts, cancelled) = (Accounts::default(), AtomicBool::new(false));
    let made = ask(&mut writer, &situation(), &mut Desk { ledger: &mut accounts, cancelled: &cancelled });
    (made, server.requests())
}

#[test]
fn a_writer_proposes_what_the_model_answers() {
    let (made, requests) =
        turn(vec![edit("const LR: f32 = 0.02;", "const LR: f32 = 0.03;")], |writer, s, desk| writer.propose(s, desk));
    let made = made.unwrap().unwrap();
    assert_eq!(made.source, PARENT.replace("0.02", "0.03"));
    assert_eq!((made.hypothesis.as_str(), made.description.as_str()), ("faster.", "LR 0.02 → 0.03"));
    let told = requests[0].words();
    assert!(told.contains(PARENT) && told.contains("fn linear") && told.contains("Lower is better."), "{told}");
}

#[test]
fn a_writer_mends_what_it_wrote() {
    let source = PARENT.replace("0.02", "\"0.03\"");
    let (description, operator) = (String::new(), String::new());
    let proposal = Proposal { source, hypothesis: "an idea".into(), description, operator, credit: None };
    let message = "error: mismatched types\n --> train.rs:3:17".into();
    let failed = Failed { proposal: Some(proposal), answer: String::new(), stage: Stage::Compile, message, repair: 1 };
    let (made, requests) = turn(vec![edit("\"0.03\"", "0.03")], |writer, s, desk| writer.repair(s, &failed, desk));
    let made = made.unwrap().unwrap();
    assert_eq!(made.source, PARENT.replace("0.02", "0.03"));
    assert_eq!((made.hypothesis.as_str(), made.description.as_str()), ("an idea", "LR 0.02 → 0.03"));
    assert!(requests[0].words().contains(">    3 | const LR: f32 = \"0.03\";"));
}

#[test]
fn a_writer_says_what_the_night_is_to_do() {
    let propose = |reply: Reply| turn(vec![reply], |writer, s, desk| writer.propose(s, desk)).0.unwrap_err();
    assert!(matches!(propose(status(401, "no")), ProposeError::Stop(_)));
    let busy = Reply::Status(429, vec![("retry-after", "3600".into())], String::new());
    assert!(matches!(propose(busy), ProposeError::Later { after: Some(_), .. }));
    let chat = propose(Reply::Say("Shall I?".into()));
    assert!(matches!(&chat, ProposeError::Answer { answer, .. } if answer == "Shall I?"), "{chat}");
    let nowhere = propose(edit("const WIDTH: usize = 1;", ""));
    assert!(nowhere.to_string().contains("block 1: its SEARCH text is not in train.rs"), "{nowhere}");
    let cut = streamed(Dialect::Anthropic, "Hypothesis", true).replace("end_turn", "max_tokens");
    assert!(matches!(propose(parts(vec![Part::Send(cut)])), ProposeError::Answer { .. }));
    let lesson = turn(vec![Reply::Say("- rates matter\n".into())], |writer, s, desk| writer.digest(s, desk)).0;
    assert_eq!(lesson.unwrap().as_deref(), Some("- rates matter"));
}
