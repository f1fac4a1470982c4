//! Errors that end a night early.

use crate::experiment::bench::BenchError;
use crate::policy::PolicyError;
use crate::record::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum NightError {
    /// A night of the store cannot be opened.
    #[error(
        "night {0} was run on other terms than this program has now (corpus, contract, engine or seed guest have changed \
         since); `host log` shows it as it was"
    )]
    OtherTerms(i64),
    /// The secret behind the held-out text has ended since the bench was opened.
    #[error(
        "the secret that has chosen the held-out text was revealed or retired meanwhile: start again, with a new one"
    )]
    Closed,
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A condition of this machine, which says nothing about any mutation.
    #[error("{0}; that is this machine's fault and no mutation's: nothing was recorded")]
    Machine(String),
    /// The seed guest cannot be trained.
    #[error("the seed guest cannot be trained: {0}; if it learns too little, raise `budget.seconds` in the policy")]
    SeedGuest(String),
    /// A policy that cannot be written down: nights are joined by its text.
    #[error("this policy cannot be recorded: {0}")]
    Policy(#[from] PolicyError),
    /// The user stopped it.
    #[error("stopped; the runs that were finished are kept")]
    Interrupted,
}

impl NightError {
    /// Whether this machine is the cause, so that another try may succeed.
    pub fn is_of_the_machine(&self) -> bool {
        match self {
            Self::Machine(_) => true,
            Self::Bench(BenchError::Store(error)) => error.is_of_the_machine(),
            Self::OtherTerms(_)
            | Self::Closed
            | Self::Bench(BenchError::Select(_))
            | Self::SeedGuest(_)
            | Self::Policy(_)
            | Self::Interrupted => false,
        }
    }
}

impl From<StoreError> for NightError {
    fn from(error: StoreError) -> Self {
        Self::Bench(error.into())
    }
}
