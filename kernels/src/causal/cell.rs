//! What is known of one element, and how elements become one.

use crate::spec::DType;

/// A row that stands for several.
const MANY: u16 = u16::MAX;

/// A set of tokens, as far as a proof tells them apart: a row and its first positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The row, or [`MANY`].
    row: u16,
    /// One past the latest position; 0 for no token.
    end: u16,
}

impl Reach {
    /// No token.
    pub const NONE: Self = Self { row: 0, end: 0 };
    /// Any token.
    pub const ALL: Self = Self { row: MANY, end: u16::MAX };
    /// Most rows and positions that can be told apart.
    pub const LIMIT: u32 = u16::MAX as u32 - 1;

    /// The token of a row at a position, both below [`Reach::LIMIT`].
    pub fn token(row: u32, position: u32) -> Self {
        Self { row: row as u16, end: position as u16 + 1 }
    }

    /// Both sets.
    pub fn and(self, other: Self) -> Self {
        match (self.end, other.end) {
            (_, 0) => self,
            (0, _) => other,
            (a, b) => Self { row: if self.row == other.row { self.row } else { MANY }, end: a.max(b) },
        }
    }

    /// Whether there is no token in it.
    pub fn is_none(self) -> bool {
        self.end == 0
    }

    /// The latest position; `None` for no token.
    pub fn latest(self) -> Option<u32> {
        u32::from(self.end).checked_sub(1)
    }

    /// The row of its tokens, if it is one.
    pub fn row(self) -> Option<u16> {
        (self.end > 0 && self.row != MANY).then_some(self.row)
    }

    /// Whether all its tokens are of this row.
    pub fn is_within(self, row: u32) -> bool {
        self.is_none() || u32::from(self.row) == row
    }

    /// The same tokens, as far as they are of this row (where `row` is given) and not after `position`.
    pub fn cut(self, row: Option<u32>, position: Option<u32>) -> Self {
        let end = position.map_or(self.end, |position| self.end.min(position as u16 + 1));
        match row {
            Some(row) if self.row == MANY => Self { row: row as u16, end },
            Some(row) if !self.is_within(row) => Self::NONE,
            _ => Self { end, ..self },
        }
    }
}

/// What is known of one element for all texts and all values of the named state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It has this value, whose bits these are (see `known`). A zero may have either sign.
    Known(u64),
    /// It depends on no token.
    Free,
    /// It was made of tokens.
    Reads {
        /// It depends on no other tokens than these.
        may: Reach,
        /// Of these it depends by a way that no stored or soft mask could close: what makes a verdict.
        sure: Reach,
    },
}

impl Cell {
    /// The sign of a zero, or an index beyond a table: nothing is known.
    pub const ANYTHING: Self = Self::Reads { may: Reach::ALL, sure: Reach::NONE };

    /// A known zero of any dtype.
    pub const ZERO: Self = Self::Known(0);

    /// A token itself.
    pub fn token(row: u32, position: u32) -> Self {
        let reach = Reach::token(row, position);
        Self::Reads { may: reach, sure: reach }
    }

    /// The tokens it may depend on.
    pub fn may(self) -> Reach {
        if let Self::Reads { may, .. } = self { may } else { Reach::NONE }
    }

    /// The tokens it surely depends on.
    pub fn sure(self) -> Reach {
        if let Self::Reads { sure, .. } = self { sure } else { Reach::NONE }
    }

    /// Any function of both.
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Reads { may, sure }, Self::Reads { may: more, sure: surely }) => {
                Self::Reads { may: may.and(more), sure: sure.and(surely) }
            }
            (reads @ Self::Reads { .. }, _) | (_, reads @ Self::Reads { .. }) => reads,
            _ => Self::Free,
        }
    }

    /// A product of both, neither known to be zero. One that a soft mask may have closed could hide the other.
    pub fn times(self, other: Self) -> Self {
        let seen_past = |by: Self, cell: Self| if by.may() == by.sure() { cell } else { cell.unsure() };
        seen_past(other, self).with(seen_past(self, other))
    }

    /// The sum of both, one of which may be a known zero.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::ZERO, x) | (x, Self::ZERO) => x,
            (a, b) => a.with(b),
        }
    }

    /// The same, of which nothing is sure.
    pub fn unsure(self) -> Self {
        match self {
            Self::Reads { may, .. } => Self::Reads { may, sure: Reach::NONE },
            other => other,
        }
    }

    /// Whether its value is known.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Whether it is known to be zero; of floats, of either sign.
    pub fn is_zero(self, dtype: DType) -> bool {
        let Self::Known(bits) = self else { return false };
        match dtype {
            DType::F32 => bits & 0x7fff_ffff == 0,
            DType::Bf16 | DType::F16 => bits & 0x7fff == 0,
            DType::U32 | DType::U8 | DType::I64 | DType::Bool => bits == 0,
        }
    }

    /// Its value, if it is a known f32.
    pub fn f32(self, dtype: DType) -> Option<f32> {
        match (self, dtype) {
            (Self::Known(bits), DType::F32) => Some(f32::from_bits(bits as u32)),
            _ => None,
        }
    }
}
