//! What a night does at this moment, in a file of its store for programs that watch. No result depends on it: a write
//! that fails is forgotten, and a crash leaves the last state behind, with its time.

use crate::night::event::{Event, Standing};
use crate::record::store::INCOMING;
use crate::system::atomic_file;
use crate::system::clock::unix_ms;
use crate::system::user_file;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

const FILE: &str = "now.json";
/// The largest file that is read. A written one is far smaller.
const MOST_BYTES: u64 = 256 << 10;
/// Time between two writes of progress.
const INTERVAL: Duration = Duration::from_millis(500);
/// Points of a curve: one for each such part of the budget.
const PARTS: f64 = 128.0;
/// Most points of a curve that is read.
const MOST_POINTS: usize = 2 * PARTS as usize;

/// The experiment that a night trains, or what it does instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Now {
    /// Store id of the night; `None` while its baseline is measured.
    pub night: Option<i64>,
    /// When this was written, in Unix milliseconds.
    pub unix_ms: i64,
    /// Trial number; 0 for the baseline.
    pub number: u64,
    /// The change that is tried, in words.
    pub description: String,
    /// The run, if one trains.
    pub run: Option<Run>,
    /// Where the night stood after its last trial.
    pub standing: Option<Standing>,
    /// The last warning or wait since the last progress; empty if there is none.
    pub note: String,
}

/// A run that trains; the slowest one, if there are several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// What it is for.
    pub role: String,
    /// Share of the budget used, from 0 to 1.
    pub progress: f64,
    pub steps: u64,
    /// Share of the budget and logged loss in nats per token.
    pub curve: Vec<(f64, f64)>,
    /// Estimated seconds until the training ends.
    pub seconds_left: Option<f64>,
    /// Number of runs that train at the same time.
    pub at_once: usize,
}

impl Now {
    /// What the night of this store does. `None` if none runs, or if the file cannot be read.
    pub fn read(store: &Path) -> Option<Self> {
        let mut now: Self = serde_json::from_str(&user_file::read(&store.join(FILE), MOST_BYTES).ok()?).ok()?;
        if let Some(run) = &mut now.run {
            run.curve.truncate(MOST_POINTS);
            run.curve.retain(|(share, loss)| (0.0..=1.0).contains(share) && loss.is_finite());
        }
        Some(now)
    }

    /// Seconds since it was written; 0 if the clock was set back.
    pub fn age_s(&self) -> f64 {
        unix_ms().saturating_sub(self.unix_ms).max(0) as f64 / 1e3
    }

    /// Whether the event changes what is shown.
    fn hear(&mut self, event: &Event) -> bool {
        match event {
            Event::Started { number, description } => {
                (self.number, self.description, self.run) = (*number, description.clone(), None);
                self.note.clear();
            }
            Event::Progress { role, progress, steps, loss, seconds_left, at_once } => {
                let mut curve = match self.run.take() {
                    Some(run) if run.role == *role && run.progress <= *progress => run.curve,
                    _ => Vec::new(),
                };
                let is_new = curve.last().is_none_or(|(share, _)| progress - share >= 1.0 / PARTS);
                curve.extend(loss.filter(|loss| is_new && loss.is_finite()).map(|loss| (*progress, loss)));
                let (role, progress, steps) = (role.clone(), *progress, *steps);
                let (seconds_left, at_once) = (*seconds_left, *at_once);
                self.run = Some(Run { role, progress, steps, curve, seconds_left, at_once });
                self.note.clear();
            }
            Event::Note { text } | Event::Fault { text } => self.note.clone_from(text),
            Event::Trial(_) => self.run = None,
            Event::Standing(standing) => self.standing = Some(standing.clone()),
            Event::Setup { .. } | Event::Seed { .. } | Event::Baseline(_) | Event::Summary(_) => return false,
        }
        true
    }
}

