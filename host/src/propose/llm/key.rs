//! API keys: read from a variable or a private file, and kept where nothing can print them. A key is never stored with
//! a request; headers with it are marked as sensitive; server messages pass through `Key::redact`.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::error::OpenError;
use reqwest::header::HeaderValue;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Longest key; the known ones have about a hundred bytes.
const MAX_KEY_BYTES: u64 = 4096;

/// Shortest key that is redacted in server messages. Shorter ones would remove common words.
const MIN_REDACTED_BYTES: usize = 8;

/// The replacement for a key.
const MARK: &[u8] = b"[key]";
/// The end of an escaped line that was cut.
const ELLIPSIS: &[u8] = "…".as_bytes();

pub struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The configured key; `None` if the configuration names none.
    ///
    /// # Errors
    /// A variable is not set; a file is missing, not a plain file, or readable by others; or the text is not a key.
    pub fn find(config: &ModelConfig) -> Result<Option<Self>, OpenError> {
        match (&config.key_env, &config.key_file) {
            (Some(name), _) => Self::from_env(name).map(Some),
            (None, Some(path)) => Self::from_file(Path::new(path)).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn from_env(name: &str) -> Result<Self, OpenError> {
        let valid = !name.is_empty() && !name.contains(['=', '\0']);
        let value = if valid { std::env::var(name).ok() } else { None };
        let value = value.filter(|value| !value.trim().is_empty());
        let key =
            value.ok_or_else(|| OpenError::NoVariable { name: name.to_owned() }).and_then(|text| Self::new(&text))?;
        close_to_others();
        Ok(key)
    }

    /// Checks the open file, not its path, so that nobody can replace it between the check and the read.
    fn from_file(path: &Path) -> Result<Self, OpenError> {
        let bad = |why: String| OpenError::KeyFile { path: path.display().to_string(), why };
        // Non-blocking, so that a pipe without a writer cannot block the night.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
        let file = File::from(opened.map_err(|error| bad(error.to_string()))?);
        let about = file.metadata().map_err(|error| bad(error.to_string()))?;
        if !about.is_file() {
            return Err(bad("it is no plain file".into()));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(bad("it belongs to another user".into()));
        }
        if about.mode() & 0o077 != 0 {
            let mode = about.mode() & 0o777;
            return Err(bad(format!("others may read it (mode {mode:04o}): chmod 600 {}", path.display())));
        }
        let mut text = String::new();
        file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text).map_err(|error| bad(error.to_string()))?;
        Self::new(&text)
    }

    pub(super) fn new(text: &str) -> Result<Self, OpenError> {
        let text = text.trim();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !visible || text.len() as u64 > MAX_KEY_BYTES {
            return Err(OpenError::NotAKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// A header with the key after `prefix`. It is marked as sensitive.
    pub(super) fn header(&self, prefix: &str) -> Result<HeaderValue, OpenError> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0)).map_err(|_| OpenError::NotAKey)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The text without the key.
    pub(super) fn redact_text(&self, text: String) -> String {
        String::from_utf8_lossy(&self.redact(text.as_bytes())).into_owned()
    }

    /// Whether [`Key::redact`] would find anything.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.redact(text.as_bytes()) != text.as_bytes()
    }

    /// The bytes without the key. Every occurrence is removed, and also a partial key at the very end, where the text
    /// may have been cut.
    pub(super) fn redact(&self, bytes: &[u8]) -> Vec<u8> {
        let key = self.0.as_bytes();
        if key.len() < MIN_REDACTED_BYTES {
            return bytes.to_vec();
        }
        let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
        while let Some(at) = rest.windows(key.len()).position(|window| window == key) {
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            out.extend_from_slice(MARK);
            rest = rest.get(at + key.len()..).unwrap_or_default();
        }
        let whole = rest.strip_suffix(ELLIPSIS).unwrap_or(rest);
        let begins = |length: &usize| key.get(..*length).is_some_and(|begun| whole.ends_with(begun));
        let begun = (MIN_REDACTED_BYTES..key.len()).rev().find(begins).unwrap_or(0);
        out.extend_from_slice(whole.get(..whole.len() - begun).unwrap_or_default());
        out.extend_from_slice(if begun > 0 { MARK } else { &[] });
        out.extend_from_slice(rest.get(whole.len()..).unwrap_or_default());
        out
    }
}

/// Hides this process's memory and environment, where the variable stays, from the user's other processes, such as
/// programs that propose. Executed children are not covered, and root can still read everything.
fn close_to_others() {
    // If the system does not support this, the key is as safe as any variable.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with_mode(mode: u32, text: &str) -> Result<Key, OpenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Key::from_file(&path)
    }

    #[test]
    fn a_private_file_is_read_and_an_open_one_is_not() {
        assert_eq!(with_mode(0o600, "sk-123\n").unwrap().0, "sk-123");
        assert_eq!(with_mode(0o400, "sk-123").unwrap().0, "sk-123");
        for mode in [0o640, 0o604, 0o660, 0o644, 0o620] {
            let error = with_mode(mode, "sk-123").unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
            assert!(!error.contains("sk-123"));
        }
        for text in ["", " \n", "two words", "line\nline", "ünïcode", &"x".repeat(5000)] {
            assert!(with_mode(0o600, text).is_err(), "{text}");
        }
    }

    #[test]
    fn folders_pipes_and_absent_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for path in [folder.path(), &folder.path().join("absent"), &pipe] {
            assert!(matches!(Key::from_file(path), Err(OpenError::KeyFile { .. })), "{}", path.display());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_holds_a_key_is_closed_to_others() {
        Key::from_env("PATH").unwrap();
        let behaviour = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(behaviour, rustix::process::DumpableBehavior::NotDumpable);
    }

    #[test]
    fn variables_must_be_set() {
        assert!(Key::from_env("PATH_THAT_NOBODY_SETS").is_err());
        assert!(Key::from_env("A=B").is_err());
        assert!(Key::from_env("").is_err());
    }

    #[test]
    fn nothing_prints_it() {
        let key = Key::new("sk-secret-1").unwrap();
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert!(!format!("{:?}", key.header("Bearer ").unwrap()).contains("secret"));
        let redacted = |text: &str| String::from_utf8(key.redact(text.as_bytes())).unwrap();
        assert_eq!(redacted("bad sk-secret-1, sk-secret-1!"), "bad [key], [key]!");
        assert_eq!(redacted("cut in two: sk-secret"), "cut in two: [key]");
        assert_eq!(redacted("cut in two: sk-secre…"), "cut in two: [key]…");
        assert_eq!(redacted("sk-sec and naïve…"), "sk-sec and naïve…");
    }
}
