//! The structure of the sources: each room imports only what it may, and no files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// The rooms of the host, lowest first, and what each may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("system", &[]),
    ("record", &["system"]),
    ("community", &["record", "system"]),
    ("data", &["record", "system"]),
    ("guest", &["record", "system"]),
    ("sandbox", &["record", "system"]),
    ("propose", &["guest", "record", "system"]),
    ("experiment", &["data", "guest", "record", "sandbox", "system"]),
    ("policy", &["experiment", "propose", "record", "system"]),
    ("night", &["community", "data", "experiment", "guest", "policy", "propose", "record", "sandbox", "system"]),
    ("swarm", &["community", "data", "experiment", "guest", "record", "sandbox", "system"]),
    ("mcp", &["data", "experiment", "guest", "night", "policy", "propose", "record", "system"]),
    (
        "cli",
        &[
            "community",
            "data",
            "experiment",
            "guest",
            "mcp",
            "night",
            "policy",
            "propose",
            "record",
            "sandbox",
            "swarm",
            "system",
        ],
    ),
];

/// Longest façade in lines. A façade holds docs, modules and re-exports.
const FACADE_LINES: usize = 60;

/// Path of a module below its crate: `["record", "store", "blob"]`.
type Module = Vec<String>;

/// The files of a crate, and their imports of each other.
struct Crate {
    /// Path below `src`, by module.
    files: BTreeMap<Module, String>,
    /// Re-exports of façades: from module and name to the defining module.
    handed_on: BTreeMap<(Module, String), Module>,
    syntax: BTreeMap<Module, syn::File>,
    /// The names of the crate in its own code.
    names: &'static [&'static str],
}

impl Crate {
    fn read(src: &str, names: &'static [&'static str]) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(src);
        let mut found = Self { files: BTreeMap::new(), handed_on: BTreeMap::new(), syntax: BTreeMap::new(), names };
        for path in rust_files(&src) {
            let below = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{below}: {error}"));
            let module = module_of(&below);
            found.files.insert(module.clone(), below);
            found.syntax.insert(module, syntax);
        }
        for (module, syntax) in &found.syntax {
            for item in &syntax.items {
                let syn::Item::Use(item) = item else { continue };
                if !is_facade(&found.files[module]) || matches!(item.vis, syn::Visibility::Inherited) {
                    continue;
                }
                for mut path in flat(&item.tree) {
                    let Some(name) = path.pop() else { continue };
                    let defined = module.iter().cloned().chain(path).collect::<Module>();
                    if found.files.contains_key(&defined) {
                        found.handed_on.insert((module.clone(), name), defined);
                    }
                }
            }
        }
        found
    }

    /// The files that each file imports. Façades are left out, because they only re-export.
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut imports = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (module, syntax) in &self.syntax {
            let file = self.files[module].as_str();
            let mut paths = Paths { module, names: self.names, found: Vec::new() };
            if !is_facade(file) {
                paths.visit_file(syntax);
            }
            let targets = paths.found.iter().filter_map(|path| self.file_of(path)).filter(|target| *target != file);
            imports.entry(file).or_default().extend(targets);
        }
        imports
    }

    /// The file that defines the item of a path.
    fn file_of(&self, path: &[String]) -> Option<&str> {
        (1..=path.len()).rev().find_map(|length| {
            let module = path[..length].to_vec();
            let file = self.files.get(&module)?;
            let defined = path.get(length).and_then(|name| self.handed_on.get(&(module, name.clone())));
            Some(defined.map_or(file, |defined| &self.files[defined]).as_str())
        })
    }
}

/// All paths of a file that start in this crate. Code only for tests is left out.
struct Paths<'a> {
    module: &'a [String],
    names: &'static [&'static str],
    found: Vec<Vec<String>>,
}

