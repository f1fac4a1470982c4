//! The coordinator: asks machines for runs on behalf of a night. A thread of its own talks to the server ([`Desk`]);
//! the night's thread asks and takes.

use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::experiment::fleet::{Asked, Fleet, Heard, Order};
use crate::record::key::ExperimentKey;
use crate::record::outcome::{HostFault, Status};
use crate::swarm::asked::Inputs;
use crate::swarm::board::Board;
use crate::swarm::desk::{Command, Desk};
use crate::swarm::error::SwarmError;
use crate::swarm::link::runtime;
use crate::swarm::pass::Pass;
use kernels::cost::Profile;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Machines that a night can ask for runs. On drop, everything that was asked for is taken back.
pub struct Coordinator {
    commands: Option<UnboundedSender<Command>>,
    board: Arc<Board>,
    numbers: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl Coordinator {
    /// Connects, and takes the lease: one coordinates at a time. The lease of a coordinator that was killed runs out in
    /// some seconds, for which this waits.
    pub fn start(url: &str, pass: Pass, task: &PreparedTask, profile: &Profile) -> Result<Self, SwarmError> {
        let inputs = Inputs::new(task, profile)?;
        let board = Arc::new(Board::default());
        let (commands, orders) = unbounded_channel();
        let (ready, is_ready) = mpsc::channel();
        let (url, told, arrivals) = (url.to_owned(), board.clone(), commands.downgrade());
        let work = move || {
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async move {
                match Desk::open(&url, pass, inputs, told, arrivals).await {
                    Ok(desk) => {
                        let _ = ready.send(Ok(()));
                        desk.work(orders).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        };
        let thread = thread::Builder::new().name("swarm".into()).spawn(work).map_err(SwarmError::server("a thread"))?;
        let coordinator = Self { commands: Some(commands), board, numbers: AtomicU64::new(0), thread: Some(thread) };
        is_ready.recv().map_err(|_| SwarmError::server("a thread")("it ended"))??;
        Ok(coordinator)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // The desk ends when nobody can send commands any more.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Fleet for Coordinator {
    fn shut_out(&self, contributor: &str) {
        if let (Some(commands), Ok(name)) = (&self.commands, contributor.parse()) {
            let _ = commands.send(Command::ShutOut(name));
        }
    }

    fn room(&self) -> usize {
        self.board.room()
    }

    fn ask(&self, order: Order) -> Box<dyn Asked> {
        let (tell, heard) = mpsc::channel();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let experiment = order.manifest.key();
        if let Some(commands) = &self.commands {
            // If the desk has ended, what is heard says so.
            let _ = commands.send(Command::Ask { order: Box::new(order), number, tell });
        }
        let (commands, board) = (self.commands.as_ref().map(UnboundedSender::downgrade), self.board.clone());
        Box::new(Ticket { experiment, number, heard, commands, board, is_over: false })
    }
}

/// One run that was asked for.
struct Ticket {
    experiment: ExperimentKey,
    number: u64,
    heard: Receiver<Heard>,
    commands: Option<tokio::sync::mpsc::WeakUnboundedSender<Command>>,
    board: Arc<Board>,
    is_over: bool,
}

impl Ticket {
    fn send(&self, command: Command) {
        if let Some(commands) = self.commands.as_ref().and_then(|commands| commands.upgrade()) {
            let _ = commands.send(command);
        }
    }
}

impl Asked for Ticket {
    fn hear(&mut self, patience: Duration) -> Heard {
        if let Some(text) = self.board.next_note() {
            return Heard::Note(text);
        }
        let heard = match self.heard.recv_timeout(patience) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => return Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => {
                let status = Status::host(HostFault::System, "the connection to the swarm has ended");
                Heard::Ended(Box::new(Ended::without_result(status)))
            }
        };
        self.is_over |= matches!(heard, Heard::Ended(_));
        heard
    }

    fn is_stored(&mut self) {
        self.send(Command::Stored(self.experiment));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_over {
            self.send(Command::TakeBack(self.experiment, self.number));
        }
    }
}
