//! Rows of a file by their use: those to train with, those to end early by, and those that are held out. Which follows from a hash of seed and number, so that no
//! list of them is kept.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use secondo::io::{FileSamples, Model, Standardization};
use secondo::{Error, Samples, Walk, Window};

use crate::metrics::{Metrics, Sums};
use crate::table::{Known, Rows};

/// Numbers that are read at once where rows are measured: 1 MiB.
const PART: usize = 1 << 17;

/// Rows of the file of which the kept ones are counted, so that a walk can begin among them.
const BLOCK: usize = 1 << 16;

/// The rows of a file that have one use.
#[derive(Debug, Clone)]
pub struct Part {
    file: Arc<FileSamples>,
    division: Division,
    of: Use,
    fold: Option<Fold>,
    rows: usize,
    /// How many of them stand before each block of the file.
    before: Arc<Vec<usize>>,
    /// The changes that are made to them before the network sees them.
    objective: Option<Arc<Changes>>,
}

/// Which rows are held out, and which count at all.
#[derive(Debug, Clone, Copy)]
pub struct Division {
    pub seed: u64,
    pub fraction: f64,
    /// The part of the others that is there to end early by.
    pub validation: f64,
    /// Whether rows in which a value is missing are left out.
    pub leaves_gaps: bool,
    /// Whether rows may have the weight 0, which are left out.
    pub is_weighted: bool,
}

/// All rows of a file by their use.
pub struct Divided {
    pub train: Part,
    pub validation: Part,
    pub test: Part,
    /// Rows that are left out because a value is missing.
    pub dropped: usize,
    /// Rows that are left out because their weight is 0.
    pub weightless: usize,
}

/// The use of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Train,
    Validation,
    Test,
}

/// A fold of the rows of one use, or all but it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fold {
    seed: u64,
    count: usize,
    index: usize,
    is_held: bool,
}

impl Fold {
    fn has(self, row: usize) -> bool {
        let of = (hash(self.seed, row) * self.count as f64) as usize;
        (of == self.index) == self.is_held
    }
}

/// Why a row is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Out {
    Gap,
    Weightless,
}

impl Division {
    /// The use of a row, if it counts.
    fn of(self, row: usize) -> Use {
        if hash(self.seed, row) < self.fraction {
            Use::Test
        } else if hash(self.seed ^ 0xea51_ea51_ea51_ea51, row) < self.validation {
            Use::Validation
        } else {
            Use::Train
        }
    }

    /// Whether rows must be read to know which count.
    fn is_read(self) -> bool {
        self.leaves_gaps || self.is_weighted
    }

    /// Why a row is left out; none where it counts.
    fn leaves_out(self, (x, y, weight): (&[f64], &[f64], f64)) -> Option<Out> {
        if weight == 0.0 {
            return Some(Out::Weightless);
        }
        let is_gap = weight.is_nan() || x.iter().chain(y).any(|v| v.is_nan());
        (self.leaves_gaps && is_gap).then_some(Out::Gap)
    }
}

/// The changes that are made to rows before the network sees them.
#[derive(Debug)]
struct Changes {
    /// The means and scales of inputs and of targets that are numbers.
    scaling: Standardization,
    /// The factor of the weight of rows of each class; none where all are 1.
    class_weights: Vec<f64>,
}

