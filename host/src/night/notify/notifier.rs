//! The thread that delivers messages.

use crate::night::event::Event;
use crate::night::notify::message::Message;
use crate::night::notify::send::send;
use crate::policy::Notify;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

/// Messages that may wait. More are dropped: a server that answers so slowly would get them much too late.
const WAITING: usize = 64;

/// Delivers the messages of a night.
pub struct Notifier {
    config: Notify,
    queue: Option<SyncSender<Message>>,
    failures: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Notifier {
    pub fn start(config: &Notify) -> Self {
        let (queue, inbox) = sync_channel::<Message>(WAITING);
        let (failed, failures) = channel();
        let thread = config.is_set().then(|| {
            let config = config.clone();
            std::thread::spawn(move || {
                for message in inbox {
                    for failure in send(&config, &message) {
                        let _ = failed.send(failure);
                    }
                }
            })
        });
        Self { config: config.clone(), queue: thread.is_some().then_some(queue), failures, thread }
    }

    /// Tells an event, if it is one that is told.
    pub fn hear(&self, event: &Event) {
        if let Some(message) = Message::of(event) {
            self.tell(message);
        }
    }

    pub fn tell(&self, message: Message) {
        let queue = self.queue.as_ref().filter(|_| self.config.on.contains(&message.event));
        match queue.map(|queue| queue.try_send(message)) {
            // Whoever reads slowly misses some.
            None | Some(Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => {}
        }
    }

    /// What could not be delivered since the last call, and why.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.failures.try_iter()
    }

    /// Delivers what waits, and returns what could not be delivered. Each delivery has a time limit.
    pub fn finish(mut self) -> Vec<String> {
        self.queue = None;
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        let panicked = panicked.then(|| "the messages of `[notify]` stopped: their thread panicked".to_owned());
        self.failures.try_iter().chain(panicked).collect()
    }
}
