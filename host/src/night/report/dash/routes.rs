//! The addresses of the pages, and who may ask for them: programs of this machine that name it by its own name, so that
//! a page of another site cannot read the store through a name that it lets point here. No request changes anything.

use crate::night::past::PastError;
use crate::night::report::dash::error::DashError;
use crate::night::report::dash::events;
use crate::night::report::dash::frame::{self, Frame};
use crate::night::report::dash::reader::Reader;
use crate::night::report::page::{self, View};
use crate::night::report::running::Running;
use crate::night::report::watch::{News, SILENCE_S, State, Subject};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State as Has};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Most clients that are told of news at the same time.
const MOST_LISTENERS: usize = 256;

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
/// The policy of a page is in the page itself; there it cannot forbid frames.
const OF_PAGES: &str = "frame-ancestors 'none'";
const OF_OTHERS: &str = "default-src 'none'; frame-ancestors 'none'";

pub struct App {
    reader: Reader,
    feed: watch::Receiver<News>,
    port: u16,
    listeners: Arc<Semaphore>,
}

impl App {
    pub fn new(reader: Reader, feed: watch::Receiver<News>, port: u16) -> Self {
        Self { reader, feed, port, listeners: Arc::new(Semaphore::new(MOST_LISTENERS)) }
    }

    pub fn has_night(&self, night: i64) -> bool {
        self.feed.borrow().standing(Subject::Night(night)).is_some()
    }

    /// Reads the page that is asked for first, so that it is there by then. What goes wrong is said when somebody asks.
    pub fn warm(&self) {
        let (news, subject) = (self.news(), Subject::Last);
        if let Some(standing) = news.standing(subject) {
            let _ = self.reader.page(standing.night.id, &news.stamp(subject));
        }
    }

    fn news(&self) -> News {
        self.feed.borrow().clone()
    }
}

pub type Shared = Arc<App>;

