//! The command line of what works on many machines.

use clap::{Args, Subcommand};
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
    /// The pass of a machine, as `host swarm up` has written it: a copy of that file.
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
    /// Let a machine finish the runs in hand and then go.
    Drain(Tell),
    /// Let a machine stop now. What it had goes to others.
    Kick(Tell),
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
    /// The start of its name, as `host swarm status` shows it.
    pub machine: String,
    #[command(flatten)]
    pub at: Watch,
}
