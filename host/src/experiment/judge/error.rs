//! Why scores cannot be compared.

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JudgeError {
    /// The scores cover different text.
    #[error("the two scores cover different chunks ({0} and {1}, or other byte counts): score both on the same split")]
    ChunksDiffer(usize, usize),
    #[error("no scored chunks to compare: score both guests on at least two chunks")]
    TooFewChunks,
    /// A score is NaN or infinite.
    #[error("a score is not finite: leave such a run out of comparisons")]
    NotFinite,
}
