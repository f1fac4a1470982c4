//! The nights of a store as live pages for browsers on this machine. May not propose, train, judge, or write anything.
//!
//! ```text
//! serve    listens, and bounds what clients may take
//! routes   addresses, and who may ask for them
//! events   tells clients that something is new
//! feed     one look at the store for all clients, a few times a second
//! reader   pages of nights, read once for each state of the store
//! frame    what a page has around the report: links to other nights, its state, the script `dash.js`
//! ```
//!
//! What a page shows, and how, is the report's: see [`page`](crate::night::report::page). A client that learns of
//! something new asks for its page again, and puts what differs into its place.

mod error;
mod events;
mod feed;
mod frame;
mod reader;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use error::DashError;
pub use serve::{PORT, Server};
