//! Temporary folders. What a killed process left behind, the next one removes.

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;
use tempfile::TempDir;

const PREFIX: &str = "host-scratch-";
/// The lock that the owner of a folder holds, and the folder that it works in.
const LOCK: &str = "lock";
const WORK: &str = "work";
/// A folder may be younger than its lock by less than this.
const YOUNG: Duration = Duration::from_secs(60);

/// A temporary folder, removed on drop.
pub(crate) struct Scratch {
    _dir: TempDir,
    work: PathBuf,
    /// The system releases it when this process ends, however it ends.
    _lock: File,
}

impl Scratch {
    /// An empty folder in the system's temporary folder. The first one of a process removes what killed processes left.
    pub(crate) fn new() -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        let folder = std::env::temp_dir();
        SWEPT.call_once(|| sweep(&folder));
        Self::make(&folder)
    }

    /// An empty folder in a folder of the user's disk, from which files can be moved to their places.
    pub(crate) fn new_in(folder: &Path) -> io::Result<Self> {
        sweep(folder);
        Self::make(folder)
    }

    fn make(folder: &Path) -> io::Result<Self> {
        // Without the random name, so that the same fault has the same words.
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {}", folder.display(), io::Error::from(error.kind())))
        };
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder).map_err(named)?;
        let lock = File::create(dir.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let work = dir.path().join(WORK);
        fs::create_dir(&work)?;
        Ok(Self { _dir: dir, work, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.work
    }
}

/// Removes the scratch folders below `folder` whose owners have ended. What cannot be removed stays for another time.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let is_ours = entry.metadata().is_ok_and(|metadata| metadata.uid() == geteuid().as_raw());
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age > YOUNG);
        if is_ours && is_old && is_abandoned(&entry.path().join(LOCK)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(lock: &Path) -> bool {
    // Non-blocking, since anybody may have put a pipe there.
    match open(lock, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(error) => error == Errno::NOENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let dir = temporary.path().join(name);
            fs::create_dir(&dir).unwrap();
            let lock = File::create(dir.join(LOCK)).unwrap();
            File::open(&dir).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            (dir, lock)
        };
        let (abandoned, _) = make("host-scratch-a", 3600);
        let (held, lock) = make("host-scratch-b", 3600);
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let (young, _) = make("host-scratch-c", 1);
        let (foreign, _) = make("other", 3600);
        sweep(temporary.path());
        assert_eq!([abandoned, held, young, foreign].map(|dir| dir.exists()), [false, true, true, true]);
    }
}
