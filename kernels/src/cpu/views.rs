//! Tensors as kernels see them: shape, dtype and elements of a whole tensor or of one part. Imports `cast`, `elements`
//! and `memory`.

use super::cast;
use super::elements::{Elements, ElementsMut};
use super::memory::{Element, Place};
use crate::fault::Fault;
use crate::spec::{DType, Shape, Spec, Values};

/// A tensor, or a part of one, to read.
pub struct Input {
    spec: Spec,
    place: Place,
}

impl Input {
    /// # Safety
    /// Nothing may write the place while this lives.
    pub(super) unsafe fn new(spec: Spec, place: Place) -> Self {
        Self { spec, place }
    }

    pub(super) fn slice<T: Element>(&self) -> &[T] {
        // SAFETY: the caller of `new` promised that nothing writes it.
        unsafe { self.place.read() }
    }

    pub(super) fn f32(&self) -> &[f32] {
        self.slice()
    }

    pub(super) fn u32(&self) -> &[u32] {
        self.slice()
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        match self.spec.dtype {
            DType::F32 => Elements::F32(self.slice()),
            DType::U32 => Elements::U32(self.slice()),
            DType::Bf16 => Elements::Bf16(self.slice()),
            DType::F16 => Elements::F16(self.slice()),
            DType::U8 => Elements::U8(self.slice()),
            DType::I64 => Elements::I64(self.slice()),
            DType::Bool => Elements::Bool(self.slice()),
        }
    }

    pub(super) fn dtype(&self) -> DType {
        self.spec.dtype
    }

    pub(super) fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }

    /// Size of the last axis.
    pub(super) fn last(&self) -> usize {
        self.spec.shape.last() as usize
    }
}

/// A tensor, or a part of one, to write.
pub struct Output {
    spec: Spec,
    place: Place,
}

impl Output {
    /// # Safety
    /// Nothing else may read or write the place while this lives.
    pub(super) unsafe fn new(spec: Spec, place: Place) -> Self {
        Self { spec, place }
    }

    pub(super) fn slice_mut<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: the caller of `new` promised that nothing else touches it, and the borrow is exclusive.
        unsafe { self.place.write() }
    }

    pub(super) fn f32(&mut self) -> &mut [f32] {
        self.slice_mut()
    }

    pub(super) fn u32(&mut self) -> &mut [u32] {
        self.slice_mut()
    }

    pub(super) fn elements(&mut self) -> ElementsMut<'_> {
        match self.spec.dtype {
            DType::F32 => ElementsMut::F32(self.slice_mut()),
            DType::U32 => ElementsMut::U32(self.slice_mut()),
            DType::Bf16 => ElementsMut::Bf16(self.slice_mut()),
            DType::F16 => ElementsMut::F16(self.slice_mut()),
            DType::U8 => ElementsMut::U8(self.slice_mut()),
            DType::I64 => ElementsMut::I64(self.slice_mut()),
            DType::Bool => ElementsMut::Bool(self.slice_mut()),
        }
    }

    pub(super) fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }

    /// Size of the last axis.
    pub(super) fn last(&self) -> usize {
        self.spec.shape.last() as usize
    }

    pub(super) fn shape(&self) -> Shape {
        self.spec.shape.clone()
    }
}

/// A copy of the values, NaN made canonical.
pub(super) fn read(x: &Input) -> Values {
    match x.elements() {
        Elements::F32(x) => Values::F32(x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }).collect()),
        Elements::U32(x) => Values::U32(x.to_vec()),
        Elements::Bf16(x) => Values::Bf16(x.iter().map(|x| cast::to_bf16(cast::from_bf16(*x))).collect()),
        Elements::F16(x) => Values::F16(x.iter().map(|x| cast::to_f16(cast::from_f16(*x))).collect()),
        Elements::U8(x) => Values::U8(x.to_vec()),
        Elements::I64(x) => Values::I64(x.to_vec()),
        Elements::Bool(x) => Values::Bool(x.iter().map(|x| *x != 0).collect()),
    }
}

/// Fills elements with the values from an index on, which have their dtype.
pub(super) fn write(values: &Values, from: usize, to: ElementsMut<'_>) -> Result<(), Fault> {
    fn copy<T: Copy>(from: &[T], to: &mut [T]) {
        to.copy_from_slice(&from[..to.len()]);
    }
    match (values, to) {
        (Values::F32(v), ElementsMut::F32(to)) => copy(&v[from..], to),
        (Values::U32(v), ElementsMut::U32(to)) => copy(&v[from..], to),
        (Values::Bf16(v), ElementsMut::Bf16(to)) => copy(&v[from..], to),
        (Values::F16(v), ElementsMut::F16(to)) => copy(&v[from..], to),
        (Values::U8(v), ElementsMut::U8(to)) => copy(&v[from..], to),
        (Values::I64(v), ElementsMut::I64(to)) => copy(&v[from..], to),
        (Values::Bool(v), ElementsMut::Bool(to)) => to.iter_mut().zip(&v[from..]).for_each(|(y, x)| *y = u8::from(*x)),
        (values, _) => {
            let given = values.dtype().name();
            return Err(Fault::Executor(format!("values of {given} were given for a tensor of another dtype")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_another_dtype_are_refused() {
        let mut elements = [7u32];
        let fault = write(&Values::F32(vec![1.0]), 0, ElementsMut::U32(&mut elements)).unwrap_err();
        assert!(fault.to_string().contains("values of f32"), "{fault}");
        assert_eq!(elements, [7]);
    }
}
