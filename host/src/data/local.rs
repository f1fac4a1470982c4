//! The user's own files and folders as a corpus. Reads regular files only, follows no symlink below the given path, and
//! checks the caps before it reads.

use crate::data::corpus::{Corpus, Document};
use crate::data::error::DataError;
use crate::data::text_file::{self, Content};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest size of an added corpus, in bytes.
pub const MAX_BYTES: u64 = 1 << 30;
/// Largest number of files in an added corpus.
pub const MAX_FILES: usize = 100_000;
const MAX_DEPTH: usize = 64;
/// Names of files that are kept of each reason to leave them out.
const EXAMPLES: usize = 3;
/// Progress is told after this many bytes.
const SLOW: u64 = 64 << 20;

/// Files that are not part of the corpus, by reason.
pub type LeftOut = BTreeMap<&'static str, Omitted>;

/// Files that were left out for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Omitted {
    pub files: usize,
    /// The names of the first ones.
    pub examples: Vec<String>,
}

/// The regular files of the folder `source`, byte for byte. Documents are named by their path below it, with `/`.
/// For built-in corpora.
pub fn documents(name: &str, source: &Path) -> Result<Vec<Document>, DataError> {
    let mut walk = Walk::new(name, true);
    walk.folder(source, "", 0)?;
    let mut left = MAX_BYTES;
    let mut documents = Vec::new();
    for (path, label) in walk.files {
        let failed = |source| DataError::Io { path: path.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).map_err(failed)?.take(left + 1).read_to_end(&mut bytes).map_err(failed)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_many_bytes(name))?;
        if !bytes.is_empty() {
            documents.push(Document { name: label, bytes });
        }
    }
    Ok(documents)
}

/// Reads the file or folder `source` as a packed corpus. What is compressed is unpacked, and JSON lines give the text
/// of their `field`. Hidden files, links and what is no text are left out.
pub fn read(
    name: &str,
    source: &Path,
    field: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(Corpus, LeftOut), DataError> {
    let mut walk = Walk::new(name, false);
    let is_folder = fs::metadata(source).map_err(|e| DataError::Io { path: source.to_owned(), source: e })?.is_dir();
    if is_folder {
        walk.folder(source, "", 0)?;
    } else {
        let label = source.file_name().map_or("text".into(), |n| n.to_string_lossy().into_owned());
        walk.file(source.to_owned(), label)?;
    }
    let Walk { mut files, mut left_out, .. } = walk;
    files.sort();
    let (mut documents, mut bytes, mut told) = (Vec::new(), 0, 0);
    for (path, label) in files {
        match text_file::read(&path, field, MAX_BYTES - bytes)? {
            Content::TooLarge => return Err(too_many_bytes(name)),
            Content::Other(kind) if !is_folder || kind.is_refused_in_folders() => return Err(kind.refusal(&path)),
            Content::Other(kind) => leave_out(&mut left_out, kind.name, label),
            Content::Text(text) => {
                bytes += text.len() as u64;
                documents.push(Document { name: label, bytes: text });
            }
        }
        if bytes - told > SLOW {
            told = bytes;
            progress(&format!("{name}: read {} files, {} MB", documents.len(), bytes / 1_000_000));
        }
    }
    if documents.is_empty() {
        let why =
            if left_out.is_empty() { "holds no text" } else { "holds only hidden files, links, or what is no text" };
        return Err(DataError::Refused { path: source.to_owned(), why });
    }
    Ok((Corpus::packed(name, documents), left_out))
}

fn too_many_bytes(name: &str) -> DataError {
    DataError::TooLarge { name: name.to_owned(), what: "too many bytes of text", cap: MAX_BYTES }
}

fn leave_out(left_out: &mut LeftOut, why: &'static str, name: String) {
    let omitted = left_out.entry(why).or_default();
    omitted.files += 1;
    if omitted.examples.len() < EXAMPLES {
        omitted.examples.push(name);
    }
}

/// Finds the files of a folder.
struct Walk<'a> {
    /// The corpus.
    name: &'a str,
    /// Whether names that begin with a dot are read.
    hidden: bool,
    /// Paths, and names in the corpus.
    files: Vec<(PathBuf, String)>,
    left_out: LeftOut,
}

