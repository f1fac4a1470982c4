//! Tests of the server without a browser and without a connection.

use super::feed;
use super::reader::Reader;
use super::routes::{App, routes};
use crate::night::report::watch::{News, State, Subject};
use crate::policy::Policy;
use crate::record::ending::Ending;
use crate::record::key::{ContextKey, TaskHash};
use crate::record::store::{Store, StoreError};
use crate::record::trial::{Findings, Trial};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PORT: u16 = 4242;
const HOST: &str = "127.0.0.1:4242";
const HOSTILE: &str = "</main><script>alert(1)</script>\u{202e}\"'&";

fn begin(store: &Store) -> i64 {
    let policy = Policy::load("smoke").unwrap().canonical().unwrap();
    store.start_night(HOSTILE, &policy, &TaskHash::of(b"task"), &ContextKey::of(b"context"), 1_000).unwrap()
}

fn add(store: &Store, night: i64, number: u64) {
    let trial = Trial {
        number,
        unix_ms: 2_000,
        proposer: HOSTILE.into(),
        source_blob: store.put_blob(b"fn train() {}").unwrap(),
        description: HOSTILE.into(),
        operator: HOSTILE.into(),
        ..Trial::baseline("", Findings { reason: HOSTILE.into(), ..Findings::new(Ending::Failed) })
    };
    store.add_trial(night, &trial, &[]).unwrap();
}

/// The server of a folder, by what its feed knows at this moment.
fn server(dir: &Path) -> TowerToHyperService<Router> {
    let feed = feed::start(dir.to_owned()).unwrap();
    TowerToHyperService::new(routes(Arc::new(App::new(Reader::new(dir.to_owned()), feed, PORT))))
}

fn request(
    server: &TowerToHyperService<Router>,
    method: Method,
    path: &str,
    host: Option<&str>,
) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let answer = server.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    })
}

fn get(server: &TowerToHyperService<Router>, path: &str) -> (StatusCode, String) {
    request(server, Method::GET, path, Some(HOST))
}

#[test]
fn only_this_machine_asks_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    for host in
        [None, Some(""), Some("127.0.0.1"), Some("127.0.0.1:1"), Some("evil.example:4242"), Some("0.0.0.0:4242")]
    {
        for path in ["/", "/nights", "/events", "/nowhere"] {
            assert_eq!(request(&server, Method::GET, path, host).0, StatusCode::MISDIRECTED_REQUEST, "{host:?} {path}");
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT, Method::TRACE] {
        for path in ["/", "/nights", "/night/1", "/nowhere"] {
            let (status, _) = request(&server, method.clone(), path, Some(HOST));
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    assert_eq!(request(&server, Method::HEAD, "/nights", Some(HOST)), (StatusCode::OK, String::new()));
    assert!(!dir.path().join("index.sqlite").exists(), "looking makes no store");
}

#[test]
fn hostile_words_are_text_on_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let nights = [begin(&store), begin(&store)];
    nights.iter().for_each(|night| add(&store, *night, *night as u64));
    let server = server(dir.path());
    let query = "words=%3C/main%3E%3Cscript%3E&sort=%22%3E%3Cscript%3E&axis=%3Cscript%3E&verdict=%3Cscript%3E";
    let pages =
        ["/".into(), "/nights".into(), "/compare?a=1&b=2".into(), "/night/1".into(), format!("/night/2?{query}")];
    for path in pages {
        let (status, page) = get(&server, &path);
        assert_eq!(status, StatusCode::OK, "{path}");
        // The page's data and its script.
        assert_eq!((page.matches("<script").count(), page.matches("</main>").count()), (2, 1), "{path}: {page}");
        assert!(!page.contains('\u{202e}'), "{path}");
    }
    let (status, json) = get(&server, "/night/1/trial/1");
    assert!(status == StatusCode::OK && json.contains("fn train() {}") && !json.contains('\u{202e}'), "{json}");
    assert_eq!(get(&server, "/night/1/trial/77").0, StatusCode::NOT_FOUND);
    assert_eq!(get(&server, "/night/77").0, StatusCode::NOT_FOUND);
}

#[test]
fn one_section_is_sent_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let night = begin(&store);
    (1..=450).for_each(|number| add(&store, night, number));
    let server = server(dir.path());
    let (_, page) = get(&server, "/night/1?part=trials&rows=400&sort=trial&down=1");
    assert!(page.contains("<section id=\"trials\"") && !page.contains("<section id=\"staircase\""));
    assert!(page.contains("id=\"t450\"") && page.contains("id=\"t51\"") && !page.contains("id=\"t50\""));
    assert!(page.contains("Show more: 50 are left"));
}

