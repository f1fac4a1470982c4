//! `host mcp`: the lab as an MCP server over standard input and output. A coding agent can run the whole loop with it:
//! read, dry-run, try, learn. Each client has its own process. Any number of processes share a store and take turns at
//! training. May import every room except `sandbox` and `cli`. Start with `lab`.
//!
//! ```text
//! init     sets up the folder that an agent works in
//! serve    one client over standard input and output
//! wire     lines of JSON-RPC, and what is wrong with a line
//! server   the protocol: tools, progress, cancellation (async)
//! call     names, schemas and arguments of the tools
//! lab      answers calls: the bench, the store, the night (blocking, one thread per call)
//! reply    the form of answers and problems
//! ```
//!
//! Nothing here prints, because standard output belongs to the protocol.

mod call;
pub mod init;
mod lab;
mod reply;
mod serve;
mod server;
mod wire;

pub use lab::Settings;
pub use serve::{McpError, serve};
