//! The user's own files and folders as a corpus. Reads regular files only, follows no symlink below the given path, and
//! checks the caps before it reads.

use crate::data::corpus::{Corpus, Document};
use crate::data::error::DataError;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Largest size of an added corpus, in bytes.
pub const MAX_BYTES: u64 = 1 << 30;
/// Largest number of documents in an added corpus.
pub const MAX_DOCUMENTS: u64 = 100_000;
const MAX_DEPTH: usize = 64;

/// Reads the file or folder `source` as a corpus. Documents are named by their path below it, with `/`.
pub fn read(name: &str, source: &Path) -> Result<Corpus, DataError> {
    let mut reader = Reader { name, left: MAX_BYTES, documents: Vec::new() };
    let found = fs::metadata(source).map_err(|e| DataError::Io { path: source.to_owned(), source: e })?;
    if found.is_dir() {
        reader.folder(source, "", 0)?;
    } else {
        let label = source.file_name().map_or("text".into(), |n| n.to_string_lossy().into_owned());
        reader.file(source, label)?;
    }
    if reader.documents.is_empty() {
        return Err(DataError::Refused { path: source.to_owned(), why: "holds no text" });
    }
    Ok(Corpus::new(name, reader.documents))
}

struct Reader<'a> {
    name: &'a str,
    left: u64,
    documents: Vec<Document>,
}

impl Reader<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), DataError> {
        let failed = |source| DataError::Io { path: folder.to_owned(), source };
        if depth > MAX_DEPTH {
            return Err(DataError::Refused { path: folder.to_owned(), why: "nested too deeply" });
        }
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            let Some(name) = entry.file_name().to_str().map(|name| format!("{prefix}{name}")) else {
                return Err(DataError::Refused { path, why: "its name is not UTF-8" });
            };
            if kind.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else if !kind.is_symlink() {
                self.file(&path, name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<(), DataError> {
        let failed = |source| DataError::Io { path: path.to_owned(), source };
        // Opening a fifo would block until a writer comes, so the file type is checked first.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(DataError::Refused { path: path.to_owned(), why: "not a regular file" });
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        let read = file.take(self.left + 1).read_to_end(&mut bytes).map_err(failed)? as u64;
        let too_large = |what, cap| DataError::TooLarge { name: self.name.to_owned(), what, cap };
        self.left = self.left.checked_sub(read).ok_or_else(|| too_large("too many bytes", MAX_BYTES))?;
        if self.documents.len() as u64 >= MAX_DOCUMENTS {
            return Err(too_large("too many documents", MAX_DOCUMENTS));
        }
        if !bytes.is_empty() {
            self.documents.push(Document { name, bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{add, corpus};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_becomes_sorted_documents() {
        let source = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let at = |name: &str| source.path().join(name);
        fs::create_dir(at("b")).unwrap();
        fs::write(at("b/x"), b"\xff\x00").unwrap();
        fs::write(at("a"), b"text").unwrap();
        fs::write(at("empty"), b"").unwrap();
        symlink("/etc", at("link")).unwrap();
        let corpus = add("mine", source.path(), cache.path()).unwrap();
        let names: Vec<_> = corpus.documents.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["a", "b/x"]);
        assert_eq!(Corpus::load("mine", &corpus::path(cache.path(), "mine")).unwrap(), corpus);
        assert!(matches!(add("shakespeare", source.path(), cache.path()), Err(DataError::Taken(_))));
    }

    #[test]
    fn only_regular_files() {
        let source = tempfile::tempdir().unwrap();
        let socket = source.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/zero"), &socket, source.path()] {
            assert!(matches!(read("x", path), Err(DataError::Refused { .. })), "{}", path.display());
        }
        assert!(matches!(read("x", &source.path().join("none")), Err(DataError::Io { .. })));
    }
}
