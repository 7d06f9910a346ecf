//! How the rows of a table are divided: to train, to end early, to test, and in folds.

use std::collections::HashMap;

use clap::Args;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use secondo::io::{Dataset, Target};

use crate::exit::Failure;

/// The accepted steps without a lower error after which a fit ends early, unless they are given.
const PATIENCE: u32 = 10;

/// Why a fit cannot end early.
pub const NO_VALIDATION: &str =
    "no row is for validation; a larger --validation-fraction or a marked row is needed";

/// The rows of a table by their use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Dividing the rows")]
pub struct DivisionOptions {
    /// The part of the rows that is held out for the test, from 0 to less than 1 [default: 0.2]
    #[arg(long, value_name = "X", value_parser = fraction, allow_negative_numbers = true)]
    test_fraction: Option<f64>,
    /// Keep rows with the same value in this column together: in the test, in a fold, for validation
    #[arg(long, value_name = "COLUMN")]
    pub groups: Option<String>,
    /// Cross-validate in this many parts the network and its penalty, or each of several [default: 5, where there is a choice]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(2..))]
    pub cv: Option<u16>,
    /// Cross-validate so many times, each with other parts [default: 1]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: Option<u16>,
    /// Stop early: keep this part of the rows out of the training, and return the point where their error was lowest
    #[arg(long, value_name = "X", value_parser = fraction, allow_negative_numbers = true)]
    validation_fraction: Option<f64>,
    /// The same with the rows that this column marks by 1, true, yes or validation
    #[arg(long, value_name = "COLUMN", conflicts_with = "validation_fraction")]
    pub validation_column: Option<String>,
    /// End after so many accepted steps without a lower error of the validation rows [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    patience: Option<u32>,
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if (0.0..1.0).contains(&v) => Ok(v),
        _ => Err("must be a number from 0 to less than 1".into()),
    }
}

/// The indices of rows by their use, each in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

impl DivisionOptions {
    /// The part of the rows that is held out.
    pub fn test_fraction(&self) -> f64 {
        self.test_fraction.unwrap_or(0.2)
    }

    /// The part of the other rows that is kept out of the training to end early by.
    pub fn validation_fraction(&self) -> f64 {
        self.validation_fraction.unwrap_or(0.0)
    }

    /// The columns by which rows are divided: the groups, and the marks of validation.
    pub fn columns(&self) -> [Option<&str>; 2] {
        [self.groups.as_deref(), self.validation_column.as_deref()]
    }

    /// Whether the fit is to end early.
    pub fn stops_early(&self) -> bool {
        self.validation_fraction() > 0.0 || self.validation_column.is_some()
    }

    /// The accepted steps without a lower error after which it ends.
    pub fn patience(&self) -> usize {
        self.patience.unwrap_or(PATIENCE) as usize
    }

    /// Refuses options without a use for others; `several` says whether there are several candidates.
    ///
    /// # Errors
    /// A usage error that names them.
    pub fn check(&self, several: bool) -> Result<(), Failure> {
        let refused = |why: &str| Err(Failure::usage(why));
        if self.stops_early() && (several || self.cv.is_some()) {
            return refused(
                "early stopping (--validation-fraction, --validation-column) and cross-validation (--cv, or several values of \
                 --ridge, --hidden or --activation) exclude each other: leave one out",
            );
        }
        if self.repeats.is_some() && !several && self.cv.is_none() {
            return refused("--repeats is for cross-validation: say --cv K, too");
        }
        if self.patience.is_some() && !self.stops_early() {
            return refused(
                "--patience is for early stopping: say --validation-fraction X or --validation-column COLUMN, too",
            );
        }
        Ok(())
    }

    /// The rows of `data` by their use. Classes are divided one by one, and each keeps a row to train.
    ///
    /// # Errors
    /// No row is left to train, or for validation.
    pub fn divide(&self, data: &Dataset, seed: u64) -> Result<Division, Failure> {
        let all: Vec<usize> = (0..data.lines.len()).collect();
        let marked = |row: usize| data.validation.as_ref().is_some_and(|marks| marks[row]);
        let (validation, rest): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&r| marked(r));
        // Other streams than that of the starts, which are drawn with the same seed.
        let (mut train, test) =
            split(data, &rest, self.test_fraction(), seed ^ 0x7e57_7e57_7e57_7e57);
        let mut division = Division { train: Vec::new(), validation, test };
        if let Some(part) = self.validation_fraction.filter(|part| *part > 0.0) {
            (train, division.validation) = split(data, &train, part, seed ^ 0xea51_ea51_ea51_ea51);
        }
        division.train = train;
        if division.train.is_empty() {
            return Err(Failure::usage("no row is left to train: all are for validation"));
        }
        if self.stops_early() && division.validation.is_empty() {
            return Err(Failure::usage(NO_VALIDATION));
        }
        Ok(division)
    }
}

/// Rows that stay together, and their class if all have the same. Most have one row, and take no memory of their own.
struct Unit {
    first: usize,
    others: Vec<usize>,
    class: Option<usize>,
}