/// Waits until the feed knows something.
fn wait(feed: &tokio::sync::watch::Receiver<News>, is_known: impl Fn(&News) -> bool) {
    let since = Instant::now();
    while !is_known(&feed.borrow()) {
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", feed.borrow());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_feed_follows_a_store_from_before_it_exists() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let feed = feed::start(dir.clone()).unwrap();
    assert_eq!(*feed.borrow(), News { state: State::NoStore, sight: Arc::default() });
    let store = Store::open(&dir).unwrap();
    wait(&feed, |news| news.state == State::Ready);
    let none = feed.borrow().stamp(Subject::Last);
    let night = begin(&store);
    wait(&feed, |news| news.stamp(Subject::Last) != none);
    let before = feed.borrow().clone();
    add(&store, night, 1);
    wait(&feed, |news| news.stamp(Subject::Night(night)) != before.stamp(Subject::Night(night)));
    assert_ne!(feed.borrow().stamp(Subject::All), before.stamp(Subject::All));
    // Another night changes nothing of one that has ended.
    store.end_night(night, 3_000).unwrap();
    wait(&feed, |news| news.sight.nights[0].night.ended_unix_ms.is_some());
    let before = feed.borrow().clone();
    add(&store, begin(&store), 2);
    wait(&feed, |news| news.sight.nights.len() == 2 && news.sight.nights[1].trials == 1);
    assert_eq!(feed.borrow().stamp(Subject::Night(night)), before.stamp(Subject::Night(night)));
    assert_ne!(feed.borrow().stamp(Subject::Last), before.stamp(Subject::Last));
    // It is gone, and made anew.
    drop(store);
    std::fs::remove_dir_all(&dir).unwrap();
    wait(&feed, |news| news.state == State::NoStore);
    Store::open(&dir).unwrap();
    wait(&feed, |news| news.state == State::Ready && news.sight.nights.is_empty());
}

#[test]
fn an_older_store_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let index = dir.path().join("index.sqlite");
    rusqlite::Connection::open(&index).unwrap().pragma_update(None, "user_version", 5).unwrap();
    let refused = feed::start(dir.path().to_owned()).unwrap_err().to_string();
    assert!(refused.contains("has version 5") && refused.contains("`host log`"), "{refused}");
    let version: i64 =
        rusqlite::Connection::open(&index).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 5);
}

#[test]
fn a_page_is_read_once_for_a_state_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let night = begin(&store);
    add(&store, night, 1);
    let reader = Reader::new(dir.path().to_owned());
    let first = reader.page(night, "a").unwrap();
    assert!(Arc::ptr_eq(&first, &reader.page(night, "a").unwrap()));
    add(&store, night, 2);
    let second = reader.page(night, "b").unwrap();
    assert_eq!((first.page.picture.trials.len(), second.page.picture.trials.len()), (1, 2));
    let write = |words: &str| first.written(words.into(), |_| Ok(words.to_string())).unwrap();
    assert_eq!([write("x"), write("x"), write("y")], ["x", "x", "y"]);
    assert!(reader.page(99, "a").is_err());
    assert!(matches!(Store::open_to_watch(&dir.path().join("nowhere")), Err(StoreError::ReadOnly(_))));
}
