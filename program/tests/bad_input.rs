//! Bad input: a clear message with file, line and column, exit code 2, and nothing written.

use std::process::{Command, Stdio};

/// Runs the program in a fresh folder with `files`; checks the exit code, the message and that nothing was written.
#[track_caller]
fn refused(name: &str, files: &[(&str, &[u8])], args: &[&str], code: i32, said: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    for (file, content) in files {
        std::fs::write(dir.path().join(file), content).unwrap();
    }
    let out = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .current_dir(dir.path())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(
        out.status.code(),
        Some(code),
        "{name}: {stderr}{}",
        String::from_utf8_lossy(&out.stdout)
    );
    for part in said {
        assert!(stderr.contains(part), "{name}: '{part}' is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{name}: {stderr}");
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut before: Vec<_> = files.iter().map(|(file, _)| file.to_string()).collect();
    left.sort();
    before.sort();
    assert_eq!(left, before, "{name}: files were written");
    for (file, content) in files {
        assert_eq!(
            std::fs::read(dir.path().join(file)).unwrap(),
            *content,
            "{name}: {file} changed"
        );
    }
}

/// `rows` times the line, below the header.
fn table(header: &str, line: &str, rows: usize) -> Vec<u8> {
    let mut out = format!("{header}\n");
    for _ in 0..rows {
        out.push_str(line);
        out.push('\n');
    }
    out.into_bytes()
}

#[test]
fn tables() {
    let utf16: Vec<u8> = [0xFF, 0xFE]
        .into_iter()
        .chain("a,y\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let plain16: Vec<u8> = "a,y\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("empty", b"", &["d.csv, line 1", "no header"]),
        ("only line ends", b"\n\n", &["no header"]),
        ("only blanks", b"   ", &["no header"]),
        ("only a mark", "\u{feff}".as_bytes(), &["no header"]),
        ("header only", b"a,y\n", &["0 rows"]),
        ("one row", b"a,y\n1,2.5\n", &["one row only"]),
        ("utf-16", &utf16, &["one row only"]),
        ("utf-16 without mark", &plain16, &["one row only"]),
        ("not utf-8", b"a,y\n1,2\n\xff,2\n", &["line 3, column a", "'ÿ' is not a number"]),
        ("nul", b"a,y\n1,2\n3,4\n5,6\n7,8\n9,\x000\n", &["line 6", "NUL"]),
        ("nul after cr", b"a,y\r1,2\r3,4\r5,6\r7,8\r9,\x000\r", &["line 6", "NUL"]),
        ("long row", b"a,y\n1,2\n1,2,3\n", &["line 3", "found 3 fields", "has 2"]),
        ("short row", b"a,y\n1,2\n\n1\n", &["line 4", "found 1 field,", "has 2"]),
        ("short row, cr lf", b"a,y\r\n1,2\r\n1\r\n", &["line 3", "found 1 field,"]),
        ("short row, cr", b"a,y\r1,2\r1\r", &["line 3", "found 1 field,"]),
        ("a column without a name", b"a,y,\n1,2,3\n", &["line 1, column 3", "no name"]),
        ("trailing comma in a row", b"a,y\n1,2\n1,2,\n", &["line 3", "ends with a delimiter"]),
        ("unclosed quote", b"a,y\n1,2\n\"3,4\n5,6\n", &["line 3", "never closed"]),
        ("decimal comma", b"a,y\n1,5,2\n", &["line 2", "decimal comma"]),
        (
            "quoted decimal comma",
            b"a,y\n1,2.5\n\"1,5\",2.5\n",
            &["line 3, column a", "must be a point"],
        ),
        (
            "underscore",
            b"a,y\n1,2.5\n1_000,2.5\n",
            &["line 3, column a", "'1_000' is not a number"],
        ),
        ("hexadecimal", b"a,y\n0x10,2.5\n1,2.5\n", &["line 2, column a", "'0x10' is not a number"]),
        ("fortran", b"a,y\n1d3,2.5\n1,2.5\n", &["'1d3' is not a number"]),
        (
            "unicode minus",
            "a,y\n−1,2.5\n1,2.5\n".as_bytes(),
            &["line 2, column a", "is not a number"],
        ),
        ("full width", "a,y\n１,2.5\n1,2.5\n".as_bytes(), &["line 2, column a", "is not a number"]),
        ("nan", b"a,y\n1,2.5\nnan,2.5\n", &["line 3, column a", "missing"]),
        ("infinity", b"a,y\n1,2.5\n-Infinity,2.5\n", &["line 3, column a", "not a finite number"]),
        ("1e400", b"a,y\n1,2.5\n1e400,2.5\n", &["line 3, column a", "too large"]),
        ("nan target", b"a,y\n1,2.5\n1,NaN\n", &["line 3, column y", "missing"]),
        ("missing NA", b"a,y\n1,2.5\nNA,2.5\n", &["line 3, column a", "missing", "--missing drop"]),
        ("missing empty", b"a,y\n1,2.5\n,2.5\n", &["line 3, column a", "missing"]),
        ("missing null", b"a,y\n1,2.5\nnull,2.5\n", &["line 3, column a", "missing"]),
        ("missing target", b"a,y\n1,2.5\n1,?\n", &["line 3, column y", "missing"]),
        ("duplicate", b"a,y,a\n1,2,3\n", &["line 1, column 3", "'a'", "column 1"]),
        ("no target", b"a,b\n1,2\n", &["no column 'y'", "a, b"]),
        ("other case", b"a,Y\n1,2\n", &["did you mean 'Y'"]),
        ("no header", b"1,2\n3,4\n", &["must name the columns"]),
        ("no feature", b"y\n1\n2\n", &["no column is left"]),
        (
            "text feature",
            b"a,y\n1,2.5\nred,2.5\n",
            &["line 3, column a", "'red' is not a number", "--ignore 'a'"],
        ),
        (
            "mixed target",
            b"a,y\n1,2.5\n1,abc\n",
            &["line 3, column y", "'abc'", "--task classification"],
        ),
        ("one class", b"a,y\n1,red\n2,red\n", &["column y", "one class only ('red')"]),
    ];
    for (name, content, said) in cases {
        refused(name, &[("d.csv", content)], &["fit", "d.csv", "--target", "y"], 2, said);
    }
}

#[test]
fn columns_and_tasks() {
    let fit = |name: &str, content: &[u8], more: &[&str], said: &[&str]| {
        let args = [&["fit", "d.csv", "--target", "y"], more].concat();
        refused(name, &[("d.csv", content)], &args, 2, said);
    };
    let good = table("a,b,y", "1,2,3.5", 6);
    fit(
        "text as number",
        b"a,y\n1,2\n1,x\n",
        &["--task", "regression"],
        &["line 3, column y", "'x' is not a number"],
    );
    fit(
        "half a class",
        b"a,y\n1,0\n1,0.5\n",
        &["--task", "classification"],
        &["line 3, column y", "not a class"],
    );
    fit(
        "huge class",
        b"a,y\n1,0\n1,1e20\n",
        &["--task", "classification"],
        &["line 3, column y", "not a class"],
    );
    fit(
        "one number class",
        b"a,y\n1,7\n1,7.0\n",
        &["--task", "classification"],
        &["one class only ('7')"],
    );
    fit("unknown ignore", &good, &["--ignore", "z"], &["no column 'z'", "a, b, y"]);
    fit("target ignored", &good, &["--ignore", "y"], &["cannot be ignored"]);
    fit("target weighs", &good, &["--weights", "y"], &["both target and weights"]);
    fit("all ignored", &good, &["--ignore", "a", "--ignore", "b"], &["no column is left"]);
    fit("all dropped", b"a,y\n,1\n2,\n", &["--missing", "drop"], &["no row is left"]);
    fit(
        "negative weight",
        b"a,w,y\n1,1,1.5\n1,-1,2\n",
        &["--weights", "w"],
        &["line 3, column w", "negative"],
    );
    fit(
        "no weight",
        b"a,w,y\n1,0,1.5\n1,0,2\n",
        &["--weights", "w"],
        &["column w", "all weights are 0"],
    );
    fit(
        "nan weight",
        b"a,w,y\n1,1,1.5\n1,nan,2\n",
        &["--weights", "w"],
        &["line 3, column w", "missing"],
    );
    fit(
        "loss of a class",
        &good,
        &["--loss", "softmax_ce"],
        &["does not fit a regression", "poisson"],
    );
    fit(
        "negative count",
        b"a,y\n1,1.5\n2,-2\n",
        &["--loss", "poisson"],
        &["line 3, column y", "negative"],
    );
    let huge = b"a,y\n1.7e308,2.5\n-1.7e308,2.5\n1.7e308,1\n";
    fit("huge spread", huge, &["--test-fraction", "0"], &["column 'a'", "rescale"]);
    fit("delta alone", &good, &["--delta", "2"], &["--delta is for"]);
    fit("wrong delimiter", &good, &["--delimiter", ";"], &["--delimiter ','"]);
}

#[test]
fn options() {
    let good = table("a,b,y", "1,2,3.5", 6);
    let fit = |name: &str, more: &[&str], code: i32, said: &[&str]| {
        let args = [&["fit", "d.csv", "--target", "y"], more].concat();
        refused(name, &[("d.csv", &good)], &args, code, said);
    };
    fit("zero width", &["--hidden", "8,0"], 2, &["zero width"]);
    fit("width", &["--hidden", "8,x"], 2, &["'x' is not a width"]);
    fit("overflow", &["--hidden", "4294967296,4294967296,4294967296"], 2, &["too large"]);
    fit("beyond usize", &["--hidden", "99999999999999999999999"], 2, &["is not a width"]);
    fit("beyond memory", &["--hidden", "1000000000000"], 3, &["needs", "may take"]);
    fit(
        "activation",
        &["--activation", "tanhh"],
        2,
        &["unknown activation 'tanhh'", "tanh, logistic"],
    );
    fit("init", &["--init", "x"], 2, &["glorot, he"]);
    fit("loss", &["--loss", "x"], 2, &["sos, wsos"]);
    fit("task", &["--task", "x"], 2, &["regression, classification"]);
    fit("method", &["--method", "x"], 2, &["auto, trust-region"]);
    fit(
        "method for squares",
        &["--method", "lm", "--loss", "logcosh"],
        2,
        &["logcosh", "gauss-newton"],
    );
    fit("curvature", &["--curvature", "x"], 2, &["exact, gauss-newton"]);
    fit("indefinite", &["--indefinite", "x"], 2, &["shift"]);
    fit("ridge", &["--ridge", "-1"], 2, &["--ridge"]);
    fit("nan ridge", &["--ridge", "nan"], 2, &["not negative"]);
    fit("gtol", &["--gtol", "inf"], 2, &["finite"]);
    fit("fraction", &["--test-fraction", "1"], 2, &["from 0 to less than 1"]);
    fit("seed", &["--seed", "-1"], 2, &["--seed"]);
    fit("large seed", &["--seed", "18446744073709551616"], 2, &["--seed"]);
    fit("last seed", &["--seed", "18446744073709551615", "--starts", "2"], 2, &["no room"]);
    fit("starts", &["--starts", "0"], 2, &["--starts"]);
    fit("no thread", &["--threads", "0"], 2, &["--threads"]);
    fit("beyond a number of threads", &["--threads", "10000000000"], 2, &["--threads"]);
    fit("gpu number", &["--device", "gpu:77"], 3, &["gpu:77", "adapter"]);
    fit("gpu name", &["--device", "gpu:nothing"], 3, &["gpu:nothing", "adapter"]);
    fit("gpu and no name", &["--device", "gpu:0,gpu:"], 2, &["gpu:NAME"]);
    fit("gpu without a name", &["--device", "gpu:"], 2, &["gpu:NAME"]);
    fit("device", &["--device", "tpu"], 2, &["auto, cpu, gpu"]);
    fit("failure", &["--device-failure", "panic"], 2, &["continue", "stop"]);
    fit("precision", &["--precision", "f16"], 2, &["f64"]);
    fit("flag", &["--nonsense"], 2, &["--nonsense"]);
    fit("twice", &["--seed", "1", "--seed", "2"], 2, &["multiple times"]);
    fit("over the data", &["--model", "d.csv"], 2, &["would be overwritten"]);
    fit("over the data, other way", &["--report", "./d.csv"], 2, &["would be overwritten"]);
    fit("same outputs", &["--model", "o", "--report", "./o"], 2, &["two outputs"]);
    fit("unknown kind of report", &["--report", "r.pdf"], 2, &["r.pdf", ".html", "print the page"]);
    fit("no folder", &["--report", "no/such.json"], 2, &["its folder does not exist"]);
    refused("no target", &[("d.csv", &good)], &["fit", "d.csv"], 2, &["--target"]);
    refused("no command", &[], &["fly"], 2, &["fly"]);
    refused("no file", &[], &["fit", "none.csv", "--target", "y"], 2, &["cannot read none.csv"]);
    refused("a folder", &[], &["fit", ".", "--target", "y", "--model", "m"], 2, &["directory"]);
    refused("device file", &[], &["fit", "/dev/null", "--target", "y"], 2, &["not a regular file"]);
}

const GOOD: &str = r#"{"spec": {"inputs": 1, "layers": [{"units": 1, "activations": "tanh"}]},
 "loss": {"type": "sos"}, "penalty": null,
 "X": [[1], [2]], "Y": [[0], [1]], "W": [1, 0]}"#;