/// A number from 0 to less than 1 for a row: the function mix of SplitMix64 (Steele, Lea and Flood 2014).
fn hash(seed: u64, row: usize) -> f64 {
    let mut z = seed.wrapping_add((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The class of a target as a loss takes it: 0 or 1, or one indicator for each class.
pub fn class_of(y: &[f64]) -> usize {
    match y {
        [y] => usize::from(*y == 1.0),
        several => several.iter().position(|y| *y == 1.0).unwrap_or(0),
    }
}

/// The rows of a window of samples with so many inputs and outputs.
pub fn rows(
    window: &Window,
    [inputs, outputs]: [usize; 2],
) -> impl Iterator<Item = (&[f64], &[f64], f64)> {
    let xy = window.x.chunks_exact(inputs).zip(window.y.chunks_exact(outputs));
    xy.zip(&window.weights).map(|((x, y), weight)| (x, y, *weight))
}

impl Part {
    /// Divides the rows of a file, which is walked where they must be read for it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn divide(file: &Arc<FileSamples>, division: Division) -> Result<Divided, Error> {
        let mut parts = [Use::Train, Use::Validation, Use::Test].map(|of| Part {
            file: file.clone(),
            division,
            of,
            fold: None,
            rows: 0,
            before: Arc::default(),
            objective: None,
        });
        let (dropped, weightless) = Part::count(&mut parts)?;
        let [train, validation, test] = parts;
        Ok(Divided { train, validation, test, dropped, weightless })
    }

    /// The rows without each of `count` folds, and those of the fold, by a hash of seed and number.
    ///
    /// # Errors
    /// Those of reading.
    pub fn folds(&self, count: usize, seed: u64) -> Result<Vec<[Part; 2]>, Error> {
        let of = |at: usize| {
            // Another hash than those of the rows that are held out.
            let seed = seed ^ 0xf01d_f01d_f01d_f01d;
            let fold = Some(Fold { seed, count, index: at / 2, is_held: at % 2 == 1 });
            Part { fold, ..self.clone() }
        };
        let mut parts: Vec<Part> = (0..2 * count).map(of).collect();
        Part::count(&mut parts)?;
        Ok(parts.chunks_exact(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect())
    }

    /// Counts the rows of parts of one file, which is walked where they must be read for it; returns how many are left out for a missing value, and
    /// for the weight 0.
    fn count(parts: &mut [Part]) -> Result<(usize, usize), Error> {
        let Some(Part { file, division, .. }) = parts.first().cloned() else {
            return Ok((0, 0));
        };
        parts.iter_mut().for_each(|part| part.rows = 0);
        let (all, step, sizes) = (file.rows(), parts[0].step(), parts[0].sizes());
        let mut walk = division.is_read().then(|| file.walk(0)).transpose()?;
        let mut before = vec![Vec::new(); parts.len()];
        let (mut dropped, mut weightless) = (0, 0);
        for first in (0..all).step_by(BLOCK) {
            let end = all.min(first + BLOCK);
            for (part, before) in parts.iter().zip(&mut before) {
                before.push(part.rows);
            }
            for from in (first..end).step_by(step) {
                let among = from..end.min(from + step);
                let mut window = Window::default();
                if let Some(walk) = &mut walk {
                    walk.next(among.len(), &mut window)?;
                }
                let out: Vec<Option<Out>> =
                    rows(&window, sizes).map(|row| division.leaves_out(row)).collect();
                dropped += out.iter().filter(|out| **out == Some(Out::Gap)).count();
                weightless += out.iter().filter(|out| **out == Some(Out::Weightless)).count();
                let counts = |row: &usize| out.get(row - from).is_none_or(Option::is_none);
                for part in &mut *parts {
                    let own = among.clone().filter(|row| part.has(*row) && counts(row));
                    part.rows += own.count();
                }
            }
        }
        for (part, before) in parts.iter_mut().zip(before) {
            part.before = Arc::new(before);
        }
        Ok((dropped, weightless))
    }

    /// The same rows of the file with other substitutes for missing values.
    pub fn over(&self, file: &Arc<FileSamples>) -> Self {
        Part { file: file.clone(), ..self.clone() }
    }

    /// The same rows as the network of a model sees them, weighted by its classes.
    pub fn in_objective(&self, model: &Model) -> Self {
        let mut scaling = model.standardization.clone();
        if !model.classes.is_empty() {
            // Indicators stay what they are.
            (scaling.y_mean, scaling.y_scale) =
                (vec![0.0; self.outputs()], vec![1.0; self.outputs()]);
        }
        let changes = Changes { scaling, class_weights: model.class_weights.clone() };
        Part { objective: Some(Arc::new(changes)), ..self.clone() }
    }

    fn sizes(&self) -> [usize; 2] {
        [self.inputs(), self.outputs()]
    }

    /// Rows that are read at once.
    fn step(&self) -> usize {
        (PART / (self.inputs() + self.outputs() + 1)).max(1)
    }

    /// Whether a row of the file is among these, if none of its values is missing.
    fn has(&self, row: usize) -> bool {
        self.division.of(row) == self.of && self.fold.is_none_or(|fold| fold.has(row))
    }

    /// Calls `f` with all rows, some at a time.
    ///
    /// # Errors
    /// Those of reading and of `f`.
    pub fn each(&self, mut f: impl FnMut(&Window) -> Result<(), Error>) -> Result<(), Error> {
        let mut walk = self.walk(0)?;
        let step = self.step();
        for first in (0..self.rows).step_by(step) {
            let mut window = Window::default();
            walk.next(step.min(self.rows - first), &mut window)?;
            f(&window)?;
        }
        Ok(())
    }

    /// How well a model predicts these rows, in the units of the file; none without rows or weight.
    ///
    /// # Errors
    /// Those of reading.
    pub fn metrics(&self, model: &Model) -> Result<Option<Metrics>, Error> {
        let mut sums = Sums::of(model);
        self.each(|window| sums.add(model, &self.measured(model, window)))?;
        Ok(sums.end(model))
    }

    /// The rows of a window as figures are made of them.
    fn measured(&self, model: &Model, window: &Window) -> Rows {
        let array = |columns: usize, values: &[f64]| {
            ArrayView2::from_shape((window.weights.len(), columns), values)
                .map_or_else(|_| Array2::default((0, 0)), |values| values.to_owned())
        };
        let target = if model.classes.is_empty() {
            Known::Numbers(array(self.outputs(), &window.y))
        } else {
            Known::Classes(window.y.chunks_exact(self.outputs()).map(class_of).collect())
        };
        Rows {
            x: array(self.inputs(), &window.x),
            target: Some(target),
            weights: Some(window.weights.clone()),
            exposures: None,
            lines: Vec::new(),
            labels: None,
        }
    }
}

impl Samples for Part {
    fn rows(&self) -> usize {
        self.rows
    }

    fn inputs(&self) -> usize {
        self.file.inputs()
    }

    fn outputs(&self) -> usize {
        self.file.outputs()
    }

    fn walk(&self, first: usize) -> Result<Box<dyn Walk>, Error> {
        // The block in which it stands is the last with no more than so many before.
        let block = self.before.partition_point(|before| *before <= first).saturating_sub(1);
        let before = self.before.get(block).copied().unwrap_or(0);
        let (mut row, mut skip) = (block * BLOCK, first - before);
        if !self.division.is_read() {
            // Which rows count is known without reading them.
            let mut own = (row..self.file.rows()).filter(|row| self.has(*row));
            row = own.nth(skip).unwrap_or(self.file.rows());
            skip = 0;
        }
        let mut walk = PartWalk {
            walk: self.file.walk(row)?,
            part: self.clone(),
            row,
            read: Window::default(),
            used: 0,
        };
        for _ in 0..skip {
            walk.pass()?;
        }
        Ok(Box::new(walk))
    }

    fn held(&self) -> u64 {
        let numbers = self.step() * (self.inputs() + self.outputs() + 1);
        self.file.held() + 8 * numbers as u64
    }
}

/// A walk over some rows of a file.
struct PartWalk {
    part: Part,
    walk: Box<dyn Walk>,
    /// The row after those that were read.
    row: usize,
    /// Rows that were read, of which so many were used.
    read: Window,
    used: usize,
}

impl PartWalk {
    /// Reads the next rows of the file.
    fn more(&mut self) -> Result<(), Error> {
        let rows = self.part.step().min(self.part.file.rows() - self.row);
        if rows == 0 {
            return Err(Error::Invalid { what: "rows".into(), why: "there are no more".into() });
        }
        self.read.x.clear();
        self.read.y.clear();
        self.read.weights.clear();
        self.walk.next(rows, &mut self.read)?;
        (self.row, self.used) = (self.row + rows, 0);
        Ok(())
    }

    /// Passes to the next row of the part, and returns its place among those that were read.
    fn pass(&mut self) -> Result<usize, Error> {
        loop {
            if self.used == self.read.weights.len() {
                self.more()?;
            }
            let (at, row) = (self.used, self.row - self.read.weights.len() + self.used);
            self.used += 1;
            let division = self.part.division;
            if division.is_read() && division.leaves_out(self.at(at)).is_some() {
                continue;
            }
            // Rows of another use, too: they are to be known before the fit.
            self.check(at, row)?;
            if self.part.has(row) {
                return Ok(at);
            }
        }
    }

    /// Refuses a number that no row may have; here the number of the row in the file is known.
    fn check(&self, at: usize, row: usize) -> Result<(), Error> {
        let (x, y, weight) = self.at(at);
        if let Some((column, v)) = x.iter().chain(y).enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(self.part.file.refuse(row, column, *v));
        }
        if !weight.is_finite() || weight < 0.0 {
            return Err(self.part.file.refuse(row, x.len() + y.len(), weight));
        }
        Ok(())
    }

    /// A row among those that were read.
    fn at(&self, at: usize) -> (&[f64], &[f64], f64) {
        let [inputs, outputs] = self.part.sizes();
        let x = &self.read.x[at * inputs..(at + 1) * inputs];
        let y = &self.read.y[at * outputs..(at + 1) * outputs];
        (x, y, self.read.weights[at])
    }
}

impl Walk for PartWalk {
    fn next(&mut self, rows: usize, window: &mut Window) -> Result<(), Error> {
        for _ in 0..rows {
            let at = self.pass()?;
            let (x, y, mut weight) = self.at(at);
            match &self.part.objective {
                None => {
                    window.x.extend(x);
                    window.y.extend(y);
                }
                Some(changes) => {
                    let of = &changes.scaling;
                    window.x.extend(standard(x, &of.x_mean, &of.x_scale));
                    window.y.extend(standard(y, &of.y_mean, &of.y_scale));
                    if !changes.class_weights.is_empty() {
                        weight *= changes.class_weights[class_of(y)];
                    }
                }
            }
            window.weights.push(weight);
        }
        Ok(())
    }
}

/// (v − mean)/scale of each number.
fn standard<'a>(
    values: &'a [f64],
    mean: &'a [f64],
    scale: &'a [f64],
) -> impl Iterator<Item = f64> + 'a {
    values.iter().zip(mean).zip(scale).map(|((v, mean), scale)| (v - mean) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_the_rows_is_held_out_whatever_the_seed() {
        for seed in [0, 1, u64::MAX] {
            let held = (0..100_000).filter(|row| hash(seed, *row) < 0.2).count();
            // Four standard deviations.
            assert!((19_494..=20_506).contains(&held), "{seed}: {held}");
            // A quarter of the others ends the fit early.
            let division = Division {
                seed,
                fraction: 0.2,
                validation: 0.25,
                leaves_gaps: false,
                is_weighted: false,
            };
            let uses: Vec<Use> = (0..100_000).map(|row| division.of(row)).collect();
            let count = |of: Use| uses.iter().filter(|found| **found == of).count();
            assert_eq!(count(Use::Test), held);
            assert!((19_494..=20_506).contains(&count(Use::Validation)), "{seed}");
        }
        assert_ne!(hash(0, 1), hash(1, 1));
    }
}
