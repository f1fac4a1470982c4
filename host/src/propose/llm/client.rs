//! Sends requests and reads answers as they stream, within every limit. The only place here that does network I/O; blocks
//! its thread, so that callers need to know nothing of async.

use crate::propose::llm::config::{Dialect, ModelConfig, is_loopback};
use crate::propose::llm::cost::{Prices, estimate};
use crate::propose::llm::deadline::Deadlines;
use crate::propose::llm::dialect::{self, Reading, Response};
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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Most bytes of an answer as sent: events wrap each few characters in some hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Most bytes of an answer that are filed; 8192 tokens, an event for each, are about two million.
const MAX_FILED_BYTES: usize = 8 << 20;
/// Answers in a row by which server and settings do not fit together, before nothing more is expected of it.
const MOST_MISFITS: u32 = 3;
/// Version of the Messages API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Tokens that a server's template may add to a prompt, at most.
const TEMPLATE_TOKENS: u64 = 2048;

/// A model that can be asked.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    endpoint: Url,
    key: Option<Key>,
    prices: Prices,
    http: Client,
    /// The server wants `max_completion_tokens`.
    newer: AtomicBool,
    /// Answers since the last good one by which server and settings do not fit together.
    misfits: AtomicU32,
}

/// What came of a request.
#[derive(Debug)]
enum Came {
    Answer(Response),
    /// It is to be sent there instead.
    Moved(Url),
}

/// One request under way.
#[derive(Debug, Default)]
struct Transfer {
    /// The server took the request: what it does with it may cost.
    taken: bool,
    reading: Reading,
    /// The answer's body as it came, up to [`MAX_FILED_BYTES`].
    received: Vec<u8>,
    /// Where the server wants the request to go.
    moved: Option<Url>,
}

impl Model {
    /// Checks the address and reads the key; sends nothing.
    ///
    /// # Errors
    /// An address or key that cannot be used.
    pub fn open(config: &ModelConfig) -> Result<Self, OpenError> {
        let endpoint = config.endpoint()?;
        let key = Key::find(config)?;
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers(config.dialect, key.as_ref())?)
            .user_agent(concat!("host/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.limit(Phase::Connect))
            // Each request has a runtime of its own, and no connection outlives it.
            .pool_max_idle_per_host(0);
        if is_loopback(&endpoint) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| OpenError::Client(chain(&error)))?;
        let (config, prices) = (config.clone(), config.prices());
        Ok(Self { config, endpoint, key, prices, http, newer: AtomicBool::new(false), misfits: AtomicU32::new(0) })
    }

