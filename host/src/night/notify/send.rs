//! Delivers one message: a request to a web address, and a command.

use crate::night::notify::message::Message;
use crate::policy::Notify;
use crate::system::process;
use reqwest::{Client, Url, redirect};
use std::path::Path;
use std::time::Duration;

/// Time limits of a request and of a command.
const REQUEST: Duration = Duration::from_secs(10);
const COMMAND: Duration = Duration::from_secs(30);

/// Delivers to all that the policy names. Returns what failed, without the address: it may hold a secret.
pub fn send(config: &Notify, message: &Message) -> Vec<String> {
    let webhook = config.address().map(|address| {
        let sent = address.and_then(|address| post(&address, message));
        sent.map_err(|reason| format!("the webhook was not told: {reason}"))
    });
    let command = (!config.command.is_empty())
        .then(|| run(&config.command, message).map_err(|reason| format!("the command of `[notify]` failed: {reason}")));
    [webhook, command].into_iter().flatten().filter_map(Result::err).collect()
}

fn post(address: &str, message: &Message) -> Result<(), String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
    // An error means that a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().redirect(redirect::Policy::none()).timeout(REQUEST);
    let client = client.user_agent(concat!("host/", env!("CARGO_PKG_VERSION"))).build();
    let client = client.map_err(|error| error.without_url().to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let request = client.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
    let answer = runtime.block_on(async { request.send().await });
    // Does not wait for a name lookup that is still running.
    runtime.shutdown_background();
    let status = answer.map_err(|error| cause(error.without_url()))?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

/// The error with its innermost cause, which says what happened.
fn cause(error: reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// Runs the command with the text as its last argument and the whole message as JSON in `NIGHTLAB_MESSAGE`.
fn run(command: &[String], message: &Message) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let json = serde_json::to_string(message).map_err(|error| error.to_string())?;
    let mut child = process::command(Path::new(program));
    child.args(arguments).arg(&message.text).env("NIGHTLAB_MESSAGE", json);
    process::output(child, COMMAND).map(|_| ())
}
