//! Any program as a proposer: a headless coding agent or a script. It gets a work folder with the brief, the parent, the
//! history and the SDK reference, and leaves a changed `train.rs`. It is the user's own program and has the user's
//! powers, but not the store's folder, no secret that was not named, and no process that outlives it.

mod folder;
mod process;
mod proposer;
mod supervisor;

pub use proposer::Program;
pub use supervisor::main_if_supervisor;

use crate::escape;
use crate::history::Tried;
use crate::intake::IntakeError;
use folder::WorkFolder;
use process::{End, Ended};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Lines of output that an error repeats.
const LAST_LINES: usize = 12;

/// How a policy names a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The program and its arguments; no shell reads them. A name without `/` is looked up on the path, one with `/` is
    /// relative to where the host was started.
    pub argv: Vec<String>,
    /// Seconds after which it is killed.
    #[serde(default = "fifteen_minutes")]
    pub timeout_s: u32,
    /// Bytes kept of the end of each of its two outputs; the rest is read and dropped.
    #[serde(default = "kept_bytes")]
    pub output_bytes: u32,
    /// Environment variables that it gets, by name, beside those that every program needs (PATH, HOME and the like).
    #[serde(default)]
    pub env: Vec<String>,
}

fn fifteen_minutes() -> u32 {
    900
}

fn kept_bytes() -> u32 {
    64 << 10
}

impl Config {
    /// A field that cannot be meant, and why.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let name_fault = |name: &String| name.is_empty() || name.contains(['=', '\0']);
        if self.argv.first().is_none_or(String::is_empty) {
            return Some(("argv", "name a program, such as [\"claude\", \"-p\", \"…\"]".into()));
        }
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return Some(("argv", "no argument may hold a zero byte".into()));
        }
        if !(1..=86_400).contains(&self.timeout_s) {
            return Some(("timeout_s", format!("{} is out of range: 1 to 86400", self.timeout_s)));
        }
        if !(1 << 10..=16 << 20).contains(&self.output_bytes) {
            return Some(("output_bytes", format!("{} is out of range: 1024 to {}", self.output_bytes, 16 << 20)));
        }
        let bad = self.env.iter().find(|name| name_fault(name))?;
        Some(("env", format!("`{}` is no name of a variable: give names, not values", escape::line(bad, 40))))
    }
}

/// What the program is to work on.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The source to change: the parent, or what was wrong with its last change.
    pub source: &'a str,
    /// The brief: `program.md`.
    pub brief: &'a str,
    /// The SDK reference: `sdk.md`.
    pub reference: &'a str,
    /// Where the night stands and what the dry run says of the parent: `facts.md`.
    pub facts: &'a str,
    /// What was tried: `history.md` and `history.jsonl`.
    pub history: &'a [Tried],
    /// What was wrong with `source`, when it is to be repaired: `error.txt`.
    pub error: Option<&'a str>,
}

/// What the program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The changed source.
    pub source: String,
    /// The first line of `hypothesis.txt`, where there is one.
    pub hypothesis: Option<String>,
    /// The end of what it said, escaped: standard output, then standard error.
    pub output: String,
    /// How long it took.
    pub wall: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No such program.
    #[error("the program `{0}` was not found; install it, or give its path in the policy's `argv`")]
    NotFound(String),
    /// It cannot be executed.
    #[error("`{0}` cannot be executed; make it executable (chmod +x), or start it by its interpreter")]
    NotExecutable(String),
    /// The system would not start it.
    #[error("`{program}` could not be started: {reason}")]
    NotStarted {
        /// Its path.
        program: String,
        /// Why.
        reason: String,
    },
    /// A variable that the policy names is not set.
    #[error("the policy gives the program the variable {0}, but it is not set here; set it, or take it out of `env`")]
    NoVariable(String),
    /// The work folder, or the pipes to the program.
    #[error("no work for the program: {0}")]
    Io(#[from] std::io::Error),
    /// It ended with an error.
    #[error("the program {how}{}", said(.output))]
    Crashed {
        /// "ended with code 3", "was killed by signal 9".
        how: String,
        /// The last lines that it said.
        output: String,
    },
    /// It took too long.
    #[error("the program was killed: no end after {seconds} s{}", said(.output))]
    TimedOut {
        /// The limit.
        seconds: u32,
        /// The last lines that it said.
        output: String,
    },
    /// It left the source as it was.
    #[error("the program left train.rs unchanged{}", said(.output))]
    Unchanged {
        /// The last lines that it said.
        output: String,
    },
    /// What it left is no source.
    #[error("what the program left is not taken: {0}")]
    Left(#[from] IntakeError),
    /// Stopped by the user.
    #[error("stopped by the user; the program was killed")]
    Interrupted,
}

impl CommandError {
    /// Whether the next call would fail the same way: the program is not to be called again. Otherwise this one answer is
    /// refused, or ([`CommandError::Interrupted`]) nobody wants it.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_) | Self::NotExecutable(_) | Self::NotStarted { .. } | Self::NoVariable(_) | Self::Io(_)
        )
    }

    /// What the record calls it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::NotExecutable(_) | Self::NotStarted { .. } | Self::NoVariable(_) => "not started",
            Self::Io(_) => "host fault",
            Self::Crashed { .. } => "crashed",
            Self::TimedOut { .. } => "timeout",
            Self::Unchanged { .. } => "unchanged",
            Self::Left(_) => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!("; it said last:\n{output}") }
}

