//! Sends requests and reads answers as they stream, within every limit. The only place here that does network I/O; blocks
//! its thread, so that callers need to know nothing of async.

use super::backoff;
use super::config::{Dialect, ModelConfig, is_loopback};
use super::cost::{Prices, estimate};
use super::dialect::{self, Reading, Response};
use super::error::{AskError, Class, OpenError, Phase};
use super::key::Key;
use super::redirect;
use super::sse::Events;
use super::watch::Watch;
use crate::escape;
use crate::prompt::Prompt;
use crate::proposer::{self, Desk, Spend};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Url};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Most bytes of an answer as sent: events wrap each few characters in some hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Most bytes of an answer that are filed; 8192 tokens, an event for each, are about two million.
const MAX_FILED_BYTES: usize = 8 << 20;
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
}

/// One try under way.
#[derive(Debug, Default)]
struct Exchange {
    /// The server took the request: what it does with it may cost.
    taken: bool,
    reading: Reading,
    /// The answer's body as it came, up to [`MAX_FILED_BYTES`].
    received: Vec<u8>,
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
        Ok(Self { config, endpoint, key, prices, http, newer: AtomicBool::new(false) })
    }

    /// What it was opened with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The bytes that a request is sent as; the key is not among them.
    pub fn body(&self, prompt: &Prompt) -> Vec<u8> {
        dialect::body(&self.config, prompt, self.newer.load(Ordering::Relaxed))
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
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if self.learn(&error) {
                continue;
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
            Watch::new(&self.config, desk.cancelled).pause(wait).await?;
        }
    }

    /// One try, with its place in the accounts.
    async fn attempt(&self, prompt: &Prompt, desk: &mut Desk<'_>) -> Result<Response, AskError> {
        let worst = self.worst_case(prompt);
        let reservation = desk.ledger.reserve(&worst).map_err(AskError::Ledger)?;
        let body = self.body(prompt);
        let watch = Watch::new(&self.config, desk.cancelled);
        let mut exchange = Exchange::default();
        let read = self.exchange(body.clone(), &watch, &mut exchange).await;
        let spend = exchange.spend(&read, worst, self.prices, estimate(prompt.bytes()));
        let received = std::mem::take(&mut exchange.received);
        let read = read.and_then(|()| exchange.reading.finish(&self.config));
        let (read, response) = self.without_key(read, received);
        let filed = proposer::Exchange {
            spend,
            request: body,
            response,
            status: read.as_ref().map_or_else(|error| error.name().to_owned(), |_| "ok".into()),
            wall_ms: watch.elapsed_ms(),
        };
        desk.ledger.settle(reservation, &filed).map_err(AskError::Ledger)?;
        read
    }

    /// What was understood and what is filed, without the key.
    fn without_key(
        &self,
        read: Result<Response, AskError>,
        received: Vec<u8>,
    ) -> (Result<Response, AskError>, Vec<u8>) {
        let Some(key) = &self.key else { return (read, received) };
        let said = match &read {
            Ok(response) => response.text.clone(),
            Err(error) => error.to_string(),
        };
        let clean = key.redact_text(said.clone());
        // A server that repeats the key may have sent it in pieces or escaped: then the words alone are filed.
        let filed = if clean == said { key.redact(&received) } else { clean.into_bytes() };
        let read = read.map(|response| Response { text: key.redact_text(response.text), ..response });
        (read.map_err(|error| error.map_said(|words| key.redact_text(words))), filed)
    }

    /// Some models take the limit under its newer name alone. True where that is news: ask again.
    fn learn(&self, error: &AskError) -> bool {
        matches!(error, AskError::BadRequest { said } if said.contains("max_completion_tokens"))
            && self.config.dialect == Dialect::Openai
            && !self.newer.swap(true, Ordering::Relaxed)
    }

    async fn exchange(&self, body: Vec<u8>, watch: &Watch<'_>, exchange: &mut Exchange) -> Result<(), AskError> {
        let response = self.send(body, watch, exchange).await?;
        if !response.status().is_success() {
            exchange.taken = false;
            return Err(refusal(response, watch, &mut exchange.received).await);
        }
        let found = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("unreadable"));
        let kind = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => self.read_events(response, watch, exchange).await,
            "application/json" => {
                let body = read_body(response, watch, MAX_BODY_BYTES, &mut exchange.received).await?;
                exchange.reading.whole(self.config.dialect, &body)
            }
            _ => Err(AskError::ContentType { found: escape::line(found, 80) }),
        }
    }

    /// Sends the request, and sends it on where the server says that it is to go to another path of its own.
    async fn send(
        &self,
        body: Vec<u8>,
        watch: &Watch<'_>,
        exchange: &mut Exchange,
    ) -> Result<reqwest::Response, AskError> {
        let mut url = self.endpoint.clone();
        for _ in 0..=redirect::MOST {
            let sending = self.http.post(url.clone()).body(body.clone()).send();
            // From here on the request may be with the server, whatever this end learns of it.
            exchange.taken = true;
            let sent = watch.within(Phase::FirstByte, sending).await?;
            let response = sent.map_err(|error| {
                exchange.taken = !error.is_connect();
                self.unsent(error)
            })?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            exchange.taken = false;
            url = redirect::target(&url, response.status().as_u16(), header(&response, LOCATION))?;
        }
        Err(redirect::too_many(&url))
    }

    async fn read_events(
        &self,
        mut response: reqwest::Response,
        watch: &Watch<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), AskError> {
        let Exchange { reading, received, .. } = exchange;
        let mut events = Events::default();
        let mut take = |data: &str| reading.event(self.config.dialect, data);
        let (mut bytes, mut phase) = (0usize, Phase::FirstByte);
        while let Some(piece) = watch.within(phase, response.chunk()).await?.map_err(broken)? {
            phase = Phase::Idle;
            file(received, &piece);
            bytes = bytes.saturating_add(piece.len());
            if bytes > MAX_BODY_BYTES {
                return Err(AskError::TooLarge { what: "body", limit: MAX_BODY_BYTES });
            }
            // A server may keep the connection open after the last event.
            if events.push(&piece, &mut take)? {
                return Ok(());
            }
        }
        events.finish(&mut take).map(|_| ())
    }

    fn unsent(&self, error: reqwest::Error) -> AskError {
        if error.is_connect() && error.is_timeout() {
            return AskError::Timeout { phase: Phase::Connect, limit_s: self.config.connect_s.into() };
        }
        broken(error)
    }
}

