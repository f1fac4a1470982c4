//! Serves one client over standard input and output until the client closes them, or a signal ends the server.

use crate::mcp::lab::{Lab, Settings};
use crate::mcp::server::Server;
use crate::mcp::wire::Wire;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

/// Calls that run at a signal get this long to end in order.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// Serves one client until it leaves, or until a signal (SIGINT, SIGTERM, SIGHUP). Calls that have not answered are
/// then cancelled and not recorded. Calls that answered early are judged to their end when the client leaves; after a
/// signal they stop, and the next night tries their sources. A second signal ends the server at once.
///
/// # Errors
/// See [`McpError`].
pub fn serve(settings: Settings) -> Result<(), McpError> {
    let mut signals = signals()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let served = runtime.block_on(async {
        let server = Server::new(Lab::new(settings));
        let running = tokio::select! {
            running = rmcp::serve_server(server.clone(), Wire::open()) => running,
            _ = signals.recv() => return Ok(()),
        };
        let running = running.map_err(|error| McpError::Greeting(error.to_string()))?;
        let token = running.cancellation_token();
        let ended = running.waiting();
        tokio::pin!(ended);
        let ended = tokio::select! {
            ended = &mut ended => ended,
            _ = signals.recv() => {
                token.cancel();
                server.stop();
                tokio::select! {
                    _ = tokio::time::timeout(PATIENCE, async { drop(ended.await); server.rest().await }) => {}
                    _ = signals.recv() => {}
                }
                return Ok(());
            }
        };
        tokio::select! {
            () = server.rest() => {}
            _ = signals.recv() => {
                server.stop();
                let _ = tokio::time::timeout(PATIENCE, server.rest()).await;
            }
        }
        ended.map(drop).map_err(|error| McpError::Failed(error.to_string()))
    });
    // Work that did not end in time must not keep the process alive.
    runtime.shutdown_background();
    served
}

/// The signals that end the server, as they come.
fn signals() -> io::Result<mpsc::UnboundedReceiver<()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (send, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if send.send(()).is_err() {
                return;
            }
        }
    });
    Ok(received)
}
