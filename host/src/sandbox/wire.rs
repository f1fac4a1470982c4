//! Frames between parent and child: length (u32, little endian), version (u8), postcard. The reader treats the writer
//! as hostile: it never allocates for bytes that have not arrived, nor for more than the cap.

use crate::record::dry_run::DryRun;
use crate::record::outcome::Status;
use crate::sandbox::backend::Part;
use crate::sandbox::run_spec::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sampling, Trained};
use crate::system::walls::Walls;
use kernels::calibrate::Timing;
use kernels::cost::Rules;
use kernels::graph::Graph;
use kernels::session::NamedState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Changes with every change of a message's layout.
const VERSION: u8 = 5;
const HEADER_BYTES: usize = 5;
/// Bytes per read.
const PIECE_BYTES: usize = 1 << 16;

/// A job for a child.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are named as in the methods of the sandbox")]
pub enum Job {
    /// Test which walls work, and whether these files can be opened.
    Probe {
        files: Vec<PathBuf>,
    },
    /// Find what there is of the backend, without starting it.
    Look,
    /// Time operations of at most so many floating-point operations, counted by these rules.
    Time {
        rules: Rules,
        most_flops: u64,
    },
    /// Run without executing any op.
    DryRun {
        component: Vec<u8>,
        run: RunSpec,
    },
    /// Train.
    Train {
        component: Vec<u8>,
        run: RunSpec,
        text: Vec<u16>,
        resume: Option<Resume>,
    },
    Evaluate {
        component: Vec<u8>,
        run: RunSpec,
        state: NamedState,
        input: EvalInput,
    },
    /// Record one `forward` without executing it.
    Graph {
        component: Vec<u8>,
        run: RunSpec,
        state: NamedState,
    },
    /// Draw text.
    Sample {
        component: Vec<u8>,
        run: RunSpec,
        state: NamedState,
        how: Sampling,
    },
}

impl Job {
    /// The settings of the job's run, if it has one.
    pub fn run(&self) -> Option<&RunSpec> {
        match self {
            Self::Probe { .. } | Self::Look | Self::Time { .. } => None,
            Self::DryRun { run, .. }
            | Self::Train { run, .. }
            | Self::Evaluate { run, .. }
            | Self::Graph { run, .. }
            | Self::Sample { run, .. } => Some(run),
        }
    }
}

/// A message from a child. Each one except `Progress` and `Token` ends the conversation.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The child could not start the job.
    Failed(Status),
    /// Which walls work, and the numerics class of the backend.
    Probed {
        walls: Walls,
        class: String,
    },
    Parts(Vec<Part>),
    Timed(Result<Vec<Timing>, Status>),
    /// Sent during training.
    Progress(Progress),
    /// Sent during sampling.
    Token(u16),
    /// The dry run ended.
    DryRun(Box<Result<DryRun, Status>>),
    /// Training ended.
    Trained(Box<Trained>),
    /// Evaluation ended.
    Evaluated(Evaluated),
    /// The graph of `forward`; `None` if it depends on values.
    Graph(Box<Result<Option<Graph>, Status>>),
    /// Sampling ended.
    Sampled(Result<(), Status>),
}

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other side closed the connection.
    #[error("the connection ended")]
    Ended,
    /// A system call failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Announced length in bytes.
        length: u64,
        /// Allowed length in bytes.
        limit: u64,
    },
    /// Another version wrote the frame.
    #[error("frame version {0}, this is version {VERSION}: parent and child must be one binary")]
    Version(u8),
    /// The frame does not hold a valid message.
    #[error("frame: {0}")]
    Malformed(#[from] postcard::Error),
}

/// Writes one frame.
///
/// # Errors
/// Fails if the connection fails, or for a message of 4 GiB or more.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<(), WireError> {
    let body = postcard::to_allocvec(message)?;
    let too_long = |_| WireError::TooLong { length: body.len() as u64, limit: u64::from(u32::MAX) };
    let length = u32::try_from(body.len()).map_err(too_long)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&[VERSION])?;
    to.write_all(&body)?;
    Ok(to.flush()?)
}