#[test]
fn problem_files() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("syntax", "\"Y\"", "Y", &["p.json, line 3, column", "not valid JSON"]),
        ("1e400", "[[1], [2]]", "[[1], [1e400]]", &["line 3", "too large"]),
        (
            "1e400 as text",
            "[[1], [2]]",
            "[[1], [\"1e400\"]]",
            &["p.json", "X[1][0]", "not a finite number"],
        ),
        ("NaN", "[1, 0]", "[NaN, 0]", &["line 3", "not valid JSON"]),
        ("no spec", "\"spec\"", "\"spek\"", &["p.json: spek: the key is unknown", "'spec'"]),
        ("no layers", "\"layers\"", "\"layer\"", &["spec", "'layers'"]),
        ("zero width", "\"units\": 1", "\"units\": 0", &["p.json", "layer 1"]),
        ("no input", "\"inputs\": 1", "\"inputs\": 0", &["p.json", "input"]),
        ("negative", "\"units\": 1", "\"units\": -1", &["spec.layers[0].units", "whole number"]),
        ("wide", "\"units\": 1", "\"units\": 4000000000", &["spec.layers[0].units", "4000000000"]),
        ("overflow", "\"inputs\": 1", "\"inputs\": 18446744073709551615", &["too large"]),
        (
            "activation",
            "\"tanh\"",
            "\"tanhh\"",
            &["spec.layers[0].activations", "unknown activation 'tanhh'", "softplus"],
        ),
        (
            "activation list",
            "\"tanh\"",
            "[\"tanh\", \"tanh\"]",
            &["spec.layers[0].activations", "expected 1, found 2"],
        ),
        (
            "formula",
            "\"tanh\"}]}",
            "\"mine\"}]}, \"activation_definitions\": {\"mine\": \"u*(u\"}",
            &["activation_definitions.mine", "column 5", "')' is needed"],
        ),
        (
            "propagation",
            "\"tanh\"",
            "\"tanh\", \"propagation\": \"x\"",
            &["p.json", "unknown propagation 'x'", "linear", "rbf_cholesky"],
        ),
        ("source", "\"tanh\"", "\"tanh\", \"sources\": [1]", &["source 1 is not an earlier layer"]),
        ("loss", "\"sos\"", "\"soss\"", &["loss.type", "unknown loss 'soss'", "sos, wsos"]),
        ("delta", "\"sos\"", "\"logcosh\"", &["loss", "'delta' is missing"]),
        ("bad delta", "\"sos\"", "\"logcosh\", \"delta\": 0", &["delta", "not positive"]),
        (
            "weights of outputs",
            "\"sos\"",
            "\"wsos\", \"output_weights\": [1, 2]",
            &["output weights", "expected 1, found 2"],
        ),
        (
            "penalty",
            "null",
            "{\"type\": \"x\", \"lambda\": 1}",
            &["penalty.type", "ridge, ridge_vec, group_norm"],
        ),
        ("lambda", "null", "{\"type\": \"ridge\", \"lambda\": -1}", &["lambda", "not negative"]),
        (
            "lambda list",
            "null",
            "{\"type\": \"ridge_vec\", \"lambda\": [1]}",
            &["lambda", "expected 2, found 1"],
        ),
        ("no X", "\"X\"", "\"x\"", &["p.json: x: the key is unknown", "'X'"]),
        ("ragged X", "[[1], [2]]", "[[1], [2, 3]]", &["X[1]", "expected 1, found 2"]),
        ("flat X", "[[1], [2]]", "[1, 2]", &["X[0]", "a list"]),
        ("text X", "[[1], [2]]", "[[1], [\"a\"]]", &["X[1][0]", "must be a number"]),
        ("no rows", "[[1], [2]]", "[]", &["X: there are no rows"]),
        ("rows of Y", "[[0], [1]]", "[[0]]", &["rows of Y", "expected 2, found 1"]),
        ("length of W", "[1, 0]", "[1, 0, 0]", &["W", "expected 2, found 3"]),
        ("no W", "\"W\"", "\"w\"", &["p.json: w: the key is unknown", "'W'"]),
        (
            "weights",
            "\"penalty\"",
            "\"sample_weights\": [1], \"penalty\"",
            &["sample weights", "expected 2, found 1"],
        ),
        (
            "negative weight",
            "\"penalty\"",
            "\"sample_weights\": [1, -1], \"penalty\"",
            &["must not be negative"],
        ),
        ("v", "\"penalty\"", "\"v\": [1], \"penalty\"", &["v: expected 2, found 1"]),
        (
            "V",
            "\"penalty\"",
            "\"V\": [[1, 2], [1, 2, 3]], \"penalty\"",
            &["V[1]: expected 2, found 3"],
        ),
        (
            "NaN in V",
            "\"penalty\"",
            "\"V\": [[1, \"nan\"]], \"penalty\"",
            &["V[0][1]", "not a finite number"],
        ),
        (
            "theta",
            "\"penalty\"",
            "\"constraint\": {\"fixed\": [0, 0], \"C_entries\": []}, \"penalty\"",
            &["theta"],
        ),
        (
            "C",
            "\"penalty\"",
            "\"theta\": [1], \"constraint\": {\"fixed\": [0, 0], \"C_entries\": [[5, 0, 1]]}, \"penalty\"",
            &["(5, 0) lies outside"],
        ),
        ("not an object", GOOD, "[1]", &["must be an object"]),
        ("empty", GOOD, " ", &["empty"]),
        ("deep", GOOD, &"[".repeat(100_000), &["not valid JSON"]),
    ];
    for (name, from, to, said) in cases {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{name} changes something");
        for command in ["derivatives", "fit"] {
            refused(name, &[("p.json", text.as_bytes())], &[command, "p.json"], 2, said);
        }
    }
    let good = ("p.json", GOOD.as_bytes());
    let derive = |name: &str, more: &[&str], code: i32, said: &[&str]| {
        refused(name, &[good], &[&["derivatives", "p.json"], more].concat(), code, said);
    };
    derive(
        "structure",
        &["--structure", "x"],
        2,
        &["unknown structure 'x'", "full, diagonal, products, none"],
    );
    derive(
        "products without vectors",
        &["--structure", "products"],
        2,
        &["p.json", "the key 'v' (one) or 'V' (a list), each of 2 numbers"],
    );
    derive("curvature", &["--curvature", "x"], 2, &["unknown curvature 'x'"]);
    derive("over the input", &["--output", "p.json"], 2, &["would be overwritten"]);
    derive("a table, too", &["d.csv"], 2, &["leave out d.csv"]);
    derive("gpu", &["--device", "gpu:nothing"], 3, &["gpu:nothing", "adapter"]);
    refused(
        "options of tables",
        &[good],
        &["fit", "p.json", "--target", "y", "--ridge", "1"],
        2,
        &["--target, --ridge"],
    );
    refused("no model", &[good], &["predict", "p.json", "p.json"], 2, &["p.json", ".safetensors"]);
    refused("utf-16", &[("p.json", b"\xff\xfe{\0}\0")], &["derivatives", "p.json"], 2, &["UTF-16"]);

    // Row blocks in θ: not where units share a θ.
    let shared = GOOD
        .replace("\"units\": 1", "\"units\": 2")
        .replace("[[0], [1]]", "[[0, 0], [1, 1]]")
        .replace(
            "\"W\": [1, 0]",
            "\"theta\": [0.5], \"constraint\": {\"fixed\": [0, 1, 0, 1], \"C_entries\": [[0, 0, 1], [2, 0, 1]]}",
        );
    refused(
        "row blocks in θ",
        &[("p.json", shared.as_bytes())],
        &["derivatives", "p.json"],
        2,
        &["row-blocks", "θ[0]", "full and diagonal"],
    );
    // A point where the objective overflows is a numerical failure, not a bad file.
    let far = GOOD.replace("[[0], [1]]", "[[1e200], [1]]");
    refused(
        "overflow",
        &[("p.json", far.as_bytes())],
        &["derivatives", "p.json"],
        4,
        &["objective", "finite"],
    );
}

