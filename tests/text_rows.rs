//! Rows of text that are read as they are needed: those of the same text in memory, and its errors with their lines.

use std::fs;
use std::path::Path;

use secondo::io::{
    Column, Dialect, FileSamples, Missing, ParquetOfText, Reading, Table, TableParts, Target,
    fill_gaps, impute, read_so_far, write_file,
};
use secondo::{Samples, Window};
use tempfile::TempDir;

/// The rows of a file from `first` on, some at a time.
fn walked(samples: &FileSamples, first: usize, step: usize) -> Window {
    let mut walk = samples.walk(first).unwrap();
    let mut window = Window::default();
    for at in (first..samples.rows()).step_by(step) {
        walk.next(step.min(samples.rows() - at), &mut window).unwrap();
    }
    window
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Compares a text that is read with the same text in memory: columns, notes and all numbers, from several rows on.
fn compare(path: &Path, text: &[u8], dialect: &Dialect, missing: Missing) {
    fs::write(path, text).unwrap();
    let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
    let table = Table::from_path(path, dialect).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let outline =
        Table::outline(path, dialect, None, missing).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let target = table.names().last().unwrap();
    let mut reading = Reading::new(target);
    reading.missing = missing;
    let (held, found) = (table.dataset(&reading).unwrap(), outline.dataset(&reading).unwrap());
    assert_eq!(found.features, held.features, "{shown}");
    assert_eq!((found.task(), &found.guess), (held.task(), &held.guess), "{shown}");
    let labels = |table: &Table| table.row_labels().map(|(column, _)| column);
    assert_eq!(labels(&outline), labels(&table), "{shown}");
    let told = |table: &Table| (table.found().to_vec(), table.warnings().to_vec());
    assert_eq!(told(&outline), told(&table), "{shown}");
    let Target::Numbers(y) = &held.target else { panic!("{shown}") };
    // As Parquet it is the same file, whether it is held or read a part at a time.
    let mut bytes = Vec::new();
    ParquetOfText::open(path, dialect).unwrap().write("table", &mut bytes).unwrap();
    assert!(bytes == table.to_parquet("table").unwrap(), "{shown}");
    let samples = FileSamples::coded(path, dialect, &held.columns, &[Column::number(target)], None);
    let samples = samples.unwrap_or_else(|e| panic!("{shown}: {e}"));
    assert_eq!(samples.rows(), table.rows(), "{shown}");
    let width = samples.inputs();
    for (first, step) in [(0, 1000), (1, 7), (table.rows() - 1, 1), (table.rows() / 2, 16_384)] {
        let window = walked(&samples, first, step);
        assert_eq!(bits(&window.x), bits(&held.x.as_slice().unwrap()[first * width..]), "{shown}");
        assert_eq!(bits(&window.y), bits(&y.as_slice().unwrap()[first..]), "{shown}");
    }
}

#[test]
fn rows_are_those_of_the_text_in_memory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let plain = Dialect::default();
    let line = |i: usize| format!("{},{}.5,{}\n", i * i % 89, i, i * 7 % 31);
    let rows = |n: usize| (0..n).map(line).collect::<String>();
    let long = rows(40_000);
    let german: String =
        (0..300).map(|i| format!("{}.{:03},5;{},25\n", 1 + i % 9, i * 7 % 1000, i)).collect();
    let quoted: String = (0..40_000)
        .map(|i| {
            format!("\"{}\r\n, \"\"{}\"\"\",{i},{}.5\r\n", ["a", "b"][i % 2], i % 3, i * 7 % 31)
        })
        .collect();
    let labelled: String = (0..50).map(|i| format!("\"r{i}\" {} {}.5\n", i * 3, i)).collect();
    let labelled = labelled.replace(' ', ",");
    let mixed = "a,b,y\n1,x,0.5\n,,\n\n  2 , y ,1.5\n# a comment\n3,x,2.5\n\n4,z,3.5";
    for (text, dialect) in [
        (format!("a,b,y\n{}", rows(3)), plain.clone()),
        (format!("a,b,y\n{long}"), plain.clone()),
        (format!("\u{FEFF}a,b,y\r\n{}", long.replace('\n', "\r\n")), plain.clone()),
        (format!("a\tb\ty\n{}", rows(100).replace(',', "\t")), plain.clone()),
        (format!("a;y\n{german}"), plain.clone()),
        (format!("kind,b,y\r\n{quoted}"), plain.clone()),
        (format!("a,y\n{labelled}"), plain.clone()),
        (mixed.to_string(), plain.clone()),
        (format!("a,b,y,,\n{}", rows(50).replace('\n', ",,\n")), plain.clone()),
        (rows(50).replace(".5", ".25"), Dialect { header: Some(false), ..plain.clone() }),
        (format!("a|b|y\n{}", rows(50).replace(',', "|")), Dialect::delimited(b'|')),
        (
            format!("a;b;y\n{}", rows(50).replace(',', ";").replace('.', ",")),
            Dialect { decimal: Some(','), ..plain.clone() },
        ),
    ] {
        compare(&path, text.as_bytes(), &dialect, Missing::Error);
    }
    // Other numbers have other bits: the comparison can fail.
    fs::write(&path, "a,y\n1,2\n3,4\n").unwrap();
    let samples = FileSamples::open(&path, &["a"], &["y"], None).unwrap();
    assert_ne!(bits(&walked(&samples, 0, 2).x), bits(&[1.0, 3.0 + 1e-15]));
    assert_eq!(bits(&walked(&samples, 0, 2).x), bits(&[1.0, 3.0]));
}

