//! A component that is checked, compiled and linked. Each run uses a new store and a new session. Does not handle
//! processes.

use crate::record::causality::{Accepted, Foreseen};
use crate::record::dry_run::DryRun;
use crate::record::outcome::{GuestFault, HostFault, Status};
use crate::sandbox::handles::Handles;
use crate::sandbox::lab::{self, Lines, Meter, OnStep, State, Task, Tensor};
use crate::sandbox::limiter::Limiter;
use crate::sandbox::proof::{Make, Proof, Recorded};
use crate::sandbox::run_spec::{EvalInput, Progress, Resume, RunSpec, Trained};
use crate::sandbox::start::Start;
use crate::sandbox::trap::Words;
use crate::sandbox::wasi::{self, Outside};
use crate::sandbox::{engine, trap};
use kernels::exec::{Dry, Executor};
use kernels::fault::Fault;
use kernels::session::{Answers, Batches, Checkpoint, Config, LOSS, Mode, NamedState, Session, Totals};
use kernels::spec::{DType, Shape, Spec, Values};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre, Linker, Resource};
use wasmtime::{AsContextMut, Engine, Store};

/// Picoseconds in a second.
const SECOND_PS: u128 = 1_000_000_000_000;
/// A call of `forward` gets this part of the instructions of a budget second: it is called for each batch of chunks.
const FORWARD_SHARE: u64 = 20;
/// Prefix of the interfaces that a guest may import.
const CONTRACT: &str = "lab:train/";
/// The functions that a guest must export.
const EXPORTS: [&str; 2] = ["train", "forward"];

/// A component that fits the contract.
pub struct Guest {
    engine: Engine,
    instance: InstancePre<State>,
    run: RunSpec,
    words: Words,
}

/// Result of one `forward` call.
pub struct Forward {
    /// [rows, time, vocab], row-major.
    pub logits: Vec<f32>,
    pub totals: Totals,
}

/// A `forward` call that returned.
pub(super) struct Called {
    pub session: Session,
    pub output: kernels::op::TensorId,
    /// Whether it drew random bytes.
    pub is_random: bool,
}

/// The run reached the interval or step where it was to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped where it was asked to")]
struct Reached;

impl Guest {
    /// Checks and compiles a component.
    ///
    /// # Errors
    /// A guest fault: too large, not a component, or the wrong world.
    pub fn new(component: &[u8], run: &RunSpec) -> Result<Self, Status> {
        let limit = run.limits.component_bytes;
        if component.len() as u64 > limit {
            let message = format!("{} bytes exceed the limit of {limit}", component.len());
            return Err(Status::guest(GuestFault::ComponentTooLarge, message));
        }
        let engine = engine::engine(run.runtime_bytes > 0)
            .map_err(|e| Status::host(HostFault::System, format!("engine: {e}")))?;
        let component =
            Component::from_binary(&engine, component).map_err(|e| refused(GuestFault::InvalidComponent, &e))?;
        for (name, item) in component.component_type().imports(&engine) {
            // A world that uses a type of an interface also imports the type by its own name. A type carries no power.
            let is_type = matches!(item.ty, ComponentItem::Type(_) | ComponentItem::Resource(_));
            if !is_type && !name.starts_with(CONTRACT) && !wasi::is_answered(name) {
                let message = format!("imports {name}: a guest has nothing but {CONTRACT}* and a virtual WASI 0.2");
                return Err(Status::guest(GuestFault::ForbiddenImport, message));
            }
        }
        let world = component.component_type();
        for name in EXPORTS {
            let export = world.get_export(&engine, name);
            if !export.is_some_and(|export| matches!(export.ty, ComponentItem::ComponentFunc(_))) {
                let message = format!("exports no function `{name}`");
                return Err(Status::guest(GuestFault::WrongWorld, message));
            }
        }
        let mut linker = Linker::new(&engine);
        lab::link(&mut linker).map_err(|e| Status::host(HostFault::System, format!("linker: {e}")))?;
        wasi::link(&mut linker, &engine, &world).map_err(|e| refused(GuestFault::WrongWorld, &e))?;
        let instance = linker.instantiate_pre(&component).map_err(|e| refused(GuestFault::WrongWorld, &e))?;
        Ok(Self { engine, instance, run: run.clone(), words: Words::Repeated })
    }

