//! Sends requests and reads streamed answers, within all limits. Only this file does network I/O. It blocks its thread,
//! so callers need no async.

use crate::propose::llm::config::{Dialect, ModelConfig, is_loopback};
use crate::propose::llm::cost::{Prices, estimate};
use crate::propose::llm::deadline::Deadlines;
use crate::propose::llm::dialect::{self, Manners, Reading, Response};
use crate::propose::llm::error::{AskError, Class, OpenError, Phase};
use crate::propose::llm::key::Key;
use crate::propose::llm::sse::Events;
use crate::propose::llm::{backoff, key_in_answer, redirect};
use crate::propose::prompt::Prompt;
use crate::propose::proposer::Desk;
use crate::record::spend::{Exchange, Spend};
use crate::system::sanitize;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Url};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Largest answer as sent, in bytes. Each event wraps a few characters in some hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Largest body of an error that is read, in bytes.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Bytes of an answer that are stored. 8192 tokens, with one event each, take about two million.
const MAX_FILED_BYTES: usize = 8 << 20;
/// After this number of consecutive answers that show a mismatch of server and settings, the model is given up.
const MOST_MISFITS: u32 = 3;
/// A wait in milliseconds, as OpenAI and Azure ask for it beside `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Version of the Messages API.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Largest number of tokens that a server's template may add to a prompt.
const TEMPLATE_TOKENS: u64 = 2048;

/// A model that can be asked.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    endpoint: Url,
    key: Option<Key>,
    prices: Prices,
    http: Client,
    /// What the server has shown that it wants.
    manners: Mutex<Manners>,
    /// Mismatched answers since the last good one. They show that server and settings do not fit together.
    misfits: AtomicU32,
}

/// Result of a request.
#[derive(Debug)]
enum Came {
    Answer(Response),
    /// The request must be sent to this address instead.
    Moved(Url),
}

/// The state of one request.
#[derive(Debug, Default)]
struct Transfer {
    /// The server received the request, so it may cost something.
    taken: bool,
    reading: Reading,
    /// The answer's body as received, up to [`MAX_FILED_BYTES`].
    received: Vec<u8>,
    /// The address that the server redirects to.
    moved: Option<Url>,
}

