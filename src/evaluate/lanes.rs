//! Lanes: parts of the samples whose sums are added as the leaves of a fixed binary tree.
//!
//! The rows 0 … n − 1 are u = ⌊n/[`UNIT`]⌋ units and a rest. L lanes, the largest power of two up to u and [`MOST`], are cut at
//! ⌊l·u/L⌋ units, l = 0 … L − 1, and the last one has the rest. Within a lane the chunks are added in their order, and over the lanes
//!
//! ```text
//! ((lane 0 + lane 1) + (lane 2 + lane 3)) + …
//! ```
//!
//! Borders and order follow from n alone: the bits of a sum depend neither on threads nor on who computes which lanes.

use std::ops::Range;

use crate::error::{Error, Result};

/// Rows between which a lane may end. The chunks of the processor, powers of two up to it, divide it.
pub(super) const UNIT: usize = 4096;

/// Lanes at the most: as many processes can share the rows. A tree over them holds seven sums at once.
const MOST: usize = 64;

/// Returns L for n rows.
pub(crate) fn count(n: usize) -> usize {
    MOST.min(1 << (n / UNIT).max(1).ilog2())
}

/// Returns the rows of some lanes out of `lanes`.
pub(crate) fn rows(n: usize, lanes: usize, of: &Range<usize>) -> Range<usize> {
    let border = |l: usize| if l >= lanes { n } else { l * (n / UNIT) / lanes * UNIT };
    border(of.start)..border(of.end)
}

/// Returns the lanes of one process out of `size`: ⌈rL/R⌉ up to ⌈(r + 1)L/R⌉, so that the first always has some.
pub(super) fn share(lanes: usize, rank: usize, size: usize) -> Range<usize> {
    let border = |r: usize| (r * lanes).div_ceil(size.max(1));
    border(rank)..border(rank + 1)
}

/// Returns how many sums wait while that of the last lane is computed: log₂ L.
pub(super) fn waiting(lanes: usize) -> u64 {
    lanes.max(1).ilog2().into()
}

/// Sums over some samples on the host.
pub(crate) trait Additive: Sized + Send {
    /// Returns all of their arrays, in a fixed order.
    fn arrays(&mut self) -> Vec<&mut Vec<f64>>;

    /// Adds up what is still added one after the other, at the end of a lane.
    fn close(&mut self) {}

    /// Adds the sums over the next samples.
    fn add(&mut self, mut next: Self) {
        add_each(self.arrays(), next.arrays());
    }
}

impl Additive for Vec<f64> {
    fn arrays(&mut self) -> Vec<&mut Vec<f64>> {
        vec![self]
    }
}

/// Adds arrays to others, number by number.
pub(super) fn add_each(total: Vec<&mut Vec<f64>>, next: Vec<&mut Vec<f64>>) {
    for (total, next) in total.into_iter().zip(next) {
        (total.iter_mut().zip(next)).for_each(|(total, v)| *total += *v);
    }
}

/// The sum over some lanes that are a whole branch of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node<S> {
    /// The first lane.
    pub lane: usize,
    /// How many, a power of two.
    pub lanes: usize,
    pub sum: S,
}

/// Adds the next node to those before it: two branches of one fork become one node as soon as both are there.
pub(crate) fn push<S: Additive>(held: &mut Vec<Node<S>>, next: Node<S>) {
    push_by(held, next, S::add);
}

/// The same where sums are added by `add`.
pub(crate) fn push_by<S>(
    held: &mut Vec<Node<S>>,
    mut next: Node<S>,
    mut add: impl FnMut(&mut S, S),
) {
    while let Some(mut before) = held.pop_if(|before| {
        let is_left = before.lane.is_multiple_of(2 * before.lanes);
        is_left && before.lanes == next.lanes && before.lane + before.lanes == next.lane
    }) {
        add(&mut before.sum, next.sum);
        next = Node { lanes: 2 * before.lanes, ..before };
    }
    held.push(next);
}

/// Returns the sum over all lanes.
///
/// # Errors
/// `Numerical` if some of them are missing.
pub(crate) fn root<S>(held: Vec<Node<S>>) -> Result<S> {
    let [root] = <[Node<S>; 1]>::try_from(held).map_err(|held| Error::Numerical {
        what: format!("the sums over the samples are in {} parts, where one is needed", held.len()),
    })?;
    Ok(root.sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, a different number of them for each place around a border.
    fn counts() -> impl Iterator<Item = usize> {
        let around = |n: usize| [n - 1, n, n + 1];
        (0..9).flat_map(move |p| around(UNIT << p)).chain([1, 2, 37 * UNIT + 5, 1_000_003])
    }

    #[test]
    fn lanes_cover_the_rows_once_with_borders_at_units() {
        for n in counts() {
            let lanes = count(n);
            assert!(lanes.is_power_of_two() && lanes <= MOST, "{n}: {lanes}");
            assert!(lanes == 1 || lanes * UNIT <= n, "{n}: {lanes}");
            let mut end = 0;
            for lane in 0..lanes {
                let rows = rows(n, lanes, &(lane..lane + 1));
                assert!(rows.start == end && rows.end > end, "{n}, {lane}: {rows:?}");
                assert!(rows.end == n || rows.end.is_multiple_of(UNIT), "{n}, {lane}: {rows:?}");
                end = rows.end;
            }
            assert_eq!(end, n);
        }
        assert_eq!([1, 2 * UNIT - 1, 2 * UNIT, 64 * UNIT, 1 << 40].map(count), [1, 1, 2, 64, 64]);
    }

    /// The sum over all lanes by recursion: what the tree is by its definition.
    fn by_recursion(leaves: &[f64]) -> f64 {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len() / 2);
                by_recursion(left) + by_recursion(right)
            }
        }
    }

    #[test]
    fn any_division_among_processes_has_the_bits_of_the_tree() {
        for lanes in (0..7).map(|p| 1usize << p) {
            let leaves: Vec<f64> = (0..lanes).map(|l| (0.1 + l as f64).sin() * 1e3).collect();
            let leaf = |lane: usize| Node { lane, lanes: 1, sum: vec![leaves[lane]] };
            let want = by_recursion(&leaves);
            for size in 1..=lanes + 3 {
                let (mut root, mut next) = (Vec::new(), 0);
                for rank in 0..size {
                    let mut own = Vec::new();
                    let share = share(lanes, rank, size);
                    assert_eq!(share.start, next);
                    next = share.end;
                    share.for_each(|lane| push(&mut own, leaf(lane)));
                    assert!(own.len() <= 2 * waiting(lanes) as usize + 1, "{size}, {own:?}");
                    own.into_iter().for_each(|node| push(&mut root, node));
                }
                let sum = vec![want];
                assert_eq!(root, [Node { lane: 0, lanes, sum }], "{lanes} among {size}");
                assert!(!share(lanes, 0, size).is_empty());
            }
        }
        // Another order has other bits: the comparison can fail.
        let leaves: Vec<f64> = (0..64).map(|l| (0.1 + f64::from(l)).sin() * 1e3).collect();
        assert_ne!(by_recursion(&leaves), leaves.iter().sum::<f64>());
    }
}
