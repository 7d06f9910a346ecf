//! How the work is cut, from the shapes and the instruction set alone.

use super::BLOCK;

/// The work is cut into about this many tasks where its size allows.
const TASKS: usize = 64;
/// Units beyond which they are divided into groups, of [`GROUP`] at the most.
const MANY: usize = 600;
const GROUP: usize = 128;
/// The samples are cut only into chunks of at least this many, so that adding up their partial results stays cheap.
const CHUNK: usize = 2048;
/// Numbers of a row of z from which on a rank update reads a copy: rows are then so far apart that each costs a page's address.
const FAR: usize = 256;
/// Units for which that copy is worth making, and parts of few rows.
const SHARING: usize = 4;
/// Rows of such a part, at the most.
const ROWS: usize = 160;
/// Numbers that are copied for all tasks at once.
const PACKED: usize = 1 << 21;
/// Entries that all partial results together may have: fresh pages of larger ones cost more than idle threads save.
const PARTIAL: usize = 1 << 20;

/// Flops below which waking other threads would take longer than the work.
pub(super) const SMALL: usize = 1_000_000;

/// The two forms of the module's description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// One product for all units; for many units or few inputs.
    KhatriRao,
    /// One product for each unit; for few units or wide layers.
    RankUpdate,
}

/// d(d + 1)/2: the entries of a triangle with d rows, and the packed index at which row d begins.
pub(super) const fn triangle(d: usize) -> usize {
    d * (d + 1) / 2
}

/// Flops that count: a multiplication and an addition per sample, unit and entry.
pub(super) const fn work(n: usize, d: usize, s: usize) -> usize {
    2 * n * triangle(d) * s
}

/// The row that holds packed index p.
pub(super) const fn row_of(p: usize) -> usize {
    ((8 * p + 1).isqrt() - 1) / 2
}

/// How the work is cut. Nothing here may depend on the number of threads.
pub(super) struct Plan {
    pub form: Form,
    /// Packed indices at which every triangle is cut: from 0 to P, strictly increasing.
    pub cuts: Vec<usize>,
    /// Units of one task.
    pub group: usize,
    /// Samples of one chunk, a multiple of `BLOCK`. Several chunks have partial results of their own, added up in order.
    pub chunk: usize,
}

impl Plan {
    /// `across` numbers are a row of a slab.
    pub fn new(n: usize, d: usize, s: usize, across: usize, form: Option<Form>) -> Self {
        // Where the two cross over, measured for d = 4 … 257 in both types with AVX-512: s = 6 at d = 17, 8 at 24, 11 at 33,
        // 16 at 48, 32 at 96, 43 at 129. Close to it they differ by a few per cent.
        let form =
            form.unwrap_or(if s >= 5 && 3 * s >= d { Form::KhatriRao } else { Form::RankUpdate });
        let pairs = triangle(d);
        let (mut cuts, group): (Vec<usize>, usize) = match form {
            Form::KhatriRao => {
                // Each group of units makes its columns of K again, which costs as much as one unit or two. All units in one
                // task, but where their packed c would fill a second-level cache: 2,080 units with d = 65 took 1.4 times as
                // long in one group as in 17 (f64, two cores of an AMD EPYC). At least four slabs are a task, and no more than keep the group's entries
                // within such a cache, too.
                let groups = if s > MANY { s.div_ceil(GROUP) } else { 1 };
                let group = s.div_ceil(groups);
                let slabs = pairs.div_ceil(across);
                let parts =
                    slabs.div_ceil((slabs * groups / TASKS).clamp(4, (2048 / group).clamp(4, 32)));
                ((0..=parts).map(|t| (t * slabs / parts * across).min(pairs)).collect(), group)
            }
            Form::RankUpdate => {
                // Whole rows, in parts of about equal area; up to four units share a packed copy of z.
                let area = pairs.div_ceil((d / 128).max(1));
                let most = if s < SHARING { d } else { d.div_ceil(d.div_ceil(ROWS)) };
                let (mut cuts, mut first) = (vec![0], 0);
                for row in 1..=d {
                    let entries = triangle(row) - triangle(first);
                    if row == d || row - first == most || entries >= area {
                        cuts.push(triangle(row));
                        first = row;
                    }
                }
                (cuts, s.div_ceil(s.div_ceil(4)))
            }
        };
        cuts.dedup();
        let tasks = (cuts.len() - 1) * s.div_ceil(group);
        let chunks = TASKS
            .div_ceil(tasks)
            .min(n / CHUNK)
            .min(PARTIAL / (s * pairs))
            .min(work(n, d, s) / SMALL)
            .max(1);
        Plan { form, cuts, group, chunk: n.div_ceil(chunks).next_multiple_of(BLOCK) }
    }

    /// Rows of a task's part of the triangles, at the most, where it has a copy of them.
    pub fn rows(&self, d: usize) -> usize {
        let rows = self.cuts.windows(2).map(|cut| row_of(cut[1]) - row_of(cut[0]));
        if self.form == Form::RankUpdate { rows.max().unwrap_or(d) } else { 0 }
    }

    /// Numbers of each sample that are copied once for all tasks.
    pub fn packed(&self, d: usize, s: usize, across: usize) -> usize {
        match self.form {
            Form::KhatriRao => s,
            Form::RankUpdate if d >= FAR && s >= SHARING => d.next_multiple_of(across),
            Form::RankUpdate => 0,
        }
    }

    /// Samples that are worked on at once, so that these copies stay small: whole blocks.
    pub fn wave(&self, d: usize, s: usize, across: usize) -> usize {
        (PACKED / self.packed(d, s, across).max(1)).max(1).next_multiple_of(BLOCK)
    }
}
