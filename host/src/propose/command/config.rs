//! Settings of a program in a policy.

use crate::system::sanitize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The program and its arguments, without a shell. A name without `/` is looked up on the path; a name with `/` is
    /// relative to the folder where the host was started.
    pub argv: Vec<String>,
    /// Seconds after which the program is killed.
    #[serde(default = "fifteen_minutes")]
    pub timeout_s: u32,
    /// Bytes that are kept from the end of each output. The rest is read and dropped.
    #[serde(default = "kept_bytes")]
    pub output_bytes: u32,
    /// Names of environment variables to pass, besides those that every program needs (PATH, HOME and the like).
    #[serde(default)]
    pub env: Vec<String>,
}

impl Config {
    /// The first invalid field, and the reason.
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
        Some(("env", format!("`{}` is no name of a variable: give names, not values", sanitize::line(bad, 40))))
    }
}

fn fifteen_minutes() -> u32 {
    900
}

fn kept_bytes() -> u32 {
    64 << 10
}
