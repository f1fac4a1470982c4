//! Symmetric positive definite systems, by the decomposition of Cholesky. Sums run in one order, so results have the
//! same bits on every machine.

/// The lower triangle `L` of a matrix `L·Lᵀ`, by rows: row `i` has `i + 1` elements.
#[derive(Clone, Debug, Default)]
pub struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Decomposes a symmetric matrix, of which the lower triangle is given by rows. `None` if it is not positive
    /// definite.
    pub fn new(mut rows: Vec<Vec<f64>>) -> Option<Self> {
        for i in 0..rows.len() {
            let (done, rest) = rows.split_at_mut(i);
            let row = rest.first_mut()?;
            for (j, above) in done.iter().enumerate() {
                let (head, tail) = row.split_at_mut(j);
                let (factors, pivot) = (above.get(..j)?, above.get(j)?);
                *tail.first_mut()? = (tail.first()? - dot(head, factors)) / pivot;
            }
            let (head, tail) = row.split_at_mut(i);
            let square = tail.first()? - dot(head, head);
            if square.is_nan() || square <= 0.0 {
                return None;
            }
            *tail.first_mut()? = square.sqrt();
        }
        Some(Self { rows })
    }

    /// `x` in `L·Lᵀ·x = y`.
    pub fn solve(&self, y: &[f64]) -> Vec<f64> {
        self.solve_upper(self.solve_lower(y))
    }

    /// `x` in `L·x = y`.
    fn solve_lower(&self, y: &[f64]) -> Vec<f64> {
        let mut x = Vec::with_capacity(y.len());
        for (row, y) in self.rows.iter().zip(y) {
            let pivot = row.last().copied().unwrap_or(1.0);
            x.push((y - dot(&x, row)) / pivot);
        }
        x
    }

    /// `x` in `Lᵀ·x = y`. If the elements of `y` are independent standard normal deviates, `x` has the inverse of
    /// `L·Lᵀ` as its covariance.
    pub fn solve_upper(&self, mut y: Vec<f64>) -> Vec<f64> {
        for (i, row) in self.rows.iter().enumerate().rev() {
            let (head, tail) = y.split_at_mut(i);
            let (Some(x), Some(pivot)) = (tail.first_mut(), row.last()) else { break };
            *x /= pivot;
            head.iter_mut().zip(row).for_each(|(y, l)| *y -= *x * l);
        }
        y
    }

    /// `xᵀ·(L·Lᵀ)⁻¹·x`. If `L·Lᵀ` is a precision, this is the variance of the sum with the shares `x`.
    pub fn variance(&self, x: &[f64]) -> f64 {
        let below = self.solve_lower(x);
        dot(&below, &below)
    }

    /// Logarithm of the determinant of `L·Lᵀ`.
    pub fn log_determinant(&self) -> f64 {
        2.0 * self.rows.iter().filter_map(|row| row.last()).map(|pivot| libm::log(*pivot)).sum::<f64>()
    }
}

/// The products of the elements that both have, summed up: every fourth in a sum of its own, which a processor can do
/// at the same time.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (a.get(..length).unwrap_or_default(), b.get(..length).unwrap_or_default());
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest = last_a.iter().zip(last_b).fold(0.0, |sum, (a, b)| sum + a * b);
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let lower = vec![vec![4.0], vec![2.0, 5.0], vec![-2.0, 1.0, 6.0]];
        let full = [[4.0, 2.0, -2.0], [2.0, 5.0, 1.0], [-2.0, 1.0, 6.0]];
        let cholesky = Cholesky::new(lower).unwrap();
        let x = cholesky.solve(&[1.0, 2.0, 3.0]);
        for (row, y) in full.iter().zip([1.0, 2.0, 3.0]) {
            assert!((dot(row, &x) - y).abs() < 1e-12, "{x:?}");
        }
        assert!((cholesky.log_determinant() - 64f64.ln()).abs() < 1e-12);
        let half = cholesky.solve_upper(vec![1.0, 0.0, 0.0]);
        assert!((half[0] - 0.5).abs() < 1e-12 && half[1] == 0.0);
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        assert!(Cholesky::new(vec![vec![1.0], vec![2.0, 1.0]]).is_none());
        assert!(Cholesky::new(vec![vec![f64::NAN]]).is_none());
    }
}
