//! The plane of a small chart: what its vertical axis covers, and the lines of its grid. Pure.

use crate::night::report::drawing::{Anchor, Drawing, Ink, point};

/// Lines of the grid.
const LINES: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plane {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    low: f64,
    high: f64,
}

impl Plane {
    /// A plane between these edges (left, right, top, bottom) that covers these figures; `None` if there are none.
    pub fn of([left, right, top, bottom]: [f64; 4], figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = figures.into_iter().filter(|figure| figure.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), figure| {
            (f64::min(low, figure), f64::max(high, figure))
        });
        (low <= high).then(|| Self { left, right, top, bottom, low, high: high.max(low + low.abs() * 1e-6 + 1e-6) })
    }

    /// Whether a figure lies on it, or would be drawn at its edge.
    pub fn has(&self, figure: f64) -> bool {
        (self.low..=self.high).contains(&figure)
    }

    pub fn y(&self, figure: f64) -> f64 {
        let share = ((self.high - figure) / (self.high - self.low)).clamp(0.0, 1.0);
        self.top + (self.bottom - self.top) * share
    }

    /// Draws the grid, and the figure of each line with so many decimals.
    pub fn grid(&self, drawing: &mut Drawing, decimals: usize) {
        for i in 0..LINES {
            let figure = self.low + (self.high - self.low) * f64::from(i) / f64::from(LINES - 1);
            let y = self.y(figure);
            drawing.path(Ink::Grid, format!("M{}H{:.1}", point(self.left, y), self.right));
            drawing.text(Ink::Words, (self.left - 8.0, y + 4.5), Anchor::End, format!("{figure:.decimals$}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_covers_its_figures_and_has_no_others() {
        let edges = [0.0, 100.0, 10.0, 50.0];
        let plane = Plane::of(edges, [2.0, f64::NAN, 3.0, f64::INFINITY]).unwrap();
        assert_eq!([3.0, 2.0, 9.0, -9.0].map(|figure| plane.y(figure)), [10.0, 50.0, 10.0, 50.0]);
        for one in [0.0, 2.5, -1e300] {
            assert!(Plane::of(edges, [one]).unwrap().y(one).is_finite(), "{one}");
        }
        assert_eq!(Plane::of(edges, [f64::NAN]), None);
    }
}
