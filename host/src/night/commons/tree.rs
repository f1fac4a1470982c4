//! Reads the folder of a commons: what is there, and what is not as it should be. Everything in it is hostile input.

use crate::community::{Finding, Form, LABS, MAX_PAGE_BYTES, Negatives, PAGE, PublicKey, SOURCE, Signed};
use crate::guest::source::MAX_SOURCE_BYTES;
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::commons::refusal::{Refusal, Refused};
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most labs; findings of one lab; lists of one lab; findings and lists of all others together, which the labs share.
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

/// A list of negatives that is not read yet.
pub struct List {
    pub path: PathBuf,
    pub by: PublicKey,
}

/// What a commons holds.
#[derive(Default)]
pub struct Tree {
    pub findings: Vec<Found>,
    pub lists: Vec<List>,
    pub refused: Vec<Refused>,
}

/// The folder of a lab.
struct Lab {
    key: PublicKey,
    /// What it holds, and how many names are in each.
    parts: Vec<(Kind, PathBuf, usize)>,
}

impl Lab {
    /// Files of it that may be read, however many others there are.
    fn files(&self) -> usize {
        self.parts.iter().map(|(kind, _, there)| *there.min(&kind.most())).sum()
    }
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

    const fn name(self) -> &'static str {
        match self {
            Self::Finding => "findings",
            Self::List => "lists",
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

/// The negatives of a list, in its place.
pub fn list(folder: &Folder, list: &List) -> Result<Signed<Negatives>, Refusal> {
    let signed = Signed::<Negatives>::read(&folder.read_bytes(&list.path, Negatives::MAX_BYTES as u64)?)?;
    in_place(&list.path, &list.by, &signed.by, list_path(&signed.by, &signed.text))?;
    Ok(signed)
}

/// Reads the pages of a commons, and finds its lists. What is too much is left out: labs of `known` come before others,
/// this lab's `own` is read before all, and the others share what is left in equal parts.
pub fn read(folder: &Folder, (own, known): (Option<PublicKey>, &BTreeSet<String>), draw: &Draw) -> Tree {
    let mut tree = Tree::default();
    let rank = |name: &OsStr| {
        let place = match name.to_str() {
            Some(name) if own.is_some_and(|own| own.to_string() == name) => 0,
            Some(name) if known.contains(name) => 1,
            Some(name) if name.parse::<PublicKey>().is_ok() => 2,
            _ => 3,
        };
        (place, draw.rank(name.as_bytes()))
    };
    let names = match folder.choose_names(Path::new(LABS), MOST_LABS, rank) {
        // Nobody has published yet.
        Err(UntrustedFileError::Missing(_)) => return tree,
        Err(error) => {
            tree.refuse(Path::new(LABS), error.into());
            return tree;
        }
        Ok((names, left)) => {
            tree.tell_unread(Path::new(LABS), "folders", left);
            names
        }
    };
    let mut labs = Vec::new();
    for name in names {
        let path = Path::new(LABS).join(&name);
        match name.to_str().and_then(|name| name.parse().ok()) {
            Some(key) => labs.push(tree.lab(folder, &path, key)),
            None => tree.refuse(&path, Refusal::Unknown),
        }
    }
    let others = labs.iter().filter(|lab| Some(lab.key) != own).map(Lab::files);
    let share = share(others.collect(), MOST_FILES);
    for lab in labs {
        // What is published again depends on all that this lab has published.
        let most = if Some(lab.key) == own { None } else { Some(share) };
        tree.read_lab(folder, &lab, most, draw);
    }
    tree
}

/// How many files of each lab are read, so that all labs together have at most `most`. What some leave of their part
/// goes to the others.
fn share(mut files: Vec<usize>, most: usize) -> usize {
    files.sort_unstable();
    let mut left = most;
    for (at, count) in files.iter().enumerate() {
        let equal = left / (files.len() - at);
        if *count > equal {
            return equal;
        }
        left -= count;
    }
    usize::MAX
}

impl Tree {
    pub fn refuse(&mut self, path: &Path, reason: Refusal) {
        self.refused.push(Refused::at(path, reason));
    }

    fn tell_unread(&mut self, path: &Path, what: &'static str, left: usize) {
        if left > 0 {
            self.refuse(path, Refusal::Unread { what, left });
        }
    }

    /// Looks into the folder of a lab, without reading its files.
    fn lab(&mut self, folder: &Folder, path: &Path, key: PublicKey) -> Lab {
        let mut parts = Vec::new();
        let names = match folder.choose_names(path, MOST_NAMES, |name| (name != FINDINGS, name != NEGATIVES)) {
            Ok((names, left)) => {
                self.tell_unread(path, "names", left);
                names
            }
            Err(error) => {
                self.refuse(path, error.into());
                return Lab { key, parts };
            }
        };
        for name in names {
            let part = path.join(&name);
            let kind = match name.to_str() {
                Some(FINDINGS) => Kind::Finding,
                Some(NEGATIVES) => Kind::List,
                _ => {
                    self.refuse(&part, Refusal::Unknown);
                    continue;
                }
            };
            match folder.choose_names(&part, 0, |_| ()) {
                Ok((_, there)) => parts.push((kind, part, there)),
                Err(error) => self.refuse(&part, error.into()),
            }
        }
        Lab { key, parts }
    }

    /// Reads at most `share` files of a lab, if that is given.
    fn read_lab(&mut self, folder: &Folder, lab: &Lab, mut share: Option<usize>, draw: &Draw) {
        for (kind, part, there) in &lab.parts {
            let most = share.map_or(*there, |share| *there.min(&kind.most()).min(&share));
            share = share.map(|share| share - most);
            let (names, left) = match folder.choose_names(part, most, |name| draw.rank(name.as_bytes())) {
                Ok(chosen) => chosen,
                Err(error) => {
                    self.refuse(part, error.into());
                    continue;
                }
            };
            self.tell_unread(part, kind.name(), left);
            for path in names.into_iter().map(|name| part.join(name)) {
                match kind {
                    Kind::List => self.lists.push(List { path, by: lab.key }),
                    Kind::Finding => {
                        if let Err(reason) = self.finding(folder, &path, &lab.key) {
                            self.refuse(&path, reason);
                        }
                    }
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
}

fn in_place(path: &Path, lab: &PublicKey, by: &PublicKey, wanted: String) -> Result<(), Refusal> {
    if lab != by {
        return Err(Refusal::OtherLab(*by));
    }
    if path == Path::new(&wanted) { Ok(()) } else { Err(Refusal::Place(wanted)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::community::PrivateKey;

    fn key(number: u16) -> PublicKey {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        PrivateKey::of_seed(&seed).public()
    }

    #[test]
    fn what_some_leave_of_their_part_goes_to_the_others() {
        assert_eq!(share(vec![], 10), usize::MAX);
        assert_eq!(share(vec![3, 3, 4], 10), usize::MAX);
        assert_eq!(share(vec![100, 2, 100], 10), 4);
        assert_eq!(share(vec![5; 20], 10), 0);
    }

    #[test]
    fn a_flood_of_labs_and_files_hides_neither_this_lab_nor_a_proved_one() {
        let outer = tempfile::tempdir().unwrap();
        let findings = |number| Path::new(LABS).join(key(number).to_string()).join(FINDINGS);
        // Two honest labs with a file each, one that floods the commons, and many that only take up places.
        for (number, files) in [(1, 1), (2, 1), (3, MOST_OF_A_LAB + 10)] {
            let at = outer.path().join(findings(number));
            std::fs::create_dir_all(&at).unwrap();
            (0..files).for_each(|file| std::fs::write(at.join(file.to_string()), "").unwrap());
        }
        for number in 4..=MOST_LABS as u16 + 10 {
            let at = outer.path().join(findings(number));
            std::fs::create_dir_all(&at).unwrap();
            (0..40).for_each(|file| std::fs::write(at.join(file.to_string()), "").unwrap());
        }
        let known = [2, 3].map(|number| key(number).to_string()).into();
        let draw = Draw::new().unwrap();
        let tree = read(&open(outer.path()).unwrap(), (Some(key(1)), &known), &draw);
        let reasons = |path: PathBuf| {
            let path = path.to_string_lossy().into_owned();
            tree.refused.iter().filter(|one| one.path == path).map(|one| one.reason.to_string()).collect::<Vec<_>>()
        };
        for honest in [1, 2] {
            // It was looked at, and is no folder.
            assert!(reasons(findings(honest).join("0"))[0].contains("is not a folder"), "{:?}", tree.refused.len());
        }
        assert!(reasons(PathBuf::from(LABS))[0].starts_with("10 folders are not read"), "{:?}", reasons(LABS.into()));
        let read =
            |lab| tree.refused.iter().filter(|one| Path::new(&one.path).parent() == Some(&findings(lab))).count();
        let left = MOST_OF_A_LAB + 10 - read(3);
        assert!(reasons(findings(3))[0].starts_with(&format!("{left} findings are not read")), "{left}");
        assert!(read(3) < 40, "{}", read(3));
    }
}
