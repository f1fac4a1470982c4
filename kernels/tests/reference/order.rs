//! Definitions of order, running sums and indexing, in f64.

use super::Array;
use std::cmp::Ordering;

/// The largest of sign·x over `axes`, times sign; NaN where any is.
pub fn extreme(x: &Array, axes: &[u32], keep: bool, sign: f64) -> Array {
    let reduced = |axis: usize| axes.contains(&(axis as u32));
    let kept: Vec<usize> = x.dims.iter().enumerate().map(|(axis, &n)| if reduced(axis) { 1 } else { n }).collect();
    let mut best = Array::from_fn(&kept, |_| f64::NEG_INFINITY);
    Array::from_fn(&x.dims, |i| {
        let at = best.offset(i);
        let value = sign * x.at(i);
        if value > best.data[at] || value.is_nan() {
            best.data[at] = value;
        }
        0.0
    });
    let rest = x.dims.iter().enumerate().filter(|(axis, _)| !reduced(*axis)).map(|(_, &n)| n).collect();
    let best = best.map(|value| sign * value);
    if keep { best } else { best.reshaped(rest) }
}

/// NaN is above every number; −0 equals 0.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The first place of the largest along the axis.
pub fn argmax(x: &Array, axis: usize) -> Array {
    let mut dims = x.dims.clone();
    let n = dims.remove(axis);
    Array::from_fn(&dims, |i| {
        let at = |place: usize| x.at(&[&i[..axis], &[place], &i[axis..]].concat());
        let better = |best: usize, place: usize| if order(at(place), at(best)).is_gt() { place } else { best };
        (0..n).fold(0, better) as f64
    })
}

/// Places of one row in order of value; equals keep their order.
pub fn argsort(row: &[f64], descending: bool) -> Vec<f64> {
    let mut places: Vec<usize> = (0..row.len()).collect();
    places.sort_by(|&a, &b| if descending { order(row[b], row[a]) } else { order(row[a], row[b]) });
    places.into_iter().map(|place| place as f64).collect()
}

/// Sums of what comes before along the axis, itself included.
pub fn cumsum(x: &Array, axis: usize, reverse: bool) -> Array {
    Array::from_fn(&x.dims, |i| {
        let range = if reverse { i[axis]..x.dims[axis] } else { 0..i[axis] + 1 };
        range.map(|place| x.at(&[&i[..axis], &[place], &i[axis + 1..]].concat())).sum()
    })
}

/// x at the index along the axis.
pub fn gather(x: &Array, indices: &Array, axis: usize) -> Array {
    Array::from_fn(&indices.dims, |i| {
        let mut from = i.to_vec();
        from[axis] = indices.at(i) as usize;
        x.data[from.iter().zip(&x.dims).fold(0, |at, (&i, &n)| at * n + i)]
    })
}

/// x with each value added at its index along the axis.
pub fn scatter_add(x: &Array, indices: &Array, values: &Array, axis: usize) -> Array {
    let mut sum = x.clone();
    Array::from_fn(&indices.dims, |i| {
        let mut to = i.to_vec();
        to[axis] = indices.at(i) as usize;
        let at = to.iter().zip(&x.dims).fold(0, |at, (&i, &n)| at * n + i);
        sum.data[at] += values.at(i);
        0.0
    });
    sum
}
