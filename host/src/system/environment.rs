//! Hides secrets, such as the keys of language models, from programs that run in the user's environment (compilers,
//! pip). Confined children have an empty environment anyway. And what people call this machine.

use crate::system::sanitize;
use std::process::Command;

/// Words that mark a variable's name as secret.
pub const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// Whether a variable with this name is hidden from children.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Removes every secret from a command's environment.
pub fn hide_secrets(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy())) {
        command.env_remove(name);
    }
}

/// What people call this machine; `this machine` if the system does not say.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = sanitize::line(name.trim(), 64);
    if name.is_empty() { "this machine".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_secret_and_places_are_not() {
        for name in ["ANTHROPIC_API_KEY", "openai_api_key", "HF_TOKEN", "CARGO_REGISTRIES_X_TOKEN"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "HTTPS_PROXY", "PIP_INDEX_URL", "TMPDIR"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_command_loses_what_this_process_has() {
        let mut command = Command::new("true");
        hide_secrets(&mut command);
        let secrets = std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy())).count();
        assert_eq!(command.get_envs().filter(|(_, value)| value.is_none()).count(), secrets);
    }
}
