//! From a text to a candidate: parse, compile, run dry. Each step first looks for its result in the store. The card of
//! a component that was sent in the place of a source is a text too; its component is in the store. No other module
//! does these steps. A caller can stop between two steps, for example at a key that was tried before.

use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runner::{Experiment, Stopped, draw_probe_seed};
use crate::experiment::runtime::settings;
use crate::guest::component::{self, Card, Component};
use crate::guest::source::{Carried, Source, SourceError};
use crate::guest::toolchain::{CompileError, Toolchain};
use crate::record::dry_run::DryRun;
use crate::record::facts;
use crate::record::key::{BehaviourKey, CompileKey, ComponentKey, Hash, SourceKey};
use crate::record::outcome::{GuestFault, HostFault, Status};
use crate::record::stage::Stage;
use crate::record::store::{ComponentRecord, StoreError};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Stands for the compiler of a component that was sent.
const SENT: &str = "none: it was sent as a component";

/// A mutation that passed the dry run.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The text as its author wrote it, or the card of a component.
    pub text: String,
    /// Key of the source's tokens, or of the card.
    pub source_key: SourceKey,
    /// The guest: compiled, or as it was sent.
    pub component: Component,
    pub dry_run: DryRun,
    /// Key of the behaviour; `None` if the guest reads values.
    pub behaviour: Option<BehaviourKey>,
    /// What the source carries beyond the seed guest's.
    pub carried: Carried,
    /// Training tokens that the dry run predicts, as a share of the seed guest's.
    pub trained_share: Option<f64>,
}

/// A step that a mutation has passed, with the result of the step.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The text parses.
    Parsed(SourceKey),
    /// The source compiles.
    Compiled(ComponentKey),
    /// The component passed the dry run.
    RanDry(&'a Candidate),
}

/// What a text is.
enum Mutation {
    Source(Source),
    Component(Card),
}

impl Mutation {
    fn read(text: &str) -> Result<Self, SourceError> {
        Card::read(text).map_or_else(|| Source::parse(text).map(Self::Source), |card| Ok(Self::Component(card)))
    }