    /// The same guest, of which only codes and places are told. It is for runs on held-out text, which the guest could
    /// tell.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self { words: Words::Withheld, ..self }
    }

    /// Runs `train` and one `forward` without executing any op, and proves what it can of `forward`.
    ///
    /// # Errors
    /// The guest's fault.
    pub fn dry_run(&self, make: &Make) -> Result<DryRun, Status> {
        let config = self.config(Mode::Train, self.run.budget_ps);
        let session = Session::new(config, Box::<Dry>::default(), None, Answers::StandIn);
        let mut store = self.store(session, self.train_fuel(), None).map_err(|e| trap::status(&e))?;
        store.data_mut().lines = Some(Lines::default());
        let ended = self.call_train(&mut store);
        let fuel = used(&store).map_err(|e| trap::status(&e))?;
        let lines = store.data_mut().lines.take().unwrap_or_default();
        let train_is_random = store.data().outside.is_random();
        let session = &mut store.data_mut().session;
        ended.map_err(|error| after_reads(trap::status(&error), session.totals().reads))?;
        trained(session)?;
        let named = self.named_state(session)?;
        let train = session.totals();
        let Recorded { totals: forward, is_random, proof } = self.prove(&named, make)?;
        // What it does with another random seed is not known.
        let advisory = train.reads > 0 || forward.reads > 0 || train_is_random || is_random;
        let causality = match proof {
            Proof::Proved { .. } => Foreseen::Proved,
            Proof::Missing { why } => Foreseen::Probed { why: self.accepts_probes(why)? },
        };
        Ok(DryRun {
            train,
            forward,
            named,
            advisory,
            fuel,
            causality: Some(causality),
            step_ps: lines.step_ps(),
            lines: lines.dearest(),
        })
    }

    /// The reason why there is no proof, if the policy accepts that.
    pub(super) fn accepts_probes(&self, why: String) -> Result<String, Status> {
        match self.run.limits.causality {
            Accepted::ProvedOrProbed => Ok(why),
            Accepted::Proved => {
                let message = format!("the policy accepts only what is proved to be causal: {why}");
                Err(Status::guest(GuestFault::NotProved, message))
            }
        }
    }

    /// Tokens of a call in evaluation.
    pub(super) fn evaluation_tokens(&self) -> Result<Spec, Status> {
        shape_of(self.run.eval_rows, self.run.context)
    }

    /// Runs `train`.
    pub fn train(
        &self,
        executor: Box<dyn Executor>,
        batches: Box<dyn Batches>,
        resume: Option<Resume>,
        on: OnProgress,
    ) -> Trained {
        let until = resume.as_ref().map(|resume| resume.until_interval.saturating_sub(resume.from.interval));
        let answers = match resume {
            Some(Resume { read_log, from, .. }) => Answers::FastForward { log: read_log, from: Box::new(from) },
            None => Answers::Execute,
        };
        let config = self.config(Mode::Train, self.run.budget_ps);
        let mut session = Session::new(config, executor, Some(batches), answers);
        let on = std::sync::Arc::new(std::sync::Mutex::new(on));
        if until.is_none() {
            let sink = on.clone();
            session
                .on_checkpoint(Box::new(move |checkpoint: Checkpoint| report(&sink, Progress::Checkpoint(checkpoint))));
        }
        let on_step: OnStep = Box::new(move |session| {
            if until.is_some_and(|intervals| session.interval_hashes().len() >= intervals as usize) {
                return Err(Reached.into());
            }
            let loss = session.curve().iter().rev().find(|point| point.key == LOSS).map(|point| point.value);
            report(&on, Progress::Step { progress: session.progress(), steps: session.totals().steps, loss });
            Ok(())
        });
        let mut store = match self.store(session, self.train_fuel(), Some(on_step)) {
            Ok(store) => store,
            Err(error) => return Trained::failed(trap::status(&error)),
        };
        let ended = self.call_train(&mut store);
        self.wind_up(store, ended)
    }

    /// Runs `train` from values that the host gives, until it has drawn the batch after `steps` steps. `on_step` is
    /// told the amount spent before each batch.
    pub fn train_from(
        &self,
        executor: Box<dyn Executor>,
        start: Start,
        steps: u64,
        mut on_step: impl FnMut(u64) + Send + 'static,
    ) -> Trained {
        let config = self.config(Mode::Train, self.run.budget_ps);
        let mut session = Session::new(config, executor, Some(start.batches), Answers::Execute);
        session.start_from(start.state);
        let mut begun = 0;
        let on_step: OnStep = Box::new(move |session| {
            on_step(session.spent_ps());
            begun += 1;
            if begun > steps { Err(Reached.into()) } else { Ok(()) }
        });
        match self.store(session, self.train_fuel(), Some(on_step)) {
            Ok(mut store) => {
                let ended = self.call_train(&mut store);
                self.wind_up(store, ended)
            }
            Err(error) => Trained::failed(trap::status(&error)),
        }
    }

    fn wind_up(&self, mut store: Store<State>, ended: wasmtime::Result<()>) -> Trained {
        let fuel = match used(&store) {
            Ok(fuel) => fuel,
            Err(error) => return Trained::failed(trap::status(&error)),
        };
        let session = &mut store.data_mut().session;
        let (status, state) = match ended {
            Err(error) if error.is::<Reached>() => (Status::Completed, None),
            Err(error) => {
                let log = session.read_log().to_vec();
                (self.status(&error, |index| self.train_until(index, log)), None)
            }
            Ok(()) => match trained(session).and_then(|()| self.named_state(session)) {
                Ok(state) => (Status::Completed, Some(state)),
                Err(status) => (status, None),
            },
        };
        Trained {
            status,
            totals: session.totals(),
            curve: session.curve().iter().take(self.run.limits.log_points as usize).cloned().collect(),
            intervals: session.interval_hashes().to_vec(),
            read_log: session.read_log().to_vec(),
            state,
            fuel,
            traffic: None,
        }
    }

    /// Runs `forward` on `tokens`, row-major [rows, time], in a fresh instance.
    ///
    /// # Errors
    /// The guest's fault. If `cap_ps` is not 0 and the call costs more, the fault is that it is too expensive.
    pub fn forward(
        &self,
        state: &NamedState,
        rows: u32,
        time: u32,
        tokens: Vec<u32>,
        cap_ps: u64,
        executor: Box<dyn Executor>,
    ) -> Result<Forward, Status> {
        let spec = shape_of(rows, time)?;
        let Called { mut session, output, .. } =
            self.run_forward(state, spec.clone(), Values::U32(tokens), cap_ps, executor, Answers::Execute)?;
        let logits = session.peek(output).map_err(|fault| {
            let log = session.read_log().to_vec();
            self.status(&fault.into(), |index| self.forward_until(index, state, spec, log))
        })?;
        Ok(Forward { logits, totals: session.totals() })
    }

    pub(super) fn run_forward(
        &self,
        state: &NamedState,
        tokens: Spec,
        values: Values,
        cap_ps: u64,
        executor: Box<dyn Executor>,
        answers: Answers,
    ) -> Result<Called, Status> {
        let expected = expected_logits(&tokens.shape, self.run.vocab)?;
        let cap = if cap_ps == 0 { u64::MAX / 4 } else { cap_ps };
        let mut session = Session::new(self.config(Mode::Evaluate, cap), executor, None, answers);
        session.install(state).map_err(fault)?;
        let input = session.input(tokens.clone(), values).map_err(fault)?;
        let mut store = self.store(session, self.forward_fuel(), None).map_err(|e| trap::status(&e))?;
        let output = self.call_forward(&mut store, input).map_err(|error| {
            let log = store.data().session.read_log().to_vec();
            let by_budget = store.data().meter.is_by_budget();
            too_expensive(self.status(&error, |index| self.forward_until(index, state, tokens, log)), by_budget)
        })?;
        let State { mut session, outside, .. } = store.into_data();
        let spec = session.spec(output).map_err(fault)?;
        if spec.dtype != DType::F32 || spec.shape != expected {
            let message = match self.words {
                Words::Repeated => format!("forward returned {spec}; the task needs {expected} f32"),
                Words::Withheld => format!("the task needs {expected} f32"),
            };
            return Err(Status::guest(GuestFault::BadLogitShape, message));
        }
        session.mark_output(output).map_err(fault)?;
        Ok(Called { session, output, is_random: outside.is_random() })
    }

    /// The status of a run that ended with this error. A wrong value is found at execution, later than the guest's
    /// call. `again` then runs the guest up to the failed record without executing, so that the message names its line.
    fn status(&self, error: &wasmtime::Error, again: impl FnOnce(u64) -> Option<wasmtime::Error>) -> Status {
        match error.downcast_ref() {
            Some(Fault::Execution { index, .. }) => {
                trap::status_at(error, again(*index).as_ref().and_then(trap::place), self.words)
            }
            _ => trap::status_at(error, trap::place(error), self.words),
        }
    }

    /// The error of `train` at the point where it submits record `index`.
    fn train_until(&self, index: u64, log: Vec<u32>) -> Option<wasmtime::Error> {
        let config = Config { max_ops: index, ..self.config(Mode::Train, self.run.budget_ps) };
        let session = Session::new(config, Box::<Dry>::default(), None, never_resuming(log));
        let mut store = self.store(session, self.train_fuel(), None).ok()?;
        self.call_train(&mut store).err()
    }

    /// The guest's line that submits record `index` of `forward`.
    pub(super) fn forward_place(&self, index: u64, state: &NamedState, tokens: Spec) -> Option<String> {
        self.forward_until(index, state, tokens, Vec::new()).as_ref().and_then(trap::place)
    }

    /// The error of `forward` at the point where it submits record `index`.
    fn forward_until(&self, index: u64, state: &NamedState, tokens: Spec, log: Vec<u32>) -> Option<wasmtime::Error> {
        let config = Config { max_ops: index, ..self.config(Mode::Evaluate, u64::MAX / 4) };
        let mut session = Session::new(config, Box::<Dry>::default(), None, never_resuming(log));
        session.install(state).ok()?;
        let input = session.input(tokens.clone(), Values::none(tokens.dtype)).ok()?;
        let mut store = self.store(session, self.forward_fuel(), None).ok()?;
        self.call_forward(&mut store, input).err()
    }

    fn call_train(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        let instance = self.instantiate(store)?;
        let train = instance.get_typed_func::<(), ()>(&mut *store, "train").map_err(wrong_type)?;
        train.call(&mut *store, ()).map_err(|error| store.data_mut().outside.explain(error))?;
        lab::settle(&mut store.as_context_mut())?;
        Ok(store.data_mut().session.finish()?)
    }

    fn call_forward(
        &self,
        store: &mut Store<State>,
        input: kernels::op::TensorId,
    ) -> wasmtime::Result<kernels::op::TensorId> {
        let instance = self.instantiate(store)?;
        let handle = Resource::new_own(store.data_mut().handles.push(input)?);
        let forward = instance
            .get_typed_func::<(Resource<Tensor>,), (Resource<Tensor>,)>(&mut *store, "forward")
            .map_err(wrong_type)?;
        let called = forward.call(&mut *store, (handle,));
        let (output,) = called.map_err(|error| store.data_mut().outside.explain(error))?;
        lab::settle(&mut store.as_context_mut())?;
        Ok(store.data().handles.get(output.rep())?)
    }

    fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        let instance =
            self.instance.instantiate(&mut *store).map_err(|error| store.data_mut().outside.explain(error))?;
        store.data_mut().limiter.leave_out_the_runtime(self.run.runtime_bytes);
        Ok(instance)
    }

    fn config(&self, mode: Mode, budget_ps: u64) -> Config {
        let run = &self.run;
        Config {
            mode,
            profile: run.profile.clone(),
            budget_ps,
            tensor_bytes: run.limits.tensor_bytes,
            max_ops: run.limits.max_ops,
            max_tensors: run.limits.max_tensors,
            random_seed: run.random_seed,
            intervals: run.intervals,
        }
    }

    fn store(&self, session: Session, fuel: u64, on_step: Option<OnStep>) -> wasmtime::Result<Store<State>> {
        let handles = Handles::new(lab::MAX_HANDLES);
        let task = Task { vocab: self.run.vocab, context: self.run.context, scale: self.run.scale };
        let limiter = Limiter::new(self.run.limits.memory_bytes);
        let meter = Meter::new(fuel);
        let outside = Outside::new(self.run.random_seed);
        let mut store =
            Store::new(&self.engine, State { session, handles, limiter, task, meter, lines: None, outside, on_step });
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(lab::CALL_BYTES);
        store.set_max_component_handles(lab::MAX_HANDLES);
        lab::grant(&mut store.as_context_mut())?;
        Ok(store)
    }

    /// Fuel for one second at the start, and for the budget.
    fn train_fuel(&self) -> u64 {
        let per_second = u128::from(self.run.limits.fuel_per_budget_second);
        let fuel = per_second + per_second * u128::from(self.run.budget_ps) / SECOND_PS;
        u64::try_from(fuel).unwrap_or(u64::MAX)
    }

    fn forward_fuel(&self) -> u64 {
        self.run.limits.fuel_per_budget_second / FORWARD_SHARE
    }

    fn named_state(&self, session: &mut Session) -> Result<NamedState, Status> {
        let state = session.named_state().map_err(fault)?;
        let bytes: u64 = state.tensors.iter().map(|(_, _, spec, _)| spec.bytes()).sum();
        let limit = self.run.limits.state_bytes;
        if bytes > limit {
            let largest = state.tensors.iter().max_by_key(|(_, _, spec, _)| spec.bytes());
            let largest =
                largest.map(|(name, _, spec, _)| format!("; the largest is {name}, {spec}")).unwrap_or_default();
            let message = format!("{bytes} bytes of parameters and buffers exceed the limit of {limit}{largest}");
            return Err(Status::guest(GuestFault::StateTooLarge, message));
        }
        Ok(state)
    }
}

