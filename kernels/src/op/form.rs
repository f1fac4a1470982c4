//! Classes of ops, and the two forms that most ops have: one element of the result for each of the operands', or one
//! row.

use crate::named::named;

named! {
    /// Kind of op with speeds of its own; named in profiles and reports.
    Class {
        /// Attention and its gradient.
        Attention = 0 "attention",
        /// Moves values, or only renames them (reshape).
        Copy = 1 "copy",
        /// One output element per input element.
        Elementwise = 2 "elementwise",
        /// Rows and elements picked or added by index.
        Gather = 3 "gather",
        /// Cross-entropy, softmax, logsumexp.
        Loss = 4 "loss",
        /// Norms and rotary embedding.
        Norm = 5 "norm",
        /// In-place updates.
        Optimizer = 6 "optimizer",
        /// A matrix product beyond its first [`SMALL_PRODUCT`](crate::cost::SMALL_PRODUCT) operations.
        Product = 7 "product",
        /// A matrix product's first [`SMALL_PRODUCT`](crate::cost::SMALL_PRODUCT) operations.
        ProductSmall = 8 "product-small",
        /// Random numbers.
        Random = 9 "random",
        /// Sums, extremes, running sums, sorting.
        Reduction = 10 "reduction",
    }
}

/// How an op treats its operands. Shapes, price and cut of the first two follow from it; the others have rules of their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Operands of one shape; each element of the result is made of those in its place, by this many operations.
    Elements(u64),
    /// Operands of one shape; each row along the last axis is made of those in its place, by this many operations of
    /// the class for each element.
    Rows(Class, u64),
    /// None of these.
    Own,
}
