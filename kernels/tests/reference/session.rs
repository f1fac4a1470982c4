//! A training session with ample limits and made-up data, for any executor.

use kernels::cost::{Class, Profile, Rate};
use kernels::exec::Executor;
use kernels::session::{Answers, Batches, Config, Mode, Session};

/// Keys everything random.
pub const RANDOM_SEED: u64 = 7;
/// Tokens that the data is made of.
pub const VOCAB: u32 = 11;

/// Targets are the tokens that follow; tokens count up, over all rows.
struct Counting;

impl Batches for Counting {
    fn fill(&self, _random_seed: u64, drawn: u64, _seq: u32, tokens: &mut [u32], targets: &mut [u32]) {
        for (place, (token, target)) in (drawn..).zip(tokens.iter_mut().zip(targets)) {
            *token = (place % u64::from(VOCAB)) as u32;
            *target = ((place + 1) % u64::from(VOCAB)) as u32;
        }
    }
}

/// Opens the session.
pub fn open(executor: Box<dyn Executor>, answers: Answers) -> Session {
    let rate = |class: Class| Rate {
        class: class.name().to_owned(),
        mflops: 10_000,
        bytes_per_us: 10_000,
        overhead_ps: 1_000_000,
    };
    let profile = Profile::of_rates("even", Class::ALL.map(rate).to_vec());
    let config = Config {
        mode: Mode::Train,
        profile,
        budget_ps: 1 << 50,
        tensor_bytes: 1 << 28,
        max_ops: 1 << 20,
        max_tensors: 1 << 16,
        random_seed: RANDOM_SEED,
        intervals: 1,
    };
    Session::new(config, executor, Some(Box::new(Counting)), answers)
}
