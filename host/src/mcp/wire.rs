//! The connection to a client: one JSON-RPC message on each line of standard input and output. A line that is no
//! message is answered with the code that JSON-RPC has for it, so that the author of a client learns what is wrong.

use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorCode, JsonRpcMessage, RequestId};
use rmcp::service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::{Value, json};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::sync::{Mutex, mpsc};

/// Longest line from a client in bytes. It is far above the largest source, so a source that is too large still gets an
/// answer of its own.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// Lines that are read ahead.
const LINES_AHEAD: usize = 16;
/// Methods whose parameters are known. Others are custom requests, whose parameters may be anything.
const METHODS: [&str; 15] = [
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tools/call",
    "tools/list",
];

/// A line as it was read.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// Why a line is no message.
#[derive(Debug, PartialEq)]
struct Fault {
    /// The id of the request, if it can be read.
    id: Option<RequestId>,
    code: ErrorCode,
    words: String,
}

pub struct Wire {
    lines: mpsc::Receiver<Line>,
    out: Arc<Mutex<Option<Stdout>>>,
}

impl Wire {
    /// Reads standard input in a thread of its own. The thread ends with the process.
    pub fn open() -> Self {
        let (send, lines) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Ok(Some(line)) = read_line(&mut input) {
                if send.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, out: Arc::new(Mutex::new(Some(tokio::io::stdout()))) }
    }

    fn write(&self, message: serde_json::Result<Vec<u8>>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let out = self.out.clone();
        async move {
            let mut message = message?;
            message.push(b'\n');
            match out.lock().await.as_mut() {
                Some(out) => {
                    out.write_all(&message).await?;
                    out.flush().await
                }
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }
}

impl Transport<RoleServer> for Wire {
    type Error = io::Error;

    fn send(&mut self, message: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.write(serde_json::to_vec(&message))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let read = match self.lines.recv().await? {
                Line::Whole(line) => message(&line),
                Line::TooLong => {
                    let words = format!("a line has more than {MAX_LINE_BYTES} bytes");
                    Err(Fault { id: None, code: ErrorCode::INVALID_REQUEST, words })
                }
            };
            match read {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                // This future may be dropped at any await, so the answer is written elsewhere.
                Err(fault) => drop(tokio::spawn(self.write(serde_json::to_vec(&fault.answer())))),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        drop(self.out.lock().await.take());
        Ok(())
    }
}

impl Fault {
    fn answer(&self) -> Value {
        let Self { id, code, words } = self;
        json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": words } })
    }
}

/// The next line; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        return Ok(Some(Line::Whole(line)));
    }
    if (line.len() as u64) < MAX_LINE_BYTES {
        // The client left within a line.
        return Ok(None);
    }
    input.skip_until(b'\n')?;
    Ok(Some(Line::TooLong))
}

/// The message on a line; `None` if there is nothing to answer.
fn message(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Fault> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let line = line.strip_prefix(MARK).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| Fault {
        id: None,
        code: ErrorCode::PARSE_ERROR,
        words: format!("the line is not JSON: {error}"),
    })?;
    let id = value.get("id").and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok());
    let fault = |code, words: &str| Err(Fault { id: id.clone(), code, words: words.into() });
    let Some(fields) = value.as_object() else {
        return fault(ErrorCode::INVALID_REQUEST, "a message is one JSON object on one line");
    };
    if fields.get("jsonrpc") != Some(&"2.0".into()) {
        return fault(ErrorCode::INVALID_REQUEST, "`jsonrpc` must be \"2.0\"");
    }
    if fields.contains_key("id") && id.is_none() {
        return fault(ErrorCode::INVALID_REQUEST, "`id` must be a text or a whole number");
    }
    let method = match fields.get("method") {
        Some(Value::String(method)) => method.clone(),
        // An answer to a request of this server, which makes none that matter.
        None if id.is_some() && (fields.contains_key("result") || fields.contains_key("error")) => {
            return Ok(serde_json::from_value(value).ok());
        }
        _ => return fault(ErrorCode::INVALID_REQUEST, "`method` must be a text"),
    };
    if id.is_none() {
        if !method.starts_with("notifications/") {
            return fault(ErrorCode::INVALID_REQUEST, "a request needs an `id`");
        }
        // Nobody waits for an answer to a notification.
        return Ok(serde_json::from_value(value).ok());
    }
    if fields.get("params").is_some_and(|params| !params.is_object() && !params.is_null()) {
        return fault(ErrorCode::INVALID_PARAMS, "`params` must be an object");
    }
    match serde_json::from_value::<ClientJsonRpcMessage>(value) {
        Ok(JsonRpcMessage::Request(request)) if !is_misread(&request.request, &method) => {
            Ok(Some(JsonRpcMessage::Request(request)))
        }
        _ if METHODS.contains(&method.as_str()) => {
            fault(ErrorCode::INVALID_PARAMS, &format!("`{method}` does not take these parameters"))
        }
        _ => fault(ErrorCode::METHOD_NOT_FOUND, &crate::system::sanitize::line(&method, 80)),
    }
}

/// Whether the parameters of a known method were wrong, so that it was taken for a custom one.
fn is_misread(request: &ClientRequest, method: &str) -> bool {
    matches!(request, ClientRequest::CustomRequest(_)) && METHODS.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_message_has_its_code() {
        for (line, id, code) in [
            ("{", None, -32700),
            ("not json", None, -32700),
            ("\u{0}", None, -32700),
            ("{\"id\":1,", None, -32700),
            ("[]", None, -32600),
            ("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", None, -32600),
            ("7", None, -32600),
            ("{}", None, -32600),
            (r#"{"id":1,"method":"ping"}"#, Some(1), -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Some(1), -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, Some(1), -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Some(1), -32600),
            (r#"{"jsonrpc":"2.0","method":"tools/list"}"#, None, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[1]}"#, Some(1), -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":"x"}"#, Some(1), -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, Some(1), -32602),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, Some(1), -32602),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"try","arguments":[]}}"#,
                Some(1),
                -32602,
            ),
        ] {
            let fault = message(line.as_bytes()).unwrap_err();
            let (wanted, found) = ((id.map(RequestId::Number), code), (fault.id.clone(), fault.code.0));
            assert_eq!(found, wanted, "{line}: {fault:?}");
            assert_eq!(fault.answer()["id"].is_null(), id.is_none(), "an id that cannot be read is null");
        }
    }

    #[test]
    fn messages_and_notifications_are_read() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n",
        ] {
            assert!(message(line.as_bytes()).unwrap().is_some(), "{line}");
        }
        for line in ["", " \r\n", r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":7}"#] {
            assert!(message(line.as_bytes()).is_ok(), "{line}");
        }
    }
}
