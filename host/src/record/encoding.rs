//! The canonical encoding: the bytes that are hashed into keys, and the form in which outcomes and states are stored.
//! Pure; depends on nothing.
//!
//! - Integers are little-endian and of fixed width. Lengths and counts are u64.
//! - Strings and byte strings are their length and then their bytes; sequences are their count and then their elements.
//! - An option is the byte 0, or the byte 1 and the value. An enum is its code (one byte) and then its fields.
//! - A struct is its fields without names or padding. The documentation of each encoder gives their order.
//! - Floats are the bits of the value; every NaN is the positive quiet NaN without payload.
//!
//! Each value has exactly one encoding, and [`Decoder`] refuses all others. It never allocates more than a small
//! multiple of the bytes it was given, so it can read untrusted bytes.

const NAN32: u32 = 0x7fc0_0000;
const NAN64: u64 = 0x7ff8_0000_0000_0000;

/// Bits of a float with the one canonical NaN.
pub fn canonical_f32(value: f32) -> u32 {
    if value.is_nan() { NAN32 } else { value.to_bits() }
}

/// Bits of a float with the one canonical NaN.
pub fn canonical_f64(value: f64) -> u64 {
    if value.is_nan() { NAN64 } else { value.to_bits() }
}

/// Writes the canonical encoding.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte: an enum code or a boolean.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn f32(&mut self, value: f32) {
        self.u32(canonical_f32(value));
    }

    pub fn f64(&mut self, value: f64) {
        self.u64(canonical_f64(value));
    }

    /// A count; its elements follow.
    pub fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    /// Length and bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Length and UTF-8 bytes.
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn hash(&mut self, value: &[u8; 32]) {
        self.bytes.extend_from_slice(value);
    }

    /// An option; `write` writes the value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }

    /// The bytes written so far.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Why bytes are not a canonical encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of {total}: {reason}")]
pub struct DecodeError {
    /// Offset of the error from the beginning.
    pub offset: usize,
    /// Length of the whole input.
    pub total: usize,
    pub reason: &'static str,
}

/// Reads the canonical encoding.
pub struct Decoder<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// An error at the current offset.
    pub fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError { offset: self.total - self.rest.len(), total: self.total, reason }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.error("the bytes end too early"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("a flag that is neither 0 nor 1")),
        }
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn f32(&mut self) -> Result<f32, DecodeError> {
        let bits = self.u32()?;
        let value = f32::from_bits(bits);
        if canonical_f32(value) == bits { Ok(value) } else { Err(self.error("a NaN that is not canonical")) }
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        let bits = self.u64()?;
        let value = f64::from_bits(bits);
        if canonical_f64(value) == bits { Ok(value) } else { Err(self.error("a NaN that is not canonical")) }
    }

    /// A count of elements of at least `size` bytes each, no larger than the remaining bytes can hold.
    pub fn count(&mut self, size: usize) -> Result<usize, DecodeError> {
        let count = self.u64()?;
        usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(size).is_some_and(|bytes| bytes <= self.rest.len()))
            .ok_or_else(|| self.error("a count beyond the end of the bytes"))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.count(1)?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.error("the bytes end too early"))?;
        self.rest = rest;
        Ok(head)
    }

    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.error("a string that is not UTF-8"))
    }

    pub fn hash(&mut self) -> Result<[u8; 32], DecodeError> {
        self.take()
    }

    /// A sequence whose elements take at least `size` bytes each.
    pub fn sequence<T>(
        &mut self,
        size: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        (0..self.count(size)?).map(|_| read(self)).collect()
    }

    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Fails if bytes are left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_on_the_wire() {
        let mut e = Encoder::new();
        e.u32(1);
        e.str("ab");
        e.option(Some(2u8), Encoder::u8);
        e.option(None::<u8>, Encoder::u8);
        e.f64(-f64::NAN);
        assert_eq!(e.finish(), [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 1, 2, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]);
    }

    #[test]
    fn hostile_counts_are_refused_before_any_allocation() {
        let huge = u64::MAX.to_le_bytes();
        assert!(Decoder::new(&huge).count(1).is_err());
        assert!(Decoder::new(&huge).bytes().is_err());
        assert!(Decoder::new(&huge).sequence(8, Decoder::u64).is_err());
        assert!(Decoder::new(&[0, 0, 0x80, 0xff]).f32().is_ok(), "minus infinity");
        assert!(Decoder::new(&[1, 0, 0x80, 0xff]).f32().is_err(), "a NaN with a payload");
        assert!(Decoder::new(&[2]).bool().is_err());
        assert_eq!(Decoder::new(&[1]).finish().unwrap_err().offset, 0);
    }
}
