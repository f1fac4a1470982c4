//! How an experiment ended, in three kinds, with the names and codes that are stored.

use kernels::session::{LogPoint, Totals};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Trained and scored.
    Completed,
    /// The guest did something wrong; it would again.
    GuestFault {
        /// What.
        kind: GuestFault,
        /// In words: the op, shapes, the guest's line. Not part of any hash.
        message: String,
    },
    /// The host could not finish; says nothing about the guest and is never deduplicated.
    HostFault {
        /// What.
        kind: HostFault,
        /// In words.
        message: String,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::GuestFault { kind, message } => write!(f, "{kind}: {message}"),
            Self::HostFault { kind, message } => write!(f, "{kind}: {message}"),
        }
    }
}

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])+ #[serde(rename = $text)] $variant = $code,)+ }

        impl $name {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name users see; stable.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The number that enters canonical encodings; stable.
            pub const fn code(self) -> u8 {
                self as u8
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

kinds! {
    /// What a guest did wrong.
    GuestFault {
        /// The bytes are no valid component.
        InvalidComponent = 1 "invalid-component",
        /// Larger than the limit.
        ComponentTooLarge = 2 "component-too-large",
        /// Exports or imports of this contract are missing or differ.
        WrongWorld = 3 "wrong-world",
        /// Imports something that no guest may have; named in the message.
        ForbiddenImport = 4 "forbidden-import",
        /// Too many instructions, list elements or log bytes.
        FuelExhausted = 5 "fuel-exhausted",
        /// Linear memory or tables beyond the limit.
        MemoryLimit = 6 "memory-limit",
        /// Tensor bytes beyond the limit.
        TensorLimit = 7 "tensor-limit",
        /// More tensors or ops than allowed.
        CountLimit = 8 "count-limit",
        /// Went on past the budget's overdraft.
        BudgetExceeded = 9 "budget-exceeded",
        /// Shapes that an op cannot take.
        ShapeError = 10 "shape-error",
        /// A scalar operand, name or use that is not allowed.
        Misuse = 11 "misuse",
        /// A handle after its drop.
        StaleHandle = 12 "stale-handle",
        /// A graph that was freed or whose parameters have changed.
        StaleGraph = 13 "stale-graph",
        /// A gradient that does not exist.
        NoGradient = 14 "no-gradient",
        /// A value beyond its range at execution (an index, a target).
        BadValue = 15 "bad-value",
        /// The guest panicked.
        Panic = 16 "panic",
        /// Any other WASM trap.
        Trap = 17 "trap",
        /// Training ended without a single step.
        NoTraining = 18 "no-training",
        /// `forward` used what evaluation does not have.
        ForbiddenInForward = 19 "forbidden-in-forward",
        /// Logits of another shape than [rows, time, vocab].
        BadLogitShape = 20 "bad-eval: logit shape",
        /// NaN or infinite logits.
        NotFinite = 21 "bad-eval: not finite",
        /// Logits depend on tokens after their position.
        LooksAhead = 22 "bad-eval: looks ahead",
        /// Logits of a row depend on other rows.
        MixesRows = 23 "bad-eval: mixes rows",
        /// `forward` costs more per token than allowed.
        TooExpensive = 24 "bad-eval: too expensive",
        /// No better than the unigram distribution.
        NoLearning = 25 "bad-eval: no learning",
        /// The saved state is larger than the limit.
        StateTooLarge = 26 "state-too-large",
        /// Endless or very deep recursion. Where exactly it strikes depends on the machine's code.
        StackOverflow = 27 "stack-overflow",
        /// The logged loss is NaN or infinite.
        Diverged = 28 "diverged",
    }
}

kinds! {
    /// What kept the host from finishing.
    HostFault {
        /// The wall-clock backstop fired.
        Timeout = 1 "timeout",
        /// The child was killed by a signal (out of memory, by a person).
        Killed = 3 "killed",
        /// The child ended without a report.
        Crashed = 4 "crashed",
        /// The child's report made no sense.
        Protocol = 5 "protocol",
        /// The system refused something (a process, a descriptor, a file).
        System = 6 "system",
        /// Stopped by the user.
        Interrupted = 7 "interrupted",
    }
}

impl Status {
    /// A guest fault with its message.
    pub fn guest(kind: GuestFault, message: impl Into<String>) -> Self {
        Self::GuestFault { kind, message: message.into() }
    }

    /// A host fault with its message.
    pub fn host(kind: HostFault, message: impl Into<String>) -> Self {
        Self::HostFault { kind, message: message.into() }
    }

    /// Results are stored and deduplicated; host faults are not.
    pub fn is_result(&self) -> bool {
        !matches!(self, Self::HostFault { .. })
    }

    /// Short name: `completed`, or the fault's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::GuestFault { kind, .. } => kind.name(),
            Self::HostFault { kind, .. } => kind.name(),
        }
    }
}

/// A score on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Bits per byte over the raw bytes of the scored text.
    pub bpb: f64,
    /// Negative log-likelihood in nats of each chunk, in order: what paired comparisons use.
    pub chunk_nats: Vec<f64>,
    /// Raw bytes of each chunk.
    pub chunk_bytes: Vec<u32>,
}

/// What an experiment yields. Its hash covers everything but the status message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Score on the search split, where completed.
    pub score: Option<Score>,
    /// What the guest logged.
    pub curve: Vec<LogPoint>,
    /// What training counted.
    pub totals: Totals,
    /// Chain of interval hashes; the last one covers the final state.
    pub intervals: Vec<[u8; 32]>,
    /// Bits of the values that the guest read.
    pub read_log: Vec<u32>,
    /// blake3 of the encoded named state, where training ended well.
    pub state: Option<[u8; 32]>,
    /// Fuel that training used.
    pub fuel: u64,
}