/// Writes the file as events come, and removes it at the end.
pub(super) struct Writer {
    path: PathBuf,
    /// Where the file is written before it gets its name.
    aside: PathBuf,
    night: Rc<Cell<Option<i64>>>,
    now: Now,
    written: Option<Instant>,
}

impl Writer {
    /// The night is known later.
    pub(super) fn new(store: &Path, night: Rc<Cell<Option<i64>>>) -> Self {
        let now = Now { description: "baseline".into(), ..Now::default() };
        Self { path: store.join(FILE), aside: store.join(INCOMING), night, now, written: None }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        let is_due = self.written.is_none_or(|written| written.elapsed() >= INTERVAL);
        let begins = self.now.run.is_none();
        if self.now.hear(event) && (is_due || begins || !matches!(event, Event::Progress { .. })) {
            (self.now.night, self.now.unix_ms) = (self.night.get(), unix_ms());
            if let Ok(text) = serde_json::to_vec(&self.now) {
                let _ = atomic_file::replace_quickly(&self.aside, &self.path, &[&text]);
            }
            self.written = Some(Instant::now());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(role: &str, progress: f64, loss: f64) -> Event {
        let (role, loss) = (role.into(), Some(loss));
        Event::Progress { role, progress, steps: 7, loss, seconds_left: Some(3.0), at_once: 1 }
    }

    #[test]
    fn what_is_told_can_be_read_until_the_night_ends() {
        let (store, night) = (tempfile::tempdir().unwrap(), Rc::new(Cell::new(None)));
        std::fs::create_dir(store.path().join(INCOMING)).unwrap();
        let mut writer = Writer::new(store.path(), night.clone());
        assert_eq!(Now::read(store.path()), None);
        writer.hear(&Event::Started { number: 4, description: "deeper".into() });
        night.set(Some(2));
        for (share, loss) in [(0.1, 3.0), (0.1001, 2.9), (0.5, f64::NAN), (0.6, 2.0)] {
            writer.written = None;
            writer.hear(&progress("random seed 1", share, loss));
        }
        let now = Now::read(store.path()).unwrap();
        assert_eq!((now.night, now.number, now.description.as_str()), (Some(2), 4, "deeper"));
        assert_eq!(now.run.unwrap().curve, [(0.1, 3.0), (0.6, 2.0)]);
        drop(writer);
        assert_eq!(Now::read(store.path()), None);
        assert_eq!(std::fs::read_dir(store.path().join(INCOMING)).unwrap().count(), 0);
    }

    #[test]
    fn another_run_has_a_curve_of_its_own() {
        let mut now = Now::default();
        for event in [progress("one", 0.5, 2.0), progress("two", 0.25, 3.0), progress("two", 0.5, 2.5)] {
            assert!(now.hear(&event));
        }
        assert_eq!(now.run.as_ref().unwrap().curve, [(0.25, 3.0), (0.5, 2.5)]);
        now.hear(&Event::Note { text: "waiting".into() });
        now.hear(&progress("two", 0.125, 3.5));
        assert_eq!((now.run.unwrap().curve, now.note.as_str()), (vec![(0.125, 3.5)], ""));
    }

    #[test]
    fn a_file_of_others_is_bounded() {
        let store = tempfile::tempdir().unwrap();
        let put = |text: &str| std::fs::write(store.path().join(FILE), text).unwrap();
        for text in ["", "7", "{\"night\":\"x\"}", "{\"other\":1}", &"[".repeat(MOST_BYTES as usize + 1)] {
            put(text);
            assert_eq!(Now::read(store.path()), None, "{text:.20}");
        }
        let points = vec!["[0.5,1e3]"; 3 * MOST_POINTS].join(",");
        put(&format!("{{\"run\":{{\"curve\":[[7,1],{points}]}}}}"));
        assert_eq!(Now::read(store.path()).unwrap().run.unwrap().curve.len(), MOST_POINTS - 1);
    }
}
