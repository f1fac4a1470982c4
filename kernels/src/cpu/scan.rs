//! Running sums.

use super::scratch;

/// Elements of one block: part of the numerics class.
pub const BLOCK: usize = 256;

/// Running sums over n elements that lie `inner` apart, x and y [.., n, inner], from the end where `reverse`. In each
/// block of [`BLOCK`] elements from where it starts, sums grow in order from 0; what came before the block is added to
/// each.
pub fn cumsum(x: &[f32], n: usize, inner: usize, reverse: bool, y: &mut [f32]) {
    let mut room = [(); 2].map(|()| scratch::take());
    let [before, sums] = &mut room;
    let (before, sums) = (before.slice(inner), sums.slice(inner));
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(n * inner)) {
        before.fill(0.0);
        sums.fill(0.0);
        for place in 0..n {
            if place % BLOCK == 0 {
                before.iter_mut().zip(sums.iter()).for_each(|(b, s)| *b += s);
                sums.fill(0.0);
            }
            let row = if reverse { n - 1 - place } else { place } * inner;
            let rows = x[row..row + inner].iter().zip(&mut y[row..row + inner]);
            for ((sum, before), (x, y)) in sums.iter_mut().zip(before.iter()).zip(rows) {
                *sum += x;
                *y = before + *sum;
            }
        }
    }
    room.into_iter().for_each(scratch::give);
}
