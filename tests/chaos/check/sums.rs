//! Sums over points in a quarter of the plane, for many quarters at once.

/// A point with its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) x: u64,
    pub(crate) y: u64,
    pub(crate) weight: i64,
}

/// For each `(x, y)` of the corners, the weight of all points with no larger x and no smaller y.
///
/// An interval as a point (start, end) is so counted if it touches the query (its end, its start), and if it
/// contains the query (its start, its end). A line that sweeps over x adds points to a tree over y.
pub(crate) fn sums(mut points: Vec<Point>, corners: &[(u64, u64)]) -> Vec<i64> {
    points.sort_unstable_by_key(|point| point.x);
    let mut heights: Vec<u64> = points.iter().map(|point| point.y).collect();
    heights.sort_unstable();
    heights.dedup();
    let mut order: Vec<usize> = (0..corners.len()).collect();
    order.sort_unstable_by_key(|corner| corners[*corner].0);
    let mut tree = Tree(vec![0; heights.len() + 1]);
    let mut waiting = points.into_iter().peekable();
    let mut sums = vec![0; corners.len()];
    for corner in order {
        let (x, y) = corners[corner];
        while let Some(point) = waiting.next_if(|point| point.x <= x) {
            // Counted from the top, because the tree sums from its beginning.
            tree.add(heights.len() - heights.partition_point(|height| *height < point.y), point.weight);
        }
        sums[corner] = tree.sum(heights.len() - heights.partition_point(|height| *height < y));
    }
    sums
}

/// A Fenwick tree: sums of the first so many of a row of numbers that change.
struct Tree(Vec<i64>);

impl Tree {
    /// Adds to the number at this place, the first being 1.
    fn add(&mut self, mut place: usize, weight: i64) {
        while place < self.0.len() {
            self.0[place] += weight;
            place += place & place.wrapping_neg();
        }
    }

    fn sum(&self, mut places: usize) -> i64 {
        let mut sum = 0;
        while places > 0 {
            sum += self.0[places];
            places &= places - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn a_sum_is_that_of_looking_at_every_point() {
        let mut rng = rand::rng();
        let mut random = || rng.random_range(0..20u64);
        let points: Vec<Point> =
            (0..200).map(|n| Point { x: random(), y: random(), weight: n % 5 - 1 }).collect();
        let corners: Vec<(u64, u64)> = (0..200).map(|_| (random(), random())).collect();
        let inside = |(x, y): (u64, u64)| points.iter().filter(move |p| p.x <= x && p.y >= y);
        let expected: Vec<i64> = corners.iter().map(|c| inside(*c).map(|p| p.weight).sum()).collect();
        assert_eq!(sums(points.clone(), &corners), expected);
    }

    #[test]
    fn without_points_every_sum_is_nothing() {
        assert_eq!(sums(Vec::new(), &[(5, 0)]), [0]);
    }
}
