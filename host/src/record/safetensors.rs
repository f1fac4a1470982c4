//! Named tensors as a file in the safetensors format, which other programs read.

use kernels::session::NamedState;
use kernels::spec::{DType, Shape, Values};
pub use safetensors::SafeTensorError;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// The tensors of a model, by their names.
///
/// # Errors
/// Values do not fit their shape.
pub fn of_state(state: &NamedState) -> Result<Vec<u8>, SafeTensorError> {
    encode(state.tensors.iter().map(|(name, _, spec, values)| (name.clone(), &spec.shape, values)))
}

/// Tensors by name. The bytes do not depend on their order.
///
/// # Errors
/// As [`of_state`].
pub fn encode<'a>(
    tensors: impl IntoIterator<Item = (String, &'a Shape, &'a Values)>,
) -> Result<Vec<u8>, SafeTensorError> {
    let held = tensors.into_iter().map(|(name, shape, values)| {
        let mut bytes = Vec::new();
        values.extend_le_bytes(&mut bytes);
        let shape: Vec<usize> = shape.dims().iter().map(|&size| size as usize).collect();
        (name, dtype(values.dtype()), shape, bytes)
    });
    let held: Vec<_> = held.collect();
    let views = held.iter().map(|(name, dtype, shape, bytes)| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.clone(), view))
    });
    serialize(views.collect::<Result<Vec<_>, _>>()?, None)
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::U32 => Dtype::U32,
        DType::Bf16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::U8 => Dtype::U8,
        DType::I64 => Dtype::I64,
        DType::Bool => Dtype::BOOL,
    }
}