#[test]
fn gaps_of_a_text_are_those_in_memory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let rows: String = (0..20_000)
        .map(|i| {
            let a = if i % 9 == 4 { "NA".into() } else { format!("{}.5", i % 101) };
            let kind = if i % 11 == 5 { "" } else { ["red", "blue"][i % 2] };
            format!("{a},{kind},{}.25\n", i * 13 % 997)
        })
        .collect();
    fs::write(&path, format!("a,kind,y\n{rows}")).unwrap();
    let table = Table::from_path(&path, &Dialect::default()).unwrap();
    let mut reading = Reading::new("y");
    reading.missing = Missing::Impute;
    let held = table.dataset(&reading).unwrap();
    let outline = Table::outline(&path, &Dialect::default(), None, Missing::Impute).unwrap();
    let mut columns = outline.dataset(&reading).unwrap().columns;
    let y = [Column::number("y")];
    let open = |columns: &[Column]| {
        FileSamples::coded(&path, &Dialect::default(), columns, &y, None).unwrap()
    };
    let samples = open(&columns);
    let shape = (samples.rows(), samples.inputs());
    let mut x = ndarray::Array2::from_shape_vec(shape, walked(&samples, 0, 999).x).unwrap();
    impute(&mut columns, &mut x, None).unwrap();
    assert_eq!(columns, held.columns);
    assert_eq!(x, held.x);
    // As the walk itself fills them in.
    let mut again =
        ndarray::Array2::from_shape_vec(shape, walked(&open(&columns), 0, 77).x).unwrap();
    fill_gaps(&columns, &mut again).unwrap();
    assert_eq!(again, held.x);
}

