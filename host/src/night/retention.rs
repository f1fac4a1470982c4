//! Weights are let go as the night goes, by the rules of its policy.

use crate::night::event::Event;
use crate::night::run::Night;
use crate::night::trial::seeds::first_seed;

impl Night<'_> {
    /// Lets go of the weights that the policy does not keep. The store's lock is held. A failure is only said: the next
    /// trial tries again.
    pub(in crate::night) fn let_go_of_weights(&mut self) {
        let seed = first_seed(self.policy);
        let baseline = self.bench.manifest(&self.baseline.candidate.component, seed).key();
        if let Err(error) = self.bench.store.let_go(&self.policy.store, self.bench.sandbox.class(), &baseline) {
            (self.tell)(Event::Note { text: format!("old weights are still in the store: {error}") });
        }
    }
}