/// Reads frames from a connection whose reads may time out in the middle of a frame.
#[derive(Debug)]
pub struct Frames {
    limit: u64,
    patience: Option<Duration>,
    held: Vec<u8>,
}

impl Frames {
    /// Accepts frames of at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, patience: None, held: Vec::new() }
    }

    /// Lets [`Frames::next`] return after this time, also while bytes trickle in.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The next message, or `None` if the read timeout or the patience ended first. Bytes of a partial frame are kept.
    ///
    /// # Errors
    /// See [`WireError`]. After an error, the connection cannot be used again.
    pub fn next<T: DeserializeOwned>(&mut self, from: &mut impl Read) -> Result<Option<T>, WireError> {
        if !self.fill(from, HEADER_BYTES)? {
            return Ok(None);
        }
        let &[a, b, c, d, version, ..] = self.held.as_slice() else {
            return Ok(None);
        };
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        if length > self.limit {
            return Err(WireError::TooLong { length, limit: self.limit });
        }
        let end = HEADER_BYTES + length as usize;
        if !self.fill(from, end)? {
            return Ok(None);
        }
        let message = postcard::from_bytes(self.held.get(HEADER_BYTES..end).unwrap_or_default())?;
        self.held.clear();
        Ok(Some(message))
    }

    /// Reads until `length` bytes are available. Returns false if time ran out first.
    fn fill(&mut self, from: &mut impl Read, length: usize) -> Result<bool, WireError> {
        let began = Instant::now();
        let mut piece = [0; PIECE_BYTES];
        while self.held.len() < length {
            if self.patience.is_some_and(|patience| began.elapsed() > patience) {
                return Ok(false);
            }
            let wanted = (length - self.held.len()).min(PIECE_BYTES);
            match from.read(&mut piece[..wanted]) {
                Ok(0) => return Err(WireError::Ended),
                Ok(count) => self.held.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(message: &Report) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(&mut bytes, message).unwrap();
        bytes
    }

    #[test]
    fn the_limit_is_exact() {
        let bytes = frame(&Report::Token(7));
        let body = (bytes.len() - HEADER_BYTES) as u64;
        assert!(matches!(Frames::new(body).next(&mut bytes.as_slice()), Ok(Some(Report::Token(7)))));
        assert!(matches!(Frames::new(body - 1).next::<Report>(&mut bytes.as_slice()), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut frames = Frames::new(u64::from(u32::MAX));
        let hostile = [0xff, 0xff, 0xff, 0xff, VERSION, 0];
        assert!(matches!(frames.next::<Report>(&mut hostile.as_slice()), Err(WireError::Ended)));
        assert!(frames.held.capacity() < 1 << 10);
    }

    #[test]
    fn a_frame_that_trickles_in_does_not_hold_its_reader() {
        struct Trickle(std::vec::IntoIter<u8>);
        impl Read for Trickle {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                std::thread::sleep(Duration::from_millis(2));
                into.iter_mut().zip(self.0.next()).for_each(|(to, byte)| *to = byte);
                Ok(1)
            }
        }
        let mut from = Trickle(frame(&Report::Token(7)).into_iter());
        let mut frames = Frames::new(100).within(Duration::from_millis(1));
        let mut waits = 0;
        let message = loop {
            match frames.next::<Report>(&mut from).unwrap() {
                Some(message) => break message,
                None => waits += 1,
            }
        };
        assert!(matches!(message, Report::Token(7)) && waits > 2, "{waits}");
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = frame(&Report::Token(7));
        bytes[4] = 9;
        assert!(matches!(Frames::new(100).next::<Report>(&mut bytes.as_slice()), Err(WireError::Version(9))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.push(VERSION);
            framed.extend(bytes);
            let _ = Frames::new(1 << 20).next::<Report>(&mut framed.as_slice());
        }
    }
}
