//! The open store: its folder, its index, its lock.

use crate::record::store::error::{StoreError, io_error};
use crate::record::store::lock::RunLock;
use crate::record::store::schema;
use crate::record::store::waiting::{self, Waiting};
use crate::system::atomic_file;
use crate::system::scratch::Scratch;
use rusqlite::Connection;
use rustix::fs::{Access, access};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The folder for files that are being written. `host store gc` removes what a crash leaves there.
pub const INCOMING: &str = "incoming";
/// The folder for copies of receipts, each named by its submission.
pub const RECEIPTS: &str = "receipts";

/// The points of a write at which a crash can happen, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePoint {
    /// A blob's temporary file exists and is empty.
    BlobCreated,
    /// The bytes are written, but may not have reached the disk.
    BlobWritten,
    /// The bytes have reached the disk under the temporary name.
    BlobSynced,
    /// The file has its final name, but the folder may not have reached the disk.
    BlobRenamed,
    /// All rows are written, but not committed.
    BeforeCommit,
    Committed,
}

/// Called at each [`WritePoint`]. An error counts as the failure of the write that follows.
pub type Faults = Box<dyn Fn(WritePoint) -> io::Result<()> + Send>;

/// An open store. Use one per thread: it can be sent, not shared.
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) db: Connection,
    faults: Faults,
    waiting: Arc<Mutex<Waiting>>,
    /// Where the index was copied to, if its own folder cannot be written.
    _copy: Option<Scratch>,
}