    /// What it was opened with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The bytes that a request is sent as; the key is not among them.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn body(&self, prompt: &Prompt) -> Result<Vec<u8>, AskError> {
        let body = dialect::body(&self.config, prompt, self.newer.load(Ordering::Relaxed));
        body.map_err(|error| AskError::Unwritten(error.to_string()))
    }

    /// The most that one try of a request can use: a token has at least one byte, and an answer ends at its limit.
    pub fn worst_case(&self, prompt: &Prompt) -> Spend {
        let input = (prompt.bytes() as u64).saturating_add(TEMPLATE_TOKENS);
        self.prices.request(input, self.config.max_output_tokens)
    }

    /// Asks, and asks again where the failure is temporary. Each try is reserved at its worst case before it is sent, and
    /// settled after. Looks every 50 ms whether the desk was cancelled.
    ///
    /// # Errors
    /// The last try's, or the ledger's.
    pub fn ask(&self, prompt: &Prompt, desk: &mut Desk) -> Result<Response, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| AskError::Connect(error.to_string()))?;
        let result = runtime.block_on(self.persist(prompt, desk));
        // Not waiting for a name that is still being looked up.
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
            let wait = error.retry_after().unwrap_or_else(|| backoff::wait(first, longest, tries));
            if wait > longest {
                return Err(error);
            }
            Deadlines::new(&self.config, desk.cancelled).pause(wait).await?;
        }
    }

    /// One try: a request, and another one for each time that the server says that it is to go to another path of its own.
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

    /// One request, with its place in the accounts.
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
        desk.ledger.settle(reservation, &filed).map_err(AskError::Ledger)?;
        read
    }

    /// What was understood and what is filed, without the key.
    fn without_key(&self, read: Result<Came, AskError>, received: Vec<u8>) -> (Result<Came, AskError>, Vec<u8>) {
        let Some(key) = &self.key else { return (read, received) };
        let said = match &read {
            Ok(Came::Answer(response)) => response.text.clone(),
            Ok(Came::Moved(_)) => return (read, received),
            Err(error) => error.to_string(),
        };
        let mut filed = key.redact(&received);
        if key_in_answer::holds(key, &filed) {
            // It can still be put together from the pieces: then the words alone are filed.
            filed = key.redact_text(said).into_bytes();
        }
        let read = read.map(|came| match came {
            Came::Answer(response) => Came::Answer(Response { text: key.redact_text(response.text), ..response }),
            moved => moved,
        });
        (read.map_err(|error| error.map_said(|words| key.redact_text(words))), filed)
    }

    /// Some models take the limit under its newer name alone. True where that is news: ask again.
    fn learn(&self, error: &AskError) -> bool {
        matches!(error, AskError::BadRequest { said } if said.contains("max_completion_tokens"))
            && self.config.dialect == Dialect::Openai
            && !self.newer.swap(true, Ordering::Relaxed)
    }

    async fn exchange(
        &self,
        url: &Url,
        body: Vec<u8>,
        deadlines: &Deadlines<'_>,
        exchange: &mut Transfer,
    ) -> Result<(), AskError> {
        let sending = self.http.post(url.clone()).body(body).send();
        // From here on the request may be with the server, whatever this end learns of it.
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

    /// Reads an answer as what it is called, and one that is called nothing as what it begins like.
    async fn read(
        &self,
        mut response: reqwest::Response,
        deadlines: &Deadlines<'_>,
        exchange: &mut Transfer,
    ) -> Result<(), AskError> {
        let (mut form, status) = (Form::named(&response)?, response.status().as_u16());
        let Transfer { reading, received, .. } = exchange;
        let (mut body, mut events) = (Vec::new(), Events::default());
        let (mut bytes, mut phase) = (0usize, Phase::FirstByte);
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
            if form == Some(Form::Events)
                && events.push(&piece, &mut |data| reading.event(self.config.dialect, data))?
            {
                return Ok(());
            }
        }
        match form {
            None => Err(AskError::NoBody { status }),
            Some(Form::Json) if body.is_empty() => Err(AskError::NoBody { status }),
            Some(Form::Json) => reading.whole(self.config.dialect, &body),
            Some(Form::Events) => events.finish(&mut |data| reading.event(self.config.dialect, data)).map(|_| ()),
        }
    }

    fn unsent(&self, error: reqwest::Error) -> AskError {
        if error.is_connect() && error.is_timeout() {
            return AskError::Timeout { phase: Phase::Connect, limit_s: self.config.connect_s.into() };
        }
        broken(error)
    }
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Events,
    Json,
}

impl Form {
    /// What the server calls it; none where it says nothing.
    fn named(response: &reqwest::Response) -> Result<Option<Self>, AskError> {
        let Some(found) = response.headers().get(CONTENT_TYPE) else { return Ok(None) };
        let found = found.to_str().unwrap_or("unreadable");
        match found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "text/event-stream" => Ok(Some(Self::Events)),
            "application/json" => Ok(Some(Self::Json)),
            _ => Err(AskError::ContentType { found: sanitize::line(found, 80) }),
        }
    }

    /// What a body begins like; none where this is blank.
    fn of(piece: &[u8]) -> Option<Self> {
        match piece.trim_ascii_start().first()? {
            b'{' => Some(Self::Json),
            _ => Some(Self::Events),
        }
    }
}

/// A body of at most `limit` bytes; `received` keeps what came of it, whatever happens.
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

/// The error that an unsuccessful answer means.
async fn refusal(response: reqwest::Response, deadlines: &Deadlines<'_>, received: &mut Vec<u8>) -> AskError {
    let status = response.status().as_u16();
    let retry_after = header(&response, RETRY_AFTER).and_then(|value| backoff::retry_after(value, SystemTime::now()));
    match read_body(response, deadlines, MAX_ERROR_BYTES, received).await {
        Err(AskError::Interrupted) => AskError::Interrupted,
        // The status alone says enough.
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
    /// What a request counts for. A whole answer counts as the server says, and by its length (`asked` for the prompt)
    /// where it says nothing or that there was nothing; claims above the worst case are impossible and cut to it. An answer that broke off may be billed
    /// in full without ever saying so: it counts as the worst case, so that no cap is passed unseen.
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

/// An error's words with those of its causes, each said once.
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
