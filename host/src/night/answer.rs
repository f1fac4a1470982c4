//! When a night answers submissions: at its beginning, after each trial, and at its end.

use crate::night::clerk;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::run::Night;

impl Night<'_> {
    /// At the beginning: takes back what other nights hold and will not try, answers what a crash has left unanswered,
    /// and writes receipts whose files are missing.
    pub(super) fn answer_what_is_left(&mut self) -> Result<(), NightError> {
        if self.clerk.is_none() {
            return Ok(());
        }
        self.sign = Some(self.bench.store.sign_night(self.id)?);
        self.bench.store.free_submissions(&self.context)?;
        self.answer();
        for error in clerk::write_missing(&self.bench.store)? {
            (self.tell)(Event::Note { text: error.to_string() });
        }
        Ok(())
    }

    /// Answers what can be answered and is not yet. What fails is said, and tried again after the next trial.
    pub(super) fn answer(&mut self) {
        let Some(clerk) = &self.clerk else { return };
        let (store, task) = (&self.bench.store, self.bench.task.hash());
        let mut notes = Vec::new();
        match store.to_answer(&task) {
            Ok(waiting) => {
                let answered = waiting.iter().map(|record| clerk.answer(store, &task, record));
                notes.extend(answered.filter_map(Result::err).map(|error| error.to_string()));
            }
            Err(error) => notes.push(error.to_string()),
        }
        notes.into_iter().for_each(|text| (self.tell)(Event::Note { text }));
    }
}
