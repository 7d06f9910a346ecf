//! How a sum over samples becomes launches: which kernel, which windows, how many splits.
//!
//! Plain arithmetic on shapes, no device: the backend calls it to launch, the planner to know what memory that takes.
//! The order is [`choose`] a form, cut the output into [`windows`], [`launch`] each, then `reduce` until one row of
//! partial sums remains, which the host adds to its sums in f64.

use std::ops::Range;

use super::launch::{Launch, Threads};

/// Samples that one accumulator runs over; `BLOCK` of the kernels.
pub const BLOCK: u64 = 512;
/// Blocks that a workgroup adds up one after another: with [`BLOCK`] the bound of the error.
pub const BLOCKS: u64 = 64;
/// Rows that one pass of `reduce.wgsl` adds up.
pub const FAN: u64 = 16;
/// Windows of one sum at most: beyond, the limits make no sense.
const WINDOWS: usize = 1 << 20;
/// Workgroups that fill a device, of hardware and of software: splits are made until there are about as many.
pub const TARGET: [u64; 2] = [2048, 64];

/// The quantity that is summed over the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// out[j, (a, b)] = Σ_i c[i, j] φ[i, j, a] φ[i, j, b], a ≥ b, packed row by row.
    Gram,
    /// out[j, a] = Σ_i c[i, j] φ[i, j, a].
    Weighted,
    /// out[j, a] = Σ_i c[i, j] φ[i, j, a]².
    Diagonal,
}

impl Sum {
    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Sum::Gram => "gram",
            Sum::Weighted => "weighted_sum",
            Sum::Diagonal => "gram_diagonal",
        }
    }
}

/// The sizes of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The quantity that is summed.
    pub sum: Sum,
    /// Samples.
    pub n: u64,
    /// Units.
    pub units: u64,
    /// Columns of φ.
    pub width: u64,
    /// Whether each unit has its own rows of φ, or all share them.
    pub own: bool,
}

/// A kernel with its tile. `g` counts groups of 32 rows or columns, four of each a thread's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `gram/khatri_rao.wgsl`: 32 g units × 64 pairs; rows shared by all units.
    KhatriRao { g: u64 },
    /// `gram/units.wgsl`: one unit, 32 g × 32 g.
    Units { g: u64 },
    /// `gram/stream.wgsl`: one unit, tile × tile ≤ 8 × 8 in each thread.
    Stream { tile: u64 },
    /// `gram/unit_lanes.wgsl`: 8 units, 8 × 8; rows shared by all units.
    UnitLanes { broadcast: bool },
    /// `gram/input_lanes.wgsl`: one unit, T × T with T = 8 · columns.
    InputLanes { columns: u64, broadcast: bool },
    /// `weighted_sum/shared.wgsl`: 32 g units × 32 h inputs; rows shared by all units.
    Shared { g: u64, h: u64 },
    /// `weighted_sum/lanes.wgsl`: 8 units × 8 · columns inputs; rows shared by all units.
    Lanes { columns: u64, broadcast: bool },
    /// `weighted_sum/own.wgsl`: one number in each thread; each unit with its own rows.
    Own,
}

/// A part of the output that one launch computes, and how it cuts the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First unit of the group, and the one after the last.
    pub units: (u64, u64),
    /// First row of the triangle and the one after the last; (0, width) unless the sum is [`Sum::Gram`].
    pub rows: (u64, u64),
    /// Samples of one split.
    pub run: u64,
    /// Parts of the samples with partial sums of their own.
    pub splits: u64,
}

/// Bytes that a launch may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one of the backend's floats.
    pub float: u64,
    /// Largest binding.
    pub binding: u64,
    /// Partial sums, and what their reduction holds besides.
    pub scratch: u64,
    /// Workgroups that fill the device; see [`TARGET`].
    pub target: u64,
}

