//! A server on this machine that replaces a language model in tests. It speaks either dialect, misbehaves on request,
//! and records every request.

use nightlab::propose::llm::{Dialect, ModelConfig};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Input tokens that the server reports for each prompt.
pub const TOKENS_IN: u64 = 1000;
/// Output tokens that the server reports for each answer.
pub const TOKENS_OUT: u64 = 20;
/// A waiting thread checks at this interval whether the test is over.
const TICK: Duration = Duration::from_millis(5);

/// The server's reaction to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Streams this text in pieces, and reports the tokens.
    Say(String),
    /// Like `Say`, but without the tokens.
    SayUncounted(String),
    /// Sends the whole answer as one JSON body, like servers that ignore `stream`.
    Whole(String),
    /// A status with headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Sends status 200, this content type, and the parts; then closes the connection.
    Parts(&'static str, Vec<Part>),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes the connection.
    Close,
}

/// A part of a body.
#[derive(Clone, Debug)]
pub enum Part {
    /// These bytes.
    Send(String),
    /// Nothing for this time.
    Wait(Duration),
    /// These bytes repeatedly, until the client closes the connection.
    Forever(String),
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// In order of arrival, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All text for the model, system prompt first.
    pub fn words(&self) -> String {
        let system = self.body["system"].as_str().unwrap_or_default();
        let turns = self.body["messages"].as_array().into_iter().flatten();
        turns.fold(system.to_owned(), |all, turn| all + "\n" + turn["content"].as_str().unwrap_or_default())
    }
}

/// Chooses the reply from the request and the number of earlier requests.
type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The server. It stops on drop.
pub struct ModelServer {
    dialect: Dialect,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl ModelServer {
    /// Starts a server that replies as `script` says.
    pub fn start(dialect: Dialect, script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (kept, ended, script) = (requests.clone(), over.clone(), Arc::new(script));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (kept, ended, script) = (kept.clone(), ended.clone(), script.clone());
                std::thread::spawn(move || serve(stream, dialect, &*script, &kept, &ended));
            }
        });
        Self { dialect, address, requests, over, listening: Some(listening) }
    }

    /// Sends these replies in order, then repeats the last one.
    pub fn scripted(dialect: Dialect, replies: Vec<Reply>) -> Self {
        Self::start(dialect, move |_, n| replies[n.min(replies.len() - 1)].clone())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A configuration for this server, without a key and with short waits.
    pub fn config(&self) -> ModelConfig {
        ModelConfig { wait_ms: 1, ..ModelConfig::new(self.dialect, &self.url(), "test-model") }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // This wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

/// Handles one connection with one request. An error means that the client is gone.
fn serve(stream: TcpStream, dialect: Dialect, script: &Script, kept: &Mutex<Vec<Request>>, over: &AtomicBool) {
    let Some(request) = read(&stream) else { return };
    let before = {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        kept.len() - 1
    };
    let _ = reply(&stream, dialect, script(&request, before), over);
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: serde_json::from_slice(&body).ok()? })
}

fn reply(mut stream: &TcpStream, dialect: Dialect, reply: Reply, over: &AtomicBool) -> std::io::Result<()> {
    match reply {
        Reply::Say(text) => stream.write_all(ok("text/event-stream", &streamed(dialect, &text, true)).as_bytes()),
        Reply::SayUncounted(text) => {
            stream.write_all(ok("text/event-stream", &streamed(dialect, &text, false)).as_bytes())
        }
        Reply::Whole(text) => stream.write_all(ok("application/json", &whole(dialect, &text)).as_bytes()),
        Reply::Status(code, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!("HTTP/1.1 {code} status\r\n{headers}content-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())
        }
        Reply::Parts(content_type, parts) => {
            stream.write_all(ok(content_type, "").as_bytes())?;
            for part in parts {
                match part {
                    Part::Send(text) => stream.write_all(text.as_bytes())?,
                    Part::Wait(time) => wait(over, Some(time)),
                    Part::Forever(text) => {
                        while !over.load(Ordering::Relaxed) {
                            stream.write_all(text.as_bytes())?;
                        }
                    }
                }
            }
            Ok(())
        }
        Reply::Hang => {
            wait(over, None);
            Ok(())
        }
        Reply::Close => Ok(()),
    }
}

fn wait(over: &AtomicBool, time: Option<Duration>) {
    let began = std::time::Instant::now();
    while !over.load(Ordering::Relaxed) && time.is_none_or(|time| began.elapsed() < time) {
        std::thread::sleep(TICK);
    }
}

/// A response whose body ends when the connection closes.
fn ok(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n{body}")
}

/// A text as events of a dialect, with about thirty characters each.
pub fn streamed(dialect: Dialect, text: &str, counted: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars.chunks(30).map(|piece| piece.iter().collect()).collect();
    let events: Vec<Value> = match dialect {
        Dialect::Anthropic => {
            let (start, end) = if counted {
                (json!({"input_tokens": TOKENS_IN, "output_tokens": 1}), json!({"output_tokens": TOKENS_OUT}))
            } else {
                (json!({}), json!({}))
            };
            let begin = json!({"type": "message_start", "message": {"content": [], "usage": start}});
            let deltas = pieces.iter().map(|piece| {
                let delta = json!({"type": "text_delta", "text": piece});
                json!({"type": "content_block_delta", "index": 0, "delta": delta})
            });
            let stop = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end});
            [begin].into_iter().chain(deltas).chain([stop, json!({"type": "message_stop"})]).collect()
        }
        Dialect::Openai => {
            let deltas = pieces.iter().map(|piece| json!({"choices": [{"index": 0, "delta": {"content": piece}}]}));
            let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
            let usage = json!({"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT});
            let usage = counted.then(|| json!({"choices": [], "usage": usage}));
            deltas.chain([stop]).chain(usage).collect()
        }
    };
    let done = if dialect == Dialect::Openai { "data: [DONE]\n\n" } else { "" };
    let stream = events.iter().map(|event| match event["type"].as_str() {
        Some(name) => format!("event: {name}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    });
    stream.collect::<String>() + done
}

/// A text as one body of a dialect.
pub fn whole(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Anthropic => json!({
            "type": "message",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
        }),
        Dialect::Openai => json!({
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT},
        }),
    }
    .to_string()
}
