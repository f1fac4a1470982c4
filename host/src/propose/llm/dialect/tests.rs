//! Requests and answers in both dialects, without a network.

use super::*;
use crate::propose::llm::config::Dialect;
use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::error::AskError;
use crate::propose::llm::error::Class;
use crate::propose::llm::error::Wants;
use crate::propose::prompt::Prompt;
use proptest::prelude::*;

fn config(dialect: Dialect) -> ModelConfig {
    ModelConfig { temperature: Some(0.5), ..ModelConfig::new(dialect, "http://localhost:1", "model-1") }
}

fn read(dialect: Dialect, events: &[&str]) -> Result<Response, AskError> {
    let mut reading = Reading::default();
    for data in events {
        if reading.event(dialect, data)? {
            break;
        }
    }
    reading.finish(&config(dialect))
}

fn answer(dialect: Dialect, body: &str) -> Result<Response, AskError> {
    let mut reading = Reading::default();
    reading.whole(dialect, body.as_bytes())?;
    reading.finish(&config(dialect))
}

fn response(text: &str, tokens_in: u64, tokens_out: u64) -> Response {
    Response { text: text.into(), tokens_in: Some(tokens_in), tokens_out: Some(tokens_out) }
}

#[test]
fn bodies_are_as_documented() {
    let prompt = Prompt { system: "Be brief.".into(), text: "Hi \"you\"".into() };
    let mut manners = Manners::default();
    let body = |dialect, manners| String::from_utf8(body(&config(dialect), &prompt, manners).unwrap()).unwrap();
    assert_eq!(
        body(Dialect::Anthropic, manners),
        r#"{"model":"model-1","max_tokens":8192,"temperature":0.5,"stream":true,"system":"Be brief.","messages":[{"role":"user","content":"Hi \"you\""}]}"#
    );
    assert_eq!(
        body(Dialect::Openai, manners),
        r#"{"model":"model-1","max_tokens":8192,"temperature":0.5,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi \"you\""}]}"#
    );
    for wants in [Wants::NewerLimit, Wants::NoUsage, Wants::NoSystem, Wants::NoStream] {
        assert!(manners.learn(wants) && !manners.learn(wants), "{wants:?}");
    }
    assert_eq!(
        body(Dialect::Openai, manners),
        r#"{"model":"model-1","max_completion_tokens":8192,"temperature":0.5,"stream":false,"messages":[{"role":"user","content":"Be brief.\n\nHi \"you\""}]}"#
    );
}