impl<'a> Walk<'a> {
    fn new(name: &'a str, hidden: bool) -> Self {
        Self { name, hidden, files: Vec::new(), left_out: LeftOut::new() }
    }

    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), DataError> {
        let failed = |source| DataError::Io { path: folder.to_owned(), source };
        if depth > MAX_DEPTH {
            return Err(DataError::Refused { path: folder.to_owned(), why: "nested too deeply" });
        }
        let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.collect();
        let mut entries = entries.map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            let file = entry.file_name();
            let name = format!("{prefix}{}", file.to_string_lossy());
            if file.to_str().is_none() {
                leave_out(&mut self.left_out, "its name is not UTF-8", name);
            } else if kind.is_symlink() {
                leave_out(&mut self.left_out, "a link", name);
            } else if name[prefix.len()..].starts_with('.') && !self.hidden {
                leave_out(&mut self.left_out, "hidden", name);
            } else if kind.is_dir() {
                self.folder(&path, &format!("{name}/"), depth + 1)?;
            } else {
                self.file(path, name)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, name: String) -> Result<(), DataError> {
        // Opening a fifo would block until a writer comes, so the file type is checked first.
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(DataError::Refused { path, why: "not a regular file" }),
            Err(source) => return Err(DataError::Io { path, source }),
        }
        if self.files.len() >= MAX_FILES {
            let (what, cap) = ("too many files", MAX_FILES as u64);
            return Err(DataError::TooLarge { name: self.name.to_owned(), what, cap });
        }
        self.files.push((path, name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn read_all(source: &Path) -> Result<(Corpus, LeftOut), DataError> {
        read("x", source, "text", &mut |_| {})
    }

    #[test]
    fn a_folder_becomes_sorted_documents_and_says_what_is_left_out() {
        let source = tempfile::tempdir().unwrap();
        let at = |name: &str| source.path().join(name);
        fs::create_dir(at("b")).unwrap();
        fs::create_dir(at(".git")).unwrap();
        fs::write(at(".git/config"), b"text").unwrap();
        fs::write(at("b/x"), b"\xff\xe4 latin").unwrap();
        fs::write(at("a"), b"text").unwrap();
        fs::write(at("empty"), b"").unwrap();
        fs::write(at("picture"), b"\x89PNG\0").unwrap();
        fs::write(at("pack.zip"), b"PK\x03\x04").unwrap();
        symlink("/etc", at("link")).unwrap();
        let (corpus, left_out) = read_all(source.path()).unwrap();
        let names: Vec<_> = corpus.documents.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["a", "b/x"]);
        let left_out: Vec<_> = left_out.iter().map(|(why, omitted)| (*why, omitted.examples.join(" "))).collect();
        let wanted = [("a link", "link"), ("a zip archive", "pack.zip"), ("binary, no text", "picture")];
        assert_eq!(left_out[..3], wanted.map(|(why, name)| (why, name.to_owned())));
        assert_eq!(left_out[3..], [("empty", "empty".to_owned()), ("hidden", ".git".to_owned())]);
        assert_eq!(documents("x", source.path()).unwrap().len(), 5);
        fs::write(at("train.parquet"), b"PAR1").unwrap();
        assert!(matches!(read_all(source.path()), Err(DataError::Foreign { .. })));
    }

    #[test]
    fn only_regular_files() {
        let source = tempfile::tempdir().unwrap();
        let socket = source.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/zero"), &socket, source.path()] {
            assert!(matches!(read_all(path), Err(DataError::Refused { .. })), "{}", path.display());
        }
        assert!(matches!(read_all(&source.path().join("none")), Err(DataError::Io { .. })));
    }
}
