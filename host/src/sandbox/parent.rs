//! The parent process: starts a child, sends its job, listens until it ends, and turns every kind of death into a
//! status. It checks everything that a child reports.

use crate::record::dry_run::DryRun;
use crate::record::outcome::{HostFault, Status};
use crate::sandbox::backend::Part;
use crate::sandbox::child::MODE;
use crate::sandbox::device::{Accelerator, Device, DeviceError};
use crate::sandbox::instructions;
use crate::sandbox::run_spec::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sampling, Trained};
use crate::sandbox::wire::{Frames, Job, Report, WireError, send};
use crate::system::clock::Countdown;
use crate::system::process::{Group, this_program};
use crate::system::walls::Walls;
use kernels::calibrate::Timing;
use kernels::cost::Rules;
use kernels::graph::Graph;
use kernels::session::NamedState;
use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// While a child is silent, the caller is asked at this interval whether to continue.
const TICK: Duration = Duration::from_millis(200);
/// Allowance for the parts of a report that are not tensors: curve, hashes, read values.
const REPORT_BYTES: u64 = 64 << 20;
/// Wall-clock limit of a job without a run.
const PROBE_MS: u64 = 10_000;
/// The same for a device, whose kernels are compiled when it is first used.
const START_MS: u64 = 300_000;

/// Runs components, each in a child process.
#[derive(Clone, Debug)]
pub struct Sandbox {
    child_exe: Option<PathBuf>,
    /// Trains, scores and samples in the place of the processor.
    accelerator: Option<Accelerator>,
}

impl Sandbox {
    /// Re-executes children from `child_exe`, or from this binary. The binary's `main` must first call
    /// [`crate::sandbox::child::main_if_child`].
    pub fn new(child_exe: Option<PathBuf>) -> Self {
        Self { child_exe, accelerator: None }
    }

    /// The same, with a device for what executes operations of a guest. It is started once, to learn its numerics class
    /// before anything is keyed by it.
    ///
    /// # Errors
    /// The device, or what drives it, is not there.
    pub fn on(self, device: Device) -> Result<Self, DeviceError> {
        match device {
            Device::Cpu => Ok(self),
            Device::Cuda { card } => self.with(Accelerator::find(card)?),
        }
    }

    /// The same by a program that the caller knows.
    ///
    /// # Errors
    /// As of [`Sandbox::on`].
    pub fn with(self, accelerator: Accelerator) -> Result<Self, DeviceError> {
        let refused = |status| DeviceError::Refused { device: accelerator.device(), status };
        let (_, class) = self.probe(Some(&accelerator), &[]).map_err(refused)?;
        Ok(Self { accelerator: Some(accelerator.of_class(class)?), ..self })
    }

    /// Numerics class of training and scoring.
    pub fn class(&self) -> &str {
        self.accelerator.as_ref().and_then(Accelerator::class).unwrap_or(kernels::cpu::CLASS)
    }

    /// Where guests train and are scored.
    pub fn device(&self) -> Device {
        self.accelerator.as_ref().map_or(Device::Cpu, Accelerator::device)
    }

    /// Tests which walls work around children on this machine, those of a device too, and whether a child can open any
    /// of `files`.
    ///
    /// # Errors
    /// No child could be started or confined.
    pub fn walls(&self, files: &[PathBuf]) -> Result<Walls, Status> {
        let (walls, _) = self.probe(None, files)?;
        match &self.accelerator {
            None => Ok(walls),
            Some(accelerator) => Ok(walls.and(self.probe(Some(accelerator), files)?.0)),
        }
    }

    /// Walls and numerics class of a child.
    fn probe(&self, accelerator: Option<&Accelerator>, files: &[PathBuf]) -> Result<(Walls, String), Status> {
        match self.ask(accelerator, &Job::Probe { files: files.to_vec() }, &mut |_| ControlFlow::Continue(()))? {
            Report::Probed { walls, class } => Ok((walls, class)),
            other => Err(unexpected(&other)),
        }
    }

