//! The child process: it confines itself, reads one job from the connection on descriptor 0, runs it, reports, and
//! exits. The parent re-executes the host's binary with an empty environment, or that of a device.

use crate::record::outcome::{HostFault, Status};
use crate::sandbox::backend::{Backend, Card, Needs, Share, Starter, Traffic};
use crate::sandbox::batches::Crops;
use crate::sandbox::guest::Guest;
use crate::sandbox::run_spec::{Evaluated, Progress, Trained};
use crate::sandbox::wire::{Frames, Job, Report, WireError, send};
use crate::sandbox::{engine, evaluate, sample};
use crate::system::confinement::{self, Memory, Rlimits};
use crate::system::walls::{self, Walls};
use kernels::calibrate;
use kernels::cpu::path::Path;
use kernels::cpu::{CLASS, CpuExecutor};
use kernels::exec::Executor;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name of the hidden mode on the command line. The parent's process id and the engine's instruction path follow; for a
/// device its number, a folder, and the numerics class that is expected, if it is known.
pub const MODE: &str = "__child";
/// The parent made the job, so this limit only stops malformed lengths.
const JOB_BYTES: u64 = u32::MAX as u64;
/// Allowance for code, the engine's own memory and executor scratch.
const OVERHEAD_BYTES: u64 = 2 << 30;
const STEP_INTERVAL: Duration = Duration::from_millis(100);

/// If this process was started as a child, runs the child on the CPU and returns its exit code. Call it first in
/// `main`.
pub fn main_if_child() -> Option<ExitCode> {
    main_if_child_of(|path, _| Some(on_cpu(path)))
}

/// The same for a program whose children compute on a card.
pub fn main_if_child_on(starter: impl FnOnce(Card) -> Starter) -> Option<ExitCode> {
    main_if_child_of(|_, card| card.map(starter))
}

fn main_if_child_of(starter: impl FnOnce(Path, Option<Card>) -> Option<Starter>) -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(MODE) {
        return None;
    }
    let parent = arguments.next().and_then(|pid| pid.parse().ok());
    let path = arguments.next().and_then(|name| Path::named(&name));
    let number = arguments.next().and_then(|number| number.parse().ok());
    let card = number.zip(arguments.next()).map(|(number, folder)| Card { number, folder: folder.into() });
    let class = arguments.next();
    let starter = path.and_then(|path| starter(path, card));
    Some(match parent.zip(starter).map(|(parent, starter)| serve(parent, starter, class)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) | None => ExitCode::FAILURE,
    })
}

fn serve(parent: u32, starter: Starter, class: Option<String>) -> Result<(), WireError> {
    // SAFETY: descriptor 0 is the connection that the parent passed, and nothing else in this process uses it.
    let mut connection = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    if confinement::die_with_parent(parent).is_err() {
        return Err(WireError::Ended);
    }
    let job: Job = Frames::new(JOB_BYTES).next(&mut connection)?.ok_or(WireError::Ended)?;
    if let Err(status) = before_start(&job, &starter.needs) {
        return send(&mut connection, &Report::Failed(status));
    }
    if let Job::Look = job {
        return send(&mut connection, &Report::Parts((starter.look)()));
    }
    match behind_walls(&job, parent, starter, class) {
        Ok((walls, worker)) => worker.run(Arc::new(connection), job, walls),
        Err(status) => send(&mut connection, &Report::Failed(status)),
    }
}

/// The worker thread and everything else that must start before the last wall.
struct Worker {
    thread: std::thread::JoinHandle<Result<(), WireError>>,
    start: std::sync::mpsc::Sender<(Arc<UnixStream>, Job, Walls)>,
}

impl Worker {
    fn run(self, connection: Arc<UnixStream>, job: Job, walls: Walls) -> Result<(), WireError> {
        self.start.send((connection, job, walls)).map_err(|_| WireError::Ended)?;
        self.thread.join().unwrap_or(Err(WireError::Ended))
    }
}

/// The tensor engine of this process.
struct Cpu(CpuExecutor);

impl Backend for Cpu {
    fn executor(&self, random_seed: u64) -> Box<dyn Executor> {
        Box::new(self.0.sibling(random_seed))
    }

    fn class(&self) -> String {
        CLASS.into()
    }

    fn traffic(&self) -> Option<Traffic> {
        None
    }
}

