//! What is told of an event. Pure.

use crate::night::event::{Event, Summary, TrialLine};
use crate::policy::Occasion;
use crate::record::ending::Ending;
use crate::record::trial::Trial;
use crate::system::sanitize;
use serde::Serialize;

/// Characters of a change or a fault that are told.
const WORDS_CHARS: usize = 300;

/// A message for people, as JSON for a web address. Chat servers show its `text`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// In words, on one line. The words of a change may be anybody's.
    pub text: String,
    pub event: Occasion,
    /// Number of the trial: the kept one, the one that the machine ended, or the champion at the end.
    pub trial: Option<u64>,
    pub bpb: Option<f64>,
    /// Difference from the champion before, or at the end from the baseline.
    pub delta: Option<f64>,
}

impl Message {
    /// What an event is told as; `None` for most.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Trial(line) => Self::of_trial(line),
            Event::Summary(summary) => Some(Self::of_end(summary)),
            Event::Fault { text } => Some(Self::fault(text)),
            Event::Setup { .. }
            | Event::Note { .. }
            | Event::Started { .. }
            | Event::Progress { .. }
            | Event::Seed { .. }
            | Event::Baseline(_)
            | Event::Standing(_) => None,
        }
    }

    /// That something of the machine failed.
    pub fn fault(text: &str) -> Self {
        let text = format!("nightlab: {}", sanitize::line(text, WORDS_CHARS));
        Self { text, event: Occasion::Fault, trial: None, bpb: None, delta: None }
    }

    fn of_trial(TrialLine { trial, .. }: &TrialLine) -> Option<Self> {
        let Trial { number, description, found, .. } = trial;
        let words = sanitize::line(description, WORDS_CHARS);
        let (event, text) = match found.verdict {
            Ending::Keep => {
                let bpb = found.bpb.map_or(String::new(), |bpb| format!(" {bpb:.4} bits per byte"));
                let delta = found.delta.map_or(String::new(), |delta| format!(" ({delta:+.4})"));
                (Occasion::Keep, format!("nightlab: #{number} is kept,{bpb}{delta}: {words}"))
            }
            Ending::HostFault => {
                let reason = sanitize::line(&found.reason, WORDS_CHARS);
                (Occasion::Fault, format!("nightlab: #{number} ended by a fault of this machine: {reason}"))
            }
            Ending::Discard | Ending::Noise | Ending::Screened | Ending::Same | Ending::Failed | Ending::Refused => {
                return None;
            }
        };
        Some(Self { text, event, trial: Some(*number), bpb: found.bpb, delta: found.delta })
    }

    fn of_end(summary: &Summary) -> Self {
        let Summary { champion, champion_bpb, champion_description, baseline, runs, interrupted, .. } = summary;
        let delta = champion_bpb - baseline.bpb;
        let how = if *interrupted { "was stopped" } else { "has ended" };
        let words = sanitize::line(champion_description, WORDS_CHARS);
        let text = match champion {
            0 => format!("nightlab: the night {how} after {runs} runs: no gain is proven yet"),
            number => format!(
                "nightlab: the night {how} after {runs} runs: champion #{number}, {champion_bpb:.4} bits per byte \
                 ({delta:+.4} to the baseline): {words}"
            ),
        };
        Self { text, event: Occasion::End, trial: Some(*champion), bpb: Some(*champion_bpb), delta: Some(delta) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::spend::Spend;
    use crate::record::trial::Findings;

    fn trial(verdict: Ending) -> Event {
        let found =
            Findings { bpb: Some(2.25), delta: Some(-0.01), reason: "no space".into(), ..Findings::new(verdict) };
        let trial = Trial { number: 7, description: "wider\n\u{1b}[31mred".into(), ..Trial::baseline("", found) };
        Event::Trial(Box::new(TrialLine { trial, elapsed_s: 1.0, repairs: 0, spend: Spend::default() }))
    }

    #[test]
    fn keeps_and_faults_are_told_on_one_harmless_line() {
        let kept = Message::of(&trial(Ending::Keep)).unwrap();
        assert_eq!((kept.event, kept.trial, kept.delta), (Occasion::Keep, Some(7), Some(-0.01)));
        assert!(kept.text.starts_with("nightlab: #7 is kept, 2.2500 bits per byte (-0.0100): wider"), "{}", kept.text);
        assert!(!kept.text.contains(['\n', '\u{1b}']), "{}", kept.text);
        let fault = Message::of(&trial(Ending::HostFault)).unwrap();
        assert_eq!(fault.text, "nightlab: #7 ended by a fault of this machine: no space");
        assert_eq!(Message::of(&trial(Ending::Noise)), None);
    }
}
