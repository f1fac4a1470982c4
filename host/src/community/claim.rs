//! A claim: what an experiment yields, for others to prove or refute.

use crate::community::error::FormError;
use crate::community::form::{Form, MAX_HEAD_BYTES, Reader, Writer};
use crate::community::purpose::Purpose;
use crate::record::evidence::Evidence;
use crate::record::key::TaskHash;

#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub evidence: Evidence,
    /// Bits per byte on the search split.
    pub bpb: f64,
}

impl Form for Claim {
    const PURPOSE: Purpose = Purpose::Claim;
    const MAX_BYTES: usize = MAX_HEAD_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("task", self.evidence.manifest.task);
        to.field("bpb", self.bpb);
        to.evidence(Some(&self.evidence));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        // The manifest has the task too, and the spelling is compared with it.
        from.value::<TaskHash>("task")?;
        let bpb: f64 = from.value("bpb")?;
        if !bpb.is_finite() || bpb <= 0.0 {
            return Err(from.wrong("bpb", "a finite number above 0 is expected"));
        }
        let evidence = from.evidence()?.ok_or_else(|| from.wrong("manifest", "a claim has an experiment"))?;
        Ok(Self { evidence, bpb })
    }
}
