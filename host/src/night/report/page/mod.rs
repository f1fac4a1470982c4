//! The report of a night as one HTML file that needs nothing else: no network, no other files. It shows what is in it
//! without scripts; a script adds sorting, filters and the details of each trial.
//!
//! `read` makes a [`Page`] of what the store has, and names what it has lost. `html` writes it, section by section:
//! `champion`, `lineage`, `search` (with `moved`, `sealed` and `lanes`), `trials`, `compare`; `view` is what a reader
//! of a served page has chosen, `tiles` what such a page shows first. `edits` keeps sources as changes of their
//! parents, `clock` says when runs ran, `plane` is under small charts. `page.html`, `page.css` and `page.js` are the
//! file's own. `policy` lets a browser run these, and nothing else. Untrusted words are made harmless by `read`, those
//! of the picture by `svg`. They reach the file through `element`, which escapes them.

mod champion;
mod clock;
mod compare;
mod content;
mod edits;
mod element;
mod html;
mod lanes;
mod lineage;
mod moved;
mod plane;
mod policy;
mod read;
mod sealed;
mod search;
#[cfg(test)]
mod tests;
mod tiles;
mod trials;
mod view;

pub use content::{Entry, Page};
pub use element::{Cell, escaped, table};
pub use html::{Section, Served, compared, live, report, whole};
pub use read::{Details, details};
pub use view::View;
