//! The accounts of a night: its caps, and what is reserved and spent under them. The store holds every amount before a
//! request is sent, so caps hold across processes and restarts.

use crate::propose::proposer::{Ledger, ProposeError, Reservation};
use crate::record::spend::{Caps, Exchange, Spend};
use crate::record::store::{Store, StoreError};
use crate::system::clock::unix_ms;

/// The accounts of a night for one turn of one proposer.
pub struct Accounts<'a> {
    store: &'a Store,
    night: i64,
    proposer: &'a str,
    caps: Caps,
    settled: Vec<i64>,
}

impl<'a> Accounts<'a> {
    pub fn new(store: &'a Store, night: i64, proposer: &'a str, caps: Caps) -> Self {
        Self { store, night, proposer, caps, settled: Vec::new() }
    }

    /// Returns the requests since the last call. They belong to one answer.
    pub fn take_requests(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.settled)
    }
}

/// A request that cannot be recorded is not sent.
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
    use crate::record::key::{ContextKey, TaskHash};

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

        // The host dies before the second request is settled. Another host continues.
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(again.spent(night).unwrap(), spend(2, 15, 100));
        let mut accounts = Accounts::new(&again, night, "llm.b", caps);
        assert!(matches!(accounts.reserve(&spend(1, 0, 1)), Err(ProposeError::Stop(_))));
        assert_eq!(accounts.reserve(&spend(1, 0, 0)).unwrap(), Reservation(3));
        assert_eq!(again.exchanges(night).unwrap()[0].request, Some(crate::record::key::Hash::of(b"q")));
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
