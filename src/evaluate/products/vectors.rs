//! Vectors on the backend, in the orders in which the recursions take them.

use std::ops::Range;

use crate::backend::{Backend, Layout, View, product};
use crate::error::Result;
use crate::network::{GroupView, LayerView, Network};

/// Units of a layer, times vectors, that are comfortable: 0.5 MiB of f64 for 512 samples. Of 2, 4 and 8 vectors at once, 32 products
/// of [32-64-1] took 47, 50 and 65 ms on 2 cores of an Intel Xeon with AVX-512.
const COMFORTABLE: usize = 1 << 7;
/// Vectors that share a sweep, at least: of [64-256-10], 1, 2 took 777 and 672 ms there.
const LEAST: usize = 2;

/// How many of so many vectors share a sweep: as many as is comfortable where every layer is one group of linear units.
pub(crate) fn together(network: &Network, vectors: usize) -> usize {
    let plain = |l: &LayerView| l.groups.len() == 1 && l.is_linear();
    let widest = (network.layers().iter()).map(|l| l.units).max().unwrap_or(1);
    let most = if network.layers().iter().all(plain) {
        (COMFORTABLE / widest.max(1)).max(LEAST)
    } else {
        1
    };
    vectors.min(most)
}

/// Vectors v on the backend, in one array.
pub(crate) struct Vectors<B: Backend> {
    pub count: usize,
    array: B::Array,
    /// Where each group of each layer starts.
    places: Vec<Vec<Place>>,
}

/// Where the numbers of a group start.
struct Place {
    /// The group's first unit.
    unit: usize,
    /// \[vector\]\[j\]\[a\].
    rows: usize,
    /// \[j\]\[vector\]\[q\] of each hidden source of the layer of a linear group, with the source.
    sources: Vec<(usize, usize)>,
}

impl<B: Backend> Vectors<B> {
    /// Returns `count` vectors of length P on the backend.
    ///
    /// # Errors
    /// Those of [`Backend::upload`].
    pub(crate) fn upload(b: &B, network: &Network, count: usize, v: &[f64]) -> Result<Self> {
        let p = network.parameters();
        let mut numbers = Vec::with_capacity(2 * v.len());
        let (places, _) = place(network, count, |vector, range| {
            numbers.extend_from_slice(&v[vector * p + range.start..vector * p + range.end]);
        })?;
        Ok(Vectors { count, array: b.upload(&numbers)?, places })
    }

    /// Returns vectors without numbers, for a rehearsal.
    pub(crate) fn blank(b: &B, network: &Network, count: usize) -> Result<Self> {
        let (places, len) = place(network, count, |_, _| {})?;
        Ok(Vectors { count, array: b.alloc(len)?, places })
    }

    fn place_of(&self, k: usize, g: &GroupView) -> Option<&Place> {
        self.places[k - 1].iter().find(|place| place.unit == g.units.start)
    }

    /// V of a group of layer k: n × (count · units) × parameters of a unit, shared by all samples.
    pub(super) fn rows(&self, n: usize, k: usize, g: &GroupView) -> View<'_, B::Array> {
        let mut layout = Layout::shared(n, self.count * g.units.len(), g.row);
        layout.offset = self.place_of(k, g).map_or(0, |place| place.rows);
        View::new(&self.array, layout)
    }

    /// V\[:, t\] of a linear group of layer r: n × units × (count · `width` units of layer t), shared by all samples; none where t
    /// does not feed it.
    pub(super) fn columns(
        &self,
        n: usize,
        r: usize,
        g: &GroupView,
        (t, width): (usize, usize),
    ) -> Option<View<'_, B::Array>> {
        let sources = &self.place_of(r, g)?.sources;
        let (_, offset) = sources.iter().find(|(source, _)| *source == t)?;
        let mut layout = Layout::shared(n, g.units.len(), self.count * width);
        layout.offset = *offset;
        Some(View::new(&self.array, layout))
    }

    /// Gives the array back.
    pub(crate) fn recycle(self, b: &B) {
        b.recycle([self.array]);
    }
}

/// Returns where the numbers of each group start, and how many there are; `put(vector, range)` is called with each range of a vector
/// in their order.
fn place(
    network: &Network,
    count: usize,
    mut put: impl FnMut(usize, Range<usize>),
) -> Result<(Vec<Vec<Place>>, usize)> {
    let mut len = 0usize;
    let mut places = Vec::with_capacity(network.depth());
    for layer in network.layers() {
        let mut groups = Vec::with_capacity(layer.groups.len());
        for g in &layer.groups {
            let rows = len;
            len = len.saturating_add(product(&[count, g.range.len()])?);
            (0..count).for_each(|vector| put(vector, g.range.clone()));
            let (mut column, mut sources) = (0, Vec::new());
            for &t in &layer.sources {
                let columns = column..column + network.width(t);
                column = columns.end;
                if t == 0 || !g.propagation.is_linear() {
                    continue;
                }
                sources.push((t, len));
                len = len.saturating_add(product(&[count, g.units.len(), columns.len()])?);
                for row in g.range.clone().step_by(g.row) {
                    let range = row + columns.start..row + columns.end;
                    (0..count).for_each(|vector| put(vector, range.clone()));
                }
            }
            groups.push(Place { unit: g.units.start, rows, sources });
        }
        places.push(groups);
    }
    Ok((places, len))
}
