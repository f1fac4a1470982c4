//! The program `host-cuda-emulated`, for tests: children of `host` on the sources of the GPU's kernels, which g++
//! compiles when they are first needed. It needs the whole machine for that, and gives it up before the guest comes.

use cuda_kernels::emulator::{self, Checks, Emulator};
use cuda_kernels::{HEADERS, SOURCES};
use host_cuda::OnDevice;
use kernels::fault::Fault;
use nightlab::sandbox::backend::{Backend, Card, Needs, Part, Starter};
use nightlab::system::confinement::{Calls, Paths};
use std::path::PathBuf;
use std::process::ExitCode;

const NO_COMPILER: &str = "there is no g++ that compiles the kernels for the processor";
/// Of what g++ takes.
const MEMORY_BYTES: u64 = 4 << 30;
const FILE_BYTES: u64 = 256 << 20;

fn main() -> ExitCode {
    host_cuda::run(starter)
}

fn starter(card: Card) -> Starter {
    let all = || vec![PathBuf::from("/")];
    Starter {
        needs: Needs {
            at_start: Paths { read: all(), write: all(), execute: all() },
            memory_bytes: MEMORY_BYTES,
            file_bytes: FILE_BYTES,
            files: 1024,
            calls: Calls::Driving,
            ..Needs::nothing()
        },
        start: Box::new(move |share| {
            let program = emulator::program(&card.folder, &SOURCES, &HEADERS, Checks::None)?;
            let program = program.ok_or_else(|| Fault::Executor(NO_COMPILER.into()))?;
            // The folder's name is a hash of the sources and of how they are compiled.
            let made_of = program.parent().and_then(|folder| folder.file_name()?.to_str());
            let class = format!("cuda-emulated-{}", made_of.unwrap_or_default());
            let device = Emulator::start(&program, false)?;
            Ok(Box::new(OnDevice::new(device, class, share)) as Box<dyn Backend>)
        }),
        look: Box::new(|| {
            vec![Part { name: "emulation".into(), is_there: true, text: "the kernels on the processor".into() }]
        }),
    }
}
