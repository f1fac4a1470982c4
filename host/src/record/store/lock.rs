//! The lock that lets one host at a time run experiments on a store. Two hosts on one machine would only slow each
//! other down, and trials get their numbers under this lock. The system releases it when the process ends. Beside it,
//! the sign of a night that still runs.

use crate::record::store::error::{StoreError, io_error};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often a waiting process checks the lock.
const LOOK: Duration = Duration::from_millis(20);

/// The lock on a store, held by the process that runs experiments.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let mut file = open(dir, "lock")?;
        if !try_lock(dir, &file)? {
            let mut holder = String::new();
            let read = file.take(20).read_to_string(&mut holder);
            let holder = read.ok().and_then(|_| holder.parse().ok());
            return Err(StoreError::Locked { path: dir.to_owned(), holder });
        }
        // The number is only for the message above: a full disk must not keep a night from starting.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        file.set_modified(SystemTime::now()).map_err(|source| io_error(&dir.join("lock"), source))?;
        Ok(Self { _file: file })
    }

    /// When the process that holds the lock took it; `None` if nobody holds it.
    pub(super) fn held_since(dir: &Path) -> Result<Option<SystemTime>, StoreError> {
        let path = dir.join("lock");
        let Some(file) = open_to_look(&path)? else { return Ok(None) };
        if try_lock(dir, &file)? {
            return Ok(None);
        }
        // The holder wrote its process id into the file when it took the lock.
        let since = file.metadata().and_then(|found| found.modified());
        since.map(Some).map_err(|source| io_error(&path, source))
    }

    /// A waiting process holds the queue lock. A process that releases the store and wants it again at once finds the
    /// queue taken, so the waiting one goes first.
    pub(super) fn wait(
        dir: &Path,
        waiting: &mut dyn FnMut(&StoreError) -> ControlFlow<()>,
    ) -> Result<Option<Self>, StoreError> {
        let queue = open(dir, "queue")?;
        let mut is_next = try_lock(dir, &queue)?;
        loop {
            let found = match is_next {
                true => Self::take(dir),
                false => Err(StoreError::Locked { path: dir.to_owned(), holder: None }),
            };
            match found {
                Err(locked @ StoreError::Locked { .. }) => {
                    if waiting(&locked).is_break() {
                        return Ok(None);
                    }
                }
                taken => return taken.map(Some),
            }
            std::thread::sleep(LOOK);
            is_next = is_next || try_lock(dir, &queue)?;
        }
    }
}

/// The sign that a process runs a night. Others see it until the process ends.
#[derive(Debug)]
pub struct NightSign {
    _file: File,
}

const SIGNS: &str = "nights";

impl NightSign {
    pub(super) fn put_up(dir: &Path, night: i64) -> Result<Self, StoreError> {
        let folder = dir.join(SIGNS);
        std::fs::create_dir_all(&folder).map_err(|source| io_error(&folder, source))?;
        let file = open(&folder, &night.to_string())?;
        // Several processes may run one night. `is_up` holds it for a moment only.
        flock(&file, FlockOperation::LockShared).map_err(|error| io_error(&folder, error.into()))?;
        Ok(Self { _file: file })
    }

    /// Whether a process runs this night.
    pub(super) fn is_up(dir: &Path, night: i64) -> Result<bool, StoreError> {
        let folder = dir.join(SIGNS);
        match open_to_look(&folder.join(night.to_string()))? {
            None => Ok(false),
            Some(file) => Ok(!try_lock(&folder, &file)?),
        }
    }
}

/// A lock's file, if there is one, opened to read: a store that is only looked at need not be writable.
fn open_to_look(path: &Path) -> Result<Option<File>, StoreError> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(|source| io_error(path, source)),
    }
}

fn open(dir: &Path, name: &str) -> Result<File, StoreError> {
    let path = dir.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    file.map_err(|source| io_error(&path, source))
}

fn try_lock(dir: &Path, file: &File) -> Result<bool, StoreError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(io_error(dir, error.into())),
    }
}
