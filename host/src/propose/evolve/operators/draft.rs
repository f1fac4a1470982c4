//! Builds a change out of general edits: constants, functions and parameters that it brings, code around expressions
//! and between statements.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::parameters::Declaration;
use std::ops::Range;
use syn::Item;

/// A change that is being written. What it brings must be new: a name that is taken means that the operator was applied
/// before, or that the guest has something of its own there.
pub struct Draft<'g, 'a> {
    guest: &'g Guest<'a>,
    edits: Vec<Edit>,
    is_new: bool,
}

impl<'g, 'a> Draft<'g, 'a> {
    pub fn new(guest: &'g Guest<'a>) -> Self {
        Self { guest, edits: Vec::new(), is_new: true }
    }

    /// Declares a constant behind the last one of the guest, so that it can be searched later:
    /// `const SMEAR: f32 = 0.1; // what it is`.
    pub fn constant(mut self, name: &str, ty: &str, value: &str, meaning: &str) -> Self {
        self.is_new &= !self.guest.declares(name);
        let line = format!("const {name}: {ty} = {value}; // {meaning}");
        let (at, fresh_line) = self.after_constants();
        self.edits.push(Edit::insert(at, if fresh_line { format!("{line}\n") } else { format!("\n{line}") }));
        self
    }

    /// [`Draft::constant`] of type f32.
    pub fn number(self, name: &str, value: &str, meaning: &str) -> Self {
        self.constant(name, "f32", value, meaning)
    }

    /// Adds an item before `guest!`, with a line of documentation.
    pub fn item(mut self, name: &str, text: &str) -> Self {
        self.is_new &= !self.guest.declares(name);
        self.before_exports(text)
    }

    /// Adds an item that several operators share: the first of `forms`. One of these that is there already serves.
    pub fn shared(mut self, name: &str, forms: &[&str]) -> Self {
        match (self.guest.item(name), forms) {
            (None, [first, ..]) => self.before_exports(first),
            (there, _) => {
                self.is_new &=
                    there.is_some_and(|there| forms.iter().any(|form| same_code(self.guest.words(there), form)));
                self
            }
        }
    }

    /// Declares a parameter behind another one, in the same block. `key` is as the guest would write it.
    pub fn parameter(mut self, beside: &Declaration, group: &str, key: &str, init: &str) -> Self {
        // A numbered key is one of several of its name.
        let numbered = key.trim_end_matches(')').ends_with(|c: char| c.is_ascii_digit());
        let name = key.split('"').nth(1).filter(|_| !numbered).map_or(key.to_owned(), |name| format!("\"{name}\""));
        self.is_new &= !self.guest.text.contains(&name);
        let line = format!("{}.parameter({group}, {key}, {init});", beside.net);
        self.after(&beside.statement, &line)
    }

    /// A statement behind another one.
    pub fn after(mut self, statement: &Range<usize>, code: &str) -> Self {
        let indent = self.indent(statement.start);
        self.edits
            .push(Edit::insert(statement.end, format!("\n{indent}{}", code.replace('\n', &format!("\n{indent}")))));
        self
    }

    /// A statement before another one.
    pub fn before(mut self, statement: &Range<usize>, code: &str) -> Self {
        let indent = self.indent(statement.start);
        self.edits
            .push(Edit::insert(statement.start, format!("{}\n{indent}", code.replace('\n', &format!("\n{indent}")))));
        self
    }

    /// Code before and behind a place.
    pub fn wrap(mut self, place: &Range<usize>, before: impl Into<String>, after: impl Into<String>) -> Self {
        self.edits.push(Edit::insert(place.start, before));
        self.edits.push(Edit::insert(place.end, after));
        self
    }

    /// Code behind a place.
    pub fn append(mut self, place: &Range<usize>, code: impl Into<String>) -> Self {
        self.edits.push(Edit::insert(place.end, code));
        self
    }

    pub fn replace(mut self, place: &Range<usize>, code: impl Into<String>) -> Self {
        self.edits.push(Edit { range: place.clone(), text: code.into() });
        self
    }

    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Marks the change as not new where `applied`.
    pub fn unless(mut self, applied: bool) -> Self {
        self.is_new &= !applied;
        self
    }

    /// The change, if it is new.
    pub fn done(self, description: impl Into<String>) -> Option<Change> {
        (self.is_new && !self.edits.is_empty()).then(|| Change { description: description.into(), edits: self.edits })
    }

    fn before_exports(mut self, text: &str) -> Self {
        let exports =
            self.guest.file.items.iter().find(|item| matches!(item, Item::Macro(m) if m.mac.path.is_ident("guest")));
        match exports {
            Some(item) => self.edits.push(Edit::insert(edit::range(item).start, format!("{}\n\n", text.trim_end()))),
            None => self.is_new = false,
        }
        self
    }

    /// Where a constant goes, and whether a new line begins there.
    fn after_constants(&self) -> (usize, bool) {
        let items = &self.guest.file.items;
        let last = items.iter().rev().find(|item| matches!(item, Item::Const(c) if c.ident != "_"));
        let last = last.or_else(|| items.iter().rev().find(|item| matches!(item, Item::Use(_))));
        let Some(last) = last else {
            return (items.first().map_or(0, |item| edit::range(item).start), true);
        };
        let end = edit::range(last).end;
        let rest = self.guest.text.get(end..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        // A comment in the same line belongs to the constant.
        (if line.trim_start().starts_with("//") { end + line.len() } else { end }, false)
    }

    fn indent(&self, at: usize) -> String {
        let before = self.guest.text.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.chars().take_while(|c| c.is_whitespace()).collect()
    }
}

/// Whether two items differ only in documentation and layout.
pub fn same_code(a: &str, b: &str) -> bool {
    let code = |text: &str| -> String {
        text.lines().filter(|line| !line.trim_start().starts_with("///")).flat_map(str::split_whitespace).collect()
    };
    code(a) == code(b)
}