/// The status of a component that the engine does not accept. What the engine does here follows from the component's
/// bytes alone, unless the system refuses memory.
fn refused(kind: GuestFault, error: &wasmtime::Error) -> Status {
    match engine::is_of_the_system(error) {
        true => trap::unexplained(error),
        false => Status::guest(kind, format!("{error:#}")),
    }
}

fn wrong_type(error: wasmtime::Error) -> trap::WrongType {
    trap::WrongType(format!("{error:#}"))
}

/// Answers reads from the log and executes nothing.
fn never_resuming(log: Vec<u32>) -> Answers {
    let from = Checkpoint { interval: u32::MAX, ops: u64::MAX, hash: [0; 32], tensors: Vec::new() };
    Answers::FastForward { log, from: Box::new(from) }
}

/// Receives progress during training.
pub type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// The lock is never contended: the session calls one of its two users at a time.
fn report(on: &std::sync::Mutex<OnProgress>, progress: Progress) {
    if let Ok(mut on) = on.lock() {
        on(progress);
    }
}

impl Trained {
    /// A run that failed before it started.
    pub fn failed(status: Status) -> Self {
        Self {
            status,
            totals: Totals::default(),
            curve: Vec::new(),
            intervals: Vec::new(),
            read_log: Vec::new(),
            state: None,
            fuel: 0,
            traffic: None,
        }
    }
}

