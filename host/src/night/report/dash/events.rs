//! Tells a client that its page may be another one by now. An event has no words of strangers: the client asks for
//! them.

use crate::night::report::watch::{News, State, Subject};
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a client is told.
#[derive(Serialize)]
struct Told<'a> {
    state: &'static str,
    words: &'a str,
    /// What its page is made from.
    stamp: String,
    /// The night that it is about.
    night: Option<i64>,
}

fn told(news: &News, subject: Subject) -> String {
    let (state, words) = match &news.state {
        State::Ready => ("ready", ""),
        State::NoStore => ("no-store", "there is no store yet"),
        State::Waiting(words) => ("waiting", words.as_str()),
        State::Failed(words) => ("failed", words.as_str()),
    };
    let night = news.standing(subject).map(|standing| standing.night.id);
    let told = Told { state, words, stamp: news.stamp(subject), night };
    serde_json::to_string(&told).unwrap_or_default()
}

/// The events of a client, from the present state on. They end when the client goes away.
pub fn events(
    feed: watch::Receiver<News>,
    subject: Subject,
    place: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut last = String::new();
    let news = WatchStream::new(feed).filter_map(move |news| {
        // The place is free when the stream is dropped.
        let _ = &place;
        let told = told(&news, subject);
        (told != last).then(|| {
            last.clone_from(&told);
            Ok(Event::default().data(told))
        })
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