fn on_cpu(path: Path) -> Starter {
    Starter {
        needs: Needs::nothing(),
        start: Box::new(move |share| Ok(Box::new(Cpu(CpuExecutor::with_path(share.threads, 0, path)?)))),
        look: Box::new(Vec::new),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> Status {
    Status::host(
        HostFault::System,
        format!("the sandbox does not hold here, so nothing runs: {error}; `host doctor` tells more"),
    )
}

/// Gives up what not even the start of a backend needs.
fn before_start(job: &Job, needs: &Needs) -> Result<(), Status> {
    let memory = job.run().map_or(0, |run| run.limits.memory_bytes.saturating_add(run.limits.tensor_bytes));
    let memory = memory.saturating_mul(2).saturating_add(OVERHEAD_BYTES).saturating_add(needs.memory_bytes);
    let limits = Rlimits {
        memory: Memory::Written(memory),
        file_bytes: needs.file_bytes,
        files: needs.files,
        cpu_seconds: None,
    };
    confinement::close_descriptors().map_err(|e| refuse(&e))?;
    confinement::limits(&limits).map_err(|e| refuse(&e))?;
    confinement::landlock(&needs.at_start).map_err(|e| refuse(&e))
}

/// Starts the backend, puts up the other walls and tests them.
fn behind_walls(job: &Job, parent: u32, starter: Starter, class: Option<String>) -> Result<(Walls, Worker), Status> {
    let Starter { needs, start, .. } = starter;
    let share = job.run().map_or(Share { threads: 1, tensor_bytes: 0 }, |run| Share {
        threads: run.threads.max(1) as usize,
        tensor_bytes: run.limits.tensor_bytes,
    });
    let backend = start(share).map_err(|fault| Status::host(HostFault::System, fault.to_string()))?;
    let found = backend.class();
    if let Some(class) = class.filter(|class| *class != found) {
        let words = format!("the device computes in the numerics class {found} now, and did in {class}: start again");
        return Err(Status::host(HostFault::System, words));
    }
    if needs.afterwards != needs.at_start {
        confinement::landlock(&needs.afterwards).map_err(|e| refuse(&e))?;
    }
    let landlock = walls::landlock_holds();
    let (start, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .stack_size(engine::THREAD_STACK_BYTES)
        .spawn(move || {
            let (connection, job, walls) = started.recv().map_err(|_| WireError::Ended)?;
            work(connection, job, walls, &*backend)
        })
        .map_err(|e| refuse(&e))?;
    confinement::seccomp(needs.calls).map_err(|e| refuse(&e))?;
    let files = if let Job::Probe { files } = job { files.as_slice() } else { &[] };
    let walls = Walls { landlock, possible: walls::possible(needs.calls, parent), opened: walls::opened(files) };
    if let Some(missing) = walls.missing().filter(|_| !matches!(job, Job::Probe { .. })) {
        return Err(refuse(&missing));
    }
    Ok((walls, Worker { thread, start }))
}

fn work(connection: Arc<UnixStream>, job: Job, walls: Walls, backend: &dyn Backend) -> Result<(), WireError> {
    let report = match job {
        // It was answered before.
        Job::Look => Report::Parts(Vec::new()),
        Job::Probe { .. } => Report::Probed { walls, class: backend.class() },
        Job::Time { rules, most_flops } => {
            let timed = calibrate::measure(&mut *backend.executor(0), rules, most_flops);
            Report::Timed(timed.map_err(crate::sandbox::guest::fault))
        }
        Job::DryRun { component, run } => {
            let make = || backend.executor(run.random_seed);
            Report::DryRun(Box::new(Guest::new(&component, &run).and_then(|guest| guest.dry_run(&make))))
        }
        Job::Train { component, run, text, resume } => Report::Trained(Box::new(match Guest::new(&component, &run) {
            Ok(guest) => {
                let on = reporter(connection.clone());
                let executor = backend.executor(run.random_seed);
                let trained = guest.train(executor, Box::new(Crops::new(text)), resume, on);
                Trained { traffic: backend.traffic(), ..trained }
            }
            Err(status) => Trained::failed(status),
        })),
        Job::Evaluate { component, run, state, input } => {
            Report::Evaluated(match Guest::new(&component, &run).map(Guest::withheld) {
                Ok(guest) => evaluate::evaluate(&guest, &state, &run, &input, &|| backend.executor(run.random_seed)),
                Err(status) => Evaluated::failed(status),
            })
        }
        Job::Graph { component, run, state } => {
            Report::Graph(Box::new(Guest::new(&component, &run).and_then(|guest| guest.graph(&state))))
        }
        Job::Sample { component, run, state, how } => {
            let mut on = |token| send(&mut &*connection, &Report::Token(token)).is_ok();
            let make = || backend.executor(run.random_seed);
            Report::Sampled(
                Guest::new(&component, &run)
                    .and_then(|guest| sample::sample(&guest, &state, &run, &how, &make, &mut on)),
            )
        }
    };
    send(&mut &*connection, &report)
}

/// Sends progress: every checkpoint, and steps at a limited rate.
fn reporter(to: Arc<UnixStream>) -> Box<dyn FnMut(Progress) + Send> {
    let mut last: Option<Instant> = None;
    Box::new(move |progress| {
        if let Progress::Step { .. } = progress {
            if last.is_some_and(|last| last.elapsed() < STEP_INTERVAL) {
                return;
            }
            last = Some(Instant::now());
        }
        // If the parent is gone, this process is killed too.
        let _ = send(&mut &*to, &Report::Progress(progress));
    })
}
