//! One GPU and one stream on it, which does everything in order.

use super::cubins;
use super::libraries::{self, Library};
use super::products::Products;
use crate::device::{At, Device, Given};
use crate::plan::{BLOCK, Product};
use crate::source::{SOURCES, kernels_of};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DriverError, result, sys};
use cudarc::nvrtc::Ptx;
use kernels::fault::Fault;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes that products may use for themselves.
const WORKSPACE: usize = 32 << 20;

/// A card, its stream and its kernels.
pub struct Gpu {
    stream: Arc<CudaStream>,
    kernels: BTreeMap<&'static str, CudaFunction>,
    products: Products,
    workspace: Memory,
    class: &'static str,
}

/// Memory of a card. It is given back in the order of the stream, after what was told before.
pub struct Memory {
    pointer: sys::CUdeviceptr,
    stream: Arc<CudaStream>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.stream.context().bind_to_thread();
        // SAFETY: it was allocated on this stream and is given back here alone. There is nothing to do about an error.
        let _ = unsafe { result::free_async(self.pointer, self.stream.cu_stream()) };
    }
}

fn failed(error: DriverError) -> Fault {
    Fault::Executor(format!("CUDA: {error:?}"))
}

/// What is missing is named before anything is called.
fn missing_library() -> Result<(), Fault> {
    match libraries::all().iter().find(|library| !library.is_there) {
        Some(Library { name, remedy, .. }) => {
            Err(Fault::Executor(format!("{name} is not on the library path: {remedy}")))
        }
        None => Ok(()),
    }
}

impl Gpu {
    /// The card of a number. Kernels are compiled for it, or taken from the folder.
    pub fn open(number: usize, cubins_in: &Path) -> Result<Self, Fault> {
        missing_library()?;
        let context = CudaContext::new(number).map_err(failed)?;
        let stream = context.new_stream().map_err(failed)?;
        let (major, minor) = context.compute_capability().map_err(failed)?;
        let architecture = format!("sm_{major}{minor}");
        let compiler = cubins::version()?;
        let mut functions = BTreeMap::new();
        let mut hash = blake3::Hasher::new();
        for (name, text) in SOURCES {
            let cubin = cubins::cubin(name, &architecture, compiler, cubins_in)?;
            hash.update(blake3::hash(&cubin).as_bytes());
            let module = context.load_module(Ptx::from_binary(cubin)).map_err(failed)?;
            for kernel in kernels_of(text) {
                functions.insert(kernel, module.load_function(kernel).map_err(failed)?);
            }
        }
        let card = context.name().map_err(failed)?;
        let versions = format!("{card}\0{}\0{compiler:?}\0{}", driver_version()?, Products::version());
        let hash = hash.update(versions.as_bytes()).finalize().to_hex();
        // One for each card that is opened.
        let class = String::leak(format!("cuda-{architecture}-{}", &hash[..16]));
        let products = Products::new()?;
        let workspace = allocate(&stream, WORKSPACE as u64)?;
        Ok(Self { stream, kernels: functions, products, workspace, class })
    }

    /// Makes the context this thread's.
    fn bind(&self) -> Result<sys::CUstream, Fault> {
        self.stream.context().bind_to_thread().map_err(failed)?;
        Ok(self.stream.cu_stream())
    }
}

/// The newest version of CUDA that the driver runs.
pub(super) fn driver_version() -> Result<i32, Fault> {
    let mut version = 0;
    // SAFETY: it points to an integer that outlives the call.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(failed)?;
    Ok(version)
}

fn allocate(stream: &Arc<CudaStream>, bytes: u64) -> Result<Memory, Fault> {
    // SAFETY: the stream lives as long as the memory, which holds it.
    let pointer =
        unsafe { result::malloc_async(stream.cu_stream(), bytes as usize) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Fault::NoRoom { wanted: bytes, held: 0 },
            _ => failed(error),
        })?;
    Ok(Memory { pointer, stream: Arc::clone(stream) })
}

fn pointer(at: At<'_, Memory>) -> sys::CUdeviceptr {
    at.memory.pointer + at.start
}

