//! Runs the program on a work folder, and reads its result.

use crate::propose::command::config::Config;
use crate::propose::command::error::CommandError;
use crate::propose::command::folder::WorkFolder;
use crate::propose::command::process::{self, End, Ended};
use crate::propose::command::work::{Answer, Work};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Lines of output that an error repeats.
const LAST_LINES: usize = 12;

/// A program that proposes.
#[derive(Clone, Debug)]
pub struct Command {
    config: Config,
    supervisor: Option<PathBuf>,
}

impl Command {
    /// Creates a command from the policy's settings. `supervisor` is the host's binary, if it is not this process's.
    /// Its `main` must first call `main_if_supervisor`.
    pub fn new(config: Config, supervisor: Option<PathBuf>) -> Self {
        Self { config, supervisor }
    }

    /// Checks that the program and every variable that it is given exist.
    ///
    /// # Errors
    /// Names the missing program or variable.
    pub fn check(&self) -> Result<(), CommandError> {
        process::find(&self.config.argv)?;
        process::environment(&self.config.env)?;
        Ok(())
    }

    /// Runs the program on a new work folder, which is removed afterwards. `stopped` is called many times a second. If
    /// it returns true, or the time is up, the program and everything it started are killed.
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
            limit: Duration::from_secs(self.config.timeout_s.into()),
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
