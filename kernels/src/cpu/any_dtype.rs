//! Ops on elements of any dtype: moves, casts, comparisons, choices, order, integers. Sizes are taken from the specs,
//! which inference has checked. Imports the kernels that know dtypes.

use super::call::Call;
use super::elements::{Elements, by_width};
use super::index::{self, Axis};
use super::integer::Integer;
use super::matrix::last_two;
use super::memory::Element;
use super::shape::{self, Run, Strided, Walk};
use super::views::{Input, Output};
use super::{cast, sort};
use crate::fault::Fault;
use crate::op::{Binary, Compare, Op};
use crate::spec::DType;

/// Does the op if it is one of these; false if it is not, and another file has its kernel.
pub(super) fn run(call: &Call, op: &Op, inputs: &[Input], y: &mut Output) -> Result<bool, Fault> {
    match (op, inputs) {
        (Op::Cat { axis }, inputs) => cat(inputs, *axis as usize, y),
        (Op::Copy, [x]) => y.slice_mut::<u8>().copy_from_slice(x.slice()),
        (Op::Permute { axes }, [x]) => {
            let steps = shape::row_major(x.dims());
            moved(x, Strided { offset: 0, steps: axes.iter().map(|a| steps[*a as usize]).collect() }, y);
        }
        (Op::Narrow { axis, start, .. }, [x]) => {
            let steps = shape::row_major(x.dims());
            moved(x, Strided { offset: *start as usize * steps[*axis as usize], steps }, y);
        }
        (Op::Expand { shape }, [x]) => moved(x, Strided::broadcast(x.dims(), shape.rank()), y),
        (Op::Pad { axis, before, .. }, [x]) => {
            y.slice_mut::<u8>().fill(0);
            place(x, *axis as usize, *before as usize, y);
        }
        (Op::Cast { .. }, [x]) => cast::convert(x.elements(), y.elements()),
        (Op::Binary(f), [a, b]) if a.dtype() != DType::F32 => integers(*f, a, b, y)?,
        (Op::Compare(f), [a, b]) => compare(*f, a, b, y)?,
        (Op::Select, [condition, a, b]) => by_width!(a.dtype(), T => choose::<T>(condition, a, b, y)),
        (Op::ArgSort { descending }, [x]) => argsort(x, *descending, y.u32())?,
        (Op::ArgMax { axis }, [x]) => argmax(x, *axis as usize, y.u32())?,
        (Op::Embedding, [table, indices]) => {
            let width = table.last();
            let [rows, _] = last_two(table.dims())?;
            call.in_range(op, indices.u32(), rows, call.start / width)?;
            by_width!(table.dtype(), T => {
                index::embedding::<T>(table.slice(), indices.u32(), width, y.slice_mut());
            });
        }
        (Op::Gather { axis }, [x, indices]) => {
            let axis = along(*axis, x, indices);
            call.in_range(op, indices.u32(), axis.n, call.start)?;
            by_width!(x.dtype(), T => index::gather::<T>(x.slice(), indices.u32(), axis, y.slice_mut()));
        }
        (Op::ScatterAdd { axis }, [x, indices, values]) => {
            let axis = along(*axis, x, indices);
            let first = call.start / (axis.n * axis.inner) * axis.picked * axis.inner;
            call.in_range(op, indices.u32(), axis.n, first)?;
            y.f32().copy_from_slice(x.f32());
            index::scatter_add(values.f32(), indices.u32(), axis, y.f32());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn moved(x: &Input, from: Strided, y: &mut Output) {
    let shape = y.shape();
    by_width!(x.dtype(), T => shape::gather::<T>(x.slice(), from, shape.dims(), y.slice_mut()));
}

/// Copies x into y from `start` on along the axis.
fn place(x: &Input, axis: usize, start: usize, y: &mut Output) {
    let inner = shape::row_major(x.dims())[axis];
    let width = y.dims()[axis] as usize * inner;
    let len = x.dims()[axis] as usize * inner;
    by_width!(x.dtype(), T => shape::scatter_rows::<T>(x.slice(), len, y.slice_mut(), width, start * inner));
}

fn cat(inputs: &[Input], axis: usize, y: &mut Output) {
    let mut start = 0;
    for x in inputs {
        place(x, axis, start, y);
        start += x.dims()[axis] as usize;
    }
}

/// y = f(operands), which broadcast.
fn zip<A: Element, B: Element, Y: Element>(a: &Input, b: &Input, y: &mut Output, f: impl Fn(A, B) -> Y) {
    let shape = y.shape();
    let walk = Walk::new(shape.dims(), [a, b].map(|t| Strided::broadcast(t.dims(), shape.rank())));
    let [step_a, step_b] = walk.inner();
    let (a, b, y) = (a.slice::<A>(), b.slice::<B>(), y.slice_mut::<Y>());
    walk.runs(0, y.len(), |Run { at, len, from: [from_a, from_b] }| {
        for (i, y) in y[at..at + len].iter_mut().enumerate() {
            *y = f(a[from_a + i * step_a], b[from_b + i * step_b]);
        }
    });
}

fn integers(f: Binary, a: &Input, b: &Input, y: &mut Output) -> Result<(), Fault> {
    match a.dtype() {
        DType::I64 => zip(a, b, y, |a, b| i64::binary(f, a, b)),
        DType::U32 => zip(a, b, y, |a, b| u32::binary(f, a, b)),
        DType::U8 | DType::Bool => zip(a, b, y, |a, b| u8::binary(f, a, b)),
        other @ (DType::F32 | DType::Bf16 | DType::F16) => return Err(not_of(f.name(), other)),
    }
    Ok(())
}

fn compare(f: Compare, a: &Input, b: &Input, y: &mut Output) -> Result<(), Fault> {
    match a.dtype() {
        DType::F32 => zip(a, b, y, |a: f32, b| holds(f, a, b)),
        DType::I64 => zip(a, b, y, |a: i64, b| holds(f, a, b)),
        DType::U32 => zip(a, b, y, |a: u32, b| holds(f, a, b)),
        DType::U8 | DType::Bool => zip(a, b, y, |a: u8, b| holds(f, a, b)),
        other @ (DType::Bf16 | DType::F16) => return Err(not_of(f.name(), other)),
    }
    Ok(())
}

fn choose<T: Element>(condition: &Input, a: &Input, b: &Input, y: &mut Output) {
    let shape = y.shape();
    let walk = Walk::new(shape.dims(), [condition, a, b].map(|t| Strided::broadcast(t.dims(), shape.rank())));
    let steps = walk.inner();
    let (condition, a, b, y) = (condition.slice::<u8>(), a.slice::<T>(), b.slice::<T>(), y.slice_mut::<T>());
    walk.runs(0, y.len(), |Run { at, len, from }| {
        for (i, y) in y[at..at + len].iter_mut().enumerate() {
            let [c, i, j] = std::array::from_fn(|operand| from[operand] + i * steps[operand]);
            *y = if condition[c] == 0 { b[j] } else { a[i] };
        }
    });
}

fn argsort(x: &Input, descending: bool, y: &mut [u32]) -> Result<(), Fault> {
    let n = x.last();
    match x.elements() {
        Elements::F32(x) => sort::argsort(x, n, descending, y),
        Elements::U32(x) => sort::argsort(x, n, descending, y),
        Elements::I64(x) => sort::argsort(x, n, descending, y),
        Elements::U8(x) | Elements::Bool(x) => sort::argsort(x, n, descending, y),
        Elements::Bf16(_) | Elements::F16(_) => return Err(not_of("argsort", x.dtype())),
    }
    Ok(())
}

fn argmax(x: &Input, axis: usize, y: &mut [u32]) -> Result<(), Fault> {
    let (n, inner) = (x.dims()[axis] as usize, shape::row_major(x.dims())[axis]);
    match x.elements() {
        Elements::F32(x) => sort::argmax(x, n, inner, y),
        Elements::U32(x) => sort::argmax(x, n, inner, y),
        Elements::I64(x) => sort::argmax(x, n, inner, y),
        Elements::U8(x) | Elements::Bool(x) => sort::argmax(x, n, inner, y),
        Elements::Bf16(_) | Elements::F16(_) => return Err(not_of("argmax", x.dtype())),
    }
    Ok(())
}

/// Inference lets no such operands pass.
fn not_of(op: &str, dtype: DType) -> Fault {
    Fault::Executor(format!("no kernel does {op} of {}", dtype.name()))
}

fn holds<T: PartialOrd>(f: Compare, a: T, b: T) -> u8 {
    u8::from(match f {
        Compare::Eq => a == b,
        Compare::Ne => a != b,
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Gt => a > b,
        Compare::Ge => a >= b,
    })
}

fn along(axis: u32, x: &Input, indices: &Input) -> Axis {
    let axis = axis as usize;
    let (n, picked) = (x.dims()[axis] as usize, indices.dims()[axis] as usize);
    Axis { n, picked, inner: shape::row_major(x.dims())[axis] }
}