/// A body of at most `limit` bytes; `received` keeps what came of it, whatever happens.
async fn read_body(
    mut response: reqwest::Response,
    watch: &Watch<'_>,
    limit: usize,
    received: &mut Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    let (mut body, mut phase) = (Vec::new(), Phase::FirstByte);
    while let Some(piece) = watch.within(phase, response.chunk()).await?.map_err(broken)? {
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
async fn refusal(response: reqwest::Response, watch: &Watch<'_>, received: &mut Vec<u8>) -> AskError {
    let status = response.status().as_u16();
    let retry_after = header(&response, RETRY_AFTER).and_then(|value| backoff::retry_after(value, SystemTime::now()));
    match read_body(response, watch, MAX_ERROR_BYTES, received).await {
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
    let words = escape::line(&chain(&error), 200);
    if error.is_connect() { AskError::Connect(words) } else { AskError::Broken(words) }
}

impl Exchange {
    /// What a try counts for. A whole answer counts as the server says, and by its length (`asked` for the prompt) where
    /// it says nothing; claims above the worst case are impossible and cut to it. An answer that broke off may be billed
    /// in full without ever saying so: it counts as the worst case, so that no cap is passed unseen.
    fn spend(&self, read: &Result<(), AskError>, worst: Spend, prices: Prices, asked: u64) -> Spend {
        if !self.taken {
            let sent = !matches!(read, Err(AskError::Connect(_) | AskError::Timeout { phase: Phase::Connect, .. }));
            return Spend { requests: u64::from(sent), ..Spend::default() };
        }
        if read.is_err() || !self.reading.is_complete() {
            return worst;
        }
        let input = self.reading.tokens_in.unwrap_or(asked);
        let output = self.reading.tokens_out.unwrap_or(estimate(self.reading.bytes()));
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