/// Everything that is wrong in a text is an error with its line, or says what to do.
#[test]
fn errors_of_a_text_have_their_lines() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let rows = |n: usize| (0..n).map(|i| format!("{i},{}.5\n", i % 7)).collect::<String>();
    let long = rows(20_000);
    let said = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        let samples = match FileSamples::open(&path, &["a"], &["y"], None) {
            Ok(samples) => samples,
            Err(error) => return error.to_string(),
        };
        let mut window = Window::default();
        let read = samples.walk(0).and_then(|mut walk| walk.next(samples.rows(), &mut window));
        read.unwrap_err().to_string()
    };
    let utf16: Vec<u8> =
        format!("\u{FEFF}a,y\n{}", rows(9)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (text, expected) in [
        (format!("a,y\n{long}1,2,3\n").into_bytes(), &["line 20002", "found 3 fields"][..]),
        (
            format!("a,y\n\n\n{long}\n\n1,x\n{long}").into_bytes(),
            &["line 20006", "column y", "'x'"],
        ),
        (
            format!("a,y\n\n{long}\n\n1,x\n{long}").replace('\n', "\r\n").into_bytes(),
            &["line 20005", "column y", "'x'"],
        ),
        (b"a,y\n1,\"2\n\"\n\n3,x".to_vec(), &["line 5", "column y", "'x'"]),
        (format!("a,y\n{long}1,1e999\n").into_bytes(), &["line 20002", "too large"]),
        (format!("a,y\n{long}1,\"2\n{long}").into_bytes(), &["line 20002", "never closed"]),
        ([format!("a,y\n{long}1,").as_bytes(), b"\xE9\n"].concat(), &["line 20002", "not UTF-8"]),
        (
            [format!("a,y\n{}1,", long.repeat(9)).as_bytes(), b"\xE9\n"].concat(),
            &["line 180002", "not UTF-8"],
        ),
        (
            format!("a,y\n1,2\n1,\"2\n{}", "3,4\n".repeat(1 << 23)).into_bytes(),
            &["line 3", "16 MiB", "never closed"],
        ),
        (utf16, &["UTF-8"]),
        (b"\x1F\x8B\x08\x00\x00".to_vec(), &["UTF-8", "unpack"]),
        (b"a,b,y\n1,2,3\n1,\"2,3\n4,5,6\n".to_vec(), &["line 3", "never closed"]),
        (b"a,y\n1,5,2\n3,5,4\n".to_vec(), &["line 2", "found 3 fields"]),
        (b"a,y\r1,2\r3,4\r".to_vec(), &["LF"]),
        (b"# a title\na,y\n1,2\n".to_vec(), &["convert"]),
        (b"a y\n1 2\n3 4\n".to_vec(), &["convert"]),
        (b"".to_vec(), &["empty"]),
        (b"a,y\n".to_vec(), &["0 rows"]),
        (b"a,a,y\n1,2,3\n".to_vec(), &["already that of column 1"]),
        (b"b,y\n1,2\n".to_vec(), &["no column 'a'"]),
    ] {
        let said = said(&text);
        assert!(expected.iter().all(|part| said.contains(part)), "{expected:?}: {said}");
    }
    // What the problem refuses has its line, too.
    for (y, w, part) in [("NA", "1", "missing"), ("1", "-1", "negative")] {
        fs::write(&path, format!("a,y,w\n1,2,1\n\n3,{y},{w}\n")).unwrap();
        let samples = FileSamples::open(&path, &["a"], &["y"], Some("w")).unwrap();
        let network = secondo::Network::dense(&[1, 1], secondo::Activation::Tanh).unwrap();
        let samples = std::sync::Arc::new(samples);
        let problem = secondo::Problem::over(network, samples, secondo::Loss::SquaredError);
        let said = problem.unwrap_err().to_string();
        assert!(said.contains("line 4") && said.contains(part), "{said}");
    }
    // Behind the last row there is none, wherever a walk begins.
    for rows in [3, 16_384, 16_385] {
        let lines: String = (0..rows).map(|i| format!("{i},1\n")).collect();
        fs::write(&path, format!("a,y\n{lines}")).unwrap();
        let samples = FileSamples::open(&path, &["a"], &["y"], None).unwrap();
        let mut walk = samples.walk(rows).unwrap();
        assert!(walk.next(1, &mut Window::default()).is_err(), "{rows}");
        let window = walked(&samples, rows - 1, 1);
        assert_eq!(window.x, [(rows - 1) as f64]);
    }
    // A file that changes while it is read.
    fs::write(&path, format!("a,y\n{long}")).unwrap();
    let samples = FileSamples::open(&path, &["a"], &["y"], None).unwrap();
    let mut walk = samples.walk(0).unwrap();
    fs::write(&path, format!("a,y\n{long}1,2\n")).unwrap();
    let read = walk.next(20_000, &mut Window::default());
    assert!(read.unwrap_err().to_string().contains("changed"));
    assert!(samples.walk(0).err().unwrap().to_string().contains("changed"));
    // It is not the file that is written which is at fault.
    let (of, packed) =
        (ParquetOfText::open(&path, &Dialect::default()).unwrap(), folder.path().join("t.parquet"));
    fs::write(&path, format!("a,y\n{long}")).unwrap();
    let error = write_file(&packed, |out| of.write("table", out)).unwrap_err().to_string();
    assert!(error.contains("t.csv") && error.contains("changed"), "{error}");
    assert!(!packed.exists());
}

/// A name that a text does not know, and columns whose cells are text.
#[test]
fn the_columns_of_numbers_are_told_by_the_first_cells() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, "a,kind,b,y\n1,red,NA,2\n3,4,5,6\n").unwrap();
    assert_eq!(FileSamples::columns(&path).unwrap(), ["a", "b", "y"]);
    // Spreadsheets leave columns without name behind; one with values must have a name.
    for (text, is_right) in [("a,y,\n1,2,\n3,4,\n", true), ("a,y,\n1,2,\n3,4,5\n", false)] {
        fs::write(&path, text).unwrap();
        let outline = Table::outline(&path, &Dialect::default(), None, Missing::Error);
        assert_eq!(outline.is_ok(), is_right, "{text}");
    }
}