    /// What there is of a device on this machine, which need not work.
    ///
    /// # Errors
    /// Its program could not be started.
    pub fn look(accelerator: &Accelerator) -> Result<Vec<Part>, Status> {
        match Self::new(None).ask(Some(accelerator), &Job::Look, &mut |_| ControlFlow::Continue(()))? {
            Report::Parts(parts) => Ok(parts),
            other => Err(unexpected(&other)),
        }
    }

    /// Times operations of at most so many floating-point operations on the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn time(&self, rules: Rules, most_flops: u64) -> Result<Vec<Timing>, Status> {
        let job = Job::Time { rules, most_flops };
        match self.ask(self.accelerator.as_ref(), &job, &mut |_| ControlFlow::Continue(()))? {
            Report::Timed(timed) => timed,
            other => Err(unexpected(&other)),
        }
    }

    /// Runs `train` and one `forward` without executing an op. A guest may use minutes for it. `go_on` is called a few
    /// times a second; if it breaks, the child is killed and the status is `interrupted`.
    ///
    /// # Errors
    /// The status of the failed run.
    pub fn dry_run(
        &self,
        component: &[u8],
        run: &RunSpec,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<DryRun, Status> {
        let job = Job::DryRun { component: component.to_vec(), run: run.clone() };
        match self.converse(&job, &mut |_| go_on())? {
            Report::DryRun(result) => *result,
            other => Err(unexpected(&other)),
        }
    }

    /// Trains on `text`. `on` receives progress a few times a second, and every checkpoint. If it breaks, the child is
    /// killed and the status is `interrupted`.
    pub fn train(
        &self,
        component: &[u8],
        run: &RunSpec,
        text: &[u16],
        resume: Option<&Resume>,
        on: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Trained {
        let job = Job::Train {
            component: component.to_vec(),
            run: run.clone(),
            text: text.to_vec(),
            resume: resume.cloned(),
        };
        let mut last = Progress::Step { progress: 0.0, steps: 0, loss: None };
        let listened = self.converse(&job, &mut |said| match said {
            Some(Report::Progress(progress)) => {
                if let Progress::Step { .. } = progress {
                    last = progress.clone();
                }
                on(progress)
            }
            Some(_) => ControlFlow::Continue(()),
            None => on(last.clone()),
        });
        match listened {
            Ok(Report::Trained(trained)) => *trained,
            Ok(other) => Trained::failed(unexpected(&other)),
            Err(status) => Trained::failed(status),
        }
    }

    /// Scores a model. `go_on` is called a few times a second; if it breaks, the child is killed and the status is
    /// `interrupted`.
    pub fn evaluate(
        &self,
        component: &[u8],
        state: &NamedState,
        run: &RunSpec,
        input: &EvalInput,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Evaluated {
        let job = Job::Evaluate {
            component: component.to_vec(),
            run: run.clone(),
            state: state.clone(),
            input: input.clone(),
        };
        match self.converse(&job, &mut |_| go_on()) {
            Ok(Report::Evaluated(evaluated)) if evaluated.fits(input) => evaluated,
            Ok(Report::Evaluated(_)) => Evaluated::failed(protocol("a score that does not fit the chunks")),
            Ok(other) => Evaluated::failed(unexpected(&other)),
            Err(status) => Evaluated::failed(status),
        }
    }

    /// The graph of the `forward` that scores a model; `None` if the guest reads values there, so that it is another
    /// one for another text. `go_on` is called a few times a second; if it breaks, the child is killed.
    ///
    /// # Errors
    /// The status of the failed run.
    pub fn graph(
        &self,
        component: &[u8],
        state: &NamedState,
        run: &RunSpec,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Graph>, Status> {
        let job = Job::Graph { component: component.to_vec(), run: run.clone(), state: state.clone() };
        let graph = match self.converse(&job, &mut |_| go_on())? {
            Report::Graph(graph) => (*graph)?,
            other => return Err(unexpected(&other)),
        };
        // The tokens come after the named state.
        let fits = |graph: &Graph| graph.inputs.len() == state.tensors.len() + 1 && graph.is_whole();
        match graph {
            Some(graph) if !fits(&graph) => Err(protocol("a graph that does not fit the model")),
            graph => Ok(graph),
        }
    }

    /// Samples text from a model. `on_token` receives each token as it arrives, and may stop the child.
    ///
    /// # Errors
    /// The status of the failed run.
    pub fn forward(
        &self,
        component: &[u8],
        state: &NamedState,
        run: &RunSpec,
        how: &Sampling,
        on_token: &mut dyn FnMut(u16) -> ControlFlow<()>,
    ) -> Result<(), Status> {
        let job =
            Job::Sample { component: component.to_vec(), run: run.clone(), state: state.clone(), how: how.clone() };
        let said = self.converse(&job, &mut |said| match said {
            Some(Report::Token(token)) => on_token(token),
            _ => ControlFlow::Continue(()),
        })?;
        match said {
            Report::Sampled(result) => result,
            other => Err(unexpected(&other)),
        }
    }

    /// Runs the child of a job. What executes no operation of a guest but to learn of it is the processor's: what comes
    /// of it is in no numerics class.
    fn converse(&self, job: &Job, on: &mut dyn FnMut(Option<Report>) -> ControlFlow<()>) -> Result<Report, Status> {
        let accelerator = self.accelerator.as_ref().filter(|_| match job {
            Job::Train { .. } | Job::Evaluate { .. } | Job::Sample { .. } => true,
            Job::Probe { .. } | Job::Look | Job::Time { .. } | Job::DryRun { .. } | Job::Graph { .. } => false,
        });
        self.ask(accelerator, job, on)
    }

    /// Runs one child from start to end. `on` receives each report before the last one, and `None` at each tick of
    /// silence.
    fn ask(
        &self,
        accelerator: Option<&Accelerator>,
        job: &Job,
        on: &mut dyn FnMut(Option<Report>) -> ControlFlow<()>,
    ) -> Result<Report, Status> {
        let run = job.run();
        let tensors = match job {
            Job::Train { run, .. } | Job::Graph { run, .. } => run.limits.tensor_bytes,
            Job::Probe { .. }
            | Job::Look
            | Job::Time { .. }
            | Job::DryRun { .. }
            | Job::Evaluate { .. }
            | Job::Sample { .. } => 0,
        };
        let limit = tensors.saturating_add(REPORT_BYTES);
        let without_run = if accelerator.is_some() { START_MS } else { PROBE_MS };
        let mut left = Countdown::new(Duration::from_millis(run.map_or(without_run, |run| run.wall_limit_ms)));
        let mut give_up = |said| {
            if on(said).is_break() {
                return Some(Status::host(HostFault::Interrupted, "stopped by the user"));
            }
            let message = "the wall-clock limit passed; the machine may be busy, or `host calibrate` out of date";
            left.is_over().then(|| Status::host(HostFault::Timeout, message))
        };
        let mut child = match accelerator {
            None => Child::start(self.child_exe.clone().map_or_else(this_program, Command::new).env_clear(), &[])?,
            Some(accelerator) => Child::start(&mut accelerator.command(), &accelerator.arguments())?,
        };
        let mut job_to = Telling { connection: &child.connection, give_up: &mut || give_up(None), given_up: None };
        let sent = send(&mut job_to, job);
        if let Some(status) = job_to.given_up {
            return Err(status);
        }
        if let Err(error) = sent {
            return Err(child.ended(&error));
        }
        let mut frames = Frames::new(limit).within(TICK);
        loop {
            let said = match frames.next::<Report>(&mut child.connection) {
                Ok(said) => said,
                Err(error) => return Err(child.ended(&error)),
            };
            match said {
                Some(Report::Failed(status)) => return Err(status.shortened()),
                Some(report) if report.is_last() => return Ok(report.shortened()),
                other => {
                    if let Some(status) = give_up(other) {
                        return Err(status);
                    }
                }
            }
        }
    }
}

/// Writes to a child that may not read, as one that the system has stopped: the caller is asked now and then whether to
/// go on.
struct Telling<'a> {
    connection: &'a UnixStream,
    give_up: &'a mut dyn FnMut() -> Option<Status>,
    given_up: Option<Status>,
}

impl Write for Telling<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.connection.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.given_up = (self.give_up)();
                    if self.given_up.is_some() {
                        return Err(error);
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

impl Report {
    /// The report with short messages.
    fn shortened(self) -> Self {
        match self {
            Self::DryRun(ended) => Self::DryRun(Box::new(ended.map_err(Status::shortened))),
            Self::Trained(ended) => Self::Trained(Box::new(Trained { status: ended.status.shortened(), ..*ended })),
            Self::Evaluated(ended) => Self::Evaluated(Evaluated { status: ended.status.shortened(), ..ended }),
            Self::Graph(ended) => Self::Graph(Box::new(ended.map_err(Status::shortened))),
            Self::Sampled(ended) => Self::Sampled(ended.map_err(Status::shortened)),
            Self::Failed(status) => Self::Failed(status.shortened()),
            Self::Timed(ended) => Self::Timed(ended.map_err(Status::shortened)),
            said @ (Self::Probed { .. } | Self::Parts(_) | Self::Progress(_) | Self::Token(_)) => said,
        }
    }

    fn is_last(&self) -> bool {
        !matches!(self, Self::Progress(_) | Self::Token(_))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failure",
            Self::Probed { .. } => "walls",
            Self::Parts(_) => "parts of a device",
            Self::Timed(_) => "timings",
            Self::Progress(_) => "progress",
            Self::Token(_) => "token",
            Self::DryRun(_) => "dry run",
            Self::Trained(_) => "training",
            Self::Evaluated(_) => "evaluation",
            Self::Graph(_) => "graph",
            Self::Sampled(_) => "sampling",
        }
    }
}

impl Evaluated {
    /// Whether the report fits the input: a completed evaluation has one finite number per chunk.
    fn fits(&self, input: &EvalInput) -> bool {
        let complete = self.chunk_nats.len() == input.chunks.len();
        let finite = self.chunk_nats.iter().all(|nats| nats.is_finite() && *nats >= 0.0);
        finite && (complete || self.status != Status::Completed)
    }
}

struct Child {
    process: Group,
    connection: UnixStream,
}

impl Child {
    /// Starts a program whose environment is settled.
    fn start(program: &mut Command, more: &[OsString]) -> Result<Self, Status> {
        let system = |error: std::io::Error| Status::host(HostFault::System, format!("child process: {error}"));
        let path = instructions::chosen().map_err(|e| Status::host(HostFault::System, e.to_string()))?;
        let (connection, theirs) = UnixStream::pair().map_err(system)?;
        connection.set_read_timeout(Some(TICK)).map_err(system)?;
        connection.set_write_timeout(Some(TICK)).map_err(system)?;
        let process = program
            .args([MODE, &std::process::id().to_string(), path.name()])
            .args(more)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at a terminal reaches the whole process group, but the parent decides when a child stops.
            .process_group(0)
            .spawn()
            .map_err(system)?;
        Ok(Self { process: Group::new(process), connection })
    }

    /// Why the connection ended.
    fn ended(&mut self, error: &WireError) -> Status {
        if !matches!(error, WireError::Ended | WireError::Io(_)) {
            return protocol(&error.to_string());
        }
        let Ok(exit) = self.process.wait() else {
            return Status::host(HostFault::System, "child process: its end could not be learnt");
        };
        match exit.signal() {
            Some(libc::SIGKILL) => {
                Status::host(HostFault::Killed, "the child was killed: out of memory, or by a person")
            }
            Some(libc::SIGXCPU) => Status::host(HostFault::Timeout, "the child used up its processor time"),
            _ => Status::host(HostFault::Crashed, format!("the child ended without a report ({exit})")),
        }
    }
}

fn protocol(message: &str) -> Status {
    Status::host(HostFault::Protocol, format!("the child's report: {message}"))
}

fn unexpected(report: &Report) -> Status {
    protocol(&format!("{} where something else was due", report.name()))
}
