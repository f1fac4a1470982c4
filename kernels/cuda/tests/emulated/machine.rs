//! The program that runs plans: its commands are those of `cpu/runner.h`.

use crate::cases::Case;
use cuda_kernels::{Argument, Buffer, Launch, Place, Plan, Product, Step};
use half::{bf16, f16};
use kernels::spec::{DType, Spec, Values};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running program.
pub struct Machine {
    child: Child,
    commands: Option<BufWriter<ChildStdin>>,
    answers: ChildStdout,
}

/// What a plan left.
#[derive(Debug)]
pub struct Done {
    /// The results, then the operands that were written; NaN is the canonical one.
    pub results: Vec<Values>,
    /// The first index out of range.
    pub fault: u32,
}

impl Machine {
    /// Starts it.
    pub fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (commands, answers) = (child.stdin.take().map(BufWriter::new), child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    /// Runs a case, its threads in their order or backwards. A machine that failed is of no further use.
    pub fn run(&mut self, case: &Case, backward: bool) -> Result<Done, String> {
        self.try_run(case, backward).map_err(|_| self.last_words())
    }

    fn try_run(&mut self, case: &Case, backward: bool) -> std::io::Result<Done> {
        let mut commands = Commands { case, bytes: Vec::new() };
        commands.buffers(&case.plan);
        commands.bytes.push(b'o');
        commands.number(u32::from(backward));
        case.plan.steps.iter().for_each(|step| commands.step(step));
        let written = case.written.iter().map(|&i| (Buffer::Input(i), &case.inputs[i].0));
        let results = case.outputs.iter().enumerate().map(|(i, spec)| (Buffer::Output(i), spec)).chain(written);
        let pipe = self.commands.as_mut().expect("it runs");
        pipe.write_all(&commands.bytes)?;
        let mut read = |buffer: Buffer, spec: &Spec| {
            pipe.write_all(b"r")?;
            pipe.write_all(&commands.id(buffer).to_le_bytes())?;
            pipe.flush()?;
            let mut bytes = vec![0; spec.bytes() as usize];
            self.answers.read_exact(&mut bytes)?;
            Ok::<_, std::io::Error>(values(spec.dtype, &bytes))
        };
        let results = results.map(|(buffer, spec)| read(buffer, spec)).collect::<Result<_, _>>()?;
        let one = Spec::u32(kernels::spec::Shape::scalar());
        let Values::U32(fault) = read(Buffer::Fault, &one)? else { unreachable!("it was read as u32") };
        pipe.write_all(b"f")?;
        Ok(Done { results, fault: fault[0] })
    }

    /// What it said before it ended.
    fn last_words(&mut self) -> String {
        self.commands = None;
        let mut words = String::new();
        let heard = self.child.stderr.as_mut().expect("it was piped").read_to_string(&mut words);
        heard.map_or_else(|error| error.to_string(), |_| words.lines().take(12).collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.commands = None;
        self.child.wait().expect("it ends with its input");
    }
}

/// Commands for a case. Buffers are numbered: the fault, then operands, results and scratch.
struct Commands<'a> {
    case: &'a Case,
    bytes: Vec<u8>,
}

impl Commands<'_> {
    fn number(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn buffers(&mut self, plan: &Plan) {
        self.filled(&u32::MAX.to_le_bytes());
        for (_, values) in &self.case.inputs {
            let mut bytes = Vec::new();
            values.extend_le_bytes(&mut bytes);
            self.filled(&bytes);
        }
        let outputs = self.case.outputs.iter().map(Spec::bytes);
        for bytes in outputs.chain(plan.scratch.iter().copied()) {
            self.bytes.push(b'e');
            self.number(bytes as u32);
        }
    }

    fn filled(&mut self, bytes: &[u8]) {
        self.bytes.push(b'b');
        self.number(bytes.len() as u32);
        self.bytes.extend(bytes);
    }

    fn id(&self, buffer: Buffer) -> u32 {
        let (inputs, outputs) = (self.case.inputs.len(), self.case.outputs.len());
        let id = match buffer {
            Buffer::Fault => 0,
            Buffer::Input(i) => 1 + i,
            Buffer::Output(i) => 1 + inputs + i,
            Buffer::Scratch(i) => 1 + inputs + outputs + i,
        };
        id as u32
    }

    fn place(&mut self, place: Place) {
        self.number(self.id(place.buffer));
        self.number(place.start as u32);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Launch(launch) => self.launch(launch),
            Step::Product(product) => self.product(product),
            Step::Copy { from, to, bytes } => {
                self.bytes.push(b'c');
                self.place(*from);
                self.place(*to);
                self.number(*bytes as u32);
            }
        }
    }

    fn launch(&mut self, launch: &Launch) {
        self.bytes.push(b'l');
        self.number(launch.kernel.len() as u32);
        self.bytes.extend(launch.kernel.as_bytes());
        launch.grid.into_iter().for_each(|size| self.number(size));
        self.number(launch.arguments.len() as u32);
        for argument in &launch.arguments {
            match argument {
                Argument::Pointer(place) => {
                    self.number(0);
                    self.place(*place);
                }
                Argument::Value(bytes) => {
                    self.number(bytes.len() as u32);
                    self.bytes.extend(bytes);
                }
            }
        }
    }

    fn product(&mut self, product: &Product) {
        let Product { a, b, c, dtype, batch, m, n, k, transpose_a, transpose_b, shared_b, add } = *product;
        self.bytes.push(b'p');
        [a, b, c].into_iter().for_each(|place| self.place(place));
        [dtype as u32, batch, m, n, k].into_iter().for_each(|number| self.number(number));
        [transpose_a, transpose_b, shared_b, add].into_iter().for_each(|flag| self.number(u32::from(flag)));
    }
}

/// Elements from their bytes, NaN made canonical.
fn values(dtype: DType, bytes: &[u8]) -> Values {
    fn each<const N: usize, T>(bytes: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks().0.iter().map(|chunk| make(*chunk)).collect()
    }
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x };
    let quiet = |bits: u16, is_nan: bool, nan: u16| if is_nan { nan } else { bits };
    match dtype {
        DType::F32 => Values::F32(each(bytes, |x| canonical(f32::from_le_bytes(x)))),
        DType::U32 => Values::U32(each(bytes, u32::from_le_bytes)),
        DType::Bf16 => Values::Bf16(each(bytes, |x| {
            let bits = u16::from_le_bytes(x);
            quiet(bits, bf16::from_bits(bits).is_nan(), 0x7fc0)
        })),
        DType::F16 => Values::F16(each(bytes, |x| {
            let bits = u16::from_le_bytes(x);
            quiet(bits, f16::from_bits(bits).is_nan(), 0x7e00)
        })),
        DType::U8 => Values::U8(bytes.to_vec()),
        DType::I64 => Values::I64(each(bytes, i64::from_le_bytes)),
        DType::Bool => Values::Bool(bytes.iter().map(|x| *x != 0).collect()),
    }
}