impl Unit {
    fn rows(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// The groups of `rows`, in the order of the file; each row alone without groups. Classes count where each unit has one.
fn units(data: &Dataset, rows: &[usize]) -> Vec<Unit> {
    let class = |row: usize| match &data.target {
        Target::Numbers(_) => None,
        Target::Classes { index, .. } => Some(index[row]),
    };
    let mut units: Vec<Unit> = Vec::new();
    let mut place = HashMap::new();
    for &row in rows {
        let next = units.len();
        let at = match &data.groups {
            None => next,
            Some(groups) => *place.entry(groups[row]).or_insert(next),
        };
        if at == next {
            units.push(Unit { first: row, others: Vec::new(), class: class(row) });
        } else {
            units[at].others.push(row);
            units[at].class = units[at].class.filter(|c| Some(*c) == class(row));
        }
    }
    if units.iter().any(|unit| unit.class.is_none()) {
        units.iter_mut().for_each(|unit| unit.class = None);
    }
    units
}

/// Some of `rows` to keep and a part of them to hold out, each in the order of the file.
fn split(data: &Dataset, rows: &[usize], part: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let units = units(data, rows);
    let count = units.iter().filter_map(|unit| unit.class).max().map_or(1, |most| most + 1);
    let mut strata: Vec<Vec<Unit>> = (0..count).map(|_| Vec::new()).collect();
    units.into_iter().for_each(|unit| strata[unit.class.unwrap_or(0)].push(unit));
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for units in &mut strata {
        units.shuffle(&mut rng);
        let count = (units.len() as f64 * part).round() as usize;
        let count = count.min(units.len().saturating_sub(1));
        kept.extend(units[count..].iter().flat_map(Unit::rows));
        held.extend(units[..count].iter().flat_map(Unit::rows));
    }
    kept.sort_unstable();
    held.sort_unstable();
    (kept, held)
}

/// The parts of a cross-validation, unless their number is given.
pub const FOLDS: usize = 5;

/// Whether a penalty can be chosen on `rows` without being asked for: there are two rows, or groups, for each part.
pub fn may_fold(data: &Dataset, rows: &[usize]) -> bool {
    units(data, rows).len() >= 2 * FOLDS
}

/// The fold of each of `rows`: units dealt one by one, those of a class one after the other.
///
/// # Errors
/// Fewer units than folds.
pub fn folds(
    data: &Dataset,
    rows: &[usize],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, Failure> {
    let mut units = units(data, rows);
    if units.len() < folds {
        let what = if data.groups.is_none() { "rows" } else { "groups" };
        return Err(Failure::usage(format!(
            "{folds} folds need {folds} {what} to train with, and there are {}",
            units.len()
        )));
    }
    // Another stream than those of the divisions and of the starts.
    let mut rng = Pcg64::seed_from_u64(seed ^ 0xf01d_f01d_f01d_f01d);
    units.shuffle(&mut rng);
    units.sort_by_key(|unit| unit.class);
    let mut fold_of = HashMap::new();
    for (place, unit) in units.iter().enumerate() {
        fold_of.extend(unit.rows().map(|row| (row, place % folds)));
    }
    Ok(rows.iter().map(|row| fold_of.get(row).copied().unwrap_or(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secondo::io::{Dialect, Reading, Table};

    /// 60 rows of two classes, 40 and 20, in 12 groups of five.
    fn data(grouped: bool) -> Dataset {
        let lines: String = (0..60)
            .map(|i| format!("{},{},g{}\n", i * 7 % 11, ["a", "b", "a"][i % 3], i / 5))
            .collect();
        let table = Table::parse(&format!("x,y,g\n{lines}"), "d.csv".as_ref(), &Dialect::default())
            .unwrap();
        let mut reading = Reading::new("y");
        reading.groups = grouped.then(|| "g".into());
        reading.ignore = if grouped { Vec::new() } else { vec!["g".into()] };
        table.dataset(&reading).unwrap()
    }

    #[test]
    fn classes_and_groups_are_divided_as_wholes() {
        let all: Vec<usize> = (0..60).collect();
        let alone = data(false);
        let Target::Classes { index, .. } = &alone.target else { panic!("classes") };
        let (kept, held) = split(&alone, &all, 0.25, 1);
        assert_eq!((kept.len(), held.len()), (45, 15));
        assert_eq!(held.iter().filter(|&&r| index[r] == 1).count(), 5);
        let parts = folds(&alone, &all, 5, 1).unwrap();
        for fold in 0..5 {
            let in_fold = (0..60).filter(|&r| parts[r] == fold && index[r] == 1).count();
            assert_eq!(in_fold, 4);
        }
        assert_ne!(parts, folds(&alone, &all, 5, 2).unwrap());
        // Whole groups, and another division than that of single rows.
        let grouped = data(true);
        let (kept, held) = split(&grouped, &all, 0.25, 1);
        assert_eq!(held.len(), 15);
        let groups = |rows: &[usize]| rows.iter().map(|r| r / 5).collect::<Vec<_>>();
        assert!(groups(&held).iter().all(|g| !groups(&kept).contains(g)));
        let of_groups = folds(&grouped, &all, 4, 1).unwrap();
        assert!((0..60).all(|r| of_groups[r] == of_groups[r / 5 * 5]));
        assert!((0..60).any(|r| parts[r] != parts[r / 5 * 5]));
        assert!(folds(&grouped, &all, 13, 1).is_err());
    }
}