#[test]
fn predictions() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String =
        (0..20).map(|i| format!("{},{},{}\n", 3 * i, i % 3, ["no", "yes"][i % 2])).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,b,y\n{rows}")).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_secondo"))
        .current_dir(dir.path())
        .args(["fit", "d.csv", "--target", "y", "--max-iter", "2", "--quiet"])
        .status()
        .unwrap();
    assert!(done.success());
    let model = std::fs::read(dir.path().join("d.safetensors")).unwrap();
    let predict = |name: &str, content: &[u8], more: &[&str], said: &[&str]| {
        let args = [&["predict", "m.safetensors", "n.csv"], more].concat();
        refused(name, &[("m.safetensors", &model), ("n.csv", content)], &args, 2, said);
    };
    predict("missing feature", b"a\n1\n", &[], &["n.csv", "no column 'b'", "the columns are: a"]);
    predict("nan", b"a,b\n1,2\nnan,3\n", &[], &["line 3, column a"]);
    predict("output is input", b"a,b\n1,2\n", &["--output", "n.csv"], &["would be overwritten"]);
    predict(
        "output is model",
        b"a,b\n1,2\n",
        &["--output", "./m.safetensors"],
        &["would be overwritten"],
    );
    predict("ignored feature", b"a,b\n1,2\n", &["--ignore", "a"], &["the model needs this column"]);
    for end in [0, 7, 8, 100, model.len() - 1] {
        let files: [(&str, &[u8]); 2] =
            [("m.safetensors", &model[..end]), ("n.csv", b"a,b\n1,2\n")];
        refused(
            "truncated",
            &files,
            &["predict", "m.safetensors", "n.csv"],
            2,
            &["m.safetensors", "damaged or incomplete"],
        );
    }
    let files: [(&str, &[u8]); 1] = [("m.safetensors", &model)];
    refused("no table", &files, &["derivatives", "m.safetensors"], 2, &["a model needs a table"]);
    refused(
        "no model",
        &[],
        &["predict", "m.safetensors", "n.csv"],
        2,
        &["cannot read m.safetensors"],
    );
}

