//! The libraries that are loaded by name, and what to do where one is missing.

use cudarc::{cublaslt::sys as cublaslt, driver::sys as driver, nvrtc::sys as nvrtc};

/// A library of NVIDIA's.
pub struct Library {
    /// As people look for it.
    pub name: &'static str,
    /// How to get it.
    pub remedy: &'static str,
    pub is_there: bool,
}

/// Driver, compiler, products. They are loaded to see whether they are there.
pub fn all() -> [Library; 3] {
    let toolkit = "install CUDA's toolkit 13.0, or `pip install nvidia-cuda-nvrtc==13.0.* nvidia-cublas==13.*` and name the \
                   folder of its libraries in LD_LIBRARY_PATH";
    // SAFETY: these only load a library and let go of it.
    let [driver, nvrtc, cublaslt] =
        unsafe { [driver::is_culib_present(), nvrtc::is_culib_present(), cublaslt::is_culib_present()] };
    [
        Library {
            name: "the NVIDIA driver (libcuda.so)",
            remedy: "install NVIDIA's driver, 580 or newer",
            is_there: driver,
        },
        Library { name: "NVRTC (libnvrtc.so)", remedy: toolkit, is_there: nvrtc },
        Library { name: "cuBLASLt (libcublasLt.so)", remedy: toolkit, is_there: cublaslt },
    ]
}
