//! Parquet files and NumPy's arrays: as tables, as samples that are read, and damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;
use random::Random;
use secondo::io::{Dialect, FileSamples, Table};
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
    for (name, lacking) in FILES.iter().chain(&[("pyarrow_delta.parquet", &[][..])]) {
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
    assert!(error.contains("p.parquet") && error.contains("'soon' of 'year'"), "{error}");
    assert!(said(&years, "share").contains("there is no column 'share'"));
    let error = Table::from_path(&years, &Dialect::default()).unwrap_err().to_string();
    assert!(error.contains("where those of the first file are"), "{error}");
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
