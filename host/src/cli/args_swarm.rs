//! The command line of what works on many machines.

use clap::{Args, Subcommand};
use nightlab::swarm::Contributor;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `host run`: on other machines.
#[derive(Debug, Default, Args)]
pub struct Coordinate {
    /// Let the machines of a swarm make the runs; this one proposes, judges and keeps the results. `host swarm up`
    /// prints the address.
    #[arg(long = "swarm", value_name = "nats://HOST:PORT")]
    pub url: Option<String>,
    /// The pass of who coordinates [default: `swarm/coordinator.pass` in the store].
    #[arg(long, value_name = "FILE", requires = "url")]
    pub pass: Option<PathBuf>,
}

/// `host work`.
#[derive(Debug, Args)]
pub struct Work {
    /// Where the swarm's server is.
    #[arg(value_name = "nats://HOST:PORT")]
    pub url: String,
    /// The pass of a machine or of a contributor: a copy of the file that `host swarm up` or `host swarm invite` has
    /// written.
    #[arg(long, value_name = "FILE", default_value = "machine.pass")]
    pub pass: PathBuf,
}

/// `host swarm`.
#[derive(Debug, Subcommand)]
pub enum Swarm {
    /// Start the server of a swarm on this machine, with its own certificate and keys, and say how other machines come
    /// in. Ctrl-C ends it.
    Up {
        /// Where it listens.
        #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:4222")]
        listen: SocketAddr,
        /// The program of the server [default: `nats-server` on the path].
        #[arg(long, value_name = "FILE")]
        server: Option<PathBuf>,
        /// Make another certificate and other keys. Every pass that was copied before is of no use then.
        #[arg(long)]
        new_keys: bool,
    },
    /// Say who coordinates, which machines are there, and how many runs wait.
    Status(Watch),
    /// Write a pass for somebody whose machines you do not trust: results of theirs are made again, now and then, and
    /// none becomes a keep alone.
    Invite(Invite),
    /// Let a machine finish the runs in hand and then go.
    Drain(Tell),
    /// Let a machine stop now, or a contributor in no more. What it had goes to others.
    Kick(Tell),
}

/// Whom to invite.
#[derive(Debug, Args)]
pub struct Invite {
    /// The name of the contributor: lower-case letters, digits and hyphens.
    pub name: Contributor,
    /// Runs that it may have at the same time.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub quota: u32,
    /// The file of the pass [default: `NAME.pass`].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub at: Watch,
}

/// Where the swarm is, and what lets its owner in.
#[derive(Debug, Args)]
pub struct Watch {
    /// Where the swarm's server is.
    #[arg(long = "swarm", value_name = "nats://HOST:PORT", default_value = "nats://127.0.0.1:4222")]
    pub url: String,
    /// The pass of who coordinates [default: `swarm/coordinator.pass` in the store].
    #[arg(long, value_name = "FILE")]
    pub pass: Option<PathBuf>,
}

/// Which machine.
#[derive(Debug, Args)]
pub struct Tell {
    /// The start of its name, as `host swarm status` shows it; of a contributor, all of it.
    pub machine: String,
    #[command(flatten)]
    pub at: Watch,
}
