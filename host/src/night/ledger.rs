//! The night's accounts: caps, and what is reserved and spent under them. Every figure is in the store before a request
//! leaves, so that caps hold across processes and restarts.

use crate::bench::unix_ms;
use crate::proposer::{Exchange, Ledger, ProposeError, Reservation, Spend};
use crate::store::{Store, StoreError};

/// Bounds on what a night may spend; none: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Millionths of a dollar.
    pub micro_dollars: Option<u64>,
}

impl Caps {
    /// The largest share that a spending takes of any cap.
    pub fn share(&self, spend: &Spend) -> f64 {
        let share = |used: u64, cap: Option<u64>| cap.map_or(0.0, |cap| used as f64 / cap.max(1) as f64);
        share(spend.requests, self.requests)
            .max(share(spend.tokens(), self.tokens))
            .max(share(spend.micro_dollars, self.micro_dollars))
    }

    /// Whether no cap is passed.
    pub fn allow(&self, total: &Spend) -> bool {
        let within = |used: u64, cap: Option<u64>| cap.is_none_or(|cap| used <= cap);
        within(total.requests, self.requests)
            && within(total.tokens(), self.tokens)
            && within(total.micro_dollars, self.micro_dollars)
    }

    /// Each cap with what is left of it.
    pub fn words(&self, spent: &Spend) -> String {
        let left = |cap: u64, used: u64| cap.saturating_sub(used);
        let caps = [
            self.micro_dollars.map(|n| format!("{} ({} left)", dollars(n), dollars(left(n, spent.micro_dollars)))),
            self.tokens.map(|n| format!("{n} tokens ({} left)", left(n, spent.tokens()))),
            self.requests.map(|n| format!("{n} requests ({} left)", left(n, spent.requests))),
        ];
        let caps: Vec<String> = caps.into_iter().flatten().collect();
        if caps.is_empty() { "none".into() } else { caps.join(", ") }
    }

    /// Why `spent` and `worst` together are too much.
    fn refusal(&self, spent: &Spend, worst: &Spend) -> String {
        let total = spent.plus(worst);
        let above = |used: u64, cap: Option<u64>| cap.filter(|cap| used > *cap);
        let (cap, used, next) = if let Some(cap) = above(total.requests, self.requests) {
            (format!("{cap} requests"), spent.requests.to_string(), worst.requests.to_string())
        } else if let Some(cap) = above(total.tokens(), self.tokens) {
            (format!("{cap} tokens"), spent.tokens().to_string(), worst.tokens().to_string())
        } else {
            let cap = self.micro_dollars.unwrap_or(0);
            (dollars(cap), dollars(spent.micro_dollars), dollars(worst.micro_dollars))
        };
        format!("done for this night: its cap is {cap}, {used} are spent, and the next request may take {next}")
    }
}

/// Micro-dollars as people read them.
pub fn dollars(micro: u64) -> String {
    format!("${}.{:04}", micro / 1_000_000, micro % 1_000_000 / 100)
}

/// One proposer's view of the night's accounts, during one turn.
pub struct Accounts<'a> {
    store: &'a Store,
    night: i64,
    proposer: &'a str,
    caps: Caps,
    settled: Vec<i64>,
}

impl<'a> Accounts<'a> {
    /// Opens the books of a night.
    pub fn new(store: &'a Store, night: i64, proposer: &'a str, caps: Caps) -> Self {
        Self { store, night, proposer, caps, settled: Vec::new() }
    }

    /// The requests since this was last asked: those behind one answer.
    pub fn take_requests(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.settled)
    }
}

/// Nothing is sent that cannot be accounted for.
fn unwritten(error: StoreError) -> ProposeError {
    ProposeError::Later { reason: format!("its accounts cannot be written: {error}"), after: None }
}

impl Ledger for Accounts<'_> {
    fn reserve(&mut self, worst: &Spend) -> Result<Reservation, ProposeError> {
        let fits = |total: &Spend| self.caps.allow(total);
        match self.store.reserve(self.night, self.proposer, worst, unix_ms(), &fits).map_err(unwritten)? {
            Ok(id) => {
                self.settled.push(id);
                Ok(Reservation(id))
            }
            Err(spent) => Err(ProposeError::Stop(self.caps.refusal(&spent, worst))),
        }
    }

    fn settle(&mut self, reservation: Reservation, exchange: &Exchange) -> Result<(), ProposeError> {
        self.store.settle(reservation.0, exchange).map_err(unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{ContextKey, TaskHash};

    fn spend(requests: u64, tokens: u64, micro_dollars: u64) -> Spend {
        Spend { requests, input_tokens: tokens, output_tokens: 0, micro_dollars }
    }

    fn night(store: &Store) -> i64 {
        store.start_night("n", "", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1).unwrap()
    }

    #[test]
    fn a_cap_may_be_reached_but_not_passed() {
        let caps = Caps { micro_dollars: Some(2_000_000), requests: Some(3), tokens: Some(100) };
        assert!(caps.allow(&spend(3, 100, 2_000_000)));
        for above in [spend(4, 100, 2_000_000), spend(3, 101, 2_000_000), spend(3, 100, 2_000_001)] {
            assert!(!caps.allow(&above));
        }
        assert_eq!(
            caps.words(&spend(1, 10, 500_000)),
            "$2.0000 ($1.5000 left), 100 tokens (90 left), 3 requests (2 left)"
        );
        assert_eq!(Caps::default().words(&spend(1, 1, 1)), "none");
        assert!(Caps::default().allow(&spend(u64::MAX, u64::MAX, u64::MAX)));
        let said = caps.refusal(&spend(1, 10, 1_950_000), &spend(1, 10, 60_000));
        assert!(said.contains("$2.0000") && said.contains("$1.9500") && said.contains("$0.0600"), "{said}");
    }

    #[test]
    fn reservations_count_in_full_until_they_are_settled_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let night = night(&store);
        let caps = Caps { micro_dollars: Some(100), ..Caps::default() };
        let mut accounts = Accounts::new(&store, night, "llm.a", caps);
        let first = accounts.reserve(&spend(1, 10, 60)).unwrap();
        assert!(matches!(accounts.reserve(&spend(1, 10, 41)), Err(ProposeError::Stop(_))));
        let exchange = Exchange { spend: spend(1, 5, 30), request: b"q".to_vec(), ..Exchange::default() };
        accounts.settle(first, &exchange).unwrap();
        accounts.reserve(&spend(1, 10, 70)).unwrap();
        assert_eq!(accounts.take_requests().len(), 2);

        // The host dies before the second is settled; another one goes on.
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.spent(night).unwrap(), spend(2, 15, 100));
        let mut accounts = Accounts::new(&again, night, "llm.b", caps);
        assert!(matches!(accounts.reserve(&spend(1, 0, 1)), Err(ProposeError::Stop(_))));
        assert_eq!(accounts.reserve(&spend(1, 0, 0)).unwrap(), Reservation(3));
        assert_eq!(again.exchanges(night).unwrap()[0].request, Some(crate::key::Hash::of(b"q")));
    }

    #[test]
    fn two_that_spend_at_once_do_not_pass_a_cap_together() {
        let dir = tempfile::tempdir().unwrap();
        let night = night(&Store::open(dir.path()).unwrap());
        let caps = Caps { requests: Some(20), ..Caps::default() };
        let spender = || {
            let store = Store::open(dir.path()).unwrap();
            let mut accounts = Accounts::new(&store, night, "llm.a", caps);
            (0..30).filter(|_| accounts.reserve(&spend(1, 1, 1)).is_ok()).count()
        };
        let reserved: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(spender)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(reserved, 20);
    }
}
