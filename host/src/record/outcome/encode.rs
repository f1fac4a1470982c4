//! The canonical encoding of an outcome. The store keeps these bytes, and the outcome hash covers them.

use crate::record::encoding::{DecodeError, Decoder, Encoder};
use crate::record::key::OutcomeHash;
use crate::record::outcome::status::{Outcome, Score, Status};
use crate::record::outcome::{GuestFault, HostFault};
use kernels::session::{LogPoint, Totals};

const COMPLETED: u8 = 0;
const GUEST_FAULT: u8 = 1;
const HOST_FAULT: u8 = 2;

impl Outcome {
    /// Hashes [`Outcome::encode`]. Two runs of one experiment must have the same hash.
    pub fn hash(&self) -> OutcomeHash {
        OutcomeHash::of(&self.encode())
    }

    /// Status (0 completed; 1 guest fault, 2 host fault, and the kind's code), score (bits per byte, nats of chunks,
    /// bytes of chunks), curve (step, key, value), totals, intervals, read log, state, fuel: each struct's fields in
    /// the order of declaration. The status message is left out, so that its wording may change without changing the
    /// result.
    pub fn encode(&self) -> Vec<u8> {
        let Self { status, score, curve, totals, intervals, read_log, state, fuel } = self;
        let mut e = Encoder::new();
        match status {
            Status::Completed => e.u8(COMPLETED),
            Status::GuestFault { kind, message: _ } => {
                e.u8(GUEST_FAULT);
                e.u8(kind.code());
            }
            Status::HostFault { kind, message: _ } => {
                e.u8(HOST_FAULT);
                e.u8(kind.code());
            }
        }
        e.option(score.as_ref(), |e, score| score.encode_into(e));
        e.count(curve.len());
        for LogPoint { step, key, value } in curve {
            e.u64(*step);
            e.str(key);
            e.f64(*value);
        }
        encode_totals(&mut e, totals);
        e.count(intervals.len());
        intervals.iter().for_each(|hash| e.hash(hash));
        e.count(read_log.len());
        read_log.iter().for_each(|bits| e.u32(*bits));
        e.option(state.as_ref(), Encoder::hash);
        e.u64(*fuel);
        e.finish()
    }

    /// Reads the bytes of [`Outcome::encode`]. `message` is the status message; it may be empty.
    pub fn decode(bytes: &[u8], message: &str) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let status = decode_status(&mut d, message)?;
        let outcome = Self {
            status,
            score: d.option(Score::decode_from)?,
            curve: d.sequence(24, |d| Ok(LogPoint { step: d.u64()?, key: d.str()?.to_owned(), value: d.f64()? }))?,
            totals: decode_totals(&mut d)?,
            intervals: d.sequence(32, Decoder::hash)?,
            read_log: d.sequence(4, Decoder::u32)?,
            state: d.option(Decoder::hash)?,
            fuel: d.u64()?,
        };
        d.finish()?;
        Ok(outcome)
    }
}

impl Score {
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        self.encode_into(&mut e);
        e.finish()
    }

    /// Reads the bytes of [`Score::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let score = Self::decode_from(&mut d)?;
        d.finish()?;
        Ok(score)
    }

    fn encode_into(&self, e: &mut Encoder) {
        let Self { bpb, chunk_nats, chunk_bytes } = self;
        e.f64(*bpb);
        e.count(chunk_nats.len());
        chunk_nats.iter().for_each(|nats| e.f64(*nats));
        e.count(chunk_bytes.len());
        chunk_bytes.iter().for_each(|bytes| e.u32(*bytes));
    }

    fn decode_from(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { bpb: d.f64()?, chunk_nats: d.sequence(8, Decoder::f64)?, chunk_bytes: d.sequence(4, Decoder::u32)? })
    }
}

fn decode_status(d: &mut Decoder<'_>, message: &str) -> Result<Status, DecodeError> {
    let tag = d.u8()?;
    if tag == COMPLETED {
        return Ok(Status::Completed);
    }
    let code = d.u8()?;
    let status = match tag {
        GUEST_FAULT => {
            GuestFault::ALL.iter().find(|kind| kind.code() == code).map(|kind| Status::guest(*kind, message))
        }
        HOST_FAULT => HostFault::ALL.iter().find(|kind| kind.code() == code).map(|kind| Status::host(*kind, message)),
        _ => None,
    };
    status.ok_or_else(|| d.error("an unknown status"))
}

fn encode_totals(e: &mut Encoder, totals: &Totals) {
    let Totals {
        ops,
        steps,
        tokens,
        flops,
        spent_ps,
        spent_by_class,
        parameters,
        buffers,
        peak_bytes,
        reads,
        op_hash,
        constant_bytes,
    } = totals;
    for count in [ops, steps, tokens, flops, spent_ps] {
        e.u64(*count);
    }
    e.count(spent_by_class.len());
    for (class, ps) in spent_by_class {
        e.str(class);
        e.u64(*ps);
    }
    for count in [parameters, buffers, peak_bytes, reads] {
        e.u64(*count);
    }
    e.hash(op_hash);
    e.u64(*constant_bytes);
}