impl Form {
    /// Whether the kernel can compute the sum at all.
    pub fn fits(self, shape: Shape) -> bool {
        match self {
            Form::KhatriRao { .. } | Form::UnitLanes { .. } => shape.sum == Sum::Gram && !shape.own,
            Form::Units { .. } | Form::Stream { .. } | Form::InputLanes { .. } => {
                shape.sum == Sum::Gram
            }
            Form::Shared { .. } | Form::Lanes { .. } => shape.sum != Sum::Gram && !shape.own,
            Form::Own => shape.sum != Sum::Gram && shape.own,
        }
    }

    /// Units of one workgroup.
    fn units(self) -> u64 {
        match self {
            Form::KhatriRao { g } | Form::Shared { g, .. } => 32 * g,
            Form::UnitLanes { .. } | Form::Lanes { .. } => 8,
            Form::Units { .. } | Form::Stream { .. } | Form::InputLanes { .. } | Form::Own => 1,
        }
    }

    /// Rows (of the triangle, or inputs) of one workgroup.
    fn rows(self) -> u64 {
        match self {
            Form::KhatriRao { .. } => 8,
            Form::Units { g } => 32 * g,
            Form::Stream { tile } => tile,
            Form::UnitLanes { .. } => 8,
            Form::InputLanes { columns, .. } => 8 * columns,
            Form::Shared { h, .. } => 32 * h,
            Form::Lanes { columns, .. } => 8 * columns,
            Form::Own => 64,
        }
    }

    /// Samples that a split may have at most.
    fn longest(self) -> u64 {
        match self {
            // A thread has one sample of 64, and at most a block of them.
            Form::Stream { .. } => 64 * BLOCK,
            _ => BLOCKS * BLOCK,
        }
    }
}

/// The kind of adapter, on which the thresholds of [`choose`] depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// A graphics processor.
    Hardware,
    /// A processor that runs shaders, 8 threads to a vector. `broadcast`: it has subgroups, of 8 threads always (the adapter's
    /// smallest and largest subgroup are both 8).
    Software { broadcast: bool },
}

/// The form to use. On hardware the thresholds are first guesses; on software adapters they are measured on lavapipe.
pub fn choose(shape: Shape, float: u64, adapter: Adapter) -> Form {
    let Shape { units, width, .. } = shape;
    let wide = float > 4;
    match (shape.sum, adapter, shape.own) {
        (Sum::Gram, Adapter::Software { broadcast }, own) => software(units, width, own, broadcast),
        (Sum::Gram, Adapter::Hardware, false) if units >= 16 && width >= 8 => {
            Form::KhatriRao { g: if units > 32 && !wide { 2 } else { 1 } }
        }
        (Sum::Gram, Adapter::Hardware, _) if width >= 48 => {
            Form::Units { g: if width > 96 && !wide { 2 } else { 1 } }
        }
        (Sum::Gram, Adapter::Hardware, _) => {
            Form::Stream { tile: width.clamp(1, if wide { 4 } else { 8 }) }
        }
        (_, _, true) => Form::Own,
        (_, Adapter::Software { broadcast }, false) => {
            Form::Lanes { columns: if width > 32 { 4 } else { 2 }, broadcast }
        }
        (_, Adapter::Hardware, false) => Form::Shared {
            g: if units > 32 && !wide { 2 } else { 1 },
            h: if width > 32 { 2 } else { 1 },
        },
    }
}

