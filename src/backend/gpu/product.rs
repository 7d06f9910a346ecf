//! Launches of `product`: in which variant, for which parts of the matrices.
//!
//! ```text
//! out[i, r, c] = Σ_k x[i, r, k] b[i, k, c]
//! ```
//!
//! is computed in tiles of rows and columns. Where one matrix serves all samples, and the rows of all samples lie at equal distances, they
//! are the rows of one product. Where b exceeds one binding, a window of it is a launch of its own: windows of columns write different
//! columns, windows of inner rows add up.

use super::launch::{Launch, Threads};
use super::{Array, Gpu};
use crate::backend::kernel::Product;
use crate::backend::{Layout, View, ViewMut};
use crate::error::Result;

/// `matrices` products of rows × inner by inner × columns.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub matrices: u64,
    pub rows: u64,
    pub inner: u64,
    pub columns: u64,
}

/// The properties of an adapter that the choice of a variant depends on.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Whether the adapter runs on the CPU.
    pub software: bool,
    /// Whether `real` is f64.
    pub double: bool,
}

/// How the product is tiled; the numbers are rows and columns of the result for one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// 8 × 8 threads with slices in shared memory; multiples of 4.
    Tiled(u32, u32),
    /// Each thread for itself.
    Alone(u32, u32),
}

/// Depth of a slice in shared memory: 64 × 64 tiles then need 8.5 KiB in f32 and 17 KiB in f64.
const DEPTH: u32 = 16;

impl Gpu {
    pub(super) fn product(&self, k: &Product<Array>) -> Result<()> {
        let [_, along_inner, along_columns] = k.b.layout.strides;
        if along_inner > along_columns {
            for inner in self.windows(&k.b, 1)? {
                let x = k.x.with(|l| l.columns(inner.clone()));
                let b = k.b.with(|l| l.rows(inner.clone()));
                let accumulate = k.accumulate || inner.start > 0;
                self.part_of_product(x, b, &k.out, k.out.layout, accumulate)?;
            }
        } else {
            for columns in self.windows(&k.b, 2)? {
                let b = k.b.with(|l| l.columns(columns.clone()));
                let layout = k.out.layout.columns(columns);
                self.part_of_product(k.x, b, &k.out, layout, k.accumulate)?;
            }
        }
        Ok(())
    }

    fn part_of_product(
        &self,
        x: View<Array>,
        b: View<Array>,
        out: &ViewMut<Array>,
        out_layout: Layout,
        accumulate: bool,
    ) -> Result<()> {
        let [n, rows, columns] = out_layout.shape;
        let joined = joined(&x.layout, &b.layout, &out_layout);
        let (x_layout, out_layout) = joined.unwrap_or((x.layout, out_layout));
        let (matrices, rows) = match joined {
            Some(_) => (1, n * rows),
            None => (n, rows),
        };
        let shape = Shape {
            matrices: matrices as u64,
            rows: rows as u64,
            inner: x.shape()[2] as u64,
            columns: columns as u64,
        };
        let target = Target { software: !self.hardware_kernels, double: self.f64 };
        let launch = launch(&shape, choose(&shape, target), b.layout.strides[1] == 1)
            .param("accumulate", accumulate.into());
        let binds = [
            self.reads("x", &View::new(x.array, x_layout)),
            self.reads("b", &b),
            self.bind("out", out.array, out_layout, true),
        ];
        self.launch(&launch, &binds)
    }
}

/// The rows of all samples as those of one, where one matrix b serves them all and they lie at equal distances.
fn joined(x: &Layout, b: &Layout, out: &Layout) -> Option<(Layout, Layout)> {
    let [n, rows, _] = out.shape;
    if n > 1 && b.strides[0] != 0 {
        return None;
    }
    let join = |layout: &Layout| {
        let [of_sample, of_row, of_column] = layout.strides;
        let distance = match (n, rows) {
            (_, 1) => Some(of_sample),
            (1, _) => Some(of_row),
            _ => (of_sample == rows * of_row).then_some(of_row),
        };
        distance.map(|distance| Layout {
            offset: layout.offset,
            shape: [1, n * rows, layout.shape[2]],
            strides: [0, distance, of_column],
        })
    };
    Some((join(x)?, join(out)?))
}

