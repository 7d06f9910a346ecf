//! Every form of the sums over samples, over strided coefficients and inputs.

use super::gram::{Form, Shape, Sum as Kind, forms};
use super::*;

fn shape(sum: Kind, n: u64, units: u64, width: u64, own: bool) -> Shape {
    Shape { sum, n, units, width, own }
}

/// The arrays of one sum: the last units of a wider layer, and inputs between other numbers.
pub struct Run {
    shape: Shape,
    c: (Vec<f64>, Array, Layout),
    phi: (Vec<f64>, Array, Layout),
}

impl Run {
    pub fn new(gpu: &Gpu, shape: Shape) -> Self {
        let [n, units, width] = [shape.n, shape.units, shape.width].map(|v| v as usize);
        // Numbers between −1 and 1 that f32 holds exactly.
        let numbers = |layout: Layout, salt: u64| {
            let all = (0..layout.span() as u64)
                .map(|i| ((i * 2_654_435_761 + salt) >> 7) % 4096)
                .map(|v| v as f64 / 2048.0 - 1.0);
            let here: Vec<f64> = all.collect();
            let there = gpu.upload(&here).unwrap();
            (here, there, layout)
        };
        let c = Layout::rows_of(n, units + 3).columns(3..units + 3);
        let rows = Layout::dense(n, units, width + 2).columns(1..width + 1);
        let row = Layout::rows_of(n, width + 2).columns(1..width + 1);
        let phi = if shape.own { rows } else { row.repeated_rows(units) };
        Run { shape, c: numbers(c, 12_345), phi: numbers(phi, 54_321) }
    }

    fn len(&self) -> usize {
        let one = match self.shape.sum {
            Kind::Gram => self.shape.width * (self.shape.width + 1) / 2,
            _ => self.shape.width,
        };
        (self.shape.units * one) as usize
    }

    pub fn by(&self, gpu: &Gpu, form: Form) -> Vec<f64> {
        let mut sum = gpu.sums(self.len()).unwrap();
        let views = (View::new(&self.c.1, self.c.2), View::new(&self.phi.1, self.phi.2));
        gpu.sum_by(form, self.shape, views, &mut sum, 0).unwrap();
        gpu.read(sum).unwrap()
    }

    /// The sums with those of the absolute values, by plain loops.
    fn right(&self) -> Vec<(f64, f64)> {
        let Shape { sum, n, units, width, .. } = self.shape;
        let mut out = Vec::new();
        for j in 0..units as usize {
            for a in 0..width as usize {
                let columns = if sum == Kind::Gram { 0..a + 1 } else { a..a + 1 };
                for b in columns {
                    let mut pair = (0.0, 0.0);
                    for i in 0..n as usize {
                        let phi = |a| self.phi.0[self.phi.2.at(i, j, a)];
                        let other = if sum == Kind::Weighted { 1.0 } else { phi(b) };
                        let term = self.c.0[self.c.2.at(i, 0, j)] * phi(a) * other;
                        pair = (pair.0 + term, pair.1 + term.abs());
                    }
                    out.push(pair);
                }
            }
        }
        out
    }
}

/// Every form at sizes past its tiles and blocks.
#[test]
fn every_form_of_the_sums_at_its_edges() {
    let gpu = adapter();
    let mut cases = 0;
    for (n, units, width) in [
        (1, 1, 1),
        (7, 3, 2),
        (63, 7, 8),
        (64, 8, 9),
        (65, 9, 15),
        (511, 2, 17),
        (512, 15, 16),
        (513, 17, 31),
        (1025, 31, 7),
        (40, 33, 33),
        (130, 63, 5),
        (33, 65, 12),
        (20, 1, 63),
        (17, 2, 64),
        (16, 5, 65),
        (15, 1, 129),
    ] {
        for sum in [Kind::Gram, Kind::Weighted, Kind::Diagonal] {
            for own in [false, true] {
                let run = Run::new(&gpu, shape(sum, n, units, width, own));
                let right = run.right();
                for form in forms(run.shape, gpu.adapter.eight_lanes) {
                    let found = run.by(&gpu, form);
                    assert_eq!(found.len(), right.len());
                    for (at, (found, (right, scale))) in found.iter().zip(&right).enumerate() {
                        let error = (found - right).abs();
                        let allowed = 600.0 * f64::from(f32::EPSILON) / 2.0 * scale;
                        assert!(
                            error <= allowed && error.is_finite(),
                            "{form:?} {:?} [{at}]: {found}, not {right}",
                            run.shape
                        );
                    }
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 500);
}

/// Every form on a rehearsal.
pub fn rehearse_forms(gpu: &Gpu) {
    for sum in [Kind::Gram, Kind::Weighted, Kind::Diagonal] {
        for own in [false, true] {
            let run = Run::new(gpu, shape(sum, 600, 9, 20, own));
            for form in forms(run.shape, gpu.adapter.eight_lanes) {
                run.by(gpu, form);
            }
        }
    }
}

/// A size that no 32-bit number can count is refused before anything runs.
#[test]
fn sizes_beyond_32_bits_are_refused() {
    use crate::backend::kernel::{Multiply, Scale, WeightedSum};
    let limits = Limits {
        buffer: 1 << 40,
        binding: u64::from(u32::MAX) / 16 * 16,
        ..imagined(false, false).adapter.limits
    };
    let gpu = with_limits(false, false, limits);
    let refused = |result: Result<()>, what: &str| match result {
        Err(Error::Gpu { .. } | Error::TooLarge { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    let array = |len: usize| gpu.array(&[len], "test").unwrap();
    let (n, layer) = (1 << 16, 300);
    let whole = Layout::dense(n, layer, layer);
    let (a, z, mut out) = (array(whole.len()), array(n * layer), array(whole.len()));
    let row = View::new(&z, Layout::rows_of(n, layer).repeated_rows(layer));
    let kernel = Multiply {
        a: row,
        b: View::new(&a, whole),
        out: ViewMut::new(&mut out, whole),
        accumulate: true,
    };
    refused(gpu.run(kernel.into()), "multiply");
    let kernel = Scale { by: row, out: ViewMut::new(&mut out, whole) };
    refused(gpu.run(kernel.into()), "scale");
    let mut sum = gpu.sums(layer * layer).unwrap();
    let kernel = WeightedSum {
        c: View::new(&a, whole.columns(0..1).transposed()),
        phi: row,
        sum: &mut sum,
        at: 0,
    };
    refused(gpu.run(kernel.into()), "weighted_sum");
    // And the same where it fits.
    let n = 1 << 10;
    let kernel = WeightedSum {
        c: View::new(&a, whole.samples(0..n).columns(0..1).transposed()),
        phi: row.with(|l| l.samples(0..n)),
        sum: &mut sum,
        at: 0,
    };
    gpu.run(kernel.into()).unwrap();
    // A stride that does not fit.
    let far = Layout { strides: [0, 0, 1 << 33], ..Layout::rows_of(1, 2) };
    let mut to = array(2);
    let kernel = crate::backend::kernel::Copy {
        from: View::new(&a, far),
        to: ViewMut::new(&mut to, Layout::rows_of(1, 2)),
    };
    refused(gpu.run(kernel.into()), "copy");
}