/// The form of a Gram sum on a software adapter.
fn software(units: u64, width: u64, own: bool, broadcast: bool) -> Form {
    // Eight units to a vector: the last vector may be filled in part.
    let padded = units.div_ceil(8).saturating_mul(8);
    let filled = |quarters: u64| units.saturating_mul(4) > padded.saturating_mul(quarters);
    let by_units = !own
        && match (broadcast, width) {
            (true, 9..64) => filled(1),
            (true, ..=8) => filled(2),
            _ => filled(3),
        };
    if by_units {
        return Form::UnitLanes { broadcast };
    }
    if width <= 8 || !broadcast {
        return Form::Stream { tile: width.clamp(1, 8) };
    }
    // Wider tiles spend less on loads, more on padding. Products of a tile over its speed, relative: 3, 7, 12.
    let cost = |columns: u64, speed: f64| {
        let tiles = width.div_ceil(8 * columns) as f64;
        tiles * (tiles + 1.0) * (columns * columns) as f64 / speed
    };
    let costs = [(1, cost(1, 3.0)), (2, cost(2, 7.0)), (4, cost(4, 12.0))];
    let columns = costs
        .into_iter()
        .fold((1, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
        .0;
    Form::InputLanes { columns, broadcast }
}

/// Every form that can compute the sum, with every tile that is ever chosen.
#[cfg(test)]
pub fn forms(shape: Shape, broadcast: bool) -> Vec<Form> {
    let mut all = vec![Form::Own];
    for g in 1..=2 {
        all.extend([
            Form::KhatriRao { g },
            Form::Units { g },
            Form::Shared { g, h: 1 },
            Form::Shared { g, h: 2 },
        ]);
    }
    all.extend((1..=8).map(|tile| Form::Stream { tile }));
    for broadcast in if broadcast { vec![false, true] } else { vec![false] } {
        all.push(Form::UnitLanes { broadcast });
        all.extend([1, 2, 4].map(|columns| Form::InputLanes { columns, broadcast }));
        all.extend([1, 2, 4].map(|columns| Form::Lanes { columns, broadcast }));
    }
    all.retain(|form| form.fits(shape));
    all
}

/// Entries of the rows of one unit.
fn entries(shape: Shape, rows: (u64, u64)) -> Option<u64> {
    match shape.sum {
        Sum::Gram => triangle(rows.1)?.checked_sub(triangle(rows.0)?),
        Sum::Weighted | Sum::Diagonal => Some(shape.width),
    }
}

fn triangle(a: u64) -> Option<u64> {
    Some(a.checked_mul(a.checked_add(1)?)? / 2)
}

/// Whether partial sums of `splits` rows of `len` numbers stay within the limits.
pub fn within(limits: Limits, splits: u64, len: u64) -> bool {
    let reduced = if splits > 1 { splits.div_ceil(FAN) } else { 0 };
    let bytes = |rows: u64| rows.checked_mul(len)?.checked_mul(limits.float);
    // The reduction's threads count on past the last row and number.
    let number = splits
        .checked_next_multiple_of(FAN)
        .and_then(|v| v.checked_mul(len)?.checked_add(64))
        .is_some_and(|v| u32::try_from(v).is_ok());
    match (bytes(splits), bytes(splits.saturating_add(reduced))) {
        (Some(partial), Some(all)) => number && partial <= limits.binding && all <= limits.scratch,
        _ => false,
    }
}

/// The largest v in 0..=most for which `holds`, which holds up to some v and no further.
pub fn largest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Cuts the output into windows whose partial sums stay within the limits, and the samples into splits.
///
/// # Errors
/// One row of one unit's triangle is larger than the limits, the inputs are too large to be indexed, or the form cannot compute the sum.
pub fn windows(shape: Shape, form: Form, limits: Limits) -> Result<Vec<Window>, String> {
    let Shape { n, units, width, .. } = shape;
    if !form.fits(shape) {
        return Err(format!("{form:?} cannot compute {shape:?}"));
    }
    if n == 0 || units == 0 || width == 0 {
        return Ok(Vec::new());
    }
    // Sample indices run past n by less than a split.
    if n.checked_add(BLOCKS * BLOCK).is_none_or(|v| u32::try_from(v).is_err()) {
        return Err(format!("{n} samples are too many for one call"));
    }
    let fewest = n.div_ceil(form.longest());
    let one_unit = entries(shape, (0, width)).ok_or("the triangle is too large")?;
    let mut out = Vec::new();
    let mut take = |units, rows| {
        if out.len() >= WINDOWS {
            return Err(format!("more than {WINDOWS} windows of {} scratch bytes", limits.scratch));
        }
        out.push(window(shape, form, limits, units, rows)?);
        Ok(())
    };
    // All rows of as many units as fit, in whole tiles of units where that is possible.
    let fit =
        largest(units, |u| u.checked_mul(one_unit).is_some_and(|len| within(limits, fewest, len)));
    if fit >= units.min(form.units()) || (fit > 0 && shape.sum != Sum::Gram) {
        let tile = form.units();
        let step = if fit < units && fit >= tile { fit / tile * tile } else { fit };
        let mut unit = 0;
        while unit < units {
            let end = units.min(unit + step);
            take((unit, end), (0, width))?;
            unit = end;
        }
        return Ok(out);
    }
    // A tile of units, or as many as fit with one row, and as many rows as fit with them, in whole tiles of rows where that is possible.
    let widest = if shape.sum == Sum::Gram { width } else { one_unit };
    let step = largest(units.min(form.units()), |u| {
        u.checked_mul(widest).is_some_and(|len| within(limits, fewest, len))
    });
    if step == 0 || shape.sum != Sum::Gram {
        return Err(format!(
            "{fewest} partial sums of a row of {width} numbers of {} bytes exceed a binding of {} or a scratch of {} bytes",
            limits.float, limits.binding, limits.scratch
        ));
    }
    let mut unit = 0;
    while unit < units {
        let end = units.min(unit + step);
        let mut a = 0;
        while a < width {
            let fit = largest(width, |to| {
                to <= a
                    || entries(shape, (a, to))
                        .and_then(|e| e.checked_mul(end - unit))
                        .is_some_and(|len| within(limits, fewest, len))
            });
            let whole = fit / form.rows() * form.rows();
            let to = if fit < width && whole > a { whole } else { fit };
            if to <= a {
                return Err(format!("row {a} of the triangle exceeds the limits"));
            }
            take((unit, end), (a, to))?;
            a = to;
        }
        unit = end;
    }
    Ok(out)
}

/// A window with its splits: enough to fill the device, as far as the limits allow.
fn window(
    shape: Shape,
    form: Form,
    limits: Limits,
    units: (u64, u64),
    rows: (u64, u64),
) -> Result<Window, String> {
    let blocks = shape.n.div_ceil(BLOCK);
    let fewest = shape.n.div_ceil(form.longest());
    let len = entries(shape, rows)
        .and_then(|e| e.checked_mul(units.1 - units.0))
        .ok_or("the output is too large")?;
    let tiles = tiles(shape, form, units, rows).ok_or("the output is too large")?;
    let wanted =
        limits.target.div_ceil((tiles.0 * tiles.1).max(1)).clamp(fewest, blocks.max(fewest));
    let most = largest(wanted, |splits| splits <= fewest || within(limits, splits, len));
    // Whole blocks for each split; what that rounds up may leave fewer splits.
    let run = blocks.div_ceil(most.max(1)) * BLOCK;
    Ok(Window { units, rows, run, splits: shape.n.div_ceil(run) })
}

/// Tiles of rows in a window, and the number of tiles of units.
fn tiles(shape: Shape, form: Form, units: (u64, u64), rows: (u64, u64)) -> Option<(u64, u64)> {
    let count = units.1 - units.0;
    match (shape.sum, form) {
        (Sum::Gram, _) => {
            let t = form.rows();
            let tiles = triangle(rows.1.div_ceil(t))?.checked_sub(triangle(rows.0 / t)?)?;
            Some((tiles, count.div_ceil(form.units())))
        }
        (_, Form::Own) => Some((count.checked_mul(shape.width)?.div_ceil(64), 1)),
        _ => Some((shape.width.div_ceil(form.rows()), count.div_ceil(form.units()))),
    }
}

/// The launch for one window, with the number of rows of partial sums that it writes and their length for one unit.
///
/// # Errors
/// The shape or the window does not fit the form or the numbers of a kernel.
pub fn launch(shape: Shape, form: Form, window: Window) -> Result<(Launch, usize, usize), String> {
    let large = || format!("{window:?} of {shape:?} is too large for one launch");
    let (stem, threads, defines) = file(form);
    let entries = entries(shape, window.rows).ok_or_else(large)?;
    let (tiles, unit_tiles) = tiles(shape, form, window.units, window.rows).ok_or_else(large)?;
    let first_tile = match shape.sum {
        Sum::Gram => triangle(window.rows.0 / form.rows()).ok_or_else(large)?,
        Sum::Weighted | Sum::Diagonal => 0,
    };
    let groups = (tiles.checked_mul(unit_tiles))
        .and_then(|v| v.checked_mul(window.splits))
        .ok_or_else(large)?;
    let launch = Launch {
        stem,
        threads: Threads::Workgroup(threads),
        defines: Vec::new(),
        params: Vec::new(),
        groups,
        flops_per_group: (2 * products(shape, form)) as f64 * window.run.min(shape.n) as f64,
    }
    .param("n", shape.n)
    .param("run", window.run)
    .param("units", window.units.1 - window.units.0)
    .param("a0", window.rows.0)
    .param("a1", window.rows.1)
    .param("tiles", tiles)
    .param("first_tile", first_tile);
    let squared = (shape.sum == Sum::Diagonal).then_some(("SQUARED", 1));
    let launch = (defines.into_iter().chain(squared))
        .fold(launch, |launch, (name, value)| launch.define(name, value));
    Ok((launch, window.splits as usize, entries as usize))
}

/// A form's file, the threads of its workgroups, and what it is expanded with.
fn file(form: Form) -> (&'static str, u32, Vec<(&'static str, u64)>) {
    match form {
        Form::KhatriRao { g } => {
            let defines = vec![("GM", g), ("GN", 2), ("PASSES", 2)];
            ("gram/khatri_rao", 64, defines)
        }
        Form::Units { g } => {
            let defines = vec![("GM", g), ("GN", g), ("PASSES", 2)];
            ("gram/units", 64, defines)
        }
        Form::Stream { tile } => ("gram/stream", 64, vec![("T", tile)]),
        Form::UnitLanes { broadcast } => {
            // Without broadcasts it is not llvmpipe; SwiftShader compiles one sample in a third less time than four.
            let samples = if broadcast { 4 } else { 1 };
            let defines = vec![("BROADCAST", u64::from(broadcast)), ("SAMPLES", samples)];
            ("gram/unit_lanes", 8, defines)
        }
        Form::InputLanes { columns, broadcast } => {
            let samples = if columns > 2 { 2 } else { 4 };
            let defines = vec![
                ("COLUMNS", columns),
                ("BROADCAST", u64::from(broadcast)),
                ("SAMPLES", samples),
            ];
            ("gram/input_lanes", 8, defines)
        }
        Form::Shared { g, h } => {
            let defines = vec![("GM", g), ("GN", h), ("PASSES", 2)];
            ("weighted_sum/shared", 64, defines)
        }
        Form::Lanes { columns, broadcast } => {
            let defines = vec![("COLUMNS", columns), ("BROADCAST", u64::from(broadcast))];
            ("weighted_sum/lanes", 8, defines)
        }
        Form::Own => ("weighted_sum/own", 64, vec![]),
    }
}

/// Products of one sample in a workgroup: all of its accumulators.
fn products(shape: Shape, form: Form) -> u64 {
    match form {
        Form::KhatriRao { g } => 32 * g * 64,
        Form::Stream { tile } => tile * tile,
        Form::Own => 64,
        _ if shape.sum == Sum::Gram => form.units() * form.rows() * form.rows(),
        _ => form.units() * form.rows(),
    }
}

/// Where in the whole output the numbers of a window belong.
pub fn places(shape: Shape, window: Window) -> Vec<Range<usize>> {
    let whole = entries(shape, (0, shape.width)).unwrap_or(0);
    let before = entries(shape, (0, window.rows.0)).unwrap_or(0);
    let part = entries(shape, window.rows).unwrap_or(0);
    let (first, end) = window.units;
    if part == whole {
        let all = (first * whole) as usize..(end * whole) as usize;
        return std::iter::once(all).collect();
    }
    (first..end)
        .map(|unit| {
            let start = (unit * whole + before) as usize;
            start..start + part as usize
        })
        .collect()
}
