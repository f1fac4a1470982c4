//! What a night does at this moment, in words.

use crate::night::now::Now;
use crate::record::facts::duration;
use crate::system::sanitize;
use serde::Serialize;

/// Longest text of others in characters.
const MOST_CHARS: usize = 300;

/// The experiment that trains, or what the night does instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Running {
    pub title: String,
    pub figures: String,
    /// Share of the budget used, from 0 to 1.
    pub progress: f64,
    /// Share of the budget and loss in nats per token.
    pub curve: Vec<(f64, f64)>,
}

impl Running {
    pub fn of(now: &Now) -> Self {
        let description = line(&now.description);
        let title = if now.number == 0 { description } else { format!("#{} {description}", now.number) };
        let Some(run) = &now.run else {
            let figures = if now.note.is_empty() { "prepared or judged".into() } else { line(&now.note) };
            return Self { title, figures, ..Self::default() };
        };
        let others = if run.at_once > 1 { format!("{} at once, the slowest: ", run.at_once) } else { String::new() };
        let loss = run.curve.last().map(|(_, loss)| format!(" · loss {loss:.3}")).unwrap_or_default();
        let left = run.seconds_left.map(|left| format!(" · {} left", duration(left - now.age_s())));
        let left = left.unwrap_or_default();
        let note = if now.note.is_empty() { String::new() } else { format!(" · {}", line(&now.note)) };
        let role = line(&run.role);
        let figures = format!("{others}{role} · {:.0} % · step {}{loss}{left}{note}", run.progress * 100.0, run.steps);
        Self { title, figures, progress: run.progress.clamp(0.0, 1.0), curve: run.curve.clone() }
    }
}

fn line(text: &str) -> String {
    sanitize::line(text, MOST_CHARS)
}
