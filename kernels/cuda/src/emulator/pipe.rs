//! The program of `program` as a device, told by the commands of `cpu/runner.h`.

use crate::device::{At, Device, Given};
use crate::plan::Product;
use kernels::fault::Fault;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of what it computes.
const CLASS: &str = "cuda-on-cpu";

/// A running program. Its numerics class names nothing but itself: nobody keeps what it computes.
pub struct Emulator(Arc<Mutex<Pipe>>);

struct Pipe {
    child: Child,
    commands: Option<BufWriter<ChildStdin>>,
    answers: ChildStdout,
    /// Buffers that were made.
    buffers: u32,
}

/// A buffer of the program.
pub struct Memory {
    buffer: u32,
    pipe: Arc<Mutex<Pipe>>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A program that ended has said why already.
        let _ = locked(&self.pipe).tell(&Words::new(b'd').number(self.buffer));
    }
}

fn locked(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command while it is written.
struct Words(Vec<u8>);

impl Words {
    fn new(command: u8) -> Self {
        Self(vec![command])
    }

    fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.number(bytes.len() as u32);
        self.0.extend(bytes);
        self
    }

    fn at(self, at: At<'_, Memory>) -> Self {
        self.number(at.memory.buffer).number(at.start as u32)
    }
}

impl Pipe {
    fn tell(&mut self, words: &Words) -> std::io::Result<()> {
        self.commands.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?.write_all(&words.0)
    }

    fn ask(&mut self, words: &Words, answer: &mut [u8]) -> std::io::Result<()> {
        self.tell(words)?;
        self.commands.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?.flush()?;
        self.answers.read_exact(answer)
    }

    /// What the program said before it ended.
    fn last_words(&mut self) -> Fault {
        self.commands = None;
        let mut words = String::new();
        let heard = self.child.stderr.as_mut().map_or(Ok(0), |errors| errors.read_to_string(&mut words));
        let words =
            heard.map_or_else(|error| error.to_string(), |_| words.lines().take(12).collect::<Vec<_>>().join("\n"));
        Fault::Executor(words)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It ends with its input. A confined process may not wait for it.
        self.commands = None;
        let _ = self.child.wait();
    }
}

impl Emulator {
    /// Starts the program. Threads run in their order or backwards.
    pub fn start(program: &Path, backward: bool) -> Result<Self, Fault> {
        let failed = |error: std::io::Error| Fault::Executor(format!("{}: {error}", program.display()));
        let [stdin, stdout, stderr] = [(); 3].map(|()| Stdio::piped());
        let mut child = Command::new(program).stdin(stdin).stdout(stdout).stderr(stderr).spawn().map_err(failed)?;
        let commands = child.stdin.take().map(BufWriter::new);
        let answers = child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        let emulator = Self(Arc::new(Mutex::new(Pipe { child, commands, answers, buffers: 0 })));
        emulator.tell(&Words::new(b'o').number(u32::from(backward)))?;
        Ok(emulator)
    }

    fn tell(&self, words: &Words) -> Result<(), Fault> {
        let mut pipe = locked(&self.0);
        pipe.tell(words).map_err(|_| pipe.last_words())
    }
}

impl Device for Emulator {
    type Memory = Memory;

    fn allocate(&mut self, bytes: u64) -> Result<Memory, Fault> {
        self.tell(&Words::new(b'a').number(bytes as u32))?;
        let mut pipe = locked(&self.0);
        pipe.buffers += 1;
        Ok(Memory { buffer: pipe.buffers - 1, pipe: Arc::clone(&self.0) })
    }

    fn upload(&mut self, bytes: &[u8], to: At<'_, Memory>) -> Result<(), Fault> {
        self.tell(&Words::new(b'u').at(to).bytes(bytes))
    }

    fn download(&mut self, from: At<'_, Memory>, bytes: &mut [u8]) -> Result<(), Fault> {
        let mut pipe = locked(&self.0);
        let words = Words::new(b'r').at(from).number(bytes.len() as u32);
        pipe.ask(&words, bytes).map_err(|_| pipe.last_words())
    }

    fn fill(&mut self, memory: &Memory, bytes: u64) -> Result<(), Fault> {
        self.tell(&Words::new(b'f').at(At::start_of(memory)).number(bytes as u32))
    }

    fn copy(&mut self, from: At<'_, Memory>, to: At<'_, Memory>, bytes: u64) -> Result<(), Fault> {
        self.tell(&Words::new(b'c').at(from).at(to).number(bytes as u32))
    }

    fn launch(&mut self, kernel: &str, grid: [u32; 3], arguments: &[Given<'_, Memory>]) -> Result<(), Fault> {
        let words = grid.into_iter().fold(Words::new(b'l').bytes(kernel.as_bytes()), Words::number);
        let words = arguments.iter().fold(words.number(arguments.len() as u32), |words, argument| match argument {
            Given::Pointer(at) => words.number(0).at(*at),
            Given::Value(bytes) => words.bytes(bytes),
        });
        self.tell(&words)
    }

    fn product(&mut self, product: &Product, places: [At<'_, Memory>; 3]) -> Result<(), Fault> {
        let Product { dtype, batch, m, n, k, transpose_a, transpose_b, shared_b, add, .. } = *product;
        let words = places.into_iter().fold(Words::new(b'p'), Words::at);
        let words = [dtype as u32, batch, m, n, k].into_iter().fold(words, Words::number);
        let flags = [transpose_a, transpose_b, shared_b, add];
        self.tell(&flags.into_iter().fold(words, |words, flag| words.number(u32::from(flag))))
    }

    fn class(&self) -> &'static str {
        CLASS
    }
}