/// Columns that divide, weigh or multiply rows, and lists of targets and classes.
#[test]
fn uses_of_columns() {
    let rows: String = (0..12)
        .map(|i| format!("{},{},{},{},{}\n", i * i % 7, i % 3, i % 2, ["a", "b"][i % 2], i + 1))
        .collect();
    let table = format!("x,y,mark,class,years\n{rows}").into_bytes();
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("no such group", &["--target", "y", "--groups", "who"], &["no column 'who'"]),
        ("group and target", &["--target", "y", "--groups", "y"], &["both target and groups"]),
        ("marks", &["--target", "y", "--validation-column", "x"], &["line 4, column x", "'4'"]),
        (
            "all for validation",
            &["--target", "x", "--validation-column", "one", "--ignore", "mark"],
            &["no column 'one'"],
        ),
        (
            "negative part",
            &["--target", "y", "--validation-fraction", "-0.1"],
            &["--validation-fraction", "from 0 to less than 1"],
        ),
        ("no patience", &["--target", "y", "--patience", "0"], &["--patience"]),
        ("no folds", &["--target", "y", "--cv", "1"], &["--cv"]),
        ("no repetition", &["--target", "y", "--cv", "2", "--repeats", "0"], &["--repeats"]),
        ("a bad width", &["--target", "y", "--hidden", "4", "--hidden", "x"], &["'x'"]),
        ("an empty target", &["--target", "y,"], &["no column ''"]),
        ("text as one of two", &["--target", "y,class"], &["column class", "'a'"]),
        (
            "weights of numbers",
            &["--target", "x", "--task", "regression", "--class-weights", "a=2"],
            &["--class-weights", "classification"],
        ),
        ("weight 0", &["--target", "class", "--class-weights", "a=0"], &["'a'", "positive"]),
        ("weight inf", &["--target", "class", "--class-weights", "a=inf"], &["positive"]),
        (
            "a reference of two classes",
            &["--target", "class", "--reference-class", "a"],
            &["reference", "softmax_ce"],
        ),
        (
            "exposure and offset",
            &["--target", "y", "--exposure", "years", "--offset", "x"],
            &["--exposure", "--offset"],
        ),
        (
            "an exposure of squares",
            &["--target", "y", "--task", "regression", "--exposure", "years"],
            &["exposure", "poisson and gamma"],
        ),
        (
            "no exposure",
            &["--target", "y", "--task", "regression", "--loss", "poisson", "--exposure", "mark"],
            &["line 2, column mark", "not positive"],
        ),
        (
            "a huge offset",
            &["--target", "y", "--task", "regression", "--loss", "poisson", "--offset", "big"],
            &["no column 'big'"],
        ),
    ];
    for (name, args, said) in cases {
        let args = [&["fit", "d.csv"], *args].concat();
        refused(name, &[("d.csv", &table)], &args, 2, said);
    }
    let big = b"x,y,o\n1,2,800\n2,3,1\n3,4,0\n";
    let args = ["fit", "d.csv", "--target", "y", "--task", "regression", "--loss", "poisson"];
    let args = [&args[..], &["--offset", "o"]].concat();
    refused("an offset beyond f64", &[("d.csv", big)], &args, 2, &["line 2, column o", "range"]);
    // A problem file has none of these.
    for option in ["--groups", "--validation-column", "--exposure", "--reference-class"] {
        let args = ["fit", "p.json", option, "x"];
        refused(option, &[("p.json", b"{}")], &args, 2, &[option, "problem file"]);
    }
}