impl Device for Gpu {
    type Memory = Memory;

    fn allocate(&mut self, bytes: u64) -> Result<Memory, Fault> {
        self.bind()?;
        allocate(&self.stream, bytes)
    }

    fn upload(&mut self, bytes: &[u8], to: At<'_, Memory>) -> Result<(), Fault> {
        let stream = self.bind()?;
        // SAFETY: plans keep to their buffers, and bytes that are not pinned are taken before the call returns.
        unsafe { result::memcpy_htod_async(pointer(to), bytes, stream) }.map_err(failed)
    }

    fn download(&mut self, from: At<'_, Memory>, bytes: &mut [u8]) -> Result<(), Fault> {
        let stream = self.bind()?;
        // SAFETY: the bytes are borrowed until the stream is done.
        unsafe { result::memcpy_dtoh_async(bytes, pointer(from), stream) }.map_err(failed)?;
        self.stream.synchronize().map_err(failed)
    }

    fn fill(&mut self, memory: &Memory, bytes: u64) -> Result<(), Fault> {
        let stream = self.bind()?;
        // SAFETY: the executor allocated as many bytes.
        unsafe { result::memset_d8_async(memory.pointer, 0xff, bytes as usize, stream) }.map_err(failed)
    }

    fn copy(&mut self, from: At<'_, Memory>, to: At<'_, Memory>, bytes: u64) -> Result<(), Fault> {
        let stream = self.bind()?;
        // SAFETY: plans keep to their buffers.
        unsafe { result::memcpy_dtod_async(pointer(to), pointer(from), bytes as usize, stream) }.map_err(failed)
    }

    fn launch(&mut self, kernel: &str, grid: [u32; 3], arguments: &[Given<'_, Memory>]) -> Result<(), Fault> {
        let stream = self.bind()?;
        let missing = || Fault::Executor(format!("there is no kernel {kernel}"));
        let function = self.kernels.get(kernel).ok_or_else(missing)?.cu_function();
        // In words of eight bytes, which suit every argument's alignment.
        let mut words: Vec<Vec<u64>> = arguments.iter().map(of_words).collect();
        let mut places: Vec<_> = words.iter_mut().map(|words| words.as_mut_ptr().cast()).collect();
        let [x, y, z] = grid;
        // SAFETY: the test of plans checks that each launch gives what its kernel takes, and the driver copies
        // arguments before the call returns.
        unsafe { result::launch_kernel(function, (x, y, z), (BLOCK, 1, 1), 0, stream, &mut places) }.map_err(failed)
    }

    fn product(&mut self, product: &Product, places: [At<'_, Memory>; 3]) -> Result<(), Fault> {
        let stream = self.bind()?;
        let workspace = (self.workspace.pointer, WORKSPACE);
        // SAFETY: plans keep to their buffers, which are given back in the order of the stream.
        unsafe { self.products.multiply(product, places.map(pointer), workspace, stream) }
    }

    fn class(&self) -> &'static str {
        self.class
    }
}

/// An argument's bytes, in whole words.
fn of_words(argument: &Given<'_, Memory>) -> Vec<u64> {
    match argument {
        Given::Pointer(at) => vec![pointer(*at)],
        Given::Value(bytes) => {
            let word = |chunk: &[u8]| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            };
            bytes.chunks(8).map(word).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a driver this opens a card, or tells that there is none; without one, the missing library is named.
    #[test]
    fn what_is_missing_is_a_message() {
        if let Err(fault) = Gpu::open(0, &std::env::temp_dir().join("nightlab-cubins")) {
            let said = fault.to_string();
            assert!(said.contains("is not on the library path") || said.contains("CUDA"), "{said}");
        }
    }

    #[test]
    fn arguments_become_words() {
        assert_eq!(of_words(&Given::Value(&7u32.to_le_bytes())), [7]);
        let bytes: Vec<u8> = [1u64, 2, 3].iter().flat_map(|x| x.to_le_bytes()).take(20).collect();
        assert_eq!(of_words(&Given::Value(&bytes)), [1, 2, 3]);
    }
}
