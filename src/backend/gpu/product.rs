//! Launches of the kernels `propagate` and `contract`: which variant for which shape, and with which parameters.
//!
//! Both compute C = X B in tiles (`shaders/lib/product.wgsl`). For the matrix A of a group of units:
//!
//! ```text
//! propagate   rows of z (n·vectors) × inner width, columns = units,   B = Aᵀ
//! contract    rows of m (n·vectors) × inner units, columns = count,   B = columns of A
//! ```
//!
//! A window of units, where A exceeds one binding, is a launch of its own: `units`, `first` and the offset at which A is
//! bound change, nothing else. The windows of `propagate` write different columns; those of `contract` add up.
//! `Gpu::windows` cuts them where the device lets a binding begin.

use std::ops::Range;

use super::machine::Launch;
use crate::backend::{Kind, Operand};

/// The operand A, or a window of its units, and the number of vectors that it multiplies.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The number of samples.
    pub n: u64,
    /// Vectors for each sample.
    pub vectors: u64,
    /// The units of the window.
    pub units: u64,
    /// The units of the group, all of which A holds: the distance of two samples' matrices.
    pub all_units: u64,
    /// The window's first unit in its layer.
    pub first: u64,
    /// The units of the layer.
    pub layer: u64,
    /// Columns of A.
    pub width: u64,
    /// Whether each sample has its own A.
    pub sampled: bool,
}

/// What the choice of a variant depends on besides the shape.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Whether the adapter runs on the CPU.
    pub software: bool,
    /// Whether `real` is f64.
    pub double: bool,
}

/// How the product is tiled; the numbers are rows and columns of C for one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// 8 × 8 threads with slices in shared memory; multiples of 4.
    Tiled(u32, u32),
    /// Each thread for itself.
    Alone(u32, u32),
}

impl Shape {
    /// The shape for some of an operand's units.
    pub fn new<A>(n: usize, vectors: usize, a: &Operand<A>, units: Range<usize>) -> Self {
        Shape {
            n: n as u64,
            vectors: vectors as u64,
            units: units.len() as u64,
            all_units: a.units.len() as u64,
            first: (a.units.start + units.start) as u64,
            layer: a.layer as u64,
            width: a.width as u64,
            sampled: a.kind == Kind::Sampled,
        }
    }
}

/// out[i, v, first + j] = Σ_c A[(i,) j, c] z[i, v, c]; bindings z, A, out.
///
/// # Errors
/// A number that does not fit 32 bits.
pub fn propagate(shape: &Shape, stride: u64, target: Target) -> Result<Launch, String> {
    let variant = choose(&Product::propagate(shape), target);
    propagate_by(variant, shape, stride)
}

/// [`propagate`] by a given variant.
pub fn propagate_by(variant: Variant, shape: &Shape, stride: u64) -> Result<Launch, String> {
    let s = shape;
    let own = [
        ("units", s.units),
        ("width", s.width),
        ("stride", stride),
        ("layer", s.layer),
        ("first", s.first),
    ];
    Product::propagate(s).launch("propagate", variant, s, &own)
}

/// out[i, v, q] += Σ_j m[i, v, first + j] A[(i,) j, column + q], q < count; bindings m, A, out.
///
/// # Errors
/// A number that does not fit 32 bits.
pub fn contract(shape: &Shape, column: u64, count: u64, target: Target) -> Result<Launch, String> {
    let variant = choose(&Product::contract(shape, count), target);
    contract_by(variant, shape, column, count)
}

/// [`contract`] by a given variant.
pub fn contract_by(
    variant: Variant,
    shape: &Shape,
    column: u64,
    count: u64,
) -> Result<Launch, String> {
    let s = shape;
    let own = [
        ("units", s.units),
        ("width", s.width),
        ("column", column),
        ("count", count),
        ("layer", s.layer),
        ("first", s.first),
    ];
    Product::contract(s, count).launch("contract", variant, s, &own)
}

/// `matrices` products of rows × inner by inner × columns.
struct Product {
    matrices: u64,
    rows: u64,
    inner: u64,
    columns: u64,
    /// Whether A's rows run along the inner index.
    along_inner: bool,
}

impl Product {
    fn new(s: &Shape, inner: u64, columns: u64, along_inner: bool) -> Product {
        let (matrices, rows) = if s.sampled {
            (s.n, s.vectors)
        } else {
            (1, s.n * s.vectors)
        };
        Product {
            matrices,
            rows,
            inner,
            columns,
            along_inner,
        }
    }

    fn propagate(s: &Shape) -> Product {
        Product::new(s, s.width, s.units, true)
    }

    fn contract(s: &Shape, count: u64) -> Product {
        Product::new(s, s.units, count, false)
    }