#[path = "../../tests/common/random.rs"]
mod random;

/// Whatever options with whatever values: an exit code that is documented, soon, and no panic. `SECONDO_FUZZ_ARGUMENTS` are so many.
#[test]
fn any_arguments_end_in_an_exit_code() {
    const VALUES: [&str; 26] = [
        "",
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "1e400",
        "-1e-400",
        "NaN",
        "inf",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "a",
        "y",
        "a,y",
        ",",
        "2,0",
        "rbf:3",
        "auto",
        "d.csv",
        "m.safetensors",
        ".",
        "\u{202e}",
        "exact",
        "4:1",
    ];
    let dir = tempfile::tempdir().unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondo"));
        command.current_dir(dir.path()).stdin(Stdio::null());
        command
    };
    let rows: String = (0..20).map(|i| format!("{},{},{}\n", i, i % 3, (i * i) % 7)).collect();
    std::fs::write(dir.path().join("d.csv"), format!("a,b,y\n{rows}")).unwrap();
    let fit = ["fit", "d.csv", "--target", "y", "--max-iter", "2", "--device", "cpu"];
    let done = program().args(fit).args(["--model", "m.safetensors"]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let bases: [&[&str]; 6] = [
        &fit,
        &["predict", "m.safetensors", "d.csv"],
        &["derivatives", "m.safetensors", "d.csv", "--device", "cpu"],
        &["infer", "m.safetensors", "d.csv"],
        &["prune", "m.safetensors", "d.csv", "--steps", "1"],
        &["evidence", "m.safetensors", "d.csv", "--cycles", "1"],
    ];
    let options = bases.map(|base| {
        let help = program().args([base[0], "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let options = words.filter(|w| w.starts_with("--") && w.len() > 3).map(String::from);
        options.collect::<Vec<_>>()
    });
    let variable = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let rounds = variable("SECONDO_FUZZ_ARGUMENTS").unwrap_or(150);
    let mut done = 0;
    for round in 0..rounds {
        let mut random = random::Random::new(variable("SECONDO_FUZZ_SEED").unwrap_or(1), round);
        let which = random.below(bases.len());
        let mut args: Vec<String> = bases[which].iter().map(|a| a.to_string()).collect();
        for _ in 0..1 + random.below(3) {
            let option = random.pick(&options[which]);
            match random.below(4) {
                0 => args.push(option),
                _ => args.push(format!("{option}={}", random.pick(&VALUES))),
            }
        }
        let mut child =
            program().args(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begin = std::time::Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begin.elapsed().as_secs() > 20 {
                child.kill().unwrap();
                panic!("round {round} does not end: {args:?}");
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let code = out.status.code();
        assert!(matches!(code, Some(0 | 2..=4)), "round {round}: {args:?} {code:?}: {said}");
        assert!(!said.contains("panicked"), "round {round}: {args:?}: {said}");
        done += u64::from(code == Some(0));
    }
    assert!(done > rounds / 20 && done < rounds, "{done} of {rounds}");
}