/// A program that proposes.
#[derive(Clone, Debug)]
pub struct Command {
    config: Config,
    supervisor: Option<PathBuf>,
}

impl Command {
    /// As the policy says. `supervisor` is the host's own binary, where that is not this process's: its `main` has to call
    /// [`main_if_supervisor`] first.
    pub fn new(config: Config, supervisor: Option<PathBuf>) -> Self {
        Self { config, supervisor }
    }

    /// Whether it could be started: the program is there, and so is every variable that it is to get.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), CommandError> {
        process::find(&self.config.argv)?;
        process::environment(&self.config.env)?;
        Ok(())
    }

    /// Runs the program on a folder of its own, which is gone afterwards. `stopped` is asked a few times a second; where
    /// it says yes, or the time is up, the program is killed with everything that it started.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn ask(&self, work: &Work, stopped: &dyn Fn() -> bool) -> Result<Answer, CommandError> {
        let program = process::find(&self.config.argv)?;
        let environment = process::environment(&self.config.env)?;
        let folder = WorkFolder::make(work)?;
        let started = Instant::now();
        let ended = process::Order {
            program: &program,
            arguments: self.config.argv.get(1..).unwrap_or_default(),
            environment: &environment,
            folder: folder.path(),
            deadline: started + Duration::from_secs(self.config.timeout_s.into()),
            output_bytes: self.config.output_bytes as usize,
        }
        .carry_out(self.supervisor.as_deref(), stopped)?;
        self.judge(ended, &program, &folder, work, started.elapsed())
    }

    fn judge(
        &self,
        ended: Ended,
        program: &std::path::Path,
        folder: &WorkFolder,
        work: &Work,
        wall: Duration,
    ) -> Result<Answer, CommandError> {
        let output = ended.last_lines(LAST_LINES);
        match ended.end {
            End::Exited(0) => {}
            End::Exited(code) => return Err(CommandError::Crashed { how: format!("ended with code {code}"), output }),
            End::Killed(signal) => {
                return Err(CommandError::Crashed { how: format!("was killed by signal {signal}"), output });
            }
            End::Lost => {
                return Err(CommandError::Crashed { how: "lost its supervisor, which was killed".into(), output });
            }
            End::NotStarted(reason) => {
                return Err(CommandError::NotStarted { program: program.display().to_string(), reason });
            }
            End::TimedOut => return Err(CommandError::TimedOut { seconds: self.config.timeout_s, output }),
            End::Interrupted => return Err(CommandError::Interrupted),
        }
        let source = folder.source()?;
        if source.trim_end() == work.source.trim_end() {
            return Err(CommandError::Unchanged { output });
        }
        Ok(Answer { source, hypothesis: folder.hypothesis(), output: ended.output(), wall })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<&'static str> {
        toml::from_str::<Config>(text).unwrap().fault().map(|(field, _)| field)
    }

    #[test]
    fn a_config_is_read_strictly() {
        let config: Config = toml::from_str("argv = [\"agent\", \"-p\", \"go\"]").unwrap();
        assert_eq!((config.timeout_s, config.output_bytes, config.env.len()), (900, 64 << 10, 0));
        assert!(toml::from_str::<Config>("argv = [\"x\"]\ntimeout = 3").is_err());
        assert_eq!(fault("argv = [\"x\"]"), None);
        assert_eq!(fault("argv = []"), Some("argv"));
        assert_eq!(fault("argv = [\"\"]"), Some("argv"));
        assert_eq!(fault("argv = [\"x\"]\ntimeout_s = 0"), Some("timeout_s"));
        assert_eq!(fault("argv = [\"x\"]\noutput_bytes = 5"), Some("output_bytes"));
        assert_eq!(fault("argv = [\"x\"]\nenv = [\"KEY=secret\"]"), Some("env"));
    }
}
