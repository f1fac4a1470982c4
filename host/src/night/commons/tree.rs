//! Reads the folder of a commons: what is there, and what is not as it should be. Everything in it is hostile input.

use crate::community::{Finding, Form, LABS, MAX_PAGE_BYTES, Negatives, PAGE, PublicKey, SOURCE, Signed};
use crate::guest::source::MAX_SOURCE_BYTES;
use crate::night::commons::error::CommonsError;
use crate::night::commons::refusal::{Refusal, Refused};
use crate::system::sanitize;
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Most labs, findings of one lab, lists of one lab, and findings and lists in all.
const MOST_LABS: usize = 1000;
const MOST_OF_A_LAB: usize = 2000;
const MOST_LISTS: usize = 1000;
const MOST_FILES: usize = 30_000;
/// Names that are looked at in the folders of a lab and of a finding.
const MOST_NAMES: usize = 16;

const FINDINGS: &str = "findings";
const NEGATIVES: &str = "negatives";

/// A finding whose page holds, in its place. Its source is not read yet.
pub struct Found {
    pub path: PathBuf,
    pub signed: Signed<Finding>,
}

/// What a commons holds.
#[derive(Default)]
pub struct Tree {
    pub findings: Vec<Found>,
    pub negatives: Vec<Signed<Negatives>>,
    pub refused: Vec<Refused>,
    /// Findings and lists that were looked at.
    files: usize,
}

/// What the folder of a lab holds.
#[derive(Clone, Copy)]
enum Kind {
    Finding,
    List,
}

impl Kind {
    const fn most(self) -> usize {
        match self {
            Self::Finding => MOST_OF_A_LAB,
            Self::List => MOST_LISTS,
        }
    }
}

pub fn open(path: &Path) -> Result<Folder, CommonsError> {
    Folder::open(path).map_err(|source| CommonsError::Open { path: path.to_owned(), source })
}

/// Where a list of negatives lies.
pub fn list_path(by: &PublicKey, list: &Negatives) -> String {
    format!("{LABS}/{by}/{NEGATIVES}/{}.txt", list.list_hash())
}

/// The source of a finding, which is the one that it names.
pub fn source(folder: &Folder, found: &Found) -> Result<String, Refusal> {
    let source = folder.read(&found.path.join(SOURCE), MAX_SOURCE_BYTES as u64)?;
    found.signed.text.check_source(source.as_bytes())?;
    Ok(source)
}

/// Reads all pages and lists, in the order of their paths.
pub fn read(folder: &Folder) -> Tree {
    let mut tree = Tree::default();
    let labs = match folder.names(Path::new(LABS), MOST_LABS) {
        // Nobody has published yet.
        Err(UntrustedFileError::Missing(_)) => return tree,
        Err(error) => {
            tree.refuse(Path::new(LABS), error.into());
            return tree;
        }
        Ok(labs) => labs,
    };
    for lab in labs {
        let path = Path::new(LABS).join(&lab);
        match lab.to_str().and_then(|lab| lab.parse().ok()) {
            _ if tree.files > MOST_FILES => break,
            Some(key) => tree.lab(folder, &path, &key),
            None => tree.refuse(&path, Refusal::Unknown),
        }
    }
    tree
}

impl Tree {
    pub fn refuse(&mut self, path: &Path, reason: Refusal) {
        self.refused.push(Refused { path: sanitize::line(&path.to_string_lossy(), 300), reason });
    }

    fn names(&mut self, folder: &Folder, path: &Path, cap: usize) -> Vec<PathBuf> {
        match folder.names(path, cap) {
            Ok(names) => names.into_iter().map(|name| path.join(name)).collect(),
            Err(error) => {
                self.refuse(path, error.into());
                Vec::new()
            }
        }
    }

    fn lab(&mut self, folder: &Folder, path: &Path, key: &PublicKey) {
        for part in self.names(folder, path, MOST_NAMES) {
            let kind = match part.file_name().and_then(OsStr::to_str) {
                Some(FINDINGS) => Kind::Finding,
                Some(NEGATIVES) => Kind::List,
                _ => {
                    self.refuse(&part, Refusal::Unknown);
                    continue;
                }
            };
            for at in self.names(folder, &part, kind.most()) {
                self.files += 1;
                if self.files > MOST_FILES {
                    return self.refuse(&at, Refusal::TooMany(MOST_FILES));
                }
                let read = match kind {
                    Kind::Finding => self.finding(folder, &at, key),
                    Kind::List => self.list(folder, &at, key),
                };
                if let Err(reason) = read {
                    self.refuse(&at, reason);
                }
            }
        }
    }

    fn finding(&mut self, folder: &Folder, path: &Path, key: &PublicKey) -> Result<(), Refusal> {
        let names = folder.names(path, MOST_NAMES)?;
        if let Some(other) = names.iter().find(|name| *name != PAGE && *name != SOURCE) {
            self.refuse(&path.join(other), Refusal::Unknown);
        }
        let signed = Signed::<Finding>::read_page(&folder.read_bytes(&path.join(PAGE), MAX_PAGE_BYTES as u64)?)?;
        in_place(path, key, &signed.by, signed.folder())?;
        self.findings.push(Found { path: path.to_owned(), signed });
        Ok(())
    }

    fn list(&mut self, folder: &Folder, path: &Path, key: &PublicKey) -> Result<(), Refusal> {
        let signed = Signed::<Negatives>::read(&folder.read_bytes(path, Negatives::MAX_BYTES as u64)?)?;
        in_place(path, key, &signed.by, list_path(&signed.by, &signed.text))?;
        self.negatives.push(signed);
        Ok(())
    }
}

fn in_place(path: &Path, lab: &PublicKey, by: &PublicKey, wanted: String) -> Result<(), Refusal> {
    if lab != by {
        return Err(Refusal::OtherLab(*by));
    }
    if path == Path::new(&wanted) { Ok(()) } else { Err(Refusal::Place(wanted)) }
}
