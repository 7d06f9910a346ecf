//! Parquet files and NumPy's arrays: as tables, as samples that are read, and damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;
use random::Random;
use secondo::io::{
    Coding, Column, Dataset, Dialect, Encode, FileSamples, Fill, Missing, Reading, Table, Target,
    Task,
};
use secondo::{
    Activation, Curvature, Data, Error, Initialization, Lbfgs, Loss, Method, Network, Problem,
    Request, Samples, Structure, silent,
};
use tempfile::TempDir;

#[path = "common/random.rs"]
mod random;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports/parquet").join(name)
}

/// The files that other programs wrote, with the columns that some lack.
const FILES: [(&str, &[&str]); 7] = [
    ("pyarrow.parquet", &[]),
    ("pyarrow_zstd.parquet", &[]),
    ("pyarrow_gzip.parquet", &[]),
    (
        "pyarrow_plain.parquet",
        &["f32", "int8", "uint8", "int64", "flag", "zip", "price", "date", "at"],
    ),
    ("pandas.parquet", &[]),
    ("polars.parquet", &[]),
    ("duckdb.parquet", &[]),
];

fn read(path: &Path) -> Table {
    Table::from_path(path, &Dialect::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_writer_is_read_as_its_csv() {
    let expected = read(&fixture("expected.csv"));
    for (name, lacking) in FILES {
        let table = read(&fixture(name));
        assert_eq!(table.rows(), 40, "{name}");
        for (c, column) in expected.names().iter().enumerate() {
            if lacking.contains(&column.as_str()) {
                continue;
            }
            let at = table.column(column).unwrap_or_else(|e| panic!("{e}"));
            for row in 0..40 {
                let (found, cell) = (table.cell(row, at).unwrap(), expected.cell(row, c).unwrap());
                let same = match (found.parse::<f64>(), cell.parse::<f64>()) {
                    // Of zeros before the digits none is lost.
                    _ if column == "zip" => found == cell,
                    (Ok(found), Ok(cell)) => found.to_bits() == cell.to_bits(),
                    _ => found.eq_ignore_ascii_case(cell),
                };
                assert!(same, "{name}, row {row}, {column}: {found} for {cell}");
            }
        }
    }
    // Lists and pandas' index are left out, and said.
    for (name, said) in [("pyarrow.parquet", "list"), ("pandas.parquet", "__index_level_0__")] {
        let table = read(&fixture(name));
        assert!(table.warnings().iter().any(|w| w.contains(said)), "{:?}", table.warnings());
        assert!(!table.names().iter().any(|n| n == said));
    }
}

#[test]
fn large_decimals_and_times_are_text_with_all_digits() {
    let table = read(&fixture("pyarrow.parquet"));
    let cell = |row: usize, name: &str| table.cell(row, table.column(name).unwrap()).unwrap();
    assert_eq!(cell(0, "big"), "-0.001");
    assert_eq!(cell(1, "big"), "9999999999999999999999.999");
    assert_eq!(cell(39, "uint64"), "9223372036854775847");
    assert_eq!(cell(3, "clock"), "03:30:00");
    assert_eq!(cell(0, "word"), "");
}

/// The numbers of some columns of a fixture.
fn numbers(path: &Path, columns: &[&str]) -> Array2<f64> {
    let table = read(path);
    let places: Vec<usize> = columns.iter().map(|c| table.column(c).unwrap()).collect();
    let all: Vec<usize> = (0..table.rows()).collect();
    table.number_columns(&places, &all).unwrap()
}

fn network() -> Network {
    Network::dense(&[2, 3, 1], Activation::Tanh).unwrap()
}

/// Everything that is summed over the samples, as bits, and the end of a fit.
fn quantities(problem: &Problem) -> Vec<u64> {
    let w = Initialization::Glorot.draw(problem.network(), 5);
    let mut all = vec![problem.objective(&w).unwrap()];
    for curvature in [Curvature::Exact, Curvature::GaussNewton] {
        for structure in [Structure::RowBlocks, Structure::Full] {
            let at = problem.evaluate(&w, Request::curvature(curvature, structure)).unwrap();
            all.extend(at.gradient);
            let matrix = at.curvature.unwrap();
            all.extend(matrix.blocks().flat_map(|b| b.packed().to_vec()));
        }
        let direction: Vec<f64> = w.iter().map(|w| 1.0 - w).collect();
        let operator = problem.operator(&w, curvature).unwrap();
        all.extend(secondo::LinearOperator::product(&operator, &direction).unwrap());
    }
    let fit = Lbfgs { max_iter: 5, ..Lbfgs::default() }.fit(problem, &w, &mut silent).unwrap();
    all.extend(fit.w);
    all.iter().map(|v| v.to_bits()).collect()
}

fn over(path: &Path, inputs: &[&str], output: &str) -> Problem {
    let samples =
        FileSamples::open(path, inputs, &[output], None).unwrap_or_else(|e| panic!("{e}"));
    Problem::over(network(), Arc::new(samples), Loss::SquaredError)
        .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn files_have_the_bits_of_memory_whatever_their_groups_and_packing() {
    let held = numbers(&fixture("expected.csv"), &["f64", "f32", "y"]);
    let part = |c: std::ops::Range<usize>| held.slice(ndarray::s![.., c]).to_owned();
    let data = Data::new(part(0..2), part(2..3)).unwrap();
    let expected = quantities(&Problem::new(network(), data, Loss::SquaredError).unwrap());
    let more = [("pyarrow_delta.parquet", &[][..]), ("expected.csv", &[])];
    for (name, lacking) in FILES.iter().chain(&more) {
        if !lacking.contains(&"f32") {
            let found = quantities(&over(&fixture(name), &["f64", "f32"], "y"));
            assert!(found == expected, "{name}");
        }
    }
}

/// Writes an array as numpy.save does.
fn save(path: &Path, kind: &str, array: &Array2<f64>, number: impl Fn(f64) -> Vec<u8>) {
    let (rows, columns) = array.dim();
    let head =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{head:<117}\n").bytes());
    array.iter().for_each(|v| bytes.extend(number(*v)));
    fs::write(path, bytes).unwrap();
}

fn made(rows: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, 3), |(i, j)| ((i * 37 + j * 101) % 1009) as f64 / 250.0 - 2.0)
}

/// The rows as Parquet, by way of text.
fn as_parquet(array: &Array2<f64>) -> Vec<u8> {
    let mut text = "column1,column2,column3\n".to_string();
    for row in array.rows() {
        text += &format!("{},{},{}\n", row[0], row[1], row[2]);
    }
    Table::parse(&text, Path::new("made.csv"), &Dialect::default())
        .unwrap()
        .to_parquet("table")
        .unwrap()
}

#[test]
fn memory_npy_and_parquet_agree_past_every_edge() {
    let folder = TempDir::new().unwrap();
    let (npy, parquet) = (folder.path().join("a.npy"), folder.path().join("a.parquet"));
    // Windows have 32,768 rows of four numbers, groups of Parquet 131,072, batches of .npy 2,730.
    for rows in [1, 2, 64, 65, 513, 2731, 32_769, 131_073] {
        let array = made(rows);
        save(&npy, "<f8", &array, |v| v.to_le_bytes().to_vec());
        fs::write(&parquet, as_parquet(&array)).unwrap();
        let part = |c: std::ops::Range<usize>| array.slice(ndarray::s![.., c]).to_owned();
        let data = Data::new(part(0..2), part(2..3)).unwrap();
        let expected = quantities(&Problem::new(network(), data, Loss::SquaredError).unwrap());
        for path in [&npy, &parquet] {
            let found = quantities(&over(path, &["column1", "column2"], "column3"));
            assert!(found == expected, "{} with {rows} rows", path.display());
        }
    }
    // Other types of numbers, other orders of columns, walks that begin anywhere.
    let array = made(5000).mapv(|v| (v * 8.0).round());
    save(&npy, "<i2", &array, |v| (v as i16).to_le_bytes().to_vec());
    let samples = FileSamples::open(&npy, &["column3", "column1"], &["column2"], None).unwrap();
    for first in [0, 1, 2729, 2730, 4999] {
        let mut window = secondo::Window::default();
        let rows = (5000 - first).min(2800);
        samples.walk(first).unwrap().next(rows, &mut window).unwrap();
        assert_eq!(window.weights, vec![1.0; rows]);
        for row in 0..rows {
            let expected = array.row(first + row);
            assert_eq!(window.x[2 * row..2 * row + 2], [expected[2], expected[0]]);
            assert_eq!(window.y[row], expected[1]);
        }
    }
    let zstd = FileSamples::open(&fixture("pyarrow_zstd.parquet"), &["f64"], &["y"], None).unwrap();
    let all = numbers(&fixture("expected.csv"), &["f64"]);
    for first in 0..40 {
        let mut window = secondo::Window::default();
        zstd.walk(first).unwrap().next(40 - first, &mut window).unwrap();
        assert_eq!(window.x, all.column(0).to_vec()[first..]);
    }
}

/// A folder is its files one after the other, whatever their forms and borders, with the columns in the names of its folders.
#[test]
fn folders_have_the_bits_of_all_rows_in_one_file() {
    let folder = TempDir::new().unwrap();
    let array = made(40_000);
    let whole = folder.path().join("whole.npy");
    save(&whole, "<f8", &array, |v| v.to_le_bytes().to_vec());
    let parts = folder.path().join("parts");
    let of = |rows: std::ops::Range<usize>| array.slice(ndarray::s![rows, ..]).to_owned();
    // In the order of their names; a note and what is hidden is not of the table.
    for (at, rows) in
        [(0, 0..1), (1, 1..514), (2, 514..33_000), (3, 33_000..33_001), (4, 33_001..40_000)]
    {
        let within = parts.join(["a", "b"][at / 3]);
        fs::create_dir_all(&within).unwrap();
        if at % 2 == 0 {
            save(&within.join(format!("{at}.npy")), "<f8", &of(rows), |v| v.to_le_bytes().to_vec());
        } else {
            fs::write(within.join(format!("{at}.parquet")), as_parquet(&of(rows))).unwrap();
        }
        fs::write(within.join("_SUCCESS"), "").unwrap();
        fs::write(within.join(format!(".{at}.parquet.crc")), "x").unwrap();
        fs::write(within.join("notes.txt"), "x").unwrap();
    }
    let inputs = ["column1", "column2"];
    let expected = quantities(&over(&whole, &inputs, "column3"));
    assert!(quantities(&over(&parts, &inputs, "column3")) == expected);
    let samples = FileSamples::open(&parts, &["column1"], &["column3"], None).unwrap();
    for first in [0, 1, 2, 513, 514, 32_999, 33_000, 33_001, 39_999] {
        let mut window = secondo::Window::default();
        let rows = (40_000 - first).min(600);
        samples.walk(first).unwrap().next(rows, &mut window).unwrap();
        assert_eq!(window.x, array.column(0).slice(ndarray::s![first..first + rows]).to_vec());
    }
    // The number of the row is that in its file.
    let error = samples.refuse(33_003, 0, f64::NAN).to_string();
    assert!(error.contains("4.npy") && error.contains("row 3:"), "{error}");
    // Columns in names of folders.
    let years = folder.path().join("years");
    for (year, rows) in [("2023", 0..3), ("2024", 3..5)] {
        let within = years.join(format!("year={year}")).join("share=1%2E5");
        fs::create_dir_all(&within).unwrap();
        fs::write(within.join("part-0.parquet"), as_parquet(&of(rows))).unwrap();
    }
    assert_eq!(
        FileSamples::columns(&years).unwrap(),
        ["column1", "column2", "column3", "year", "share"]
    );
    let samples =
        FileSamples::open(&years, &["year", "column2", "share"], &["column3"], None).unwrap();
    let mut window = secondo::Window::default();
    samples.walk(1).unwrap().next(4, &mut window).unwrap();
    let expected: Vec<f64> = (1..5)
        .flat_map(|row| [if row < 3 { 2023.0 } else { 2024.0 }, array[(row, 1)], 1.5])
        .collect();
    assert_eq!(window.x, expected);
    let table = Table::from_path(&years, &Dialect::default()).unwrap();
    assert_eq!((table.rows(), table.cell(3, 3)), (5, Some("2024")));
    // Faults.
    let said = |path: &Path, name: &str| {
        FileSamples::open(path, &[name], &["column3"], None).unwrap_err().to_string()
    };
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(said(&empty, "column1").contains("directory without .parquet and .npy"));
    fs::create_dir(years.join("year=soon")).unwrap();
    fs::write(years.join("year=soon").join("p.parquet"), as_parquet(&of(0..2))).unwrap();
    let error = said(&years, "year");
    assert!(error.contains("p.parquet") && error.contains("'year' in the name"), "{error}");
    assert!(error.contains("'soon' is not a number"), "{error}");
    assert!(said(&years, "share").contains("there is no column 'share'"));
    let error = Table::from_path(&years, &Dialect::default()).unwrap_err().to_string();
    assert!(error.contains("where those of the first file are"), "{error}");
}

/// The data set of a table with the target `y`.
fn dataset(table: &Table, target: &str, missing: Missing, encode: &[(&str, Encode)]) -> Dataset {
    let mut reading = Reading::new(target);
    reading.missing = missing;
    reading.encode = encode.iter().map(|(name, how)| ((*name).into(), how.clone())).collect();
    table.dataset(&reading).unwrap_or_else(|e| panic!("{e}"))
}

/// X and Y of all rows from a row on, in windows of some rows.
fn walked(samples: &FileSamples, first: usize, step: usize) -> (Vec<u64>, Vec<f64>) {
    let mut walk = samples.walk(first).unwrap();
    let mut window = secondo::Window::default();
    for at in (first..samples.rows()).step_by(step) {
        let rows = step.min(samples.rows() - at);
        walk.next(rows, &mut window).unwrap_or_else(|e| panic!("{e}"));
    }
    (window.x.iter().map(|v| v.to_bits()).collect(), window.y)
}

/// Text, truth values, times, codes and gaps become the inputs that they become in a table, whoever wrote the file.
#[test]
fn coded_columns_are_those_of_the_table() {
    for (name, _) in FILES {
        let table = read(&fixture(name));
        let encode = ["int8", "flag", "price"].map(|of| (of, Encode::OneHot));
        let encode: Vec<_> =
            encode.into_iter().filter(|(of, _)| table.names().iter().any(|n| n == of)).collect();
        let data = dataset(&table, "y", Missing::Impute, &encode);
        let levels = data.columns.iter().filter(|c| matches!(c.coding, Coding::Levels { .. }));
        assert!(levels.count() >= 1, "{name}");
        assert!(data.columns.iter().any(|c| c.fill.is_some()), "{name}");
        let labels = vec!["blue".to_string(), "green".into(), "red".into()];
        let coding = Coding::Levels { levels: labels, reference: None };
        let text = Column { name: "text".into(), coding, fill: None };
        let targets = [Column::number("y"), text];
        let samples =
            FileSamples::coded(&fixture(name), &Dialect::default(), &data.columns, &targets, None)
                .unwrap();
        let expected: Vec<u64> = data.x.iter().map(|v| v.to_bits()).collect();
        for (first, step) in [(0, 40), (0, 1), (0, 7), (33, 4)] {
            let (x, y) = walked(&samples, first, step);
            assert!(x == expected[first * samples.inputs()..], "{name}, from {first} by {step}");
            for (row, y) in y.chunks_exact(4).enumerate() {
                let class = [2, 1, 0][(first + row) % 3];
                let indicators = [0, 1, 2].map(|c| f64::from(u8::from(c == class)));
                assert_eq!(y[1..], indicators, "{name}, row {row}");
            }
        }
        // Without a substitute a gap is a number that no problem takes.
        let plain = [Column::number("gap")];
        let samples =
            FileSamples::coded(&fixture(name), &Dialect::default(), &plain, &targets[..1], None)
                .unwrap();
        let (x, _) = walked(&samples, 0, 40);
        assert_eq!(x.iter().filter(|bits| f64::from_bits(**bits).is_nan()).count(), 8, "{name}");
    }
}

/// The table of a text, which is written to a file as it is, or as Parquet, by the extension.
fn write(path: &Path, text: &str) -> Table {
    let table = Table::parse(text, path, &Dialect::default()).unwrap();
    if path.extension().unwrap() == "csv" {
        fs::write(path, text).unwrap();
    } else {
        fs::write(path, table.to_parquet("table").unwrap()).unwrap();
    }
    table
}

/// A table whose codings show in all rows alone: a level, a class and gaps that stand in the last rows, an id, times, and a column of many names.
fn long(rows: usize) -> String {
    let mut text = String::from("id,x,kind,day,few,late,name,y\n");
    for i in 0..rows {
        let kind = if i + 2 == rows { "rare" } else { ["b", "c", "a"][i * i % 3] };
        let day = ["2024-02-28", "2023-12-31", "1999-01-01"][i % 3];
        let few = if i + 9 == rows { "77".into() } else { (i * 7 % 5).to_string() };
        let late = if i + 3 == rows { "NA".into() } else { format!("{}", (i as f64).sin()) };
        let y = if i + 1 == rows { "last" } else { ["yes", "no"][i % 2] };
        text += &format!("{i},{},{kind},{day},{few},{late},name{i},{y}\n", i * 13 % 1009);
    }
    text
}

#[test]
fn an_outline_has_the_codings_of_all_rows() {
    let folder = TempDir::new().unwrap();
    let encode = [("few", Encode::OneHot)];
    // Up to 5,000 rows an outline has all.
    let sizes = [40, 4999, 5000, 5001, 5005, 20_000];
    for (rows, name) in sizes.into_iter().flat_map(|n| [(n, "long.parquet"), (n, "long.csv")]) {
        let path = folder.path().join(name);
        write(&path, &long(rows));
        let whole = read(&path);
        for missing in [Missing::Drop, Missing::Impute] {
            let of = |table: &Table| {
                let mut reading = Reading::new("y");
                (reading.missing, reading.ignore) = (missing, vec!["name".into()]);
                reading.encode = vec![("few".into(), encode[0].1.clone())];
                table.dataset(&reading).unwrap_or_else(|e| panic!("{rows}: {e}"))
            };
            let outline = Table::outline(&path, &Dialect::default(), None, missing).unwrap();
            assert!((rows.min(5000)..=2 * rows).contains(&outline.rows()), "{}", outline.rows());
            let (held, found) = (of(&whole), of(&outline));
            let codings = |data: &Dataset| -> Vec<(String, Coding, bool)> {
                let of = |c: &Column| (c.name.clone(), c.coding.clone(), c.fill.is_some());
                data.columns.iter().map(of).collect()
            };
            let labels = |data: Dataset| match data.target {
                Target::Classes { labels, .. } => labels,
                Target::Numbers(_) => panic!("{rows}: a regression"),
            };
            assert_eq!(codings(&found), codings(&held), "{rows} {missing:?}");
            assert_eq!(found.features, held.features);
            assert!(found.features.iter().any(|f| f == "kind=rare"), "{:?}", found.features);
            assert!(found.features.iter().any(|f| f == "few=77"), "{:?}", found.features);
            assert_eq!(
                found.features.iter().any(|f| f == "late missing"),
                missing == Missing::Impute
            );
            let notes = (&found.notes, &held.notes);
            assert_eq!(notes.0, notes.1, "{rows}");
            assert_eq!(labels(found), ["last", "no", "yes"]);
            assert_eq!(labels(held), ["last", "no", "yes"]);
        }
        // Of too many names it says so, as the table does.
        let said = |table: &Table| table.dataset(&Reading::new("y")).unwrap_err().to_string();
        let strict = Table::outline(&path, &Dialect::default(), None, Missing::Error).unwrap();
        let lenient = Table::outline(&path, &Dialect::default(), None, Missing::Drop).unwrap();
        let mut reading = Reading::new("y");
        reading.missing = Missing::Drop;
        let refused = lenient.dataset(&reading).unwrap_err().to_string();
        assert!(
            refused.contains("column name") && refused.contains("different values"),
            "{refused}"
        );
        // A small table stands there whole; of a text its rows are named, not its lines.
        if rows <= 5000 && name == "long.parquet" {
            assert_eq!(said(&strict), said(&whole));
        }
    }
    // The first rows alone have other codings: the comparison can fail.
    let head: String = long(20_000).lines().take(5001).map(|line| format!("{line}\n")).collect();
    let head = Table::parse(&head, Path::new("head.csv"), &Dialect::default()).unwrap();
    let mut reading = Reading::new("y");
    reading.ignore = vec!["name".into()];
    assert!(!head.dataset(&reading).unwrap().features.iter().any(|f| f == "kind=rare"));
}

/// Whole numbers are classes where they are few, whatever row the other ones stand in.
#[test]
fn an_outline_guesses_the_task_of_all_rows() {
    let folder = TempDir::new().unwrap();
    type Of = fn(usize) -> String;
    let few: Of = |i| (i % 20).to_string();
    let many: Of = |i| if i == 8998 { "20".into() } else { (i % 20).to_string() };
    let fraction: Of = |i| if i == 8999 { "0.5".into() } else { (i % 3).to_string() };
    for (y, task) in
        [(few, Task::Classification), (many, Task::Regression), (fraction, Task::Regression)]
    {
        let lines: String = (0..9000).map(|i| format!("{},{}\n", i * i % 101, y(i))).collect();
        for name in ["numbers.parquet", "numbers.csv"] {
            let path = folder.path().join(name);
            let held = write(&path, &format!("x,y\n{lines}"));
            let held = held.dataset(&Reading::new("y")).unwrap();
            let found = Table::outline(&path, &Dialect::default(), None, Missing::Error).unwrap();
            let found = found.dataset(&Reading::new("y")).unwrap();
            assert_eq!((found.task(), held.task()), (task, task));
        }
    }
    // Weights of 0 leave no value out, and files of a folder count as one.
    let parts = folder.path().join("parts.parquet");
    for (kind, rows) in [("a%20b", 0..3), ("z", 3..6)] {
        let within = parts.join(format!("kind={kind}"));
        fs::create_dir_all(&within).unwrap();
        let lines: String =
            rows.map(|i| format!("{},{},{}\n", i * i, i % 2, f64::from(i) / 2.0)).collect();
        let table =
            Table::parse(&format!("x,w,y\n{lines}"), Path::new("p.csv"), &Dialect::default())
                .unwrap();
        fs::write(within.join("part.parquet"), table.to_parquet("table").unwrap()).unwrap();
    }
    let outline = Table::outline(&parts, &Dialect::default(), Some("w"), Missing::Error).unwrap();
    let mut reading = Reading::new("y");
    reading.weights = Some("w".into());
    let data = outline.dataset(&reading).unwrap();
    assert_eq!(data.features, ["x", "kind=z"]);
    let samples = FileSamples::coded(
        &parts,
        &Dialect::default(),
        &data.columns,
        &[Column::number("y")],
        Some("w"),
    )
    .unwrap();
    let mut window = secondo::Window::default();
    samples.walk(1).unwrap().next(5, &mut window).unwrap();
    assert_eq!(window.x, [1.0, 0.0, 4.0, 0.0, 9.0, 1.0, 16.0, 1.0, 25.0, 1.0]);
    assert_eq!(
        (window.y, window.weights),
        (vec![0.5, 1.0, 1.5, 2.0, 2.5], vec![1.0, 0.0, 1.0, 0.0, 1.0])
    );
}

/// A file that is sorted, or whose beginning is poor, has the outline of all its rows.
#[test]
fn an_outline_does_not_go_by_the_first_rows() {
    let folder = TempDir::new().unwrap();
    type Of = fn(usize) -> String;
    // id, x, text, y of each row.
    let cases: [(&str, [Of; 4], &str); 6] = [
        // A target that is sorted, with few values at first.
        (
            "y",
            [
                |i| (i % 7).to_string(),
                |i| (i * i).to_string(),
                |_| "a".into(),
                |i| (i / 4).to_string(),
            ],
            "regression",
        ),
        // Levels that are sorted, too many in all.
        (
            "y",
            [
                |i| (i % 7).to_string(),
                |i| (i * i).to_string(),
                |i| format!("city{}", i / 5),
                |i| i.to_string(),
            ],
            "more than 1000 different values",
        ),
        // Numbers that begin late.
        (
            "y",
            [
                |i| (i % 7).to_string(),
                |i| if i < 6000 { String::new() } else { (i * 3).to_string() },
                |i| ["b", "a"][i % 2].into(),
                |i| i.to_string(),
            ],
            "x missing",
        ),
        // Times that begin late.
        (
            "y",
            [
                |i| (i % 7).to_string(),
                |i| if i < 6000 { String::new() } else { format!("{}-01-02", i) },
                |i| ["b", "a"][i % 2].into(),
                |i| i.to_string(),
            ],
            "x missing",
        ),
        // An id that repeats later is no label of a row, and one that increases is.
        (
            "y",
            [
                |i| (i % 6000).to_string(),
                |i| (i * i).to_string(),
                |i| ["b", "a"][i % 2].into(),
                |i| i.to_string(),
            ],
            "id,x",
        ),
        (
            "y",
            [
                |i| (i + i / 5).to_string(),
                |i| (i * i).to_string(),
                |i| ["b", "a"][i % 2].into(),
                |i| i.to_string(),
            ],
            "x,text",
        ),
    ];
    let both = |case| [("sorted.parquet", case), ("sorted.csv", case)];
    for (name, (target, [id, x, text, y], said)) in cases.into_iter().flat_map(both) {
        let path = folder.path().join(name);
        let lines: String =
            (0..9000).map(|i| format!("{},{},{},{}\n", id(i), x(i), text(i), y(i))).collect();
        let table = write(&path, &format!("id,x,text,y\n{lines}"));
        let outline = Table::outline(&path, &Dialect::default(), None, Missing::Impute).unwrap();
        let mut reading = Reading::new(target);
        reading.missing = Missing::Impute;
        let found = match outline.dataset(&reading) {
            Ok(data) => {
                let held = table.dataset(&reading).unwrap();
                assert_eq!((&data.features, data.task()), (&held.features, held.task()), "{said}");
                format!("{} {}", data.features.join(","), data.task())
            }
            Err(error) => error.to_string(),
        };
        assert!(found.contains(said), "{said}: {found}");
    }
}

/// In a small table with gaps the task is that of its own rows, and a column that stops counting is no label.
#[test]
fn an_outline_of_few_rows_guesses_by_those() {
    let folder = TempDir::new().unwrap();
    let task = |text: &str| {
        let mut reading = Reading::new("y");
        reading.missing = Missing::Impute;
        let [found, of_text] = ["few.parquet", "few.csv"].map(|name| {
            let path = folder.path().join(name);
            let held = write(&path, text).dataset(&reading).unwrap();
            let found = Table::outline(&path, &Dialect::default(), None, Missing::Impute).unwrap();
            let found = found.dataset(&reading).unwrap();
            assert_eq!((&found.features, found.task()), (&held.features, held.task()));
            found
        });
        assert_eq!(found.features, of_text.features);
        found
    };
    let x = |i: u32| if i == 7 { String::new() } else { (i * i).to_string() };
    let few: String = (0..60).map(|i| format!("{},{},{}\n", x(i), i % 2, i % 15)).collect();
    assert_eq!(task(&format!("x,z,y\n{few}")).task(), Task::Regression);
    let jump = |i: u32| if i < 6000 { i } else { 2 * i };
    let long: String = (0..9000).map(|i| format!("{},{},{}\n", jump(i), x(i), i * 3)).collect();
    assert_eq!(task(&format!("t,x,y\n{long}")).features, ["t", "x", "x missing"]);
}

/// A gap of the target and gaps of features in other rows; blanks around text; digits in a column of text.
#[test]
fn gaps_of_the_target_and_blanks_change_no_coding() {
    let folder = TempDir::new().unwrap();
    let cases =
        [(30usize, "gaps.parquet"), (30, "gaps.csv"), (7000, "gaps.parquet"), (7000, "gaps.csv")];
    for (rows, name) in cases {
        let path = folder.path().join(name);
        let lines: String = (0..rows)
            .map(|i| {
                let x = if i % 20 == 3 { String::new() } else { format!("{}.5", i * 7 % 1999) };
                let y = if i == 9 { String::new() } else { format!("{}.25", i % 101) };
                let only = if i + 1 == rows { "z" } else { ["b", "a"][i % 2] };
                format!("{x},{only},{y}\n")
            })
            .collect();
        let table = write(&path, &format!("x,kind,y\n{lines}"));
        for missing in [Missing::Drop, Missing::Impute] {
            let outline = Table::outline(&path, &Dialect::default(), None, missing).unwrap();
            let mut reading = Reading::new("y");
            reading.missing = missing;
            let (found, held) =
                (outline.dataset(&reading).unwrap(), table.dataset(&reading).unwrap());
            assert_eq!(found.features, held.features, "{rows} {missing:?}");
            assert_eq!(found.features.contains(&"x missing".into()), missing == Missing::Impute);
            assert!(found.features.contains(&"kind=z".into()));
        }
    }
    // A writer may pad text, and numbers may be text.
    let within = folder.path().join("p.parquet").join("kind= b ").join("code=07");
    fs::create_dir_all(&within).unwrap();
    fs::write(within.join("part.parquet"), as_parquet(&made(4))).unwrap();
    let parts = folder.path().join("p.parquet");
    let coding = Coding::Levels { levels: vec!["a".into(), "b".into()], reference: None };
    let columns = [
        Column { name: "kind".into(), coding, fill: None },
        Column { name: "code".into(), coding: Coding::Number, fill: None },
    ];
    let samples = FileSamples::coded(
        &parts,
        &Dialect::default(),
        &columns,
        &[Column::number("column1")],
        None,
    )
    .unwrap();
    assert_eq!(f64::from_bits(walked(&samples, 3, 1).0[2]), 7.0);
    assert_eq!(walked(&samples, 3, 1).0[..2], [0.0f64, 1.0].map(f64::to_bits));
    // Text of digits is a number where a coding says so, and is refused where none does.
    let zip = [Column::number("zip")];
    let y = [Column::number("y")];
    let samples =
        FileSamples::coded(&fixture("pyarrow.parquet"), &Dialect::default(), &zip, &y, None)
            .unwrap();
    assert_eq!(walked(&samples, 1, 1).0[..3], [1123.0f64, 2123.0, 3123.0].map(f64::to_bits));
    assert!(FileSamples::open(&fixture("pyarrow.parquet"), &["zip"], &["y"], None).is_err());
    // Lists are left out, and said.
    for (name, said) in [("pyarrow.parquet", "list"), ("pandas.parquet", "__index_level_0__")] {
        let path = fixture(name);
        let outline = Table::outline(&path, &Dialect::default(), None, Missing::Error).unwrap();
        assert!(outline.warnings().iter().any(|w| w.contains(said)), "{:?}", outline.warnings());
    }
}

#[test]
fn values_that_a_coding_does_not_know_are_named() {
    let levels = |levels: &[&str], reference: Option<usize>| Coding::Levels {
        levels: levels.iter().map(|l| l.to_string()).collect(),
        reference,
    };
    let path = fixture("pyarrow.parquet");
    let open = |name: &str, coding: Coding| {
        let column = Column { name: name.into(), coding, fill: None };
        FileSamples::coded(
            &path,
            &Dialect::default(),
            &[Column::number("f64"), column],
            &[Column::number("y")],
            None,
        )
    };
    let said = |name: &str, coding: Coding| {
        let samples = open(name, coding).unwrap();
        let mut window = secondo::Window::default();
        let read = samples.walk(0).and_then(|mut walk| walk.next(40, &mut window));
        read.unwrap_err().to_string()
    };
    let date = Coding::Time { format: "%d.%m.%Y".into() };
    for (name, coding, parts) in [
        (
            "text",
            levels(&["red", "blue"], None),
            ["column text", "row 2: the value 'green' is unknown"],
        ),
        (
            "int8",
            levels(&["-20", "-19"], Some(0)),
            ["column int8", "row 3: the value '-18' is unknown"],
        ),
        ("date", date, ["column date", "row 1: '2024-01-30' is not of the form %d.%m.%Y"]),
    ] {
        let said = said(name, coding);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let one = open("text", levels(&["red"], Some(0))).unwrap_err().to_string();
    assert!(one.contains("'text'") && one.contains("no input"), "{one}");
    // Rows are counted in their file, and a gap is named by its column.
    let samples = FileSamples::coded(
        &path,
        &Dialect::default(),
        &[
            Column {
                name: "text".into(),
                coding: levels(&["blue", "green", "red"], None),
                fill: None,
            },
            Column { name: "gap".into(), coding: Coding::Number, fill: Some(Fill::Number(1.0)) },
        ],
        &[Column::number("y")],
        None,
    )
    .unwrap();
    for (place, name) in [(0, "text"), (2, "text"), (3, "gap"), (4, "gap"), (5, "y")] {
        let said = samples.refuse(6, place, f64::NAN).to_string();
        assert!(said.contains(&format!("column {name}")) && said.contains("row 7:"), "{said}");
    }
}

#[test]
fn wrong_values_are_named_by_row_and_column() {
    let said = |path: &Path, inputs: &[&str], weights: Option<&str>| {
        let open = FileSamples::open(path, inputs, &["y"], weights.as_ref().copied());
        let problem = open.and_then(|samples| {
            let network = Network::dense(&[inputs.len(), 1], Activation::Tanh)?;
            Problem::over(network, Arc::new(samples), Loss::SquaredError)
        });
        problem.map(drop).unwrap_err().to_string()
    };
    let path = fixture("pyarrow.parquet");
    for (inputs, weights, parts) in [
        (&["f64", "gap"][..], None, ["column gap", "row 1: the value is missing"]),
        (&["text"], None, ["column text", "no numbers"]),
        (&["none"], None, ["there is no column 'none'", "pyarrow.parquet"]),
        (&["f64"], Some("int8"), ["column int8", "row 1: -20 is negative"]),
    ] {
        let said = said(&path, inputs, weights);
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    // In a table, too; rows have numbers there, and no lines.
    let table = read(&path);
    let mut reading = secondo::io::Reading::new("f64");
    reading.features = vec!["gap".into()];
    let error = table.dataset(&reading).unwrap_err().to_string();
    assert!(error.contains("column gap: row 1: the value is missing"), "{error}");
}

#[test]
fn a_file_that_changes_or_vanishes_ends_a_fit_with_an_error() {
    let folder = TempDir::new().unwrap();
    let array = made(100_001);
    for name in ["a.npy", "a.parquet"] {
        let path = folder.path().join(name);
        let write = |array: &Array2<f64>| match name {
            "a.npy" => save(&path, "<f8", array, |v| v.to_le_bytes().to_vec()),
            _ => fs::write(&path, as_parquet(array)).unwrap(),
        };
        let changes: [&dyn Fn(); 3] =
            [&|| fs::remove_file(&path).unwrap(), &|| write(&made(50_000)), &|| {
                fs::remove_file(&path).unwrap();
                write(&array);
            }];
        for (number, change) in changes.into_iter().enumerate() {
            write(&array);
            // Too little memory to keep the rows.
            let problem = over(&path, &["column1", "column2"], "column3").memory_budget(6 << 20);
            let w = Initialization::Glorot.draw(problem.network(), 5);
            let mut steps = 0;
            let observe = &mut |_: &secondo::Progress| {
                steps += 1;
                if steps == 2 {
                    change();
                }
                secondo::Control::Continue
            };
            let fit = Lbfgs { max_iter: 50, ..Lbfgs::default() }.fit(&problem, &w, observe);
            let error = fit.map(drop).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{name}, change {number}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn damaged_files_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("damaged.parquet");
    let try_all = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let table = Table::from_path(&path, &Dialect::default()).map(drop);
        let samples = FileSamples::open(&path, &["f64"], &["y"], None).and_then(|samples| {
            let network = Network::dense(&[1, 1], Activation::Tanh)?;
            Problem::over(network, Arc::new(samples), Loss::SquaredError).map(drop)
        });
        [table, samples]
    };
    for (number, (name, _)) in FILES.iter().enumerate() {
        let bytes = fs::read(fixture(name)).unwrap();
        let mut random = Random::new(22, number as u64);
        assert!(try_all(&bytes).iter().all(Result::is_ok), "{name}");
        for _ in 0..40 {
            let end = random.below(bytes.len());
            for done in try_all(&bytes[..end]) {
                let error = done.expect_err("a file that is cut off").to_string();
                assert!(error.contains("damaged.parquet"), "{error}");
            }
        }
        for round in 0..150 {
            let mut wrong = bytes.clone();
            for _ in 0..1 + round % 3 {
                // Half of them in the footer.
                let back = if round % 2 == 0 { wrong.len() } else { 900.min(wrong.len()) };
                let at = wrong.len() - 1 - random.below(back);
                wrong[at] ^= 1 << random.below(8);
            }
            // Some bits carry nothing; whatever they do, nothing panics here.
            let _ = try_all(&wrong);
        }
    }
}

#[test]
fn arrays_are_tables() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.npy");
    save(&path, "<f8", &made(7), |v| v.to_le_bytes().to_vec());
    let table = read(&path);
    assert_eq!(
        (table.names(), table.rows()),
        (&["column1", "column2", "column3"].map(String::from)[..], 7)
    );
    assert_eq!(numbers(&path, &["column1", "column2", "column3"]), made(7));
    save(&path, "|i1", &made(7), |v| vec![v as i8 as u8]);
    assert_eq!(
        numbers(&path, &["column3"]).column(0).to_vec(),
        made(7).mapv(f64::trunc).column(2).to_vec()
    );
}

/// Lines of three cells, some blank, some remarks, over several pieces of a text.
fn lines() -> String {
    let line = |i: usize| match i % 7 {
        3 => "\n".to_string(),
        4 => ",,\n".into(),
        5 => format!(" {i} ,\t{}.5,  x y \n", 3 * i),
        6 => format!("# the remark {i}\n"),
        _ => format!("{i},,{}e-3\n", i * i),
    };
    let lines: String = (0..20_000).map(line).collect();
    assert!(lines.len() > 4 << 16, "it is cut in several pieces");
    lines
}

fn cells(table: &Table) -> Vec<&str> {
    let of = |row| (0..3).map(move |column| table.cell(row, column).unwrap());
    (0..table.rows()).flat_map(of).collect()
}

/// A text without quotes is cut by its bytes in pieces side by side, one with a quote below its header by a library, record by record:
/// both give the same cells, lines and errors, also of lines that are not like the others.
#[test]
fn texts_with_and_without_quotes_are_cut_alike() {
    let lines = lines();
    let table = |header: &str, end: &str| {
        Table::parse(&format!("{header}\n{lines}{end}"), "t.csv".as_ref(), &Dialect::default())
    };
    let plain = table("a,b,c", "1,2,the last").unwrap();
    let left_out = (0..20_000).filter(|i| matches!(i % 7, 3 | 4 | 6)).count();
    assert_eq!(plain.rows(), 20_000 - left_out + 1);
    assert_eq!(plain.cell(plain.rows() - 1, 2), Some("the last"));
    for (header, end) in [("\"a\",b,c", "1,2,the last"), ("a,b,c", "1,2,\"the last\"")] {
        let quoted = table(header, end).unwrap();
        assert_eq!((plain.lines(), cells(&plain)), (quoted.lines(), cells(&quoted)));
        assert_eq!(plain.found(), quoted.found());
    }
    let [plain, quoted] = ["1,2", "\"1\",2"].map(|end| table("a,b,c", end).unwrap_err());
    assert!(plain.to_string().contains("found 2 fields"), "{plain}");
    assert_eq!(plain, quoted);
}

/// A file is cut while it is read, where its text needs no preparation as a whole: its table is that of its text, whatever is found on
/// the way.
#[test]
fn files_are_cut_as_their_text() {
    let folder = TempDir::new().unwrap();
    let (path, lines) = (folder.path().join("t.csv"), lines());
    let of_file = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Table::from_path(&path, &Dialect::default())
    };
    let long = format!("1,2,{}\n", "long ".repeat(60_000));
    let headers = [
        "a,b,c\n",
        "\u{FEFF}a,\"b\",c\n",
        "a\"b,\"c,d\n",
        "\n\n\"a\",b,c\n",
        "# said before\na,b,c\n",
        "sep=,\na,b,c\n",
        "a,\"b\nb\",c\n",
    ];
    let ends = [
        "1,2,3",
        "1,2,3\n\n",
        "1,2,\"3\n3\"",
        "\u{FEFF}1,2,3",
        "1,2,\u{E4}\u{20AC}",
        "1,2",
        "1,2,3\n1,2,3,\n",
        "1,\"2,3",
        "1,\0,3",
        &long,
        &long.repeat(3),
        &format!("{long}1"),
    ];
    let windows = |text: String| text.replace('\n', "\r\n");
    let old_macs = |text: String| text.replace('\n', "\r");
    let mut refused = 0;
    for (header, end) in headers.iter().flat_map(|header| ends.iter().map(move |end| (header, end)))
    {
        let text = format!("{header}{lines}{end}");
        for text in [text.clone(), windows(text.clone()), old_macs(text)] {
            let expected = Table::parse(&text, &path, &Dialect::default());
            match (of_file(text.as_bytes()), expected) {
                // NUL is none of a text's characters in a file.
                (Err(found), _) if end.contains('\0') => {
                    assert!(found.to_string().contains("NUL"), "{found}")
                }
                (Ok(table), Ok(expected)) => {
                    assert_eq!(
                        (table.names(), table.lines()),
                        (expected.names(), expected.lines()),
                        "{header}{end:.20}"
                    );
                    assert!(cells(&table) == cells(&expected), "{header}{end:.20}");
                    let said = |table: &Table| {
                        let notes = [table.found().to_vec(), table.warnings().to_vec()];
                        (notes, table.row_labels())
                    };
                    assert_eq!(said(&table), said(&expected));
                }
                (Err(found), Err(expected)) => {
                    assert_eq!(found, expected);
                    refused += 1;
                }
                (found, expected) => {
                    panic!("{header}{end:.20}: {:?}, {:?}", found.err(), expected.err())
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
    // Another encoding shows in the last line.
    let text = format!("a,b,c\n{lines}1,2,");
    let table = of_file(&[text.as_bytes(), b"\xE4"].concat()).unwrap();
    assert_eq!(table.found()[0], "--encoding windows-1252");
    assert_eq!(table.cell(table.rows() - 1, 2), Some("\u{E4}"));
}

/// Where a comma is the decimal mark, a point in what looks like a plain number stands between thousands.
#[test]
fn points_between_thousands_are_found_below_a_first_row_without_any() {
    for cell in ["1.100", "   1.100"] {
        let text = format!("a\tb\n1\t2\n{cell}\t3,5\n2\t4\n");
        let dialect = Dialect { decimal: Some(','), ..Dialect::default() };
        let table = Table::parse(&text, "t.txt".as_ref(), &dialect).unwrap();
        let data = table.dataset(&secondo::io::Reading::new("b")).unwrap();
        assert_eq!(data.x.column(0).to_vec(), [1.0, 1100.0, 2.0], "{cell}");
    }
}
