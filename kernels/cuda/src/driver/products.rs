//! Matrix products by cuBLASLt: sums in f32 without TF32, in one order, by the algorithm that was first chosen for a
//! shape.

use crate::plan::Product;
use cudarc::cublaslt::{result, sys};
use cudarc::driver::sys::{CUdeviceptr, CUstream};
use kernels::fault::Fault;
use kernels::spec::DType;
use std::collections::BTreeMap;
use std::ffi::c_void;

/// Sizes, dtype and flags of a product, on which its algorithm depends.
type Key = ([u32; 5], [bool; 4]);

/// The library, and the algorithms that are in use.
pub struct Products {
    handle: sys::cublasLtHandle_t,
    algorithms: BTreeMap<Key, sys::cublasLtMatmulAlgo_t>,
}

// SAFETY: the handle may be used by any thread, one at a time, as `&mut self` sees to.
unsafe impl Send for Products {}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: it was made by `create_handle` and is destroyed here alone. There is nothing to do about an error.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// What the library calls fail with.
fn failed(error: result::CublasError) -> Fault {
    Fault::Executor(format!("cuBLASLt: {error:?}"))
}

/// A description that is destroyed with it.
struct Owned<T: Copy>(T, unsafe fn(T) -> Result<(), result::CublasError>);

impl<T: Copy> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it was made by the function that goes with this one, and is destroyed here alone.
        let _ = unsafe { (self.1)(self.0) };
    }
}

/// A matrix in memory as the library sees it: column-major, so that rows and columns change places.
fn layout(
    dtype: DType,
    [rows, columns]: [u32; 2],
    batch: u32,
    shared: bool,
) -> Result<Owned<sys::cublasLtMatrixLayout_t>, Fault> {
    let kind = match dtype {
        DType::F32 => sys::cudaDataType::CUDA_R_32F,
        DType::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        DType::F16 => sys::cudaDataType::CUDA_R_16F,
        other => return Err(Fault::Executor(format!("no products of {}", other.name()))),
    };
    let made = result::create_matrix_layout(kind, columns.into(), rows.into(), columns.into()).map_err(failed)?;
    let layout = Owned(made, result::destroy_matrix_layout);
    let step = if shared { 0 } else { i64::from(rows) * i64::from(columns) };
    let batch = batch.cast_signed();
    // SAFETY: the layout lives, and the attributes are an i32 and an i64.
    unsafe {
        use sys::cublasLtMatrixLayoutAttribute_t as Attribute;
        let (count, offset) =
            (Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
        result::set_matrix_layout_attribute(layout.0, count, (&raw const batch).cast(), size_of_val(&batch))
            .map_err(failed)?;
        result::set_matrix_layout_attribute(layout.0, offset, (&raw const step).cast(), size_of_val(&step))
            .map_err(failed)?;
    }
    Ok(layout)
}

/// Sums in f32; the factors in the library's order.
fn description(transposes: [bool; 2]) -> Result<Owned<sys::cublasLtMatmulDesc_t>, Fault> {
    let (sums, scale) = (sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, sys::cudaDataType::CUDA_R_32F);
    let description = Owned(result::create_matmul_desc(sums, scale).map_err(failed)?, result::destroy_matmul_desc);
    use sys::cublasLtMatmulDescAttributes_t as Attribute;
    let places = [Attribute::CUBLASLT_MATMUL_DESC_TRANSA, Attribute::CUBLASLT_MATMUL_DESC_TRANSB];
    for (place, transposed) in places.into_iter().zip(transposes) {
        let transposed = i32::from(transposed);
        // SAFETY: the description lives, and the attribute is an i32: 0 for none, 1 for a transpose.
        unsafe {
            result::set_matmul_desc_attribute(description.0, place, (&raw const transposed).cast(), 4)
                .map_err(failed)?;
        }
    }
    Ok(description)
}

/// No sum is split over blocks, so that there is one order of terms.
fn preference(workspace: usize) -> Result<Owned<sys::cublasLtMatmulPreference_t>, Fault> {
    let preference = Owned(result::create_matmul_pref().map_err(failed)?, result::destroy_matmul_pref);
    let whole = 0u32;
    // SAFETY: the preference lives, and the attributes are a usize and a u32.
    unsafe {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let most = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        result::set_matmul_pref_attribute(preference.0, most, (&raw const workspace).cast(), size_of_val(&workspace))
            .map_err(failed)?;
        let split = Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
        result::set_matmul_pref_attribute(preference.0, split, (&raw const whole).cast(), size_of_val(&whole))
            .map_err(failed)?;
    }
    Ok(preference)
}

impl Products {
    /// The context is the thread's.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self { handle: result::create_handle().map_err(failed)?, algorithms: BTreeMap::new() })
    }

    /// Of the library.
    pub fn version() -> usize {
        // SAFETY: it takes nothing.
        unsafe { sys::cublasLtGetVersion() }
    }

    /// c = a′·b′ in row-major order is cᵀ = b′ᵀ·a′ᵀ in the library's.
    ///
    /// # Safety The places have what the product reads and writes, the workspace its bytes, and they stay until the
    /// stream is done.
    pub unsafe fn multiply(
        &mut self,
        product: &Product,
        [a, b, c]: [CUdeviceptr; 3],
        (workspace, bytes): (CUdeviceptr, usize),
        stream: CUstream,
    ) -> Result<(), Fault> {
        let Product { dtype, batch, m, n, k, transpose_a, transpose_b, shared_b, add, .. } = *product;
        let stored =
            |[rows, columns]: [u32; 2], transposed: bool| if transposed { [columns, rows] } else { [rows, columns] };
        let layout_a = layout(dtype, stored([m, k], transpose_a), batch, false)?;
        let layout_b = layout(dtype, stored([k, n], transpose_b), batch, shared_b)?;
        let layout_c = layout(DType::F32, [m, n], batch, false)?;
        let description = description([transpose_b, transpose_a])?;
        let key = ([dtype as u32, batch, m, n, k], [transpose_a, transpose_b, shared_b, add]);
        let algorithm = match self.algorithms.get(&key) {
            Some(algorithm) => *algorithm,
            None => {
                let preference = preference(bytes)?;
                let (d, x, y, z) = (description.0, layout_b.0, layout_a.0, layout_c.0);
                // SAFETY: all descriptions live.
                let found = unsafe {
                    result::get_matmul_algo_heuristic(self.handle, d, x, y, z, z, preference.0).map_err(failed)?
                };
                self.algorithms.insert(key, found.algo);
                found.algo
            }
        };
        let (alpha, beta) = (1.0f32, if add { 1.0f32 } else { 0.0 });
        let at = |pointer: CUdeviceptr| pointer as *mut c_void;
        // SAFETY: all descriptions live, and the caller answers for the places.
        unsafe {
            result::matmul(
                self.handle,
                description.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                at(b),
                layout_b.0,
                at(a),
                layout_a.0,
                at(c),
                layout_c.0,
                at(c),
                layout_c.0,
                &raw const algorithm,
                at(workspace),
                bytes,
                stream.cast(),
            )
            .map_err(failed)
        }
    }
}