impl Store {
    /// Opens the store in a folder, and creates it if there is none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_patiently(dir, waiting::in_silence())
    }

    /// Opens the store, and calls `waiting` while another program locks the index, now and later.
    pub fn open_patiently(dir: &Path, waiting: Waiting) -> Result<Self, StoreError> {
        Self::make(dir, waiting, Box::new(|_| Ok(())))
    }

    /// Opens a store whose writes can be made to fail, for tests.
    pub fn open_with_faults(dir: &Path, faults: Faults) -> Result<Self, StoreError> {
        Self::make(dir, waiting::in_silence(), faults)
    }

    fn make(dir: &Path, mut waiting: Waiting, faults: Faults) -> Result<Self, StoreError> {
        let new = !dir.exists();
        schema::refuse_lost(dir)?;
        for folder in ["blobs", INCOMING] {
            let path = dir.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        }
        atomic_file::sync_folder(dir).map_err(|source| io_error(dir, source))?;
        if new {
            atomic_file::sync_folder(&dir.join("..")).map_err(|source| io_error(dir, source))?;
        }
        let db = schema::open(&dir.join(schema::FILE), &mut waiting)?;
        Ok(Self { dir: dir.to_owned(), db, faults, waiting: Arc::new(Mutex::new(waiting)), _copy: None })
    }

    /// Whether there is a store in a folder.
    pub fn exists(dir: &Path) -> Result<bool, StoreError> {
        schema::refuse_lost(dir)?;
        Ok(dir.join(schema::FILE).is_file())
    }

    /// Opens a store to read it. Its folder may belong to another user, or be on a disk that cannot be written.
    pub fn open_to_read(dir: &Path) -> Result<Self, StoreError> {
        schema::refuse_lost(dir)?;
        let index = dir.join(schema::FILE);
        let writable = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
        if writable(dir) && writable(&index) {
            return Self::open(dir);
        }
        let mut waiting = waiting::in_silence();
        let (db, copy) = schema::open_to_read(&index, &mut waiting)?;
        let (faults, waiting): (Faults, _) = (Box::new(|_| Ok(())), Arc::new(Mutex::new(waiting)));
        Ok(Self { dir: dir.to_owned(), db, faults, waiting, _copy: copy })
    }

    /// Opens a store to watch it while others write. Its folder stays as it is, and nothing waits long for a lock.
    pub fn open_to_watch(dir: &Path) -> Result<Self, StoreError> {
        schema::refuse_lost(dir)?;
        let mut waiting = waiting::not_at_all();
        let db = schema::open_to_watch(&dir.join(schema::FILE), &mut waiting)?;
        let (faults, waiting): (Faults, _) = (Box::new(|_| Ok(())), Arc::new(Mutex::new(waiting)));
        Ok(Self { dir: dir.to_owned(), db, faults, waiting, _copy: None })
    }

    /// Opens the store once more, for another thread. What happens while another program locks the index is the same.
    pub fn twin(&self) -> Result<Self, StoreError> {
        Ok(Self { waiting: self.waiting.clone(), ..Self::open(&self.dir)? })
    }

    /// Sets what happens while another program locks the index.
    pub fn on_wait(&self, waiting: Waiting) {
        *self.waiting() = waiting;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `attempt` again as long as another program locks the index.
    pub(super) fn patiently<T>(&self, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let since = Instant::now();
        loop {
            match self.sql(attempt()) {
                Err(busy @ StoreError::Busy(_)) => {
                    if (*self.waiting())(since.elapsed(), &busy).is_break() {
                        return Err(busy);
                    }
                }
                ended => return ended,
            }
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Locks the store for a process that runs experiments. The lock ends when it is dropped or the process ends.
    pub fn lock_run(&self) -> Result<RunLock, StoreError> {
        RunLock::take(&self.dir)
    }

    /// Waits for the lock in a queue with other processes. `waiting` is told the holder a few times a second. If it
    /// breaks, the wait ends without a lock.
    pub fn wait_to_run(
        &self,
        waiting: &mut dyn FnMut(&StoreError) -> ControlFlow<()>,
    ) -> Result<Option<RunLock>, StoreError> {
        RunLock::wait(&self.dir, waiting)
    }

    pub(super) fn reach(&self, point: WritePoint) -> Result<(), StoreError> {
        self.fault_at(point).map_err(|source| io_error(&self.dir, source))
    }

    pub(super) fn fault_at(&self, point: WritePoint) -> io::Result<()> {
        (self.faults)(point)
    }

    pub(super) fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| schema::error(&self.dir.join(schema::FILE), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::{ContextKey, TaskHash};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    fn begin_night(store: &Store) -> Result<i64, StoreError> {
        store.start_night("n", "", &TaskHash::of(b"t"), &ContextKey::of(b"c"), 1)
    }

    /// As a database browser does, for a while.
    fn lock_index(dir: &Path, held: Duration) -> std::thread::JoinHandle<()> {
        let other = Connection::open(dir.join(schema::FILE)).unwrap();
        let (ready, is_ready) = mpsc::channel();
        let holder = std::thread::spawn(move || {
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            ready.send(()).unwrap();
            std::thread::sleep(held);
            other.execute_batch("ROLLBACK").unwrap();
        });
        is_ready.recv().unwrap();
        holder
    }

    #[test]
    fn a_write_waits_for_another_program_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        store.on_wait(Box::new(move |_, locked| {
            tell.store(locked.to_string().contains("another program"), Ordering::Relaxed);
            ControlFlow::Continue(())
        }));
        let holder = lock_index(dir.path(), Duration::from_millis(1500));
        assert_eq!(begin_night(&store).unwrap(), 1);
        holder.join().unwrap();
        assert!(told.load(Ordering::Relaxed));

        store.on_wait(Box::new(|_, _| ControlFlow::Break(())));
        let holder = lock_index(dir.path(), Duration::from_millis(1500));
        assert!(matches!(begin_night(&store), Err(StoreError::Busy(_))));
        assert_eq!(store.nights().unwrap().len(), 1);
        holder.join().unwrap();
    }

    #[test]
    fn a_lost_index_is_not_made_anew_beside_blobs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Store::exists(dir.path()).unwrap());
        let store = Store::open(dir.path()).unwrap();
        store.put_blob(b"source").unwrap();
        drop(store);
        let index = dir.path().join(schema::FILE);
        // As after a copy without the journal that held all of it.
        std::fs::remove_file(&index).unwrap();
        Connection::open(&index).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::IndexLost(_))));
        assert!(matches!(schema::open_to_read(&index, &mut waiting::in_silence()), Err(StoreError::IndexLost(_))));
        for spoil in [|index: &Path| std::fs::remove_file(index), |index: &Path| std::fs::write(index, "")] {
            spoil(&index).unwrap();
            assert!(matches!(Store::open(dir.path()), Err(StoreError::IndexLost(_))));
            assert!(matches!(Store::open_to_read(dir.path()), Err(StoreError::IndexLost(_))));
            assert!(matches!(Store::exists(dir.path()), Err(StoreError::IndexLost(_))));
        }
        std::fs::write(&index, "no database, but longer than nothing").unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::IndexDamaged { .. })));
    }

    #[test]
    fn an_index_is_read_in_place_with_its_journal_or_from_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        begin_night(&store).unwrap();
        let index = dir.path().join(schema::FILE);
        let nights = |(db, copy): (Connection, Option<Scratch>)| {
            let count: i64 = db.query_row("SELECT count(*) FROM nights", [], |row| row.get(0)).unwrap();
            (count, copy.is_some())
        };
        // The store is open, so its journal is there.
        assert_eq!(nights(schema::open_to_read(&index, &mut waiting::in_silence()).unwrap()), (1, false));
        drop(store);
        assert_eq!(nights(schema::open_to_read(&index, &mut waiting::in_silence()).unwrap()), (1, false));
        let old = Connection::open(&index).unwrap();
        old.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(schema::open_to_read(&index, &mut waiting::in_silence()), Err(StoreError::Newer { .. })));
        drop(old);
        let first = dir.path().join("first.sqlite");
        let old = Connection::open(&first).unwrap();
        old.execute_batch(include_str!("schema.sql")).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        let before = std::fs::read(&first).unwrap();
        assert_eq!(nights(schema::open_to_read(&first, &mut waiting::in_silence()).unwrap()), (0, true));
        assert_eq!(std::fs::read(&first).unwrap(), before);
    }
}
