//! A machine that offers its cores: its name, and what it says of itself. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name in characters.
const MAX_CHARS: usize = 40;
/// Longest text of an offer in bytes.
pub const MAX_OFFER_BYTES: usize = 1 << 10;
/// Most runs at the same time that one machine is believed to make.
const MOST_JOBS: u32 = 1024;

/// Whether people can read a name and subjects can hold it: lower-case letters, digits and hyphens.
pub fn is_label(text: &str, most_chars: usize) -> bool {
    let is_legible = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_legible && (1..=most_chars).contains(&text.len())
}

/// The name of a machine in a swarm: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a machine is named with 1 to {MAX_CHARS} lower-case letters, digits and hyphens")]
pub struct MachineIdError;

impl MachineId {
    /// A name that begins with what people call the machine, and ends with digits that no other process has.
    pub fn of(name: &str, random: u32) -> Self {
        let legible = name.chars().map(|c| c.to_ascii_lowercase()).filter(|c| c.is_ascii_alphanumeric() || *c == '-');
        let legible: String = legible.take(MAX_CHARS - 9).collect();
        let legible = if legible.is_empty() { "machine".into() } else { legible };
        Self(format!("{legible}-{random:08x}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineId {
    type Err = MachineIdError;

    fn from_str(text: &str) -> Result<Self, MachineIdError> {
        if is_label(text, MAX_CHARS) { Ok(Self(text.into())) } else { Err(MachineIdError) }
    }
}

impl TryFrom<String> for MachineId {
    type Error = MachineIdError;

    fn try_from(text: String) -> Result<Self, MachineIdError> {
        text.parse()
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a machine says of itself, again every few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub machine: MachineId,
    /// Version of its program.
    pub version: String,
    /// Numerics class of its results.
    pub numerics: String,
    /// Number of runs that it makes at the same time.
    pub jobs: u32,
    /// How many of them are under way.
    pub busy: u32,
    /// It takes no more of them.
    pub is_draining: bool,
}

impl Offer {
    /// Reads an offer; `None` if it is longer than one is, or of another version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let offer: Self = (bytes.len() <= MAX_OFFER_BYTES).then(|| serde_json::from_slice(bytes).ok())??;
        (offer.jobs <= MOST_JOBS && offer.busy <= offer.jobs).then_some(offer)
    }

    /// How many runs of this class may be under way on it.
    pub fn room(&self, numerics: &str) -> usize {
        if self.is_draining || self.numerics != numerics { 0 } else { self.jobs as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_legible_and_fits_a_subject() {
        let named = MachineId::of("Zoë's Box.local", 7);
        assert_eq!(named.as_str(), "zosboxlocal-00000007");
        assert_eq!(MachineId::of("…", 7).as_str(), "machine-00000007");
        assert_eq!(MachineId::of(&"a".repeat(99), 7).as_str().len(), MAX_CHARS);
        assert_eq!(named.as_str().parse(), Ok(named));
        for wrong in ["", "a.b", "a b", "*", ">", "A", &"a".repeat(41)] {
            assert_eq!(wrong.parse::<MachineId>(), Err(MachineIdError), "{wrong}");
        }
    }

    #[test]
    fn an_offer_is_believed_within_limits() {
        let offer = |jobs, busy| Offer {
            machine: MachineId::of("desk", 1),
            version: "0.1.0".into(),
            numerics: "cpu-2".into(),
            jobs,
            busy,
            is_draining: false,
        };
        let read = |offer: &Offer| Offer::read(&serde_json::to_vec(offer).unwrap());
        assert_eq!(read(&offer(4, 1)), Some(offer(4, 1)));
        assert_eq!(read(&offer(4, 5)), None);
        assert_eq!(read(&offer(u32::MAX, 0)), None);
        assert_eq!(Offer::read(&[b' '; MAX_OFFER_BYTES + 1]), None);
        assert_eq!((offer(4, 1).room("cpu-2"), offer(4, 1).room("cpu-1")), (4, 0));
        assert_eq!(Offer { is_draining: true, ..offer(4, 1) }.room("cpu-2"), 0);
    }
}
