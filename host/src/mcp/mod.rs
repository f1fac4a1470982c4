//! `host mcp`: the lab as an MCP server over standard input and output, so that a coding agent can run the whole loop:
//! read, dry-run, try, learn. One process per client; any number of them share a store, and take turns at training.
//!
//! ```text
//! server   the protocol: tools, progress, cancellation (async)
//! call     what can be asked for: names, schemas, arguments
//! lab      what answers: the bench, the store, the night (blocking, one thread a call)
//! reply    how answers and problems read
//! ```
//!
//! Nothing here prints; standard output belongs to the protocol.

mod call;
pub mod init;
mod lab;
mod reply;
mod serve;
mod server;

pub use lab::Settings;
pub use serve::{McpError, serve};