#[test]
fn an_anthropic_stream() {
    let events = [
        r#"{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    assert_eq!(read(Dialect::Anthropic, &events), Ok(response("Hello", 15, 7)));
    assert_eq!(read(Dialect::Anthropic, &events[..6]), Err(AskError::Truncated));
    let cut = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":7}}"#;
    assert_eq!(read(Dialect::Anthropic, &[events[4], cut, events[7]]), Err(AskError::Cut { limit: 8192 }));
    let busy = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let error = read(Dialect::Anthropic, &[events[4], busy]).unwrap_err();
    assert_eq!(error, AskError::Busy { said: "Overloaded".into(), retry_after: None });
}

#[test]
fn an_openai_stream() {
    let events = [
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        "[DONE]",
    ];
    assert_eq!(read(Dialect::Openai, &events), Ok(response("Hello", 3, 2)));
    assert_eq!(read(Dialect::Openai, &events[..5]), Ok(response("Hello", 3, 2)), "no [DONE]");
    assert_eq!(read(Dialect::Openai, &events[..3]), Err(AskError::Truncated));
    assert_eq!(read(Dialect::Openai, &[events[3], "[DONE]"]), Err(AskError::Empty));
    let error = read(Dialect::Openai, &[events[2], r#"{"error":"model ran out of memory"}"#]).unwrap_err();
    assert_eq!(error.class(), Class::Retry);
}

#[test]
fn answers_in_one_piece() {
    let anthropic = r#"{"type":"message","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
    assert_eq!(answer(Dialect::Anthropic, anthropic), Ok(response("Hi", 1, 2)));
    let openai = r#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    assert_eq!(answer(Dialect::Openai, openai), Ok(response("Hi", 1, 2)));
    let filtered = r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#;
    assert_eq!(answer(Dialect::Openai, filtered), Err(AskError::Declined));
    for bad in ["", "[]", "{}", "null", "{\"choices\":3}", "<html>"] {
        assert!(answer(Dialect::Openai, bad).is_err(), "{bad}");
        assert!(answer(Dialect::Anthropic, bad).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_a_count_is_taken_as_missing() {
    let counts = ["\"none\"", "null", "[]", "7"].map(String::from);
    let odd = ["\"100\"", "100.5", "-1", "1e30", "1000000000000000000000000", "null", "{}"];
    let odd = odd
        .map(|n| format!(r#"{{"prompt_tokens":{n},"completion_tokens":{n},"input_tokens":{n},"output_tokens":{n}}}"#));
    for usage in counts.iter().chain(&odd) {
        let missing = Ok(Response { text: "Hi".into(), tokens_in: None, tokens_out: None });
        let anthropic =
            format!(r#"{{"content":[{{"type":"text","text":"Hi"}}],"stop_reason":"end_turn","usage":{usage}}}"#);
        assert_eq!(answer(Dialect::Anthropic, &anthropic), missing, "{usage}");
        let openai =
            format!(r#"{{"choices":[{{"message":{{"content":"Hi"}},"finish_reason":"stop"}}],"usage":{usage}}}"#);
        assert_eq!(answer(Dialect::Openai, &openai), missing, "{usage}");
        let events = [
            format!(r#"{{"type":"message_start","message":{{"content":[],"usage":{usage}}}}}"#),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#.into(),
            format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}"#),
        ];
        assert_eq!(read(Dialect::Anthropic, &events.each_ref().map(String::as_str)), missing, "{usage}");
    }
}

#[test]
fn refusals_are_what_they_mean() {
    let class = |status, body: &str| refusal(status, body.as_bytes(), None).class();
    for (status, body) in [
        (401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#),
        (403, "forbidden"),
        (402, ""),
        (404, r#"{"error":"model 'x' not found, try pulling it first"}"#),
        (400, r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#),
        (429, r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"quota"}}"#),
        (400, r#"{"error":{"type":"invalid_request_error","code":"model_not_found","message":"no"}}"#),
    ] {
        assert_eq!(class(status, body), Class::Stop, "{status} {body}");
    }
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        assert_eq!(class(status, "<html>"), Class::Retry, "{status}");
    }
    for status in [400, 413, 422] {
        assert_eq!(class(status, r#"{"error":{"message":"too long"}}"#), Class::Refused, "{status}");
    }
    let said = refusal(400, "\u{1b}[2Jno\nsecond".as_bytes(), None).to_string();
    assert_eq!(said, "the server does not take the request (400: \\u{1b}[2Jno)");
}

#[test]
fn odd_streams_of_servers_are_read() {
    let piece =
        |content: &str| format!(r#"{{"choices":[{{"index":"0","delta":{{"content":{content}}}}}],"error":null}}"#);
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"error":""}"#;
    let message = |content: &str| {
        format!(
            r#"{{"choices":[{{"delta":{{"content":""}},"message":{{"content":{content}}},"finish_reason":null}}]}}"#
        )
    };
    let both = |delta: &str, message: &str| {
        format!(r#"{{"choices":[{{"delta":{{"content":"{delta}"}},"message":{{"content":"{message}"}}}}]}}"#)
    };
    let thought = r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#;
    for events in [
        vec!["".into(), piece(r#""Hel""#), " ".into(), piece(r#""lo""#)],
        vec![piece(thought), piece(r#"[{"type":"text","text":"Hel"},"lo"]"#)],
        vec![piece("null"), piece(r#"{"type":"text","text":"Hello"}"#)],
        vec![message(r#""Hel""#), message(r#""Hello""#)],
        vec![piece(r#""Hel""#), piece(r#""lo""#), message(r#""Hello""#)],
        vec![both("Hel", "Hel"), both("lo", "Hello")],
        vec![r#"{"choices":null}"#.into(), r#"{"choices":[{"delta":null}]}"#.into(), piece(r#""Hello""#)],
    ] {
        let events: Vec<&str> = events.iter().map(String::as_str).chain([stop, "[DONE]"]).collect();
        assert_eq!(read(Dialect::Openai, &events).map(|response| response.text), Ok("Hello".into()), "{events:?}");
    }
    let parts = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hi"}]},"finish_reason":"stop"}]}"#;
    assert_eq!(answer(Dialect::Openai, parts).map(|response| response.text), Ok("Hi".into()));
    let lines = format!("{}\n{stop}\n", piece(r#""Hi""#));
    assert_eq!(answer(Dialect::Openai, &lines).map(|response| response.text), Ok("Hi".into()), "one event a line");
    for events in [
        vec![
            r#"{"type":"content_block_start","content_block":{"type":"text","text":"Hi"}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        vec![r#"{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}"#],
        vec![r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#, "[DONE]"],
    ] {
        assert_eq!(read(Dialect::Anthropic, &events).map(|response| response.text), Ok("Hi".into()), "{events:?}");
    }
}

#[test]
fn an_end_is_what_it_means() {
    let end = |reason: &str, usage: &str| {
        let text = r#"{"choices":[{"delta":{"content":"Hi"}}]}"#;
        let stop = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}],"usage":{usage}}}"#);
        read(Dialect::Openai, &[text, &stop, "[DONE]"]).map_err(|error| error.name())
    };
    let full = r#"{"prompt_tokens":4000,"completion_tokens":96,"total_tokens":4096}"#;
    assert_eq!(end("length", full), Err("context"));
    assert_eq!(end("length", r#"{"prompt_tokens":4000,"completion_tokens":8190}"#), Err("cut"));
    assert_eq!(
        end("length", r#"{"prompt_tokens":400,"completion_tokens":9,"total_tokens":8592}"#),
        Err("cut"),
        "thoughts"
    );
    assert_eq!(end("length", "null"), Err("cut"));
    for (reason, name) in [
        ("MAX_TOKENS", "cut"),
        ("model_length", "context"),
        ("error", "busy"),
        ("abort", "busy"),
        ("content_filter: PROHIBITED_CONTENT", "declined"),
        ("SAFETY", "declined"),
    ] {
        assert_eq!(end(reason, "null"), Err(name), "{reason}");
    }
    assert!(end("eos", "null").is_ok());
    let stop = r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}"#;
    for thought in [
        r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":"hm"}]}}]}"#,
    ] {
        assert_eq!(read(Dialect::Openai, &[thought, stop]), Err(AskError::OnlyThoughts), "{thought}");
    }
    let refusal = r#"{"choices":[{"delta":{"refusal":"I can't."},"finish_reason":"stop"}]}"#;
    assert_eq!(read(Dialect::Openai, &[refusal]), Err(AskError::Declined));
}

#[test]
fn complaints_within_a_good_answer_are_heard() {
    for (body, name) in [
        (
            r#"{"error":{"code":400,"message":"request (6009 tokens) exceeds the available context size (4096 tokens)"}}"#,
            "context",
        ),
        (
            r#"{"code":400,"message":"the request exceeds the available context size","type":"invalid_request_error"}"#,
            "context",
        ),
        (
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens","type":"BadRequestError","code":400}"#,
            "context",
        ),
        (
            r#"{"object":"error","message":"no such thing","type":"BadRequestError","param":null,"code":400}"#,
            "bad-request",
        ),
        (r#"{"error":{"code":401,"message":"No auth credentials found"}}"#, "authentication"),
        (r#"{"error":{"code":"402","message":"Insufficient credits"}}"#, "payment"),
        (
            r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"raw":"down"}},"choices":[]}"#,
            "busy",
        ),
        (r#"{"error":"Unexpected endpoint or method. (POST /chat/completions)"}"#, "not-found"),
        (r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#, "authentication"),
        (r#"[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]"#, "busy"),
        (r#"{"detail":"Not Found","status":404}"#, "not-found"),
        (r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#, "busy"),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "busy"),
        (r#"{"error":{"message":"slow down","type":"rate_limit_error","code":429}}"#, "busy"),
    ] {
        for dialect in [Dialect::Openai, Dialect::Anthropic] {
            assert_eq!(read(dialect, &[body]).unwrap_err().name(), name, "{body}");
            assert_eq!(answer(dialect, body).unwrap_err().name(), name, "{body}");
            assert_eq!(answer(dialect, &format!("{body}\n\ndata: [DONE]\n\n")).unwrap_err().name(), name, "{body}");
        }
    }
}

#[test]
fn a_refusal_tells_what_the_server_wants_instead() {
    for (status, body, wanted) in [
        (
            422,
            r#"{"object":"error","message":{"detail":[{"loc":["body","stream_options","include_usage"],"msg":"Extra inputs are not permitted"}]}}"#,
            Wants::NoUsage,
        ),
        (400, r#"{"detail":[{"loc":["body","stream_options"],"msg":"extra fields not permitted"}]}"#, Wants::NoUsage),
        (400, r#"{"message":"System role not supported","type":"BadRequestError","code":400}"#, Wants::NoSystem),
        (
            500,
            r#"{"error":{"code":500,"message":"Jinja Exception: Conversation roles must alternate user/assistant"}}"#,
            Wants::NoSystem,
        ),
        (
            400,
            r#"[{"error":{"code":400,"message":"Developer instruction is not enabled for models/gemma"}}]"#,
            Wants::NoSystem,
        ),
        (400, r#"{"error":"Only user and assistant roles are supported!"}"#, Wants::NoSystem),
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}}"#,
            Wants::NewerLimit,
        ),
        (400, r#"{"error":{"message":"Streaming is not supported for this model"}}"#, Wants::NoStream),
        (500, r#"{"error":"stream_options: unknown field"}"#, Wants::NoUsage),
    ] {
        let error = refusal(status, body.as_bytes(), None);
        assert!(
            matches!(error, AskError::BadRequest { wants: Some(wants), .. } if wants == wanted),
            "{body}: {error:?}"
        );
    }
    for busy in ["upstream request failed, contact support", "system error: message 7 is not supported by a replica"] {
        let error = refusal(502, busy.as_bytes(), None);
        assert_eq!(error.class(), Class::Retry, "{error}");
    }
    let other = refusal(400, br#"{"error":{"message":"no"}}"#, None);
    assert!(matches!(other, AskError::BadRequest { wants: None, .. }));
}

#[test]
fn a_text_without_end_is_cut_off() {
    let mut reading = Reading::default();
    let piece = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1 << 18));
    let error = (0..5).find_map(|_| reading.event(Dialect::Openai, &piece).err()).unwrap();
    assert!(matches!(error, AskError::TooLarge { what: "text", .. }));
}

proptest! {
    #[test]
    fn no_words_of_a_server_are_too_strange(data in "\\PC{0,200}", nested in "[\\[\\]{}\":,a-z]{0,200}") {
        for dialect in [Dialect::Anthropic, Dialect::Openai] {
            for text in [&data, &nested] {
                let mut reading = Reading::default();
                let _ = reading.event(dialect, text);
                let _ = reading.whole(dialect, text.as_bytes());
                let _ = reading.finish(&config(dialect));
                let _ = refusal(500, text.as_bytes(), None).to_string();
            }
        }
    }
}
