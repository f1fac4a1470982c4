//! The secrets by which this store chooses what it holds out. The index names each by its commitment. The secret itself
//! is in a file of its own that only its owner can read, until it is revealed; then the index has it, too.

use crate::record::key::SplitCommitment;
use crate::record::secret::SplitSecret;
use crate::record::store::error::{StoreError, bad_record, io_error};
use crate::record::store::folder::Store;
use crate::record::store::index::whole;
use crate::system::atomic_file::{self, WriteError};
use rusqlite::{Row, params};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

const FOLDER: &str = "secrets";

/// A secret, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    pub commitment: SplitCommitment,
    pub drawn_unix_ms: i64,
    /// When it was revealed or retired. It chooses nothing new since then.
    pub ended_unix_ms: Option<i64>,
    /// Its digits, if it was revealed.
    pub revealed: Option<String>,
}

impl Store {
    /// The file of a secret, whether it exists or not.
    pub fn secret_path(&self, commitment: &SplitCommitment) -> PathBuf {
        self.dir.join(FOLDER).join(commitment.to_string())
    }

    /// All secrets, in the order in which they were drawn.
    pub fn secrets(&self) -> Result<Vec<SecretRecord>, StoreError> {
        self.rows("SELECT * FROM split_secrets ORDER BY drawn_unix_ms, commitment", [], secret_row)
    }

    /// The secret for new work. If none is in use, draws one.
    ///
    /// # Errors
    /// The secret in use is lost. No other one takes its place by itself.
    pub fn current_secret(&self, unix_ms: i64) -> Result<SplitSecret, StoreError> {
        let transaction = self.begin()?;
        if let Some(current) = self.secret_in_use()? {
            return self.kept_secret(&current.commitment);
        }
        let secret = SplitSecret::draw().map_err(|source| io_error(&self.dir, source))?;
        let commitment = secret.commitment();
        self.keep_secret(&secret)?;
        let sql = "INSERT INTO split_secrets (commitment, drawn_unix_ms) VALUES (?, ?)";
        self.sql(transaction.execute(sql, params![commitment, unix_ms]))?;
        self.commit(transaction)?;
        Ok(secret)
    }

    /// The secret that is in use, if there is one.
    pub fn secret_in_use(&self) -> Result<Option<SecretRecord>, StoreError> {
        let sql = "SELECT * FROM split_secrets WHERE ended_unix_ms IS NULL ORDER BY drawn_unix_ms DESC LIMIT 1";
        self.first(sql, [], secret_row)
    }

    /// The secret with this commitment; `None` if this store never had it.
    ///
    /// # Errors
    /// It was drawn here and is lost.
    pub fn secret(&self, commitment: &SplitCommitment) -> Result<Option<SplitSecret>, StoreError> {
        let Some(record) = self.secret_record(commitment)? else { return Ok(None) };
        match record.revealed {
            Some(digits) => {
                let secret = SplitSecret::read(digits.as_bytes()).ok().filter(|s| s.commitment() == *commitment);
                secret.map(Some).ok_or_else(|| bad_record(commitment, "the revealed secret has another commitment"))
            }
            None => self.kept_secret(commitment).map(Some),
        }
    }

    fn secret_record(&self, commitment: &SplitCommitment) -> Result<Option<SecretRecord>, StoreError> {
        self.first("SELECT * FROM split_secrets WHERE commitment = ?", [commitment], secret_row)
    }

    /// Reveals a secret and ends its use. Revealing it again changes nothing.
    pub fn reveal_secret(&self, commitment: &SplitCommitment, unix_ms: i64) -> Result<SplitSecret, StoreError> {
        let secret = self.secret(commitment)?.ok_or_else(|| StoreError::NoSecret(commitment.to_string()))?;
        let sql = "UPDATE split_secrets SET revealed = ?, ended_unix_ms = coalesce(ended_unix_ms, ?)
             WHERE commitment = ?";
        self.execute(sql, params![secret.reveal(), unix_ms, commitment])?;
        Ok(secret)
    }

    /// Ends the use of a secret without revealing it.
    pub fn retire_secret(&self, commitment: &SplitCommitment, unix_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE split_secrets SET ended_unix_ms = coalesce(ended_unix_ms, ?) WHERE commitment = ?";
        match self.execute(sql, params![unix_ms, commitment])? {
            0 => Err(StoreError::NoSecret(commitment.to_string())),
            _ => Ok(()),
        }
    }

    /// How many nights and experiments a secret has chosen the held-out text of.
    pub fn secret_uses(&self, commitment: &SplitCommitment) -> Result<(u64, u64), StoreError> {
        let sql =
            "WITH tasks AS (SELECT hash FROM definitions WHERE kind = 'task' AND definition ->> '$.commitment' = ?1)
             SELECT (SELECT count(*) FROM nights WHERE task IN tasks),
             (SELECT count(*) FROM experiments WHERE task IN tasks)";
        self.one(sql, [commitment], |row| Ok((whole(row, 0)?, whole(row, 1)?)))
    }