impl Paths<'_> {
    fn take(&mut self, mut path: Vec<String>) {
        let Some(first) = path.first().cloned() else { return };
        if self.names.contains(&first.as_str()) {
            path.remove(0);
            self.found.push(path);
        } else if first == "super" || first == "self" {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let base = &self.module[..self.module.len().saturating_sub(ups)];
            let rest = path.into_iter().skip_while(|part| part == "super" || part == "self");
            self.found.push(base.iter().cloned().chain(rest).collect());
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        let tested = attributes.iter().any(|attribute| {
            matches!(&attribute.meta, syn::Meta::List(list)
                if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
        });
        if !tested {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        flat(&item.tree).into_iter().for_each(|path| self.take(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.take(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module_of(file: &str) -> Module {
    let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// A façade is a file that only lists what its folder holds.
fn is_facade(file: &str) -> bool {
    file.ends_with("mod.rs") || file == "lib.rs"
}

/// The paths in a tree of imports.
fn flat(tree: &syn::UseTree) -> Vec<Vec<String>> {
    match tree {
        syn::UseTree::Path(path) => flat(&path.tree)
            .into_iter()
            .map(|rest| std::iter::once(path.ident.to_string()).chain(rest).collect())
            .collect(),
        syn::UseTree::Name(name) if name.ident == "self" => vec![Vec::new()],
        syn::UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        syn::UseTree::Rename(name) => vec![vec![name.ident.to_string()]],
        syn::UseTree::Glob(_) => vec![Vec::new()],
        syn::UseTree::Group(group) => group.items.iter().flat_map(flat).collect(),
    }
}

fn room_of(file: &str) -> Option<&str> {
    let room = file.split('/').next()?.trim_end_matches(".rs");
    ROOMS.iter().any(|(name, _)| *name == room).then_some(room)
}

/// A circle of imports, as its files, if there is one.
fn circle<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let mut cleared = BTreeSet::new();
    for start in imports.keys() {
        let mut way = Vec::new();
        if let Some(found) = walk(start, imports, &mut cleared, &mut way) {
            return Some(found);
        }
    }
    None
}

fn walk<'a>(
    file: &'a str,
    imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    cleared: &mut BTreeSet<&'a str>,
    way: &mut Vec<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(at) = way.iter().position(|passed| *passed == file) {
        return Some(way[at..].to_vec());
    }
    if cleared.contains(file) {
        return None;
    }
    way.push(file);
    let found = imports.get(file).into_iter().flatten().find_map(|next| walk(next, imports, cleared, way));
    way.pop();
    cleared.insert(file);
    found
}

fn host() -> Crate {
    Crate::read("host/src", &["crate", "nightlab"])
}

#[test]
fn rooms_import_what_they_may() {
    let host = host();
    let imports = host.imports();
    let mut seen = BTreeSet::new();
    for (file, targets) in &imports {
        let Some(room) = room_of(file) else { continue };
        let may = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, may)| *may).unwrap();
        for target in targets {
            let Some(other) = room_of(target).filter(|other| *other != room) else { continue };
            assert!(may.contains(&other), "{file} imports {target}: {room} may import {may:?}");
            seen.insert((room, other));
        }
    }
    for (room, may) in ROOMS {
        for other in *may {
            assert!(seen.contains(&(*room, *other)), "{room} imports nothing of {other}: take it out of ROOMS");
        }
    }
}

/// The list itself has no circle, and names every room.
#[test]
fn rooms_are_listed_lowest_first() {
    for (index, (room, may)) in ROOMS.iter().enumerate() {
        let lower: Vec<&str> = ROOMS[..index].iter().map(|(name, _)| *name).collect();
        assert!(may.iter().all(|other| lower.contains(other)), "{room} may import {may:?}, of {lower:?}");
    }
    for file in host().files.values().filter(|file| !["lib.rs", "main.rs"].contains(&file.as_str())) {
        assert!(room_of(file).is_some(), "{file} belongs to no room");
    }
}

#[test]
fn no_file_imports_in_a_circle() {
    for (src, names) in [("host/src", &["crate", "nightlab"][..]), ("kernels/src", &["crate"][..])] {
        let found = Crate::read(src, names);
        if let Some(circle) = circle(&found.imports()) {
            panic!("{src}: {} and back", circle.join(" → "));
        }
    }
}

/// A façade says what belongs in its folder and where to start. Code is in the other files.
#[test]
fn facades_hold_no_code() {
    let host = host();
    for (module, syntax) in &host.syntax {
        let file = &host.files[module];
        if !file.ends_with("mod.rs") {
            continue;
        }
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
        assert!(text.lines().count() <= FACADE_LINES, "{file} has more than {FACADE_LINES} lines");
        let code = syntax.items.iter().find(|item| !matches!(item, syn::Item::Mod(_) | syn::Item::Use(_)));
        assert!(code.is_none(), "{file} holds code");
    }
}

#[test]
fn a_circle_is_found() {
    let of = |pairs: &[(&'static str, &'static str)]| {
        let mut imports = BTreeMap::<&str, BTreeSet<&str>>::new();
        pairs.iter().for_each(|(from, to)| {
            imports.entry(from).or_default().insert(to);
        });
        circle(&imports)
    };
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("a", "c")]), None);
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "b")]), Some(vec!["b", "c"]));
}
