//! Demands, and the constants by which they are counted.

use crate::op::Class;

/// Floating-point operations of a product that run at the rate of [`Class::ProductSmall`]: packing and splitting over
/// threads pay only later. A bracket, as in taxes, so that a larger product never costs less.
pub const SMALL_PRODUCT: u64 = 1 << 22;

/// Rows and columns of a product are computed in whole tiles of this size, which makes thin products dear.
pub const TILE: u64 = 8;

/// Attention is computed in vectors of this many channels of a head.
pub const LANES: u64 = 16;

/// Operations that finding a row takes, where values move row by row …
pub const MOVED_ROW: u64 = 25;
/// … and where operands are broadcast.
pub const BROADCAST_ROW: u64 = 300;

/// Demands of an op on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whose rates apply.
    pub class: Class,
    /// Floating-point operations, for reports: a product of m×k and k×n has 2·m·k·n.
    pub flops: u64,
    /// Operations that are priced: `flops` with whole tiles in products, weighted for transcendental functions.
    pub work: u64,
    /// Bytes read and written.
    pub bytes: u64,
}