/// Bytes that are cut off, changed or put in lead to rows or to an error, never to a panic.
#[test]
fn damaged_texts_are_refused_or_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let rows: String =
        (0..60).map(|i| format!("{i},\"{}\",{}.5\r\n", ["a", "b, c"][i % 2], i % 7)).collect();
    let text = format!("a,kind,y\r\n{rows}").into_bytes();
    let mut state = 7u64;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % limit
    };
    let (mut read, mut refused, mut compared) = (0, 0, 0);
    for _ in 0..2000 {
        let mut bytes = text.clone();
        let at = next(bytes.len());
        match next(3) {
            0 => bytes.truncate(at),
            1 => bytes[at] = [b'"', b',', 0, 0xFF, b'\n', b'\r'][next(6)],
            _ => bytes.insert(at, [b'"', b',', b';', 0xC3, b'\n', b'#'][next(6)]),
        }
        fs::write(&path, &bytes).unwrap();
        let window = FileSamples::open(&path, &["a"], &["y"], None).and_then(|samples| {
            let mut window = Window::default();
            samples.walk(0)?.next(samples.rows(), &mut window)?;
            Ok((window, samples.rows()))
        });
        match window {
            Ok((window, rows)) => {
                // Where the table is read in memory, too, it has the same numbers.
                if let Ok(table) = Table::from_path(&path, &Dialect::default())
                    && let (Ok(a), Ok(y)) = (table.column("a"), table.column("y"))
                    && table.found().iter().all(|found| !found.contains("--encoding"))
                {
                    let all: Vec<usize> = (0..table.rows()).collect();
                    assert_eq!(rows, table.rows(), "{}", String::from_utf8_lossy(&bytes));
                    if table.complete_rows(&all, &[a, y]).len() == rows {
                        assert_eq!(bits(&window.x), bits(&table.numbers(a, &all).unwrap()));
                        assert_eq!(bits(&window.y), bits(&table.numbers(y, &all).unwrap()));
                        compared += 1;
                    }
                }
                read += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("t.csv"), "{error}");
                refused += 1;
            }
        }
        let _ = Table::outline(&path, &Dialect::default(), None, Missing::Impute);
        let _ = ParquetOfText::open(&path, &Dialect::default())
            .map(|of| of.write("table", &mut Vec::new()));
    }
    assert!(
        read > 200 && refused > 200 && compared > 200,
        "{read} read, {compared} compared, {refused} refused"
    );
}

/// A table in parts has the cells, lines and columns of the whole table.
#[test]
fn parts_are_the_rows_of_the_table() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows: String = (0..70_000)
        .map(|i| format!("{i},\"{}\n\",{},{}.5\n\n", ["b", "a"][i % 2], i % 4, i % 7))
        .collect();
    let text = format!("id,kind,k,y\n{rows}");
    fs::write(at("t.csv"), &text).unwrap();
    let table = Table::from_path(&at("t.csv"), &Dialect::default()).unwrap();
    fs::write(at("t.parquet"), table.to_parquet("table").unwrap()).unwrap();
    for part in ["k=1", "k=2"] {
        fs::create_dir_all(at("many").join(part)).unwrap();
        let short = text.lines().take(3000).collect::<Vec<_>>().join("\n").replace(",k,", ",m,");
        let short = Table::parse(&short, Path::new("s.csv"), &Dialect::default()).unwrap();
        let bytes = short.to_parquet("table").unwrap();
        fs::write(at("many").join(part).join("part.parquet"), bytes).unwrap();
    }
    let head =
        format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (5000, 2), }");
    let numbers: Vec<u8> = (0..10_000).flat_map(|i| f64::from(i % 97).to_le_bytes()).collect();
    let npy = [b"\x93NUMPY\x01\x00\x76\x00".as_slice(), head.as_bytes(), &numbers].concat();
    fs::write(at("t.npy"), npy).unwrap();
    for name in ["t.csv", "t.parquet", "many", "t.npy"] {
        let whole = Table::from_path(&at(name), &Dialect::default()).unwrap();
        let parts = TableParts::open(&at(name), &Dialect::default()).unwrap();
        assert_eq!(parts.head().names(), whole.names(), "{name}");
        assert_eq!((parts.head().found(), parts.head().rows()), (whole.found(), 0));
        let (mut done, mut count) = (0, 0);
        for part in parts {
            let part = part.unwrap();
            assert_eq!(part.row_labels().map(|l| l.0), whole.row_labels().map(|l| l.0), "{name}");
            for row in 0..part.rows() {
                assert_eq!(part.lines()[row], whole.lines()[done + row], "{name}, row {row}");
                for column in 0..part.names().len() {
                    assert_eq!(part.cell(row, column), whole.cell(done + row, column), "{name}");
                }
            }
            (done, count) = (done + part.rows(), count + 1);
        }
        assert_eq!((done, count), (whole.rows(), if name == "t.npy" { 1 } else { 2 }), "{name}");
    }
    // An error is the last thing that there is.
    fs::write(at("t.csv"), text + "1,2,3\n").unwrap();
    assert!(TableParts::open(&at("t.csv"), &Dialect::default()).is_err());
    let mut parts = TableParts::open(&at("t.parquet"), &Dialect::default()).unwrap();
    assert!(parts.next().unwrap().is_ok());
    fs::write(at("t.parquet"), "short").unwrap();
    assert!(parts.next().unwrap().is_err() && parts.next().is_none());
}

