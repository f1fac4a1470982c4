//! Language models behind servers that have their own idea of the protocol.

use crate::common::model_server::{ModelServer, Part, Reply, Request, streamed};
use nightlab::propose::llm::{AskError, Class, Dialect, Model, Response};
use nightlab::propose::prompt::Prompt;
use nightlab::propose::proposer::{Desk, Ledger, ProposeError, Reservation};
use nightlab::record::spend::{Exchange, Spend};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const ANSWER: &str = "Hypothesis: a longer warm-down.\n```rust\nfn main() {}\n```\n";

/// A ledger without caps.
struct Free;

impl Ledger for Free {
    fn reserve(&mut self, _: &Spend) -> Result<Reservation, ProposeError> {
        Ok(Reservation(0))
    }

    fn settle(&mut self, _: Reservation, _: &Exchange) -> Result<(), ProposeError> {
        Ok(())
    }
}

fn ask(model: &Model) -> Result<Response, AskError> {
    let prompt = Prompt { system: "You write mutations.".into(), text: "Change one thing.".into() };
    model.ask(&prompt, &mut Desk { ledger: &mut Free, cancelled: &AtomicBool::new(false) })
}

fn of_type(content_type: &'static str, body: String) -> Result<Response, AskError> {
    let server = ModelServer::scripted(Dialect::Openai, vec![Reply::Parts(content_type, vec![Part::Send(body)])]);
    ask(&Model::open(&server.config()).unwrap())
}

fn status(code: u16, headers: Vec<(&'static str, String)>, body: &str) -> Reply {
    Reply::Status(code, headers, body.into())
}

#[test]
fn an_answer_of_a_wrong_type_is_read_as_what_it_is() {
    let stream = streamed(Dialect::Openai, ANSWER, true);
    let lines = stream.replace("data: ", "").replace("\n\n", "\n");
    for content_type in ["text/event-stream", "application/json", "text/plain; charset=utf-8", "application/x-ndjson"] {
        for body in [stream.clone(), stream.replace("data: ", "data:\n\ndata: "), lines.clone()] {
            assert_eq!(of_type(content_type, body.clone()).unwrap().text, ANSWER, "{content_type}: {body}");
        }
        let page = of_type(content_type, "<html>Log in</html>".into()).unwrap_err();
        assert_eq!(page.name(), "content-type");
    }
    let words = of_type("text/plain", "no such service".into()).unwrap_err();
    assert!(words.to_string().contains("the answer is `text/plain`"), "{words}");
}

#[test]
fn a_complaint_within_a_good_answer_is_said() {
    let full =
        r#"{"error":{"code":400,"message":"request (6009 tokens) exceeds the available context size (4096 tokens)"}}"#;
    for body in [format!("error: {full}\n\n"), full.into(), format!("data: {full}\n\ndata: [DONE]\n\n")] {
        let error = of_type("text/event-stream", body.clone()).unwrap_err();
        assert!(error.to_string().contains("6009 tokens") && error.to_string().contains("`prompt_tokens`"), "{error}");
    }
}

#[test]
fn what_a_server_refuses_is_left_out_of_the_next_request() {
    let has_system = |request: &Request| request.body["messages"].to_string().contains("system");
    let server = ModelServer::start(Dialect::Openai, move |request, _| {
        if request.body.get("stream_options").is_some() {
            status(
                422,
                vec![],
                r#"{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
            )
        } else if has_system(request) {
            status(400, vec![], r#"{"object":"error","message":"System role not supported","code":400}"#)
        } else {
            Reply::SayUncounted(ANSWER.into())
        }
    });
    let model = Model::open(&server.config()).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&model).unwrap().text, ANSWER);
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 4, "it is learnt once");
    assert!(requests[3].words().contains("You write mutations.\n\nChange one thing."));

    let stubborn = status(400, vec![], r#"{"error":"stream_options and system role are not supported"}"#);
    let server = ModelServer::scripted(Dialect::Openai, vec![stubborn]);
    let error = ask(&Model::open(&server.config()).unwrap()).unwrap_err();
    assert_eq!((error.class(), server.requests().len()), (Class::Refused, 2));
}

#[test]
fn waits_that_never_help_grow() {
    let busy = status(429, vec![("retry-after-ms", "20".into()), ("retry-after", "9".into())], "");
    let server = ModelServer::scripted(Dialect::Openai, vec![busy]);
    let config = nightlab::propose::llm::ModelConfig { wait_ms: 200, ..server.config() };
    let began = Instant::now();
    let error = ask(&Model::open(&config).unwrap()).unwrap_err();
    assert_eq!((error.retry_after(), server.requests().len()), (Some(Duration::from_millis(20)), 4));
    // 20 ms as asked for, then at least half of 400 ms and of 800 ms.
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
