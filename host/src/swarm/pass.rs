//! A pass: what a machine needs to be let into a swarm. The file holds a private key, so it is for its owner alone.

use crate::community::{PrivateKey, PublicKey};
use crate::record::key::Hash;
use crate::swarm::error::PassError;
use crate::swarm::names::Lane;
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
    /// To make runs, and to be believed.
    Machine,
    /// To make runs that are made again, now and then.
    Contributor,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Coordinator, Self::Machine, Self::Contributor];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Machine => "machine",
            Self::Contributor => "contributor",
        }
    }

    /// Where answers to its requests arrive; nobody else can listen there.
    pub fn inbox(self, lane: &Lane) -> String {
        let name = self.name();
        lane.contributor().map_or_else(|| format!("_INBOX_{name}"), |who| format!("_INBOX_{name}_{who}"))
    }
}

#[derive(Clone)]
pub struct Pass {
    pub role: Role,
    /// Of a contributor's machines, or of the owner's.
    pub lane: Lane,
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
        let Self { role, lane, certificate, coordinator, machines, key } = self;
        let who = lane.contributor().map(|name| format!(" {name}")).unwrap_or_default();
        let text = format!(
            "{FIRST_LINE}\nrole: {}{who}\ncertificate: {certificate}\ncoordinator: {coordinator}\nmachines: {machines}\nkey: {}\n",
            role.name(),
            key.reveal()
        );
        atomic_file::replace_private(path, &[text.as_bytes()])
            .map_err(|error| PassError::Io { path: error.path, source: error.source })
    }

    /// Reads the file of a pass with one of these roles.
    pub fn read(path: &Path, wanted: &[Role]) -> Result<Self, PassError> {
        let at = |source: io::Error| PassError::Io { path: path.to_owned(), source };
        let text = user_file::read(path, MAX_BYTES).map_err(at)?;
        if fs::metadata(path).map_err(at)?.permissions().mode() & OF_OTHERS != 0 {
            return Err(PassError::Open(path.to_owned()));
        }
        let mut lines = Lines { path: path.to_owned(), lines: text.lines(), number: 0 };
        lines.value(FIRST_LINE, "", |_| Some(()))?;
        let (role, lane) = lines.value("role: …", "role: ", read_role)?;
        let certificate = lines.value("certificate: …", "certificate: ", |hash| hash.parse().ok())?;
        let coordinator = lines.value("coordinator: …", "coordinator: ", |key| key.parse().ok())?;
        let machines = lines.value("machines: …", "machines: ", |key| key.parse().ok())?;
        let key = lines.value("key: …", "key: ", |digits| PrivateKey::read(digits).ok())?;
        if !wanted.contains(&role) {
            let wanted = wanted.first().map_or("", |role| role.name());
            return Err(PassError::Role { path: path.to_owned(), wanted, found: role.name() });
        }
        Ok(Self { role, lane, certificate, coordinator, machines, key })
    }

    /// Where answers to its holder's requests arrive.
    pub fn inbox(&self) -> String {
        self.role.inbox(&self.lane)
    }

    /// The key as the server and its client spell keys.
    pub fn login(&self) -> Result<KeyPair, PassError> {
        KeyPair::new_from_raw(KeyPairType::User, self.key.seed()).map_err(|error| PassError::Key(error.to_string()))
    }
}

/// A role, with the name of a contributor and of nobody else.
fn read_role(text: &str) -> Option<(Role, Lane)> {
    let (role, who) = text.split_once(' ').map_or((text, None), |(role, who)| (role, Some(who)));
    let role = Role::ALL.into_iter().find(|known| known.name() == role)?;
    match (role, who) {
        (Role::Contributor, Some(who)) => Some((role, Lane::of(&who.parse().ok()?))),
        (Role::Coordinator | Role::Machine, None) => Some((role, Lane::OWN)),
        _ => None,
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