impl Shape {
    fn tiles(&self, rows: u32, columns: u32) -> u64 {
        self.matrices * self.rows.div_ceil(rows.into()) * self.columns.div_ceil(columns.into())
    }
}

/// The launch by a variant; `along_inner`: neighbouring numbers of b are neighbours along the inner index.
fn launch(shape: &Shape, variant: Variant, along_inner: bool) -> Launch {
    let (tiled, rows, columns) = match variant {
        Variant::Tiled(rows, columns) => (true, rows, columns),
        Variant::Alone(rows, columns) => (false, rows, columns),
    };
    // A tile of the result: of a workgroup if tiled, of a thread if not.
    let side = if tiled { 8 } else { 1 };
    let tiles = shape.tiles(side * rows, side * columns);
    let launch = Launch {
        stem: "product",
        threads: Threads::Workgroup(64),
        defines: Vec::new(),
        params: Vec::new(),
        groups: if tiled { tiles } else { tiles.div_ceil(64) },
        flops_per_group: (2 * 64 * u64::from(rows * columns) * shape.inner) as f64,
    }
    .define("ROWS", rows)
    .define("COLUMNS", columns)
    .define("TILED", u32::from(tiled))
    .param("matrices", shape.matrices)
    .param("rows", shape.rows)
    .param("inner", shape.inner)
    .param("columns", shape.columns)
    .param("row_tiles", shape.rows.div_ceil((side * rows).into()))
    .param("column_tiles", shape.columns.div_ceil((side * columns).into()));
    if !tiled {
        return launch;
    }
    launch
        .define("ALONG_INNER", u32::from(along_inner))
        .define("DEPTH", DEPTH)
        .define("ROW_VECTORS", rows / 4)
        .define("COLUMN_VECTORS", columns / 4)
        // Loads of four numbers that fill a slice, for each of 64 threads.
        .define("X_LOADS", rows * 2 * DEPTH / 64)
        .define("B_LOADS", columns * 2 * DEPTH / 64)
}

fn choose(shape: &Shape, target: Target) -> Variant {
    if target.software { software(shape) } else { hardware(shape, target.double) }
}

/// The tiles of threads that software is offered.
const ALONE: [Variant; 5] = [
    Variant::Alone(1, 1),
    Variant::Alone(1, 8),
    Variant::Alone(8, 1),
    Variant::Alone(4, 4),
    Variant::Alone(8, 8),
];

/// On lavapipe a load of eight lanes costs as much as some ten multiplications: the fewest loads win. Barriers save and
/// restore all sums, so that slices in shared memory never pay. 8 × 8 sums take half a second longer to compile than the
/// others, which small products do not earn back.
fn software(shape: &Shape) -> Variant {
    let small = 2 * shape.matrices * shape.rows * shape.inner * shape.columns < 100_000_000;
    let cost = |variant: &Variant| match *variant {
        Variant::Alone(8, 8) if small => u64::MAX,
        Variant::Alone(rows, columns) => {
            shape.tiles(rows, columns) * u64::from(8 * (rows + columns) + rows * columns)
        }
        Variant::Tiled(..) => u64::MAX,
    };
    ALONE.into_iter().min_by_key(cost).unwrap_or(Variant::Alone(8, 8))
}

/// First guesses from tile arithmetic, not measured: 8 × 8 sums for each thread where enough 64 × 64 tiles are there to
/// fill a large device and registers suffice (64 sums are 128 registers in f64).
fn hardware(shape: &Shape, double: bool) -> Variant {
    let (rows, columns) = (shape.rows, shape.columns);
    if rows == 1 || columns == 1 {
        Variant::Alone(1, 1)
    } else if rows <= 16 || columns <= 16 {
        Variant::Alone(4, 4)
    } else if !double && rows > 32 && columns > 32 && shape.tiles(64, 64) >= 512 {
        Variant::Tiled(8, 8)
    } else {
        Variant::Tiled(4, 4)
    }
}