    /// The one secret whose commitment begins with these digits.
    pub fn resolve_secret(&self, prefix: &str) -> Result<SecretRecord, StoreError> {
        let mut found = self.secrets()?;
        found.retain(|record| record.commitment.to_string().starts_with(prefix));
        match found.len() {
            0 => Err(StoreError::NoSecret(prefix.chars().take(80).collect())),
            1 => Ok(found.remove(0)),
            _ => {
                let matches = found.iter().map(|record| record.commitment.short()).collect();
                Err(StoreError::Ambiguous { prefix: prefix.into(), matches })
            }
        }
    }

    fn keep_secret(&self, secret: &SplitSecret) -> Result<(), StoreError> {
        let path = self.secret_path(&secret.commitment());
        let folder = self.dir.join(FOLDER);
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(io_error(&folder, error)),
            _ => {}
        }
        let synced = atomic_file::replace_private(&path, &[secret.bytes()]);
        synced.map_err(|WriteError { path, source }| io_error(&path, source))?;
        atomic_file::sync_folder(&self.dir).map_err(|source| io_error(&self.dir, source))
    }

    /// The secret in its file.
    fn kept_secret(&self, commitment: &SplitCommitment) -> Result<SplitSecret, StoreError> {
        let path = self.secret_path(commitment);
        let lost = |why: &'static str| StoreError::SecretLost { commitment: *commitment, path: path.clone(), why };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(lost("its file is missing")),
            Err(error) => return Err(io_error(&path, error)),
        };
        let secret = SplitSecret::read(&bytes).ok().filter(|secret| secret.commitment() == *commitment);
        secret.ok_or_else(|| lost("its file holds something else"))
    }
}

fn secret_row(row: &Row<'_>) -> rusqlite::Result<SecretRecord> {
    Ok(SecretRecord {
        commitment: row.get("commitment")?,
        drawn_unix_ms: row.get("drawn_unix_ms")?,
        ended_unix_ms: row.get("ended_unix_ms")?,
        revealed: row.get("revealed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::Hash;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_drawn_once_and_ends_when_it_is_revealed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.secret_in_use().unwrap(), None);
        let first = store.current_secret(5).unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().current_secret(6).unwrap(), first);
        let path = store.secret_path(&first.commitment());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let index = |store: &Store| fs::read(store.dir().join("index.sqlite-wal")).unwrap();
        let has = |bytes: Vec<u8>, text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!has(index(&store), first.bytes()) && !has(index(&store), first.reveal().as_bytes()));

        assert_eq!(store.reveal_secret(&first.commitment(), 7).unwrap(), first);
        store.reveal_secret(&first.commitment(), 9).unwrap();
        let record = store.secrets().unwrap().remove(0);
        assert_eq!((record.ended_unix_ms, record.revealed), (Some(7), Some(first.reveal())));
        // The index has it now, for copies of the store.
        fs::remove_file(&path).unwrap();
        assert_eq!(store.secret(&first.commitment()).unwrap(), Some(first.clone()));
        let json = format!("{{\"commitment\":\"{}\"}}", first.commitment());
        store.put_definition(&Hash::of(b"task"), "task", &json).unwrap();
        assert_eq!(store.secret_uses(&first.commitment()).unwrap(), (0, 0));
        let second = store.current_secret(8).unwrap();
        assert_ne!(second, first);
        store.retire_secret(&second.commitment(), 9).unwrap();
        assert_ne!(store.current_secret(10).unwrap(), second);
        assert_eq!(store.secret(&second.commitment()).unwrap(), Some(second));
    }

    #[test]
    fn two_that_need_a_secret_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let draw = || Store::open(dir.path()).unwrap().current_secret(5).unwrap();
        let [a, b] = std::thread::scope(|scope| [scope.spawn(draw), scope.spawn(draw)].map(|it| it.join().unwrap()));
        assert_eq!(a, b);
    }

    #[test]
    fn a_lost_secret_is_told_and_never_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let secret = store.current_secret(5).unwrap();
        let path = store.secret_path(&secret.commitment());
        for spoil in [
            |path: &PathBuf| fs::write(path, [0; 32]),
            |path: &PathBuf| fs::write(path, "x"),
            |path: &PathBuf| fs::remove_file(path),
        ] {
            spoil(&path).unwrap();
            for error in [store.current_secret(6).err(), store.reveal_secret(&secret.commitment(), 6).err()] {
                assert!(matches!(error, Some(StoreError::SecretLost { .. })), "{error:?}");
            }
        }
        assert_eq!(store.secrets().unwrap().len(), 1);
        assert_eq!(store.secret(&SplitCommitment::of(b"another")).unwrap(), None);
        assert!(matches!(store.resolve_secret("00"), Err(StoreError::NoSecret(_))));
    }
}
