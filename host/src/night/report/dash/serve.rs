//! Listens on this machine alone, and bounds what clients may take: connections at once, and time to say what they
//! want.

use crate::night::report::dash::error::DashError;
use crate::night::report::dash::feed;
use crate::night::report::dash::reader::Reader;
use crate::night::report::dash::routes::{App, Shared, routes};
use crate::night::report::watch::State;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The port if the user names none.
pub const PORT: u16 = 8642;
/// Most connections; more clients wait.
const MOST_CONNECTIONS: usize = 512;
/// Longest time for the head of a request, and between two requests of a connection.
const HEAD_WAIT: Duration = Duration::from_secs(15);
/// After an error of the listener, such as no more files.
const PAUSE: Duration = Duration::from_millis(100);
/// Most threads that read the store.
const READERS: usize = 4;

/// A server that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    app: Shared,
    port: u16,
    has_store: bool,
}

impl Server {
    /// Listens on a port of this machine; 0 takes a free one. Without a store, it waits for one.
    ///
    /// # Errors
    /// If the port is in use, or there is a store that cannot be read.
    pub fn open(store: &Path, port: u16) -> Result<Self, DashError> {
        let feed = feed::start(store.to_owned())?;
        let has_store = feed.borrow().state != State::NoStore;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => DashError::PortInUse(port),
            _ => DashError::Listen { port, source },
        })?;
        let listen = |source| DashError::Listen { port, source };
        listener.set_nonblocking(true).map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let app = Arc::new(App::new(Reader::new(store.to_owned()), feed, port));
        Ok(Self { listener, app, port, has_store })
    }

    /// Whether there is a store already.
    pub fn has_store(&self) -> bool {
        self.has_store
    }

    /// Whether the store has this night.
    pub fn has_night(&self, night: i64) -> bool {
        self.app.has_night(night)
    }

    /// The address of the page of a night, or of the last one.
    pub fn url(&self, night: Option<i64>) -> String {
        let page = night.map_or(String::new(), |night| format!("night/{night}"));
        format!("http://127.0.0.1:{}/{page}", self.port)
    }

    /// Answers until the process ends.
    pub fn run(self) -> Result<(), DashError> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(READERS).build().map_err(DashError::Runtime)?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener).map_err(DashError::Runtime)?;
            let app = self.app.clone();
            tokio::task::spawn_blocking(move || app.warm());
            let routes = TowerToHyperService::new(routes(self.app));
            let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
            loop {
                let Ok(place) = connections.clone().acquire_owned().await else { return Ok(()) };
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT);
                let connection = http.serve_connection(TokioIo::new(stream), routes.clone());
                tokio::spawn(async move {
                    // What goes wrong here is that the client went away.
                    let _ = connection.await;
                    drop(place);
                });
            }
        })
    }
}
