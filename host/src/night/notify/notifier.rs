//! The thread that delivers messages.

use crate::night::event::Event;
use crate::night::notify::message::Message;
use crate::night::notify::send::send;
use crate::policy::Notify;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Messages that may wait. More are dropped: a server that answers so slowly would get them much too late.
const WAITING: usize = 64;

/// How long the end of a night waits for messages. What is not delivered then is given up.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// Delivers the messages of a night.
pub struct Notifier {
    config: Notify,
    queue: Option<SyncSender<Message>>,
    failures: Receiver<String>,
    thread: Option<JoinHandle<()>>,
    /// When the night has ended: the time until which messages are delivered.
    until: Arc<OnceLock<Instant>>,
}

impl Notifier {
    pub fn start(config: &Notify) -> Self {
        let (queue, inbox) = sync_channel::<Message>(WAITING);
        let (failed, failures) = channel();
        let until = Arc::new(OnceLock::new());
        let thread = config.is_set().then(|| {
            let (config, until) = (config.clone(), until.clone());
            std::thread::spawn(move || {
                for message in inbox {
                    if until.get().is_some_and(|until| *until < Instant::now()) {
                        let _ = failed.send("messages of `[notify]` were given up at the end of the night".into());
                        break;
                    }
                    for failure in send(&config, &message) {
                        let _ = failed.send(failure);
                    }
                }
            })
        });
        Self { config: config.clone(), queue: thread.is_some().then_some(queue), failures, thread, until }
    }

    /// Tells an event, if it is one that is told.
    pub fn hear(&self, event: &Event) {
        if let Some(message) = Message::of(event) {
            self.tell(message);
        }
    }

    pub fn tell(&self, message: Message) {
        if let Some(queue) = self.queue.as_ref().filter(|_| self.config.on.contains(&message.event)) {
            // Whoever reads slowly misses some.
            let _ = queue.try_send(message);
        }
    }

    /// What could not be delivered since the last call, and why.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.failures.try_iter()
    }

    /// Delivers what waits, for a minute, and returns what could not be delivered.
    pub fn finish(mut self) -> Vec<String> {
        self.queue = None;
        let _ = self.until.set(Instant::now() + LAST_WAIT);
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        let panicked = panicked.then(|| "the messages of `[notify]` stopped: their thread panicked".to_owned());
        self.failures.try_iter().chain(panicked).collect()
    }
}
