//! How an experiment ended, with the names and codes that are stored.

use crate::system::sanitize;
use kernels::session::{LogPoint, Totals};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest message of a status in characters. It may hold words of a guest or of a child.
const MAX_MESSAGE: usize = 4000;

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Trained and scored.
    Completed,
    /// The guest did something wrong. Running it again has the same result.
    GuestFault {
        kind: GuestFault,
        /// Describes the op, shapes and the guest's line. Not part of any hash.
        message: String,
    },
    /// The host could not finish. This says nothing about the guest, and is never deduplicated.
    HostFault { kind: HostFault, message: String },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::GuestFault { kind, message } if message.is_empty() => write!(f, "{kind}"),
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
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that users see. It never changes.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The number in canonical encodings. It never changes.
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
        /// The bytes are not a valid component.
        InvalidComponent = 1 "invalid-component",
        /// Larger than the limit.
        ComponentTooLarge = 2 "component-too-large",
        /// Imports or exports of the contract are missing or differ.
        WrongWorld = 3 "wrong-world",
        /// The component imports something that guests may not have; the message names it.
        ForbiddenImport = 4 "forbidden-import",
        /// Too many instructions, list elements or log bytes.
        FuelExhausted = 5 "fuel-exhausted",
        /// Linear memory or tables beyond the limit.
        MemoryLimit = 6 "memory-limit",
        /// Tensor bytes beyond the limit.
        TensorLimit = 7 "tensor-limit",
        /// More tensors or ops than allowed.
        CountLimit = 8 "count-limit",
        /// Exceeded the budget and its overdraft.
        BudgetExceeded = 9 "budget-exceeded",
        /// Shapes that an op does not accept.
        ShapeError = 10 "shape-error",
        /// A scalar operand, name or use that is not allowed.
        Misuse = 11 "misuse",
        /// A handle was used after its drop.
        StaleHandle = 12 "stale-handle",
        /// The graph was freed, or its parameters have changed.
        StaleGraph = 13 "stale-graph",
        /// A gradient that does not exist.
        NoGradient = 14 "no-gradient",
        /// A value is out of range at execution, such as an index or a target.
        BadValue = 15 "bad-value",
        /// The guest panicked.
        Panic = 16 "panic",
        /// Any other WASM trap.
        Trap = 17 "trap",
        /// Training ended without a single step.
        NoTraining = 18 "no-training",
        /// `forward` used something that evaluation does not provide.
        ForbiddenInForward = 19 "forbidden-in-forward",
        /// The shape of the logits is not [rows, time, vocab].
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
        /// Endless or very deep recursion. The exact point depends on the machine's code.
        StackOverflow = 27 "stack-overflow",
        /// The logged loss is NaN or infinite.
        Diverged = 28 "diverged",
        /// Fewer training tokens than the policy demands. It refuses a trial and ends no run.
        TooLittleTraining = 29 "too-little-training",
        /// The policy wants a proof that no logit reads a later token or another row, and there is none.
        NotProved = 30 "bad-eval: not proved",
    }
}

impl GuestFault {
    /// The kind with whose name a reason begins.
    pub fn that_begins(reason: &str) -> Option<Self> {
        let named = Self::ALL.iter().copied().filter(|kind| reason.starts_with(kind.name()));
        named.max_by_key(|kind| kind.name().len())
    }
}

kinds! {
    /// Why the host could not finish.
    HostFault {
        /// The wall-clock backstop fired.
        Timeout = 1 "timeout",
        /// A signal killed the child, because of memory or a person.
        Killed = 3 "killed",
        /// The child ended without a report.
        Crashed = 4 "crashed",
        /// The child's report was malformed.
        Protocol = 5 "protocol",
        /// The system refused a process, a descriptor or a file.
        System = 6 "system",
        /// Stopped by the user.
        Interrupted = 7 "interrupted",
    }
}

fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE { message } else { sanitize::cut(&message, MAX_MESSAGE, " … (cut)") }
}

impl Status {
    /// A guest fault with its message.
    pub fn guest(kind: GuestFault, message: impl Into<String>) -> Self {
        Self::GuestFault { kind, message: shortened(message.into()) }
    }

    /// A host fault with its message.
    pub fn host(kind: HostFault, message: impl Into<String>) -> Self {
        Self::HostFault { kind, message: shortened(message.into()) }
    }

    /// A guest fault without its message. Other statuses stay.
    #[must_use]
    pub fn without_words(self) -> Self {
        match self {
            Self::GuestFault { kind, .. } => Self::guest(kind, ""),
            other => other,
        }
    }

    /// The status as a process may tell it that is not trusted to keep its message short.
    #[must_use]
    pub fn shortened(self) -> Self {
        match self {
            Self::Completed => Self::Completed,
            Self::GuestFault { kind, message } => Self::guest(kind, message),
            Self::HostFault { kind, message } => Self::host(kind, message),
        }
    }

    /// Whether this is a result. Results are stored and deduplicated; host faults are not.
    pub fn is_result(&self) -> bool {
        !matches!(self, Self::HostFault { .. })
    }

    /// Short name: `completed`, or the name of the fault.
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
    /// Negative log-likelihood of each chunk in nats, in order. Paired comparisons use it.
    pub chunk_nats: Vec<f64>,
    /// Raw bytes of each chunk.
    pub chunk_bytes: Vec<u32>,
}

/// The outcome of an experiment. Its hash covers everything but the status message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub status: Status,
    /// Score on the search split, if completed.
    pub score: Option<Score>,
    /// What the guest logged.
    pub curve: Vec<LogPoint>,
    /// Counters of training.
    pub totals: Totals,
    /// Chain of interval hashes. The last one covers the final state.
    pub intervals: Vec<[u8; 32]>,
    /// Bits of the values that the guest read.
    pub read_log: Vec<u32>,
    /// BLAKE3 of the encoded named state, if training completed.
    pub state: Option<[u8; 32]>,
    /// Fuel that training used.
    pub fuel: u64,
}
