//! The program `host-cuda`: children of `host` that compute on an NVIDIA GPU. NVIDIA's libraries are loaded when a card
//! is opened; one that is missing is a message.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_cuda::run(host_cuda::driver)
}
