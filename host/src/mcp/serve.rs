//! Serves one client over standard input and output until the client closes them.

use crate::mcp::lab::{Lab, Settings};
use crate::mcp::server::Server;
use rmcp::transport::async_rw::AsyncRwTransport;
use std::io;

/// Maximum length of a line from a client. rmcp drops longer lines without a reply. The limit is far above the maximum
/// size of a source, so a source that is too large still gets an answer.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Why a server ended early.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The runtime with its timers could not start.
    #[error("the server could not start: {0}")]
    Runtime(#[from] io::Error),
    /// The client does not speak MCP, or left during the greeting.
    #[error("no MCP client on standard input ({0}); an agent's configuration starts this command, see `host init`")]
    Greeting(String),
    #[error("the server failed: {0}")]
    Failed(String),
}

/// Serves one client until it leaves. Calls that still run are then cancelled and not recorded.
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
    // A pending read of standard input must not keep the process alive.
    runtime.shutdown_background();
    served
}