pub fn routes(app: Shared) -> Router {
    Router::new()
        .route("/", get(last_night))
        .route("/nights", get(nights))
        .route("/night/{night}", get(night))
        .route("/night/{night}/trial/{number}", get(trial))
        .route("/compare", get(compare))
        .route("/now", get(now))
        .route("/events", get(listen))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is no such page; / has the last night"))
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

fn refusal(status: StatusCode, words: &'static str) -> Response {
    (status, format!("{words}\n")).into_response()
}

/// Refuses what is not for this server or would change something, and adds the headers of every answer.
async fn guard(Has(app): Has<Shared>, request: Request, next: Next) -> Response {
    let mut response = if !is_for(&request, app.port) {
        refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to 127.0.0.1, localhost and [::1] with its port, and to no other name",
        )
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refused = refusal(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here: only GET and HEAD");
        ([(header::ALLOW, "GET, HEAD")], refused).into_response()
    } else {
        next.run(request).await
    };
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == HTML);
    let headers = response.headers_mut();
    HEADERS.into_iter().for_each(|(name, value)| drop(headers.insert(name, HeaderValue::from_static(value))));
    let policy = if is_page { OF_PAGES } else { OF_OTHERS };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Whether a request names this server by a name of this machine, everywhere where it names one.
fn is_for(request: &Request, port: u16) -> bool {
    let is_own = |name: &str| {
        let own = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let host = first.and_then(|host| host.to_str().ok()).filter(|_| second.is_none());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    host.is_some_and(is_own) && authority.is_none_or(is_own)
}

const HTML: &str = "text/html; charset=utf-8";

fn html(status: StatusCode, page: impl Into<Bytes>) -> Response {
    (status, [(header::CONTENT_TYPE, HTML)], page.into()).into_response()
}

/// A page that says what went wrong.
fn failed(news: &News, subject: Subject, error: &DashError) -> Response {
    let status = match error {
        error if error.is_of_the_address() => StatusCode::NOT_FOUND,
        error if error.will_pass() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let frame = match error.is_of_the_address() {
        true => Frame::still(news),
        false => Frame::until_news(news, subject),
    };
    match frame::message("This cannot be shown", &error.to_string(), &frame) {
        Ok(page) => html(status, page),
        Err(error) => (status, error.to_string()).into_response(),
    }
}

/// Reads the store beside the threads that talk to clients.
async fn apart<T: Send + 'static>(
    app: &Shared,
    work: impl FnOnce(&App) -> Result<T, DashError> + Send + 'static,
) -> Result<T, DashError> {
    let app = app.clone();
    tokio::task::spawn_blocking(move || work(&app)).await.unwrap_or(Err(DashError::Lost))
}

async fn last_night(has: Has<Shared>, view: Query<View>) -> Response {
    page_of(has, Subject::Last, view).await
}

async fn night(has: Has<Shared>, Path(night): Path<i64>, view: Query<View>) -> Response {
    page_of(has, Subject::Night(night), view).await
}

async fn page_of(Has(app): Has<Shared>, subject: Subject, Query(view): Query<View>) -> Response {
    let news = app.news();
    let Some(standing) = news.standing(subject) else {
        return match (subject, &news.state) {
            (Subject::Night(night), State::Ready) => failed(&news, subject, &PastError::NoNight(night).into()),
            _ => {
                let page = frame::message("No night yet", &frame::nothing(&news), &Frame::until_news(&news, subject));
                page.map_or_else(|error| failed(&news, subject, &error.into()), |page| html(StatusCode::OK, page))
            }
        };
    };
    let (night, stamp, frame) = (standing.night.id, news.stamp(subject), Frame::of(&news, subject));
    let made = apart(&app, move |app| {
        let shown = app.reader.page(night, &stamp)?;
        let served = frame.served();
        if view == View::default() {
            return shown.written(frame.text(), |page| page::live(page, &view, &served));
        }
        Ok(page::live(&shown.page, &view, &served)?.into())
    });
    match made.await {
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => failed(&news, subject, &error),
    }
}

async fn nights(Has(app): Has<Shared>) -> Response {
    let news = app.news();
    match frame::nights(&news, &Frame::of(&news, Subject::All)) {
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => failed(&news, Subject::All, &error.into()),
    }
}

async fn trial(Has(app): Has<Shared>, Path((night, number)): Path<(i64, u64)>) -> Response {
    let found = apart(&app, move |app| Ok(serde_json::to_string(&app.reader.details(night, number)?)?));
    let (status, json) = match found.await {
        Ok(json) => (StatusCode::OK, json),
        Err(error) => {
            let missing = error.is_of_the_address();
            let status = if missing { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, serde_json::json!({ "error": error.to_string() }).to_string())
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

#[derive(Deserialize)]
struct Pair {
    a: Option<i64>,
    b: Option<i64>,
}

async fn compare(Has(app): Has<Shared>, pair: Result<Query<Pair>, QueryRejection>) -> Response {
    let news = app.news();
    let Ok(Query(Pair { a: Some(a), b: Some(b) })) = pair else {
        let words = "Two nights are compared by their numbers: /compare?a=1&b=2. /nights has all of them.";
        let page = frame::message("Which nights?", words, &Frame::still(&news));
        return page.map_or_else(
            |error| failed(&news, Subject::All, &error.into()),
            |page| html(StatusCode::BAD_REQUEST, page),
        );
    };
    let frame = Frame::of(&news, Subject::All);
    let stamps = [a, b].map(|night| (night, news.stamp(Subject::Night(night))));
    let made = apart(&app, move |app| {
        let [a, b] = stamps.map(|(night, stamp)| app.reader.page(night, &stamp));
        Ok(page::compared(&[a?.page.clone(), b?.page.clone()], &frame.served())?)
    });
    match made.await {
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => failed(&news, Subject::All, &error),
    }
}

#[derive(Deserialize)]
struct Wanted {
    night: Option<String>,
}

fn no_subject() -> Response {
    refusal(StatusCode::BAD_REQUEST, "`night` is a number or `all`")
}

impl Wanted {
    /// `None` if it is not a subject.
    fn subject(&self) -> Option<Subject> {
        match self.night.as_deref() {
            None => Some(Subject::Last),
            Some("all") => Some(Subject::All),
            Some(number) => number.parse().map(Subject::Night).ok(),
        }
    }
}

/// What trains now, or `null`.
async fn now(Has(app): Has<Shared>, Query(wanted): Query<Wanted>) -> Response {
    let Some(subject) = wanted.subject() else { return no_subject() };
    let news = app.news();
    let made = apart(&app, move |app| {
        let now = news.now(app.reader.dir(), subject).filter(|now| now.age_s() <= SILENCE_S);
        Ok(serde_json::to_string(&now.as_ref().map(Running::of))?)
    });
    match made.await {
        Ok(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn listen(Has(app): Has<Shared>, Query(wanted): Query<Wanted>) -> Response {
    let Some(subject) = wanted.subject() else { return no_subject() };
    match app.listeners.clone().try_acquire_owned() {
        Ok(place) => events::events(app.feed.clone(), subject, place).into_response(),
        Err(_) => {
            let full = refusal(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; this one will ask again");
            ([(header::RETRY_AFTER, "5")], full).into_response()
        }
    }
}
