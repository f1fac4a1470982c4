//! Serves one client over standard input and output until it closes them.

use crate::mcp::lab::{Lab, Settings};
use crate::mcp::server::Server;
use rmcp::transport::async_rw::AsyncRwTransport;
use std::io;

/// Longest line from a client: rmcp drops longer ones without a reply, so that what is only too large for a source is well
/// below it and gets an answer.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Why a server ended other than by its client's leave.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// No threads or timers.
    #[error("the server could not start: {0}")]
    Runtime(#[from] io::Error),
    /// The client is no MCP client, or left during the greeting.
    #[error("no MCP client on standard input ({0}); an agent's configuration starts this command, see `host init`")]
    Greeting(String),
    /// The server's own task failed.
    #[error("the server failed: {0}")]
    Failed(String),
}

/// Serves one client on standard input and output until it leaves. What it was waiting for is then given up, unrecorded.
///
/// # Errors
/// See [`McpError`].
pub fn serve(settings: Settings) -> Result<(), McpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let served = runtime.block_on(async {
        let server = Server::new(Lab::new(settings));
        let transport = AsyncRwTransport::new_server(tokio::io::stdin(), tokio::io::stdout());
        let transport = transport.with_max_line_length(MAX_LINE_BYTES);
        let running = rmcp::serve_server(server.clone(), transport).await;
        let running = running.map_err(|error| McpError::Greeting(error.to_string()))?;
        let ended = running.waiting().await;
        server.rest().await;
        ended.map(drop).map_err(|error| McpError::Failed(error.to_string()))
    });
    // A read of standard input that is still waiting must not hold the process.
    runtime.shutdown_background();
    served
}