fn decode_totals(d: &mut Decoder<'_>) -> Result<Totals, DecodeError> {
    Ok(Totals {
        ops: d.u64()?,
        steps: d.u64()?,
        tokens: d.u64()?,
        flops: d.u64()?,
        spent_ps: d.u64()?,
        spent_by_class: d.sequence(16, |d| Ok((d.str()?.to_owned(), d.u64()?)))?,
        parameters: d.u64()?,
        buffers: d.u64()?,
        peak_bytes: d.u64()?,
        reads: d.u64()?,
        op_hash: d.hash()?,
        constant_bytes: d.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn outcome() -> Outcome {
        Outcome {
            status: Status::Completed,
            score: Some(Score { bpb: 1.8096, chunk_nats: vec![90.5, 91.25], chunk_bytes: vec![128, 127] }),
            curve: vec![LogPoint { step: 1, key: "loss".into(), value: 5.5 }],
            totals: Totals {
                ops: 1,
                steps: 2,
                tokens: 3,
                flops: 4,
                spent_ps: 5,
                spent_by_class: vec![("matmul".into(), 6)],
                parameters: 7,
                buffers: 8,
                peak_bytes: 9,
                reads: 10,
                op_hash: [11; 32],
                constant_bytes: 12,
            },
            intervals: vec![[13; 32], [14; 32]],
            read_log: vec![15],
            state: Some([16; 32]),
            fuel: 17,
        }
    }

    #[test]
    fn golden_vectors() {
        assert_eq!(outcome().hash().to_string(), "6eb3926ca6c403432f1c52ec1a06e625cf3387718d851cd5b464cae032c2749b");
        let refused = Outcome {
            status: Status::guest(GuestFault::ShapeError, "any words"),
            score: None,
            curve: vec![],
            totals: Totals::default(),
            intervals: vec![],
            read_log: vec![],
            state: None,
            fuel: 0,
        };
        assert_eq!(refused.hash().to_string(), "52dee048a1d42545da299cfe331d4f612cd77cfaec4d8eb9fc867476573a6914");
    }

    #[test]
    fn everything_but_words_changes_the_hash() {
        let changes: &[fn(&mut Outcome)] = &[
            |_| (),
            |o| o.status = Status::guest(GuestFault::Panic, ""),
            |o| o.status = Status::guest(GuestFault::Trap, ""),
            |o| o.status = Status::host(HostFault::Timeout, ""),
            |o| o.score = None,
            |o| o.score.as_mut().unwrap().bpb = f64::from_bits(1.8096f64.to_bits() + 1),
            |o| o.score.as_mut().unwrap().chunk_nats[1] = f64::NAN,
            |o| o.score.as_mut().unwrap().chunk_bytes[0] += 1,
            |o| o.curve[0].step += 1,
            |o| o.curve[0].key.push('x'),
            |o| o.curve[0].value = -5.5,
            |o| o.totals.ops += 1,
            |o| o.totals.steps += 1,
            |o| o.totals.tokens += 1,
            |o| o.totals.flops += 1,
            |o| o.totals.spent_ps += 1,
            |o| o.totals.spent_by_class[0].0.push('x'),
            |o| o.totals.spent_by_class[0].1 += 1,
            |o| o.totals.parameters += 1,
            |o| o.totals.buffers += 1,
            |o| o.totals.peak_bytes += 1,
            |o| o.totals.reads += 1,
            |o| o.totals.op_hash[31] += 1,
            |o| o.totals.constant_bytes += 1,
            |o| o.intervals[1][0] += 1,
            |o| o.intervals.truncate(1),
            |o| o.read_log[0] += 1,
            |o| o.state = None,
            |o| o.fuel += 1,
        ];
        let hash = |change: &fn(&mut Outcome)| {
            let mut o = outcome();
            change(&mut o);
            o.hash()
        };
        assert_eq!(changes.iter().map(hash).collect::<BTreeSet<_>>().len(), changes.len());
        let worded = |words| Outcome { status: Status::guest(GuestFault::Panic, words), ..outcome() }.hash();
        assert_eq!(worded("one"), worded("two"));
    }

    #[test]
    fn outcomes_read_as_they_are_written() {
        let statuses = GuestFault::ALL
            .iter()
            .map(|kind| Status::guest(*kind, "why"))
            .chain(HostFault::ALL.iter().map(|kind| Status::host(*kind, "why")))
            .chain([Status::Completed]);
        for status in statuses {
            let o = Outcome { status, ..outcome() };
            assert_eq!(Outcome::decode(&o.encode(), "why").unwrap(), o);
        }
        let score = outcome().score.unwrap();
        assert_eq!(Score::decode(&score.encode()).unwrap(), score);
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_another_outcome(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = outcome().encode();
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Ok(read) = Outcome::decode(&bytes, "") {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
