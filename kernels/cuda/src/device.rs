//! What plans need of a machine with CUDA: memory, copies, launches and products, one after another.

use crate::plan::{Argument, Buffer, Place, Plan, Product, Step};
use kernels::fault::Fault;

/// A machine that does what it is told in the order of the calls. An error leaves it unusable.
pub trait Device: Send {
    /// Memory on it, given back when it is dropped.
    type Memory: Send + Sync;
    /// So many bytes, which hold anything. Where it has none, the fault is [`Fault::NoRoom`].
    fn allocate(&mut self, bytes: u64) -> Result<Self::Memory, Fault>;
    /// Sets bytes of the host.
    fn upload(&mut self, bytes: &[u8], to: At<'_, Self::Memory>) -> Result<(), Fault>;
    /// Waits for what it was told, and takes bytes to the host.
    fn download(&mut self, from: At<'_, Self::Memory>, bytes: &mut [u8]) -> Result<(), Fault>;
    /// Sets every byte to 0xff.
    fn fill(&mut self, memory: &Self::Memory, bytes: u64) -> Result<(), Fault>;
    /// Copies bytes between places of the device, which do not overlap.
    fn copy(&mut self, from: At<'_, Self::Memory>, to: At<'_, Self::Memory>, bytes: u64) -> Result<(), Fault>;
    /// Launches a kernel of [`SOURCES`](crate::SOURCES).
    fn launch(&mut self, kernel: &str, grid: [u32; 3], arguments: &[Given<'_, Self::Memory>]) -> Result<(), Fault>;
    /// Does a product; the places are those of a, b and c.
    fn product(&mut self, product: &Product, places: [At<'_, Self::Memory>; 3]) -> Result<(), Fault>;
    /// Numerics class: kernels, card and libraries.
    fn class(&self) -> &'static str;
}

/// A place in a device's memory: bytes from its beginning.
#[derive(Debug)]
pub struct At<'a, M> {
    /// The memory.
    pub memory: &'a M,
    /// Bytes from its beginning.
    pub start: u64,
}

impl<M> Clone for At<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for At<'_, M> {}

impl<'a, M> At<'a, M> {
    /// The beginning of the memory.
    pub fn start_of(memory: &'a M) -> Self {
        Self { memory, start: 0 }
    }
}

/// An argument of a kernel on a device.
#[derive(Debug)]
pub enum Given<'a, M> {
    /// An address.
    Pointer(At<'a, M>),
    /// A value by its bytes.
    Value(&'a [u8]),
}

impl Plan {
    /// Does all steps; `buffer` tells where a buffer begins, of which it has all that the plan names.
    pub fn perform<'a, D: Device>(
        &self,
        device: &mut D,
        buffer: impl Fn(Buffer) -> Option<At<'a, D::Memory>>,
    ) -> Result<(), Fault>
    where
        D::Memory: 'a,
    {
        let at = |place: Place| -> Result<At<'a, D::Memory>, Fault> {
            let missing = || Fault::Executor(format!("{:?} of a plan is not there", place.buffer));
            let begin = buffer(place.buffer).ok_or_else(missing)?;
            Ok(At { start: begin.start + place.start, ..begin })
        };
        for step in &self.steps {
            match step {
                Step::Launch(launch) => {
                    let given = launch.arguments.iter().map(|argument| match argument {
                        Argument::Pointer(place) => Ok(Given::Pointer(at(*place)?)),
                        Argument::Value(bytes) => Ok(Given::Value(bytes.as_slice())),
                    });
                    let given = given.collect::<Result<Vec<_>, Fault>>()?;
                    device.launch(&launch.kernel, launch.grid, &given)?;
                }
                Step::Product(product) => {
                    let places = [at(product.a)?, at(product.b)?, at(product.c)?];
                    device.product(product, places)?;
                }
                Step::Copy { from, to, bytes } => device.copy(at(*from)?, at(*to)?, *bytes)?,
            }
        }
        Ok(())
    }
}
