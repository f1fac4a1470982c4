//! Elements by dtype, and moving them by width alone.

/// Elements to read; bf16 and f16 are their bits, a bool is 0 or 1.
#[allow(missing_docs, reason = "each variant is named for its dtype")]
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
    Bf16(&'a [u16]),
    F16(&'a [u16]),
    U8(&'a [u8]),
    I64(&'a [i64]),
    Bool(&'a [u8]),
}

/// Elements to write.
#[allow(missing_docs, reason = "each variant is named for its dtype")]
#[derive(Debug)]
pub enum ElementsMut<'a> {
    F32(&'a mut [f32]),
    U32(&'a mut [u32]),
    Bf16(&'a mut [u16]),
    F16(&'a mut [u16]),
    U8(&'a mut [u8]),
    I64(&'a mut [i64]),
    Bool(&'a mut [u8]),
}

/// Runs the last argument with the given name standing for an element type of `$dtype`'s width, which is all that moves
/// of elements depend on.
macro_rules! by_width {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::spec::DType::U8 | $crate::spec::DType::Bool => {
                type $T = u8;
                $body
            }
            $crate::spec::DType::Bf16 | $crate::spec::DType::F16 => {
                type $T = u16;
                $body
            }
            $crate::spec::DType::F32 | $crate::spec::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::spec::DType::I64 => {
                type $T = i64;
                $body
            }
        }
    };
}
pub(super) use by_width;