    fn key(&self) -> SourceKey {
        match self {
            Self::Source(source) => source.key(),
            Self::Component(card) => card.key(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Source(SourceError),
    /// A card without its component, or with words of its own.
    #[error("it names the component {0}, which was not sent with it: send the `.wasm` file itself")]
    NoComponent(Hash),
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// This bench only replays.
    #[error("this bench has no compiler")]
    NoCompiler,
    /// The guest breaks a rule of the policy. Another policy may allow it on the same terms.
    #[error("{0}")]
    Rule(String),
    /// The component was refused or the dry run failed.
    #[error("{0}")]
    Run(Status),
    /// The bench failed. The mutation is not the cause.
    #[error(transparent)]
    Bench(#[from] BenchError),
}

impl Refusal {
    /// The stage at which the mutation failed. `None` if the host failed, so that another try may pass.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::Source(_) | Self::NoComponent(_) => Some(Stage::Source),
            Self::Compile(error) => error.is_verdict().then_some(Stage::Compile),
            Self::Rule(_) | Self::Run(Status::GuestFault { .. }) => Some(Stage::DryRun),
            Self::Run(Status::Completed | Status::HostFault { .. }) | Self::NoCompiler | Self::Bench(_) => None,
        }
    }
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Machine(_) => Self::Run(Status::host(HostFault::System, error.to_string())),
            error => Self::Source(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Bench(error.into())
    }
}

impl Bench {
    /// Prepares a candidate.
    pub fn prepare(&self, text: &str) -> Result<Candidate, Refusal> {
        let on = |_: Step| ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(candidate) = self.prepare_while(text, &|| false, on)?;
        Ok(candidate)
    }

    /// Prepares a candidate as long as `go_on` continues. Calls `go_on` after each step. If `stopped` becomes true, the
    /// dry run ends as `interrupted`.
    pub fn prepare_while<B>(
        &self,
        text: &str,
        stopped: &Stopped,
        mut go_on: impl FnMut(Step) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, Candidate>, Refusal> {
        let mutation = Mutation::read(text)?;
        let source_key = mutation.key();
        if let ControlFlow::Break(why) = go_on(Step::Parsed(source_key)) {
            return Ok(ControlFlow::Break(why));
        }
        let (carried, component) = match &mutation {
            Mutation::Source(source) => (self.carried(source)?, self.compile_unless(source, stopped)?),
            Mutation::Component(card) => self.take_in(card)?,
        };
        if let ControlFlow::Break(why) = go_on(Step::Compiled(component.key())) {
            return Ok(ControlFlow::Break(why));
        }
        let dry_run = self.dry_run(&component, stopped)?;
        let behaviour = BehaviourKey::new(&dry_run);
        let trained_share = self.expected_share(&dry_run)?;
        let text = text.into();
        let candidate = Candidate { text, source_key, component, dry_run, behaviour, carried, trained_share };
        Ok(go_on(Step::RanDry(&candidate)).map_continue(|()| candidate))
    }

    /// Whether compiler and sandbox work, tried on programs that are known to be good: a control source is compiled,
    /// and `control` trained and scored. If the toolchain's files are gone, it is prepared again first. `tell` receives
    /// one line for each slow step.
    ///
    /// # Errors
    /// What does not work, or that it was stopped.
    pub fn check(&self, control: &Component, stopped: &Stopped, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
        if let Some(toolchain) = &self.toolchain
            && toolchain.check().is_err()
        {
            Toolchain::find_or_install(tell).map_err(|error| error.to_string())?;
            toolchain.check().map_err(|error| error.to_string())?;
        }
        let experiment = Experiment { component: control, random_seed: 0 };
        match self.runner(1).run(&experiment, draw_probe_seed(), &mut |_| {}, stopped).outcome.status {
            Status::HostFault { kind, message } => Err(format!("{kind}: {message}")),
            Status::Completed | Status::GuestFault { .. } => Ok(()),
        }
    }

    /// Compiles a source. A source that was compiled before, in any layout, is taken from the store.
    pub fn compile(&self, source: &Source) -> Result<Component, Refusal> {
        self.compile_unless(source, &|| false)
    }

    fn compile_unless(&self, source: &Source, stopped: &Stopped) -> Result<Component, Refusal> {
        let toolchain = self.toolchain.as_ref().ok_or(Refusal::NoCompiler)?;
        let compile_key = toolchain.compile_key(source);
        if let Some(component) = self.compiled_before(&compile_key)? {
            return Ok(component);
        }
        let component = self.compile_anew_unless(source, stopped)?;
        let record = ComponentRecord {
            component_key: component.key(),
            component_blob: self.store.put_blob(component.bytes())?,
            source_key: source.key(),
            source_blob: self.store.put_blob(source.text().as_bytes())?,
            compiler: toolchain.version(),
        };
        self.store.put_component(&compile_key, &record)?;
        Ok(component)
    }

    /// Compiles a source, also if the store knows what comes out. The store is not told.
    pub fn compile_anew(&self, source: &Source) -> Result<Component, Refusal> {
        self.compile_anew_unless(source, &|| false)
    }

    fn compile_anew_unless(&self, source: &Source, stopped: &Stopped) -> Result<Component, Refusal> {
        let toolchain = self.toolchain.as_ref().ok_or(Refusal::NoCompiler)?;
        let core = toolchain.compile_unless(source, &|| stopped())?;
        component::componentise(&core).map_err(|error| Refusal::Run(Status::guest(error.fault(), error.to_string())))
    }

    /// The behaviour key of a component; `None` if what it does depends on values.
    pub fn behaviour(&self, component: &Component) -> Result<Option<BehaviourKey>, Refusal> {
        Ok(BehaviourKey::new(&self.dry_run(component, &|| false)?))
    }

    /// The component that a card names, as it was sent.
    fn take_in(&self, card: &Card) -> Result<(Carried, Component), Refusal> {
        let missing = || Refusal::NoComponent(card.component());
        let bytes = match self.store.get_blob(&card.component()) {
            Err(StoreError::Missing { .. }) => return Err(missing()),
            found => found?,
        };
        if Card::of(&bytes) != *card {
            return Err(missing());
        }
        let component = Component::from_bytes(&bytes)
            .map_err(|error| Refusal::Run(Status::guest(error.fault(), error.to_string())))?;
        let carried = self.carried_in(&component)?;
        let record = ComponentRecord {
            component_key: component.key(),
            component_blob: self.store.put_blob(component.bytes())?,
            source_key: card.key(),
            source_blob: self.store.put_blob(card.text().as_bytes())?,
            compiler: SENT.into(),
        };
        self.store.put_component(&CompileKey::new(&card.key(), &Hash([0; 32]), SENT, &[]), &record)?;
        Ok((carried, component))
    }

    /// Looks for a compiled component. A damaged or missing blob counts as not found; the new compilation repairs it.
    fn compiled_before(&self, key: &CompileKey) -> Result<Option<Component>, Refusal> {
        let Some(record) = self.store.find_component(key)? else { return Ok(None) };
        let bytes = match self.store.get_blob(&record.component_blob) {
            Ok(bytes) => bytes,
            Err(error) if error.is_of_damage() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Component::from_bytes(&bytes).ok())
    }

    /// Runs the component dry. This takes milliseconds and finds many faults before the training.
    fn dry_run(&self, component: &Component, stopped: &Stopped) -> Result<DryRun, Refusal> {
        let manifest = self.manifest(component, 0);
        let known = self.store.find_dry_run(&manifest.dry_run_key())?;
        // A dry run of an older version did not look for a proof of causality.
        let known = known.filter(|found| found.as_ref().map_or(true, |dry_run| dry_run.causality.is_some()));
        let found = match known {
            Some(found) => found,
            None => {
                let mut go_on = || if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
                let spec = settings(&self.spec, component, manifest.random_seed);
                let found = match self.sandbox.dry_run(component.bytes(), &spec, &mut go_on) {
                    Ok(facts) => Ok(facts),
                    Err(Status::GuestFault { kind, message }) => Err((kind, message)),
                    Err(status) => return Err(Refusal::Run(status)),
                };
                self.store.put_dry_run(&manifest, &found)?;
                found
            }
        };
        let dry_run = found.map_err(|(kind, message)| Refusal::Run(Status::GuestFault { kind, message }))?;
        self.can_pay_for_forward(&dry_run)?;
        Ok(dry_run)
    }

    /// Checks the cost of `forward` before the training. The evaluation would refuse it only after the training.
    fn can_pay_for_forward(&self, dry_run: &DryRun) -> Result<(), Refusal> {
        let (cost, cap) = (dry_run.forward_ps_per_token(self.spec.forward_tokens()), self.forward_ps_per_token);
        if cap == 0 || cost <= cap {
            return Ok(());
        }
        let message = format!(
            "forward costs {cost} ps per token, and the task allows {cap}, {} times what the seed guest's costs; it goes to {}",
            self.spec.limits.forward_cost_factor,
            facts::share_words(&facts::shares(&dry_run.forward))
        );
        Err(Refusal::Run(Status::guest(GuestFault::TooExpensive, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_mutation_is_blamed_for_its_own_faults_alone() {
        let compile = |error| Refusal::Compile(error).stage();
        assert_eq!(Refusal::from(Source::parse("no Rust").unwrap_err()).stage(), Some(Stage::Source));
        assert_eq!(Refusal::from(SourceError::Machine("no memory".into())).stage(), None);
        assert_eq!(compile(CompileError::Rejected(String::new())), Some(Stage::Compile));
        assert_eq!(compile(CompileError::Timeout { limit: Duration::ZERO }), Some(Stage::Compile));
        assert_eq!(compile(CompileError::System("no disk".into())), None);
        assert_eq!(compile(CompileError::NotConfined("no Landlock".into())), None);
        assert_eq!(Refusal::Rule(String::new()).stage(), Some(Stage::DryRun));
        assert_eq!(Refusal::Run(Status::guest(GuestFault::TooExpensive, "")).stage(), Some(Stage::DryRun));
        assert_eq!(Refusal::Run(Status::host(HostFault::Interrupted, "")).stage(), None);
        assert_eq!(Refusal::NoCompiler.stage(), None);
        assert_eq!(Refusal::NoComponent(Hash([0; 32])).stage(), Some(Stage::Source));
    }
}