impl EvalInput {
    /// Tokens per chunk in a `forward` call.
    pub fn time(&self) -> usize {
        self.chunks.first().map_or(0, |chunk| chunk.len().saturating_sub(1))
    }
}

fn trained(session: &Session) -> Result<(), Status> {
    if session.totals().steps == 0 {
        let message = "train returned without a batch: call next-batch until it returns none";
        return Err(Status::guest(GuestFault::NoTraining, message));
    }
    Ok(())
}

/// Adds a hint about the values that a guest read before it failed.
fn after_reads(status: Status, reads: u64) -> Status {
    match status {
        Status::GuestFault { kind, message } if reads > 0 => {
            Status::guest(kind, format!("{message}\n  in the dry run, where every value that is read is 0"))
        }
        other => other,
    }
}

/// The status of a `forward` that used up its cap, by ops or by instructions of its own (`by_budget`).
fn too_expensive(status: Status, by_budget: bool) -> Status {
    let used_up = |kind| kind == GuestFault::BudgetExceeded || by_budget && kind == GuestFault::FuelExhausted;
    match status {
        Status::GuestFault { kind, message } if used_up(kind) => {
            let place = message.find('\n').map_or("", |at| &message[at..]);
            let message = format!("forward costs more per token than the task allows{place}");
            Status::guest(GuestFault::TooExpensive, message)
        }
        other => other,
    }
}

/// Fuel that a run has used.
fn used(store: &Store<State>) -> wasmtime::Result<u64> {
    Ok(store.data().meter.used(store.get_fuel()?))
}

/// The status for a fault outside a run.
pub fn fault(fault: kernels::fault::Fault) -> Status {
    trap::status(&fault.into())
}

fn shape_of(rows: u32, time: u32) -> Result<Spec, Status> {
    let shape = Shape::new(&[rows, time]);
    shape.map(Spec::u32).map_err(|e| Status::host(HostFault::System, format!("evaluation rows and context: {e}")))
}

fn expected_logits(tokens: &Shape, vocab: u32) -> Result<Shape, Status> {
    let mut sizes = tokens.dims().to_vec();
    sizes.push(vocab);
    Shape::new(&sizes).map_err(|e| Status::host(HostFault::System, format!("logits of the task: {e}")))
}