    fn tiles(&self, rows: u32, columns: u32) -> u64 {
        self.matrices * self.rows.div_ceil(rows.into()) * self.columns.div_ceil(columns.into())
    }

    fn launch(
        &self,
        stem: &'static str,
        variant: Variant,
        s: &Shape,
        own: &[(&'static str, u64)],
    ) -> Result<Launch, String> {
        let (tiled, rows, columns) = match variant {
            Variant::Tiled(rows, columns) => (true, rows, columns),
            Variant::Alone(rows, columns) => (false, rows, columns),
        };
        // A tile of C: of a workgroup if tiled, of a thread if not.
        let side = if tiled { 8 } else { 1 };
        let tiles = self.tiles(side * rows, side * columns);
        let groups = if tiled { tiles } else { tiles.div_ceil(64) };
        let mut definitions = vec![
            ("ROWS", rows),
            ("COLUMNS", columns),
            ("ALONG_INNER", u32::from(self.along_inner)),
            ("TILED", u32::from(tiled)),
        ];
        if tiled {
            definitions.extend([
                ("DEPTH", DEPTH),
                ("ROW_VECTORS", rows / 4),
                ("COLUMN_VECTORS", columns / 4),
                // Loads of four numbers that fill a slice, for each of 64 threads.
                ("X_LOADS", rows * 2 * DEPTH / 64),
                ("B_LOADS", columns * 2 * DEPTH / 64),
            ]);
        }
        // The numbers of threads and of rows are counted in 32 bits.
        let small = |value: u64| {
            u32::try_from(value).map_err(|_| format!("{stem}: {value} does not fit 32 bits"))
        };
        small(groups * 64)?;
        small(self.matrices * self.rows)?;
        let matrix = if s.sampled { s.all_units * s.width } else { 0 };
        let tiling = [
            ("rows", self.rows),
            ("matrices", self.matrices),
            ("row_tiles", self.rows.div_ceil((side * rows).into())),
            (
                "column_tiles",
                self.columns.div_ceil((side * columns).into()),
            ),
            ("matrix", matrix),
        ];
        Ok(Launch {
            stem,
            defines: (definitions.into_iter())
                .map(|(name, value)| (name, value.to_string()))
                .collect(),
            params: (tiling.iter().chain(own))
                .map(|&(name, v)| Ok((name, small(v)?)))
                .collect::<Result<_, String>>()?,
            groups,
            flops_per_group: (2 * 64 * u64::from(rows * columns) * self.inner) as f64,
        })
    }
}

/// Depth of a slice in shared memory: 64 × 64 tiles then need 8.5 KiB in f32 and 17 KiB in f64.
const DEPTH: u32 = 16;

fn choose(p: &Product, target: Target) -> Variant {
    if target.software {
        software(p)
    } else {
        hardware(p, target.double)
    }
}

/// The tiles of threads that the choices below use, and the tests run.
pub const VARIANTS: [Variant; 7] = [
    Variant::Alone(1, 1),
    Variant::Alone(1, 8),
    Variant::Alone(8, 1),
    Variant::Alone(4, 4),
    Variant::Alone(8, 8),
    Variant::Tiled(4, 4),
    Variant::Tiled(8, 8),
];

/// On lavapipe a load of eight lanes costs as much as some ten multiplications: the fewest loads win. Barriers save and
/// restore all sums, so that slices in shared memory never pay. 8 × 8 sums take half a second longer to compile than the
/// others, which small products do not earn back.
fn software(p: &Product) -> Variant {
    let small = 2 * p.matrices * p.rows * p.inner * p.columns < 100_000_000;
    let cost = |variant: &Variant| match *variant {
        Variant::Alone(8, 8) if small => u64::MAX,
        Variant::Alone(rows, columns) => {
            p.tiles(rows, columns) * u64::from(8 * (rows + columns) + rows * columns)
        }
        Variant::Tiled(..) => u64::MAX,
    };
    VARIANTS
        .into_iter()
        .min_by_key(cost)
        .unwrap_or(Variant::Alone(8, 8))
}

/// First guesses from tile arithmetic, not measured: 8 × 8 sums for each thread where enough 64 × 64 tiles are there to
/// fill a large device and registers suffice (64 sums are 128 registers in f64).
fn hardware(p: &Product, double: bool) -> Variant {
    let (rows, columns) = (p.rows, p.columns);
    if rows == 1 || columns == 1 {
        Variant::Alone(1, 1)
    } else if rows <= 16 || columns <= 16 {
        Variant::Alone(4, 4)
    } else if !double && rows > 32 && columns > 32 && p.tiles(64, 64) >= 512 {
        Variant::Tiled(8, 8)
    } else {
        Variant::Tiled(4, 4)
    }
}
