//! A pass: what a machine needs to be let into a swarm. The file holds a private key, so it is for its owner alone.

use crate::community::{PrivateKey, PublicKey};
use crate::record::key::Hash;
use crate::swarm::error::PassError;
use crate::system::atomic_file;
use crate::system::user_file;
use nkeys::{KeyPair, KeyPairType};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Largest file in bytes.
const MAX_BYTES: u64 = 1 << 10;
const FIRST_LINE: &str = "nightlab swarm pass 1";
/// Permissions of everybody but the owner.
const OF_OTHERS: u32 = 0o077;

/// What a pass allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To ask for runs, and to give orders.
    Coordinator,
    /// To make runs.
    Machine,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Coordinator, Self::Machine];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Machine => "machine",
        }
    }

    /// Where answers to its requests arrive; nobody of another role can listen there.
    pub const fn inbox(self) -> &'static str {
        match self {
            Self::Coordinator => "_INBOX_coordinator",
            Self::Machine => "_INBOX_machine",
        }
    }
}

#[derive(Clone)]
pub struct Pass {
    pub role: Role,
    /// Hash of the server's certificate. No other server is talked to.
    pub certificate: Hash,
    /// Who signs jobs.
    pub coordinator: PublicKey,
    /// Who signs receipts.
    pub machines: PublicKey,
    /// Lets its holder in, and signs what it says.
    pub key: PrivateKey,
}

impl Pass {
    /// Writes the file, for its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), PassError> {
        let Self { role, certificate, coordinator, machines, key } = self;
        let text = format!(
            "{FIRST_LINE}\nrole: {}\ncertificate: {certificate}\ncoordinator: {coordinator}\nmachines: {machines}\nkey: {}\n",
            role.name(),
            key.reveal()
        );
        atomic_file::replace_private(path, &[text.as_bytes()])
            .map_err(|error| PassError::Io { path: error.path, source: error.source })
    }

    /// Reads the file of a pass with this role.
    pub fn read(path: &Path, wanted: Role) -> Result<Self, PassError> {
        let at = |source: io::Error| PassError::Io { path: path.to_owned(), source };
        let text = user_file::read(path, MAX_BYTES).map_err(at)?;
        if fs::metadata(path).map_err(at)?.permissions().mode() & OF_OTHERS != 0 {
            return Err(PassError::Open(path.to_owned()));
        }
        let mut lines = Lines { path: path.to_owned(), lines: text.lines(), number: 0 };
        lines.value(FIRST_LINE, "", |_| Some(()))?;
        let role = lines.value("role: …", "role: ", |name| Role::ALL.into_iter().find(|role| role.name() == name))?;
        let certificate = lines.value("certificate: …", "certificate: ", |hash| hash.parse().ok())?;
        let coordinator = lines.value("coordinator: …", "coordinator: ", |key| key.parse().ok())?;
        let machines = lines.value("machines: …", "machines: ", |key| key.parse().ok())?;
        let key = lines.value("key: …", "key: ", |digits| PrivateKey::read(digits).ok())?;
        if role != wanted {
            return Err(PassError::Role { path: path.to_owned(), wanted: wanted.name(), found: role.name() });
        }
        Ok(Self { role, certificate, coordinator, machines, key })
    }

    /// The key as the server and its client spell keys.
    pub fn login(&self) -> Result<KeyPair, PassError> {
        KeyPair::new_from_raw(KeyPairType::User, self.key.seed()).map_err(|error| PassError::Key(error.to_string()))
    }
}

struct Lines<'a> {
    path: PathBuf,
    lines: std::str::Lines<'a>,
    number: usize,
}

impl Lines<'_> {
    fn value<T>(
        &mut self,
        wanted: &'static str,
        field: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, PassError> {
        self.number += 1;
        let line = self.lines.next().filter(|line| !field.is_empty() || *line == wanted);
        line.and_then(|line| line.strip_prefix(field)).and_then(read).ok_or_else(|| PassError::Line {
            path: self.path.clone(),
            line: self.number,
            wanted,
        })
    }
}