/// Long cells make parts and groups of few rows, and lose none.
#[test]
fn long_cells_make_small_parts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let long = "long ".repeat(4000);
    let rows: String = (0..4000).map(|i| format!("{i},{long}{i}\n")).collect();
    fs::write(&path, format!("a,text\n{rows}")).unwrap();
    let parts = TableParts::open(&path, &Dialect::default()).unwrap();
    let counts: Vec<usize> = parts.map(|part| part.unwrap().rows()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 4000);
    let (_, whole) = counts.split_last().unwrap();
    assert!(!whole.is_empty(), "{counts:?}");
    // Each ends with the row that brings its text, with what divides the cells, to 32 MiB.
    let mut sizes = (0..4000).map(|i| long.len() + 2 * i.to_string().len() + 2);
    for count in whole {
        let sizes: Vec<usize> = sizes.by_ref().take(*count).collect();
        let (last, before) = sizes.split_last().unwrap();
        let before: usize = before.iter().sum();
        assert!(before < 1 << 25 && before + last >= 1 << 25, "{counts:?}");
    }
    let table = Table::from_path(&path, &Dialect::default()).unwrap();
    let mut bytes = Vec::new();
    ParquetOfText::open(&path, &Dialect::default()).unwrap().write("table", &mut bytes).unwrap();
    assert!(bytes == table.to_parquet("table").unwrap());
    let packed = folder.path().join("t.parquet");
    fs::write(&packed, bytes).unwrap();
    assert_eq!(Table::from_path(&packed, &Dialect::default()).unwrap().rows(), 4000);
}

/// A NUL is no text, wherever it is.
#[test]
fn a_nul_is_refused_with_its_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    for before in [2000, 300_000] {
        let rows: String = (0..before).map(|i| format!("{i},{}\n", i % 7)).collect();
        fs::write(&path, format!("a,y\n{rows}1,\0 2\n3,4\n")).unwrap();
        let error = FileSamples::open(&path, &["a"], &["y"], None).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {}", before + 2)) && error.contains("NUL"),
            "{error}"
        );
        assert_eq!(error, Table::from_path(&path, &Dialect::default()).unwrap_err().to_string());
    }
}

/// What is read is counted: each row as often as it is read, and the bytes of the columns that are.
#[test]
fn what_is_read_is_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    let rows: String = (0..5000).map(|i| format!("{i},{}\n", i % 7)).collect();
    fs::write(&path, format!("a,y\n{rows}")).unwrap();
    let packed = folder.path().join("t.parquet");
    let table = Table::from_path(&path, &Dialect::default()).unwrap();
    fs::write(&packed, table.to_parquet("table").unwrap()).unwrap();
    for path in [&path, &packed] {
        let samples = FileSamples::open(path, &["a"], &["y"], None).unwrap();
        let before = read_so_far();
        let mut walk = samples.walk(0).unwrap();
        walk.next(5000, &mut Window::default()).unwrap();
        drop(walk);
        // Other tests read beside this one.
        let now = read_so_far();
        assert!(now.rows >= before.rows + 5000, "{path:?}");
        let least = fs::metadata(path).unwrap().len() / 2;
        assert!(now.bytes >= before.bytes + least, "{path:?}");
    }
}
