//! How many operands an op takes, and of which dtypes. Arithmetic is done in f32 and in integers; bf16 and f16 are
//! moved, cast and multiplied.

use crate::spec::DType;

/// A set of dtypes, a bit for each code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtypes(u8);

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// What it may be.
    pub dtypes: Dtypes,
    /// The operand whose dtype it must have too.
    pub like: Option<usize>,
}

/// All operands of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// As many as are listed.
    Each(&'static [Operand]),
    /// One or more, all of one dtype among these.
    Alike(Dtypes),
}

/// Why operands are not what an op takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another number of them.
    #[error("{wanted} operands are needed, {given} were given")]
    Count {
        /// How many the op takes.
        wanted: usize,
        /// How many there are.
        given: usize,
    },
    /// None, where one or more are joined.
    #[error("nothing to join; give at least one tensor")]
    Nothing,
    /// A dtype that the op does not take in this place.
    #[error("operand {place} is {given}, it must be {wanted}")]
    DType {
        /// The operand, counted from 1.
        place: usize,
        /// Its dtype.
        given: &'static str,
        /// What it may be.
        wanted: String,
    },
}

impl Operands {
    /// Whether operands of these dtypes, in order, are what the op takes.
    pub fn check(self, given: impl ExactSizeIterator<Item = DType> + Clone) -> Result<(), Misfit> {
        match self {
            Self::Each(operands) if operands.len() != given.len() => {
                return Err(Misfit::Count { wanted: operands.len(), given: given.len() });
            }
            Self::Alike(_) if given.len() == 0 => return Err(Misfit::Nothing),
            Self::Each(_) | Self::Alike(_) => {}
        }
        for (place, dtype) in given.clone().enumerate() {
            let Operand { dtypes, like } = match self {
                Self::Each(operands) => operands[place],
                Self::Alike(dtypes) => Operand { dtypes, like: Some(0) },
            };
            let twin = like.and_then(|place| given.clone().nth(place)).filter(|twin| *twin != dtype);
            let wanted = match twin {
                _ if !dtypes.has(dtype) => dtypes.names(),
                Some(twin) => twin.name().to_owned(),
                None => continue,
            };
            return Err(Misfit::DType { place: place + 1, given: dtype.name(), wanted });
        }
        Ok(())
    }
}

impl Dtypes {
    const fn of(list: &[DType]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < list.len() {
            bits |= 1 << list[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Whether the dtype is one of them.
    pub const fn has(self, dtype: DType) -> bool {
        self.0 >> dtype as u8 & 1 == 1
    }

    /// Their names, as a message lists them.
    pub fn names(self) -> String {
        let names: Vec<&str> = DType::ALL.into_iter().filter(|d| self.has(*d)).map(DType::name).collect();
        match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            names => names.concat(),
        }
    }
}

impl Operand {
    const fn of(list: &[DType]) -> Self {
        Self { dtypes: Dtypes::of(list), like: None }
    }

    /// The same, which must also have the dtype of the operand at `place`.
    pub(super) const fn like(self, place: usize) -> Self {
        Self { dtypes: self.dtypes, like: Some(place) }
    }
}

pub(super) const ANY: Operand = Operand::of(&DType::ALL);
pub(super) const F32: Operand = Operand::of(&[DType::F32]);
pub(super) const U32: Operand = Operand::of(&[DType::U32]);
pub(super) const BOOL: Operand = Operand::of(&[DType::Bool]);
pub(super) const FLOATS: Operand = Operand::of(&[DType::F32, DType::Bf16, DType::F16]);
pub(super) const INTEGERS: Operand = Operand::of(&[DType::U8, DType::U32, DType::I64]);
pub(super) const NUMBERS: Operand = Operand::of(&[DType::F32, DType::U8, DType::U32, DType::I64]);
pub(super) const NUMBERS_AND_BOOL: Operand = Operand::of(&[DType::F32, DType::U8, DType::U32, DType::I64, DType::Bool]);
pub(super) const BITS: Operand = Operand::of(&[DType::U8, DType::U32, DType::I64, DType::Bool]);
