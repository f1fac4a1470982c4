//! Sends requests and reads answers as they stream, within every limit. The only place here that does network I/O; blocks
//! its thread, so that callers need to know nothing of async.

use super::backoff;
use super::config::{Dialect, ModelConfig, is_loopback};
use super::cost::{Prices, estimate};
use super::dialect::{self, Reading, Request, Response};
use super::error::{AskError, Class, OpenError, Phase};
use super::key::Key;
use super::sse::Events;
use crate::escape;
use crate::proposer::{self, Desk, Spend};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Url};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Most bytes of an answer as sent: events wrap each few characters in some hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How often an exchange looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);
/// Version of the Messages API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Tokens that a server's template may add to a request and to each of its turns, at most.
const TEMPLATE_TOKENS: u64 = 1024;

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
    pub fn body(&self, request: &Request) -> Vec<u8> {
        dialect::body(&self.config, request, self.newer.load(Ordering::Relaxed))
    }

    /// The most that one try of a request can use: a token has at least one byte, and an answer ends at its limit.
    pub fn worst_case(&self, request: &Request) -> Spend {
        let template = TEMPLATE_TOKENS.saturating_mul(request.messages.len() as u64 + 1);
        self.prices.request((request.bytes() as u64).saturating_add(template), self.config.max_output_tokens)
    }

    /// Asks, and asks again where the failure is temporary. Each try is reserved at its worst case before it is sent, and
    /// settled after. Looks every 50 ms whether the desk was cancelled.
    ///
    /// # Errors
    /// The last try's, or the ledger's.
    pub fn ask(&self, request: &Request, desk: &mut Desk) -> Result<Response, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| AskError::Connect(error.to_string()))?;
        let result = runtime.block_on(self.persist(request, desk));
        // Not waiting for a name that is still being looked up.
        runtime.shutdown_background();
        result
    }

    async fn persist(&self, request: &Request, desk: &mut Desk<'_>) -> Result<Response, AskError> {
        let mut tries = 1;
        loop {
            let error = match self.attempt(request, desk).await {
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
    async fn attempt(&self, request: &Request, desk: &mut Desk<'_>) -> Result<Response, AskError> {
        let worst = self.worst_case(request);
        let reservation = desk.ledger.reserve(&worst).map_err(AskError::Ledger)?;
        let body = self.body(request);
        let watch = Watch::new(&self.config, desk.cancelled);
        let mut exchange = Exchange::default();
        let read = self.exchange(body.clone(), &watch, &mut exchange).await;
        let spend = exchange.spend(&read, worst, self.prices, estimate(request.bytes()));
        let read = read.and_then(|()| exchange.reading.finish(&self.config));
        let read = read.map(|response| Response { text: self.redact(response.text), ..response });
        let filed = proposer::Exchange {
            spend,
            request: body,
            response: match &read {
                // Strings and numbers cannot fail to be JSON.
                Ok(response) => serde_json::to_vec(response).unwrap_or_default(),
                Err(error) => error.to_string().into_bytes(),
            },
            status: read.as_ref().map_or_else(|error| error.name().to_owned(), |_| "ok".into()),
            wall_ms: watch.started.elapsed().as_millis() as u64,
        };
        desk.ledger.settle(reservation, &filed).map_err(AskError::Ledger)?;
        read
    }

    /// Some models take the limit under its newer name alone. True where that is news: ask again.
    fn learn(&self, error: &AskError) -> bool {
        matches!(error, AskError::BadRequest { said } if said.contains("max_completion_tokens"))
            && self.config.dialect == Dialect::Openai
            && !self.newer.swap(true, Ordering::Relaxed)
    }

    async fn exchange(&self, body: Vec<u8>, watch: &Watch<'_>, exchange: &mut Exchange) -> Result<(), AskError> {
        let sending = self.http.post(self.endpoint.clone()).body(body).send();
        // From here on the request may be with the server, whatever this end learns of it.
        exchange.taken = true;
        let sent = watch.within(Phase::FirstByte, sending).await?;
        let response = sent.map_err(|error| {
            exchange.taken = !error.is_connect();
            self.broken(error)
        })?;
        if !response.status().is_success() {
            exchange.taken = false;
            return Err(self.refusal(response, watch).await);
        }
        let found = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("unreadable"));
        let kind = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => self.read_events(response, watch, &mut exchange.reading).await,
            "application/json" => {
                let body = self.read_body(response, watch, MAX_BODY_BYTES).await?;
                exchange.reading.whole(self.config.dialect, &body).map_err(|error| self.redacted(error))
            }
            _ => Err(self.redacted(AskError::ContentType { found: escape::line(found, 80) })),
        }
    }

    async fn read_events(
        &self,
        mut response: reqwest::Response,
        watch: &Watch<'_>,
        reading: &mut Reading,
    ) -> Result<(), AskError> {
        let mut events = Events::default();
        let mut take = |data: &str| reading.event(self.config.dialect, data).map_err(|error| self.redacted(error));
        let (mut bytes, mut phase) = (0usize, Phase::FirstByte);
        while let Some(piece) = watch.within(phase, response.chunk()).await?.map_err(|error| self.broken(error))? {
            phase = Phase::Idle;
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

    async fn read_body(
        &self,
        mut response: reqwest::Response,
        watch: &Watch<'_>,
        limit: usize,
    ) -> Result<Vec<u8>, AskError> {
        let (mut body, mut phase) = (Vec::new(), Phase::FirstByte);
        while let Some(piece) = watch.within(phase, response.chunk()).await?.map_err(|error| self.broken(error))? {
            phase = Phase::Idle;
            if body.len().saturating_add(piece.len()) > limit {
                return Err(AskError::TooLarge { what: "body", limit });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn refusal(&self, response: reqwest::Response, watch: &Watch<'_>) -> AskError {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if status.is_redirection() {
            let to = header(LOCATION).unwrap_or("an address that it does not say");
            return self.redacted(AskError::Redirect { to: escape::line(to, 200) });
        }
        let retry_after = header(RETRY_AFTER).and_then(|value| backoff::retry_after(value, SystemTime::now()));
        match self.read_body(response, watch, MAX_ERROR_BYTES).await {
            Err(AskError::Interrupted) => AskError::Interrupted,
            // The status alone says enough.
            body => self.redacted(dialect::refusal(status.as_u16(), &body.unwrap_or_default(), retry_after)),
        }
    }

    fn broken(&self, error: reqwest::Error) -> AskError {
        let error = error.without_url();
        if error.is_connect() && error.is_timeout() {
            return AskError::Timeout { phase: Phase::Connect, limit_s: self.config.connect_s.into() };
        }
        let words = escape::line(&chain(&error), 200);
        self.redacted(if error.is_connect() { AskError::Connect(words) } else { AskError::Broken(words) })
    }

    fn redact(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.redact(text),
            None => text,
        }
    }

    /// The same error, without the key in a server's words.
    fn redacted(&self, error: AskError) -> AskError {
        match error {
            AskError::Authentication { said } => AskError::Authentication { said: self.redact(said) },
            AskError::Payment { said } => AskError::Payment { said: self.redact(said) },
            AskError::NotFound { said } => AskError::NotFound { said: self.redact(said) },
            AskError::Redirect { to } => AskError::Redirect { to: self.redact(to) },
            AskError::BadRequest { said } => AskError::BadRequest { said: self.redact(said) },
            AskError::Busy { said, retry_after } => AskError::Busy { said: self.redact(said), retry_after },
            AskError::Connect(words) => AskError::Connect(self.redact(words)),
            AskError::Broken(words) => AskError::Broken(self.redact(words)),
            AskError::ContentType { found } => AskError::ContentType { found: self.redact(found) },
            AskError::Malformed(words) => AskError::Malformed(self.redact(words)),
            other => other,
        }
    }
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

/// The limits of one try.
struct Watch<'a> {
    config: &'a ModelConfig,
    cancelled: &'a AtomicBool,
    started: Instant,
}

impl<'a> Watch<'a> {
    fn new(config: &'a ModelConfig, cancelled: &'a AtomicBool) -> Self {
        Self { config, cancelled, started: Instant::now() }
    }

    /// Waits for a part of an exchange, as long as its own limit and the whole's allow and nobody cancels.
    async fn within<T>(&self, phase: Phase, part: impl Future<Output = T>) -> Result<T, AskError> {
        let mut part = pin!(part);
        let began = Instant::now();
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(AskError::Interrupted);
            }
            for (phase, since) in [(phase, began), (Phase::Total, self.started)] {
                let limit = self.config.limit(phase);
                if since.elapsed() >= limit {
                    return Err(AskError::Timeout { phase, limit_s: limit.as_secs() });
                }
            }
            if let Ok(done) = tokio::time::timeout(TICK, part.as_mut()).await {
                return Ok(done);
            }
        }
    }

    /// Waits between two tries.
    async fn pause(&self, wait: Duration) -> Result<(), AskError> {
        let began = Instant::now();
        while let Some(left) = wait.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(AskError::Interrupted);
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
        Ok(())
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