impl Model {
    /// Checks the address and reads the key. Sends nothing.
    ///
    /// # Errors
    /// The address or key cannot be used.
    pub fn open(config: &ModelConfig) -> Result<Self, OpenError> {
        let endpoint = config.endpoint()?;
        let key = Key::find(config)?;
        // An error means that a provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers(config.dialect, key.as_ref())?)
            .user_agent(concat!("host/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.limit(Phase::Connect))
            // Each request has its own runtime, and no connection outlives it.
            .pool_max_idle_per_host(0);
        if is_loopback(&endpoint) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| OpenError::Client(chain(&error)))?;
        let (config, prices) = (config.clone(), config.prices());
        Ok(Self { config, endpoint, key, prices, http, manners: Mutex::default(), misfits: AtomicU32::new(0) })
    }

    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The body of a request. It does not contain the key.
    ///
    /// # Errors
    /// The request cannot be written as JSON.
    pub fn body(&self, prompt: &Prompt) -> Result<Vec<u8>, AskError> {
        let body = dialect::body(&self.config, prompt, *self.manners());
        body.map_err(|error| AskError::Unwritten(error.to_string()))
    }

    /// The most that one try of a request can use: every token has at least one byte, and an answer ends at its limit.
    pub fn worst_case(&self, prompt: &Prompt) -> Spend {
        let input = (prompt.bytes() as u64).saturating_add(TEMPLATE_TOKENS);
        self.prices.request(input, self.config.max_output_tokens)
    }

    /// Asks, and retries after temporary failures. Each try is reserved at its worst case before it is sent, and
    /// settled afterwards. Checks every 50 ms whether the desk was cancelled.
    ///
    /// # Errors
    /// The error of the last try, or of the ledger.
    pub fn ask(&self, prompt: &Prompt, desk: &mut Desk) -> Result<Response, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| AskError::Connect(error.to_string()))?;
        let result = runtime.block_on(self.persist(prompt, desk));
        // Does not wait for a name lookup that is still running.
        runtime.shutdown_background();
        result
    }

    async fn persist(&self, prompt: &Prompt, desk: &mut Desk<'_>) -> Result<Response, AskError> {
        let mut tries = 1;
        loop {
            let error = match self.attempt(prompt, desk).await {
                Ok(response) => {
                    self.misfits.store(0, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => error,
            };
            if self.learn(&error) {
                continue;
            }
            if error.is_misfit() && self.misfits.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_MISFITS {
                return Err(AskError::Misfit { last: Box::new(error) });
            }
            if error.class() != Class::Retry || tries >= self.config.tries {
                return Err(error);
            }
            tries += 1;
            let longest = Duration::from_secs(self.config.max_wait_s.into());
            let first = Duration::from_millis(self.config.wait_ms.into());
            let own = backoff::wait(first, longest, tries);
            // A server that asks for the same short wait again and again is left alone for longer each time.
            let wait = error.retry_after().map_or(own, |asked| if tries > 2 { asked.max(own) } else { asked });
            if wait > longest {
                return Err(error);
            }
            Deadlines::new(&self.config, desk.cancelled).pause(wait).await?;
        }
    }

    /// One try: a request, and one more for each redirect within the same server.
    async fn attempt(&self, prompt: &Prompt, desk: &mut Desk<'_>) -> Result<Response, AskError> {
        let mut url = self.endpoint.clone();
        for _ in 0..=redirect::MOST {
            match self.request(&url, prompt, desk).await? {
                Came::Answer(response) => return Ok(response),
                Came::Moved(to) => url = to,
            }
        }
        Err(redirect::too_many(&url))
    }

    /// One request, with its reservation and settlement.
    async fn request(&self, url: &Url, prompt: &Prompt, desk: &mut Desk<'_>) -> Result<Came, AskError> {
        let worst = self.worst_case(prompt);
        let body = self.body(prompt)?;
        let reservation = desk.ledger.reserve(&worst).map_err(AskError::Ledger)?;
        let deadlines = Deadlines::new(&self.config, desk.cancelled);
        let mut exchange = Transfer::default();
        let read = self.exchange(url, body.clone(), &deadlines, &mut exchange).await;
        let spend = exchange.spend(&read, worst, self.prices, estimate(prompt.bytes()));
        let Transfer { reading, received, moved, .. } = exchange;
        let read = read.and_then(|()| match moved {
            Some(to) => Ok(Came::Moved(to)),
            None => reading.finish(&self.config).map(Came::Answer),
        });
        let (read, response) = self.without_key(read, received);
        let filed = Exchange {
            spend,
            request: body,
            response,
            status: match &read {
                Ok(Came::Answer(_)) => "ok".into(),
                Ok(Came::Moved(_)) => "redirect".into(),
                Err(error) => error.name().into(),
            },
            wall_ms: deadlines.elapsed_ms(),
        };
        match (desk.ledger.settle(reservation, &filed), read) {
            (Ok(()), read) => read,
            // The answer is paid for. Its reservation, which nobody could settle, counts in full.
            (Err(_), Ok(came)) => Ok(came),
            (Err(error), Err(_)) => Err(AskError::Ledger(error)),
        }
    }

    /// The result and the stored body, both without the key.
    fn without_key(&self, read: Result<Came, AskError>, received: Vec<u8>) -> (Result<Came, AskError>, Vec<u8>) {
        let Some(key) = &self.key else { return (read, received) };
        let said = match &read {
            Ok(Came::Answer(response)) => response.text.clone(),
            Ok(Came::Moved(_)) => return (read, received),
            Err(error) => error.to_string(),
        };
        let mut filed = key.redact(&received);
        if key_in_answer::holds(key, &filed) {
            // The key could still be assembled from the pieces, so only the text is stored.
            filed = key.redact_text(said).into_bytes();
        }
        let read = read.map(|came| match came {
            Came::Answer(response) => Came::Answer(Response { text: key.redact_text(response.text), ..response }),
            moved => moved,
        });
        (read.map_err(|error| error.map_said(|words| key.redact_text(words))), filed)
    }

    /// Learns what the server wants instead of a request that it refuses. Returns true if this is new, so that the
    /// caller asks again.
    fn learn(&self, error: &AskError) -> bool {
        match error {
            AskError::BadRequest { wants: Some(wants), .. } if self.config.dialect == Dialect::Openai => {
                self.manners().learn(*wants)
            }
            _ => false,
        }
    }

    fn manners(&self) -> MutexGuard<'_, Manners> {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        &self,
        url: &Url,
        body: Vec<u8>,
        deadlines: &Deadlines<'_>,
        exchange: &mut Transfer,
    ) -> Result<(), AskError> {
        let sending = self.http.post(url.clone()).body(body).send();
        // From here on, the server may have the request, even if this side never learns of it.
        exchange.taken = true;
        let response = deadlines.within(Phase::FirstByte, sending).await?.map_err(|error| {
            exchange.taken = !error.is_connect();
            self.unsent(error)
        })?;
        let status = response.status();
        exchange.taken = status.is_success();
        if status.is_redirection() {
            exchange.moved = Some(redirect::target(url, status.as_u16(), header(&response, LOCATION))?);
            return Ok(());
        }
        if !status.is_success() {
            return Err(refusal(response, deadlines, &mut exchange.received).await);
        }
        self.read(response, deadlines, exchange).await
    }

    /// Reads an answer by its first bytes. Content types are often wrong.
    async fn read(
        &self,
        mut response: reqwest::Response,
        deadlines: &Deadlines<'_>,
        exchange: &mut Transfer,
    ) -> Result<(), AskError> {
        let (named, status) = (content_type(&response), response.status().as_u16());
        if is_for_people(&named) {
            return Err(AskError::ContentType { found: named });
        }
        let Transfer { reading, received, .. } = exchange;
        let (mut form, mut body, mut events) = (None, Vec::new(), Events::default());
        let (mut bytes, mut phase, mut any) = (0usize, Phase::FirstByte, false);
        let mut take = |data: &str| {
            any = true;
            reading.event(self.config.dialect, data)
        };
        while let Some(piece) = deadlines.within(phase, response.chunk()).await?.map_err(broken)? {
            phase = Phase::Idle;
            file(received, &piece);
            bytes = bytes.saturating_add(piece.len());
            if bytes > MAX_BODY_BYTES {
                return Err(AskError::TooLarge { what: "body", limit: MAX_BODY_BYTES });
            }
            form = form.or_else(|| Form::of(&piece));
            if form == Some(Form::Json) {
                body.extend_from_slice(&piece);
            }
            // A server may keep the connection open after the last event.
            if form == Some(Form::Events) && events.push(&piece, &mut take)? {
                return Ok(());
            }
        }
        match form {
            None if named.starts_with(EVENTS) => Err(AskError::Truncated),
            None => Err(AskError::NoBody { status }),
            Some(Form::Page) => Err(AskError::ContentType { found: named }),
            Some(Form::Json) => reading.whole(self.config.dialect, &body),
            Some(Form::Events) => {
                events.finish(&mut take)?;
                if any || named.starts_with(EVENTS) { Ok(()) } else { Err(AskError::ContentType { found: named }) }
            }
        }
    }

    fn unsent(&self, error: reqwest::Error) -> AskError {
        if error.is_connect() && error.is_timeout() {
            return AskError::Timeout { phase: Phase::Connect, limit_s: self.config.connect_s.into() };
        }
        broken(error)
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Events,
    Json,
    /// HTML or XML.
    Page,
}

impl Form {
    /// The form by the first bytes; `None` if they are blank.
    fn of(piece: &[u8]) -> Option<Self> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        match piece.strip_prefix(MARK).unwrap_or(piece).trim_ascii_start().first()? {
            b'{' | b'[' => Some(Self::Json),
            b'<' => Some(Self::Page),
            _ => Some(Self::Events),
        }
    }
}

