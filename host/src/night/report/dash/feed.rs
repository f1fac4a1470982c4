//! Looks at the store a few times a second, for all clients together.

use crate::night::report::dash::error::DashError;
use crate::night::report::watch::{News, PAUSE, Watcher};
use std::path::PathBuf;
use tokio::sync::watch;

/// Begins to look. It ends when nobody listens any more.
///
/// # Errors
/// If there is a store that cannot be read.
pub fn start(dir: PathBuf) -> Result<watch::Receiver<News>, DashError> {
    let mut watcher = Watcher::new(dir);
    let mut news = watcher.first()?;
    let (send, receive) = watch::channel(news.clone());
    std::thread::spawn(move || {
        while !send.is_closed() {
            std::thread::sleep(PAUSE);
            watcher.again(&mut news);
            send.send_if_modified(|told| {
                let is_new = *told != news;
                told.clone_from(&news);
                is_new
            });
        }
    });
    Ok(receive)
}
