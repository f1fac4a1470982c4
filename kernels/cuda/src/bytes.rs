//! Values and their bytes on a device, which are little-endian.

use kernels::spec::{DType, Values};

/// The bytes of values.
pub fn of_values(values: &Values) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.extend_le_bytes(&mut bytes);
    bytes
}

/// Values of a dtype from their bytes, NaN made canonical.
pub fn to_values(dtype: DType, bytes: &[u8]) -> Values {
    fn each<const N: usize, T>(bytes: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks().0.iter().map(|chunk| make(*chunk)).collect()
    }
    // A half is NaN above its infinity.
    let half = |infinity: u16, nan: u16| {
        move |bytes: [u8; 2]| {
            let bits = u16::from_le_bytes(bytes);
            if bits & 0x7fff > infinity { nan } else { bits }
        }
    };
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x };
    match dtype {
        DType::F32 => Values::F32(each(bytes, |x| canonical(f32::from_le_bytes(x)))),
        DType::U32 => Values::U32(each(bytes, u32::from_le_bytes)),
        DType::Bf16 => Values::Bf16(each(bytes, half(0x7f80, 0x7fc0))),
        DType::F16 => Values::F16(each(bytes, half(0x7c00, 0x7e00))),
        DType::U8 => Values::U8(bytes.to_vec()),
        DType::I64 => Values::I64(each(bytes, i64::from_le_bytes)),
        DType::Bool => Values::Bool(bytes.iter().map(|x| *x != 0).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_nan_is_canonical() {
        for values in [
            Values::F32(vec![1.5, -0.0, f32::INFINITY]),
            Values::U32(vec![7, u32::MAX]),
            Values::Bf16(vec![0x7f80, 0xff80, 0x8001]),
            Values::F16(vec![0x7c00, 0xfc00, 0x0001]),
            Values::U8(vec![0, 255]),
            Values::I64(vec![i64::MIN, -1]),
            Values::Bool(vec![true, false]),
        ] {
            assert_eq!(to_values(values.dtype(), &of_values(&values)), values);
        }
        let nan = to_values(DType::F32, &of_values(&Values::F32(vec![f32::from_bits(0xffc0_1234)])));
        assert!(matches!(nan, Values::F32(x) if x[0].to_bits() == f32::NAN.to_bits()));
        assert_eq!(to_values(DType::Bf16, &[0x81, 0xff]), Values::Bf16(vec![0x7fc0]));
        assert_eq!(to_values(DType::F16, &[0x01, 0xfc]), Values::F16(vec![0x7e00]));
    }
}
