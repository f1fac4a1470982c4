//! The canonical encoding of named state. Its BLAKE3 is both the state hash and the name of its blob.

use crate::record::encoding::{DecodeError, Decoder, Encoder};
use kernels::session::NamedState;
use kernels::spec::{DType, Shape, Spec, Values};

/// Why a named state cannot be encoded. States come from child processes and are checked in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The list of tensors is not in strict order of name.
    #[error("tensor `{0}` is named twice or out of order")]
    Order(String),
    /// The values don't fit the declared shape and dtype.
    #[error("tensor `{name}` is declared {spec} but holds {found} values of {held:?}")]
    Values {
        name: String,
        /// The declared spec.
        spec: Spec,
        /// Number of values found.
        found: usize,
        /// Type of the values found.
        held: DType,
    },
}

/// Count, then for each tensor in order of name: name, 1 if it is a parameter (0: a buffer), dtype, count of axes,
/// sizes as u32, and the values, row-major; a bool is 0 or 1.
pub fn encode_state(state: &NamedState) -> Result<Vec<u8>, StateError> {
    let mut e = Encoder::new();
    e.count(state.tensors.len());
    let mut previous: Option<&str> = None;
    for (name, parameter, spec, values) in &state.tensors {
        if previous.is_some_and(|previous| previous >= name.as_str()) {
            return Err(StateError::Order(name.clone()));
        }
        previous = Some(name);
        if !values.fill(spec) {
            let (found, held) = (values.len(), values.dtype());
            return Err(StateError::Values { name: name.clone(), spec: spec.clone(), found, held });
        }
        e.str(name);
        e.u8(u8::from(*parameter));
        e.u8(spec.dtype as u8);
        e.count(spec.shape.rank());
        spec.shape.dims().iter().for_each(|size| e.u32(*size));
        match values {
            Values::F32(values) => values.iter().for_each(|value| e.f32(*value)),
            Values::U32(values) => values.iter().for_each(|value| e.u32(*value)),
            Values::Bf16(values) | Values::F16(values) => values.iter().for_each(|value| e.u16(*value)),
            Values::U8(values) => values.iter().for_each(|value| e.u8(*value)),
            Values::I64(values) => values.iter().for_each(|value| e.u64(*value as u64)),
            Values::Bool(values) => values.iter().for_each(|value| e.u8(u8::from(*value))),
        }
    }
    Ok(e.finish())
}

/// Reads the bytes of [`encode_state`] and refuses anything else.
pub fn decode_state(bytes: &[u8]) -> Result<NamedState, DecodeError> {
    let mut d = Decoder::new(bytes);
    let mut state = NamedState::default();
    for _ in 0..d.count(19)? {
        let name = d.str()?.to_owned();
        if state.tensors.last().is_some_and(|(previous, ..)| *previous >= name) {
            return Err(d.error("a tensor that is named twice or out of order"));
        }
        let parameter = d.bool()?;
        let code = d.u8()?;
        let dtype = DType::ALL.into_iter().find(|dtype| *dtype as u8 == code);
        let dtype = dtype.ok_or_else(|| d.error("an unknown dtype"))?;
        let dims = d.sequence(4, Decoder::u32)?;
        let shape = Shape::new(&dims).map_err(|_| d.error("sizes that are no shape"))?;
        let values = match dtype {
            DType::F32 => Values::F32(values(&mut d, &shape, Decoder::f32)?),
            DType::U32 => Values::U32(values(&mut d, &shape, Decoder::u32)?),
            DType::Bf16 => Values::Bf16(values(&mut d, &shape, half::<0x7f80, 0x7fc0>)?),
            DType::F16 => Values::F16(values(&mut d, &shape, half::<0x7c00, 0x7e00>)?),
            DType::U8 => Values::U8(values(&mut d, &shape, Decoder::u8)?),
            DType::I64 => Values::I64(values(&mut d, &shape, |d| Ok(d.u64()? as i64))?),
            DType::Bool => Values::Bool(values(&mut d, &shape, Decoder::bool)?),
        };
        state.tensors.push((name, parameter, Spec { shape, dtype }, values));
    }
    d.finish()?;
    Ok(state)
}

/// The bits of a bf16 or f16. The parameters give its infinity and its NaN; any other NaN is refused.
fn half<const INFINITY: u16, const NAN: u16>(d: &mut Decoder<'_>) -> Result<u16, DecodeError> {
    let bits = d.u16()?;
    let nan = bits & 0x7fff > INFINITY;
    if nan && bits != NAN { Err(d.error("a NaN that is not canonical")) } else { Ok(bits) }
}

/// Reads values one by one, so that a declared shape alone never makes it allocate.
fn values<'a, T>(
    d: &mut Decoder<'a>,
    shape: &Shape,
    read: fn(&mut Decoder<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut values = Vec::new();
    for _ in 0..shape.elements() {
        values.push(read(d)?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::key::Hash;
    use proptest::prelude::*;

    fn tensor(name: &str, dims: &[u32], values: Values) -> (String, bool, Spec, Values) {
        let dtype = if matches!(values, Values::F32(_)) { DType::F32 } else { DType::U32 };
        (name.into(), dtype == DType::F32, Spec { shape: Shape::new(dims).unwrap(), dtype }, values)
    }

    fn state() -> NamedState {
        let weights = Values::F32(vec![0.5, -0.0, f32::INFINITY, 1e-40, -2.0, 3.0]);
        NamedState { tensors: vec![tensor("head", &[2, 3], weights), tensor("seen", &[], Values::U32(vec![7]))] }
    }

    #[test]
    fn golden_vector() {
        assert_eq!(
            Hash::of(&encode_state(&state()).unwrap()).to_string(),
            "2b6ec9fbceb70db67f7c7828ef40ecee0a457d6292dc475d3c76d73de4382e63"
        );
    }

    #[test]
    fn all_nans_are_one() {
        let nan = |bits| NamedState { tensors: vec![tensor("x", &[], Values::F32(vec![f32::from_bits(bits)]))] };
        assert_eq!(encode_state(&nan(0x7fc0_0000)), encode_state(&nan(0xffc0_1234)));
    }

    #[test]
    fn a_lying_state_is_refused() {
        let mut twice = state();
        twice.tensors.push(tensor("seen", &[], Values::U32(vec![7])));
        assert_eq!(encode_state(&twice), Err(StateError::Order("seen".into())));
        let short = NamedState { tensors: vec![tensor("x", &[3], Values::F32(vec![1.0]))] };
        assert!(matches!(encode_state(&short), Err(StateError::Values { found: 1, .. })));
        let mut typed = state();
        typed.tensors[1].2.dtype = DType::F32;
        assert!(matches!(encode_state(&typed), Err(StateError::Values { held: DType::U32, .. })));
    }

    proptest! {
        #[test]
        fn states_read_as_they_are_written(names in proptest::collection::btree_set("\\PC{0,9}", 0..5), values: [u32; 4]) {
            let tensors = names.iter().map(|name| tensor(name, &[2, 2], Values::U32(values.to_vec()))).collect();
            let state = NamedState { tensors };
            prop_assert_eq!(decode_state(&encode_state(&state).unwrap()).unwrap(), state);
        }

        #[test]
        fn damage_is_an_error_or_another_state(at in 0usize..120, byte: u8, cut in 0usize..120) {
            let mut bytes = encode_state(&state()).unwrap();
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            if let Ok(read) = decode_state(&bytes) {
                prop_assert_eq!(encode_state(&read).unwrap(), bytes);
            }
        }
    }
}
