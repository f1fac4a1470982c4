//! The proof that results are the same bits everywhere: made-up work for every op, random op programs and a short
//! training run, each reduced to a digest that must not depend on instructions, threads or the machine. The same
//! library is compiled for every processor that is compared.

pub mod cases;
mod digest;
#[cfg(target_arch = "wasm32")]
mod module;
pub mod programs;
mod sample;
pub mod training;
pub mod vectors;

pub use digest::Digest;

use kernels::cpu::path::Path;
use kernels::cpu::{CpuExecutor, Planning};
use kernels::fault::Fault;

/// Keys everything random.
const RANDOM_SEED: u64 = 42;
/// Random op programs.
const PROGRAMS: u64 = 24;

/// One way of computing the same results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Instructions.
    pub path: Path,
    /// Threads.
    pub threads: usize,
    /// Whether flushes are planned.
    pub planning: Planning,
}

impl Variant {
    /// Plain instructions on one thread: runs everywhere.
    pub fn plain() -> Self {
        Self { path: Path::portable(), threads: 1, planning: Planning::Off }
    }

    /// The fastest instructions here, planned.
    pub fn fast(threads: usize) -> Self {
        Self { path: Path::detect(), threads, planning: Planning::On }
    }

    /// Everything that this machine can do. Without planning, one thread does all the work.
    pub fn all() -> Vec<Self> {
        let planned = |path| [1, 2, 3, 8].map(|threads| Self { path, threads, planning: Planning::On });
        Path::all()
            .flat_map(|path| std::iter::once(Self { path, threads: 1, planning: Planning::Off }).chain(planned(path)))
            .collect()
    }

    /// An executor that computes this way.
    pub fn executor(self) -> Result<CpuExecutor, Fault> {
        Ok(CpuExecutor::with_path(self.threads, RANDOM_SEED, self.path)?.planning(self.planning))
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let planned = if self.planning == Planning::On { "planned" } else { "not planned" };
        write!(f, "{}, {}, {planned}", self.path.name(), self.threads)
    }
}

/// Every digest, in a fixed order.
pub fn digests(variant: Variant) -> Result<Vec<Digest>, Fault> {
    let executor = variant.executor()?;
    let mut all = cases::all().iter().map(|case| case.digest(&executor)).collect::<Result<Vec<_>, Fault>>()?;
    for number in 0..PROGRAMS {
        let session = programs::open(Box::new(executor.sibling(RANDOM_SEED)));
        let results = programs::run(number, session, programs::Flush::WhenNeeded)?;
        all.push(Digest::new(format!("program/{number}"), &results));
    }
    let session = programs::open(Box::new(executor.sibling(RANDOM_SEED)));
    all.push(Digest::new("training".to_owned(), &training::run(session)?));
    Ok(all)
}

/// One line for each digest.
pub fn report(digests: &[Digest]) -> String {
    digests.iter().map(|digest| format!("{digest}\n")).collect()
}
