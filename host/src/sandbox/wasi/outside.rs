//! What a guest finds outside of the contract: its random bytes, and what it has written.

use crate::system::sanitize;

/// Bytes of a guest's output that are kept, the last ones. A traceback ends with its reason.
const KEPT_BYTES: usize = 2000;
/// Domain of the random bytes, apart from those of tensors.
const RANDOM: &str = "lab 2026-11 wasi randomness v1";

pub struct Outside {
    random_seed: u64,
    random: Option<blake3::OutputReader>,
    wrote: Vec<u8>,
}

/// The last words of a guest, as the context of the error that ended it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrote(pub String);

impl Outside {
    pub fn new(random_seed: u64) -> Self {
        Self { random_seed, random: None, wrote: Vec::new() }
    }

    /// Fills the buffer with random bytes: the next ones of a stream that the experiment's random seed decides.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let seed = self.random_seed.to_le_bytes();
        let start = || blake3::Hasher::new_derive_key(RANDOM).update(&seed).finalize_xof();
        self.random.get_or_insert_with(start).fill(bytes);
    }

    /// Whether the guest has drawn random bytes. Then its behaviour depends on the random seed.
    pub fn is_random(&self) -> bool {
        self.random.is_some()
    }

    /// Keeps the end of what the guest writes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.wrote.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT_BYTES)..]);
        let surplus = self.wrote.len().saturating_sub(KEPT_BYTES);
        self.wrote.drain(..surplus);
    }

    /// The error that ended the guest, with what it wrote before.
    pub fn explain(&mut self, error: wasmtime::Error) -> wasmtime::Error {
        if self.wrote.is_empty() {
            return error;
        }
        let text = sanitize::printable(&String::from_utf8_lossy(&std::mem::take(&mut self.wrote)));
        error.context(Wrote(text.trim_end().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_follow_from_the_seed_in_pieces_of_any_size() {
        let drawn = |seed, sizes: &[usize]| {
            let mut outside = Outside::new(seed);
            assert!(!outside.is_random());
            let mut all = Vec::new();
            for size in sizes {
                let mut bytes = vec![0; *size];
                outside.fill(&mut bytes);
                all.extend(bytes);
            }
            assert!(outside.is_random());
            all
        };
        assert_eq!(drawn(1, &[8, 1, 55]), drawn(1, &[64]));
        assert_ne!(drawn(1, &[64]), drawn(2, &[64]));
    }

    #[test]
    fn the_end_of_the_output_is_kept() {
        let mut outside = Outside::new(0);
        for _ in 0..1000 {
            outside.write(b"many words ");
        }
        outside.write(&[b'x'; 3 * KEPT_BYTES]);
        outside.write(b"\x1b[2Jthe reason\n");
        let error = outside.explain(wasmtime::Trap::UnreachableCodeReached.into());
        let Wrote(text) = error.downcast_ref().unwrap();
        assert!(text.starts_with("xxx") && text.ends_with("x\\u{1b}[2Jthe reason"), "{text}");
        assert!(error.is::<wasmtime::Trap>(), "the cause is still there");
        assert!(!outside.explain(wasmtime::Trap::OutOfFuel.into()).is::<Wrote>());
    }
}
