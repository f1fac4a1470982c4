//! A device that is a CPU, for tests: the sources of the kernels compiled as C++ (`program`) into a program that is
//! told what to do through pipes (`pipe`). It is slow, and its arithmetic is that of the kernels.

mod pipe;
mod program;

pub use pipe::{Emulator, Memory};
pub use program::{Checks, program};
