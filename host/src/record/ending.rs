//! How a trial ends.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Serialize, Serializer};

/// How a trial ended: the verdict that users read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The new champion.
    Keep,
    /// Worse than the champion.
    Discard,
    /// No gain is proven.
    Noise,
    /// Trained on one random seed and compared, but not judged.
    Screened,
    /// Tried before.
    Same,
    /// Never trained: the parser, the compiler, the component check or the dry run refused it.
    Refused,
    /// The guest failed during training or evaluation.
    Failed,
    /// The host could not finish the trial. This says nothing about the mutation.
    HostFault,
}

impl Ending {
    pub const ALL: [Self; 8] = [
        Self::Keep,
        Self::Discard,
        Self::Noise,
        Self::Screened,
        Self::Same,
        Self::Refused,
        Self::Failed,
        Self::HostFault,
    ];

    /// The name in the log and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Discard => "discard",
            Self::Noise => "noise",
            Self::Screened => "screened",
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::HostFault => "host-fault",
        }
    }

    /// Whether the mutation was refused, or failed, or could not be finished. Such a trial has no score.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Refused | Self::Failed | Self::HostFault)
    }
}

impl Serialize for Ending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl ToSql for Ending {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Ending {
    /// Reads a name from a newer version as a host fault, because a host fault decides nothing.
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Ok(Self::ALL.into_iter().find(|ending| ending.name() == name).unwrap_or(Self::HostFault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Ending {
        Ending::column_result(ValueRef::Text(value.as_bytes())).unwrap()
    }

    #[test]
    fn every_ending_is_read_as_it_was_written() {
        for ending in Ending::ALL {
            assert_eq!(read(ending.name()), ending);
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.name());
        }
    }

    #[test]
    fn a_name_of_another_version_decides_nothing_and_other_types_are_damage() {
        assert_eq!(read("promising"), Ending::HostFault);
        assert!(Ending::column_result(ValueRef::Integer(1)).is_err());
    }
}