/// The content type of an event stream.
const EVENTS: &str = "text/event-stream";

fn content_type(response: &reqwest::Response) -> String {
    let found = response.headers().get(CONTENT_TYPE).map(|found| found.to_str().unwrap_or("unreadable"));
    sanitize::line(found.unwrap_or("of no type"), 80).to_ascii_lowercase()
}

/// Whether a content is for people: a page, a picture, a sound.
fn is_for_people(content_type: &str) -> bool {
    ["text/html", "application/xhtml", "image/", "audio/", "video/"].iter().any(|kind| content_type.starts_with(kind))
}

/// Reads a body of at most `limit` bytes. `received` keeps the bytes that arrived, even after an error.
async fn read_body(
    mut response: reqwest::Response,
    deadlines: &Deadlines<'_>,
    limit: usize,
    received: &mut Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    let (mut body, mut phase) = (Vec::new(), Phase::FirstByte);
    while let Some(piece) = deadlines.within(phase, response.chunk()).await?.map_err(broken)? {
        phase = Phase::Idle;
        file(received, &piece);
        if body.len().saturating_add(piece.len()) > limit {
            return Err(AskError::TooLarge { what: "body", limit });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn file(received: &mut Vec<u8>, piece: &[u8]) {
    let room = MAX_FILED_BYTES.saturating_sub(received.len());
    received.extend_from_slice(piece.get(..room).unwrap_or(piece));
}

/// The error behind an unsuccessful answer.
async fn refusal(response: reqwest::Response, deadlines: &Deadlines<'_>, received: &mut Vec<u8>) -> AskError {
    let status = response.status().as_u16();
    let exact = header(&response, RETRY_AFTER_MS).and_then(backoff::milliseconds);
    let rough = || header(&response, RETRY_AFTER).and_then(|value| backoff::retry_after(value, SystemTime::now()));
    let retry_after = exact.or_else(rough);
    match read_body(response, deadlines, MAX_ERROR_BYTES, received).await {
        Err(AskError::Interrupted) => AskError::Interrupted,
        // The status alone is enough.
        body => dialect::refusal(status, &body.unwrap_or_default(), retry_after),
    }
}

fn header(response: &reqwest::Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

fn broken(error: reqwest::Error) -> AskError {
    let error = error.without_url();
    let words = sanitize::line(&chain(&error), 200);
    if error.is_connect() { AskError::Connect(words) } else { AskError::Broken(words) }
}

impl Transfer {
    /// The cost of a request. A complete answer counts as the server reports. If the server reports nothing or zero, it
    /// counts by its length, and the prompt by `asked`. Claims above the worst case are impossible and are cut to it.
    /// An interrupted answer may be billed in full without a report, so it counts as the worst case: no cap is ever
    /// exceeded unseen.
    fn spend(&self, read: &Result<(), AskError>, worst: Spend, prices: Prices, asked: u64) -> Spend {
        if !self.taken {
            let sent = !matches!(read, Err(AskError::Connect(_) | AskError::Timeout { phase: Phase::Connect, .. }));
            return Spend { requests: u64::from(sent), ..Spend::default() };
        }
        if read.is_err() || !self.reading.is_complete() {
            return worst;
        }
        let told = |tokens: Option<u64>| tokens.filter(|&count| count > 0);
        let input = told(self.reading.tokens_in).unwrap_or(asked);
        let output = told(self.reading.tokens_out).unwrap_or(estimate(self.reading.bytes()));
        prices.request(input.min(worst.input_tokens), output.min(worst.output_tokens))
    }
}

fn headers(dialect: Dialect, key: Option<&Key>) -> Result<HeaderMap, OpenError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    match dialect {
        Dialect::Anthropic => {
            headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(ANTHROPIC_VERSION));
            if let Some(key) = key {
                headers.insert(HeaderName::from_static("x-api-key"), key.header("")?);
            }
        }
        Dialect::Openai => {
            if let Some(key) = key {
                headers.insert(AUTHORIZATION, key.header("Bearer ")?);
            }
        }
    }
    Ok(headers)
}

/// An error's message with those of its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
