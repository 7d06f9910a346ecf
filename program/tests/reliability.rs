//! Nothing is lost, nothing is aborted: files, memory, threads, signals, limits of the process, and time against size.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A table of two columns, too small for anything but a quick fit.
fn table(folder: &Path) {
    let rows: String = (0..12).map(|i| format!("{},{}\n", i, (i * i) % 7)).collect();
    fs::write(folder.join("d.csv"), format!("a,y\n{rows}")).unwrap();
}

const FIT: [&str; 8] = ["fit", "d.csv", "--target", "y", "--task", "regression", "--max-iter", "2"];

/// A fit with more arguments.
fn fit<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FIT[..], more].concat()
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondo"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn secondo(folder: &Path, args: &[&str]) -> Output {
    program(folder).args(args).output().unwrap()
}

fn said(out: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

#[track_caller]
fn exits(out: &Output, code: i32) -> (String, String) {
    let text = said(out);
    assert_eq!(out.status.code(), Some(code), "{text:?}");
    text
}

/// All files of a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|e| e.path().is_file());
    files.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Runs a command that must be refused, and must leave every file as it was.
#[track_caller]
fn refused(folder: &Path, args: &[&str], why: &str) {
    let before = contents(folder);
    let (_, stderr) = exits(&secondo(folder, args), 2);
    assert!(stderr.contains(why), "{args:?}: {stderr}");
    assert_eq!(contents(folder), before, "{args:?}");
}

const FOREIGN: &str = "that secondo wrote";

/// A folder with a file of every kind that the program writes, and of some that it does not.
fn of_every_kind(folder: &Path) {
    table(folder);
    let plots = ["--plot", "p.svg", "--plot", "p.png"];
    let outputs = ["--model", "m", "--report", "r", "--checkpoint", "c"];
    for _ in 0..2 {
        exits(&secondo(folder, &[&FIT[..], &outputs, &plots].concat()), 0);
    }
    exits(&secondo(folder, &["predict", "m", "d.csv", "-o", "predicted"]), 0);
    exits(&secondo(folder, &["derivatives", "m", "d.csv", "-o", "derived.json"]), 0);
    exits(&secondo(folder, &["derivatives", "m", "d.csv", "-o", "derived.npz"]), 0);
    let header =
        br#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#;
    let foreign = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
    fs::write(folder.join("other.safetensors"), foreign).unwrap();
    fs::write(folder.join("other.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    fs::write(folder.join("other.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(folder.join("other.json"), "{\"value\": 1}").unwrap();
    fs::write(folder.join("notes"), "line up the predictions\n").unwrap();
}

#[test]
fn only_files_of_the_same_kind_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    of_every_kind(dir.path());
    let kinds = [
        ("m", "--model"),
        ("r", "--report"),
        ("c", "--checkpoint"),
        ("c.old", "--checkpoint"),
        ("p.svg", "--plot"),
        ("p.png", "--plot"),
        ("predicted", "predict"),
        ("derived.json", "derivatives"),
        ("derived.npz", "derivatives"),
    ];
    let others = ["other.safetensors", "other.svg", "other.png", "other.json", "notes"];
    let files = kinds.iter().copied().chain(others.map(|name| (name, "")));
    for (file, kind) in files {
        for option in ["--model", "--report", "--checkpoint", "predict", "derivatives"] {
            if option == kind {
                continue;
            }
            let known = [".json", ".npz"].iter().any(|end| file.ends_with(end));
            let why = match option {
                "derivatives" if !known => "the extension must be",
                "predict" if file == "m" => "would be overwritten",
                _ => FOREIGN,
            };
            match option {
                "predict" | "derivatives" => {
                    refused(dir.path(), &[option, "m", "d.csv", "-o", file], why);
                }
                _ => refused(dir.path(), &fit(&[option, file]), why),
            }
        }
    }
    for plot in ["other.svg", "other.png"] {
        refused(dir.path(), &fit(&["--plot", plot]), FOREIGN);
    }
    // An empty file holds nothing that could be lost.
    fs::write(dir.path().join("empty"), "").unwrap();
    exits(&secondo(dir.path(), &fit(&["--model", "empty"])), 0);
}

/// With labels, with lines where rows were left out, and with any delimiter: the program knows its own.
#[test]
fn predictions_of_every_form_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let rows = |gap: &str| -> String {
        (0..40)
            .map(|i| {
                format!("r{i};{};{}\n", i, if i == 7 { gap.into() } else { (i * i).to_string() })
            })
            .collect()
    };
    fs::write(folder.join("t.csv"), format!(";x;y\n{}", rows("49"))).unwrap();
    exits(&secondo(folder, &["fit", "t.csv", "--target", "y", "--model", "m"]), 0);
    let gaps = rows("49").replace("r9;9;", "r9;;");
    fs::write(folder.join("gaps.csv"), format!(";x;y\n{gaps}")).unwrap();
    for args in [&["t.csv"][..], &["gaps.csv", "--missing", "drop"]] {
        let args = [&["predict", "m"], args, &["-o", "predicted"]].concat();
        for _ in 0..2 {
            exits(&secondo(folder, &args), 0);
        }
        fs::remove_file(folder.join("predicted")).unwrap();
    }
    fs::write(folder.join("notes.csv"), "id,predictions_2019,notes\n1,2,3\n").unwrap();
    refused(folder, &["predict", "m", "t.csv", "-o", "notes.csv"], FOREIGN);
}

#[test]
fn files_are_compared_by_what_they_are_and_not_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    of_every_kind(folder);
    refused(folder, &fit(&["--checkpoint", "k", "--resume", "c", "--model", "c"]), "is read");
    refused(folder, &fit(&["--resume", "c", "--report", "./c"]), "is read");
    refused(folder, &fit(&["--model", "f.old", "--checkpoint", "f"]), "two outputs");
    fs::copy(folder.join("d.csv"), folder.join("d.old")).unwrap();
    refused(folder, &fit(&["--checkpoint", "d"]), FOREIGN);
    let table_is_old = ["fit", "d.old", "--target", "y", "--checkpoint", "d"];
    refused(folder, &table_is_old, "is read");
    fs::copy(folder.join("other.safetensors"), folder.join("d.safetensors")).unwrap();
    refused(folder, &FIT, FOREIGN);
    // A fit goes on from its own checkpoint, and from the one before.
    exits(&secondo(folder, &fit(&["--model", "m", "--resume", "c", "--checkpoint", "c"])), 0);
    exits(&secondo(folder, &fit(&["--model", "m", "--resume", "c.old", "--checkpoint", "c"])), 0);
    #[cfg(unix)]
    links_and_protection(folder);
}

#[cfg(unix)]
fn links_and_protection(folder: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    symlink("d.csv", folder.join("soft")).unwrap();
    fs::hard_link(folder.join("d.csv"), folder.join("hard")).unwrap();
    for name in ["soft", "hard"] {
        refused(folder, &fit(&["--model", name]), "is read");
    }
    symlink("m", folder.join("to-m")).unwrap();
    refused(folder, &fit(&["--model", "m", "--report", "to-m"]), "two outputs");
    // A link to nothing is followed, and the file comes to be where it leads.
    symlink("late", folder.join("to-late")).unwrap();
    refused(folder, &fit(&["--model", "to-late", "--report", "late"]), "two outputs");
    exits(&secondo(folder, &fit(&["--model", "to-late"])), 0);
    assert!(fs::symlink_metadata(folder.join("to-late")).unwrap().is_symlink());
    assert!(folder.join("late").is_file());
    fs::set_permissions(folder.join("m"), PermissionsExt::from_mode(0o444)).unwrap();
    refused(folder, &fit(&["--model", "m"]), "write-protected");
}

#[test]
fn what_cannot_be_written_is_refused_before_the_fit() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path());
    fs::create_dir(dir.path().join("folder")).unwrap();
    let long = "n".repeat(300);
    for path in ["folder", "none/m", "d.csv/m", "..", &long] {
        refused(dir.path(), &fit(&["--model", path]), "cannot write");
    }
    // Names up to the limit of the system are good.
    let name = "n".repeat(240);
    exits(&secondo(dir.path(), &fit(&["--model", &name])), 0);
}

#[test]
fn a_refused_resume_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    of_every_kind(dir.path());
    let outputs = ["--model", "m2", "--report", "r2", "--checkpoint", "c2", "--resume"];
    let other = ["--target", "y", "--task", "regression", "--hidden", "3"];
    let args = [&["fit", "d.csv"], &other[..], &outputs, &["c"]].concat();
    refused(dir.path(), &args, "another fit");
    refused(dir.path(), &[&FIT[..], &outputs, &["notes"]].concat(), "checkpoint");
}

/// A line of the report, such as `model        written to FILE`.
#[cfg(target_os = "linux")]
fn written(stdout: &str, title: &str) -> String {
    let line = stdout.lines().find(|line| line.starts_with(title)).expect(stdout);
    line.split("written to ").nth(1).expect(stdout).to_string()
}

#[test]
#[cfg(target_os = "linux")]
fn a_finished_fit_is_kept_where_its_file_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    table(folder);
    fs::create_dir(folder.join("sub")).unwrap();
    let temporary = folder.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let full = ["--model", "/dev/full"];
    let checkpoint = ["--report", "r.json", "--checkpoint", "sub/c"];
    for more in [&checkpoint[..], &["--report", "/dev/full"]] {
        let args = [&FIT[..], &full, more].concat();
        let out = program(folder).args(args).env("TMPDIR", &temporary).output().unwrap();
        let (stdout, stderr) = exits(&out, 2);
        let model = written(&stdout, "model");
        assert!(stderr.contains(&format!("a model is in {model} now")), "{stderr}");
        assert!(stdout.contains("RMSE"), "{stdout}");
        let expected = if more == checkpoint { folder.join("sub") } else { temporary.clone() };
        assert_eq!(Path::new(&model).parent(), Some(expected.canonicalize().unwrap().as_path()));
        exits(&secondo(folder, &["predict", &model, "d.csv"]), 0);
        let report = fs::read_to_string(folder.join(written(&stdout, "report"))).unwrap();
        assert!(report.contains("gradient_norm"));
    }
}

/// Results of long work are kept, whatever the command.
#[test]
#[cfg(target_os = "linux")]
fn what_other_commands_found_is_kept_where_its_file_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    table(folder);
    let model = ["--hidden", "2", "--model", "m", "--max-iter", "50"];
    exits(&secondo(folder, &[&FIT[..6], &model].concat()), 0);
    let temporary = folder.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let commands: [&[&str]; 6] = [
        &["prune", "m", "d.csv", "--steps", "1", "--model", "/dev/full"],
        &["prune", "m", "d.csv", "--steps", "1", "--report", "/dev/full"],
        &["evidence", "m", "d.csv", "--cycles", "2", "--model", "/dev/full", "--report", "e.json"],
        &["infer", "m", "d.csv", "--report", "/dev/full"],
        &["derivatives", "m", "d.csv", "--output", "/dev/full"],
        &["predict", "m", "d.csv", "--output", "/dev/full"],
    ];
    for args in commands {
        let out = program(folder).args(args).env("TMPDIR", &temporary).output().unwrap();
        let (stdout, stderr) = exits(&out, 2);
        assert!(!stdout.is_empty() || args[0] == "derivatives", "{args:?}");
        let kept = stderr.split(" is in ").nth(1).expect(&stderr);
        let kept = kept.split(" now").next().unwrap();
        assert!(stderr.contains("cannot write /dev/full"), "{stderr}");
        assert!(fs::metadata(kept).unwrap().len() > 0, "{args:?}: {stderr}");
        if kept.ends_with(".safetensors") {
            exits(&secondo(folder, &["predict", kept, "d.csv"]), 0);
        }
        fs::remove_file(kept).unwrap();
    }
    // The files behind the one that was refused are written, too.
    assert!(folder.join("e.json").is_file());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

/// Runs a line of the shell; `$SECONDO` in it is the program.
#[cfg(target_os = "linux")]
fn shell(folder: &Path, line: &str) -> Output {
    let mut command = Command::new("bash");
    command.current_dir(folder).env("SECONDO", env!("CARGO_BIN_EXE_secondo"));
    command.args(["-c", line]).stdin(Stdio::null()).output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_limit_of_file_sizes_is_an_error_of_writing() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path());
    let fit = FIT.join(" ");
    let out = shell(dir.path(), &format!("ulimit -f 1; TMPDIR=. $SECONDO {fit} --hidden 40"));
    let (stdout, stderr) = exits(&out, 2);
    assert!(stdout.contains("RMSE") && !stdout.contains("written to"), "{stdout}");
    assert!(stderr.contains("cannot write d.safetensors: File too large"), "{stderr}");
    assert_eq!(contents(dir.path()).len(), 1);
}

#[test]
fn half_written_files_of_killed_runs_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path());
    let put = |name: &str| {
        let path = dir.path().join(name);
        fs::write(&path, "half").unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap()
    };
    drop(put(".d.safetensors.4000000-17.tmp"));
    // Of a run that lives, of another file, and of another program.
    let held = put(".d.safetensors.4000001-0.tmp");
    held.lock().unwrap();
    let kept = [".e.safetensors.1-1.tmp", ".d.safetensors.notes.tmp", ".d.safetensors.1-.tmp"];
    kept.iter().for_each(|name| drop(put(name)));
    exits(&secondo(dir.path(), &FIT), 0);
    let left = contents(dir.path());
    let mut names: Vec<&str> = left.keys().map(String::as_str).collect();
    let mut expected =
        [&kept[..], &[".d.safetensors.4000001-0.tmp", "d.csv", "d.safetensors"]].concat();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

/// Starts the program and kills it at a random moment of the time that it takes; whether it was still running.
fn is_killed(folder: &Path, args: &[&str], within: &mut Duration, random: &mut u64) -> bool {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let mut command = program(folder);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(*within * (*random % 1000) as u32 / 1000);
    child.kill().unwrap();
    let was_running = child.wait().unwrap().code().is_none();
    if !was_running {
        // The time was taken while the machine was busier.
        *within = *within * 3 / 4;
    }
    was_running
}

/// Whatever moment a run is killed at: every file is the one before or the new one, whole; a checkpoint goes on to the same bits
/// as the fit that nobody killed; and the next run removes what was half written. `scripts/kill` does it 200 times.
#[test]
fn nothing_is_lost_by_a_kill_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let rows: String =
        (0..400).map(|i| format!("{},{},{}\n", i % 20, i / 20, (i * i + 3 * i) % 17)).collect();
    fs::write(folder.join("d.csv"), format!("a,b,y\n{rows}")).unwrap();
    let fit = ["fit", "d.csv", "--target", "y", "--task", "regression", "--hidden", "6"];
    let fit =
        [&fit[..], &["--method", "trust-region", "--max-iter", "40", "--device", "cpu"]].concat();
    let outputs = ["--model", "m", "--report", "r", "--checkpoint", "c", "--checkpoint-every", "0"];
    let fit = [&fit[..], &outputs].concat();
    let predict = ["predict", "whole", "d.csv", "--output", "p"];

    let read = |name: &str| fs::read(folder.join(name)).ok();
    let timed = |args: &[&str]| {
        let begin = Instant::now();
        exits(&secondo(folder, args), 0);
        begin.elapsed()
    };
    // The files that stand there before: the model of another fit, and its predictions.
    let other = ["fit", "d.csv", "--target", "y", "--task", "regression", "--hidden", "none"];
    timed(&[&other[..], &["--model", "other"]].concat());
    let mut takes = timed(&fit);
    fs::copy(folder.join("m"), folder.join("whole")).unwrap();
    let mut predicting = timed(&predict);
    let predicted = read("p");
    timed(&["predict", "other", "d.csv", "--output", "p"]);
    let (whole, before) = (read("whole"), read("other"));
    let earlier = read("p");

    let kills = std::env::var("SECONDO_KILLS").map_or(14, |kills| kills.parse().unwrap());
    let seed = std::env::var("SECONDO_FUZZ_SEED").map_or(1, |seed| seed.parse::<u64>().unwrap());
    let mut random = 88172645463325252 ^ seed;
    let (mut running, mut went_on, mut new) = (0, 0, 0);
    for round in 0..kills {
        if round % 4 == 3 {
            running += usize::from(is_killed(folder, &predict, &mut predicting, &mut random));
            assert!(read("p") == earlier || read("p") == predicted, "round {round}");
            continue;
        }
        for name in ["c", "c.old", "r"] {
            let _ = fs::remove_file(folder.join(name));
        }
        fs::copy(folder.join("other"), folder.join("m")).unwrap();
        running += usize::from(is_killed(folder, &fit, &mut takes, &mut random));
        assert!(read("m") == before || read("m") == whole, "round {round}");
        new += usize::from(read("m") == whole);
        let sound = |r: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&r).is_ok();
        assert!(read("r").is_none_or(sound), "round {round}");
        for name in ["c", "c.old"].into_iter().filter(|name| folder.join(name).exists()) {
            went_on += 1;
            timed(&[&fit[..], &["--resume", name]].concat());
            assert_eq!(read("m"), whole, "round {round}, {name}");
        }
    }
    println!("{kills} kills: {running} while running, {new} after the model, {went_on} went on");
    assert!(running > kills / 4 && went_on > kills / 4, "{running} {went_on} of {kills}");
    // Nothing that was half written stays.
    timed(&fit);
    timed(&predict);
    let names = contents(folder).into_keys().filter(|name| name.ends_with(".tmp"));
    assert_eq!(names.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn memory_is_refused_before_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    table(folder);
    // A name for each row, and classes whose indicators would take 70 GB.
    let rows = |classes: usize| -> String {
        (0..150_000).map(|i| format!("c{:06},{},{}\n", i % classes, i % 7, i)).collect()
    };
    fs::write(folder.join("ids.csv"), format!("id,a,y\n{}", rows(150_000))).unwrap();
    let (_, stderr) = exits(&secondo(folder, &["fit", "ids.csv", "--target", "id"]), 2);
    assert!(stderr.contains("ids.csv, column id: 150000 classes in 150000 rows"), "{stderr}");
    fs::write(folder.join("ids.csv"), format!("id,a,y\n{}", rows(70_000))).unwrap();
    let (_, stderr) = exits(&secondo(folder, &["fit", "ids.csv", "--target", "id"]), 3);
    assert!(stderr.contains("needs") && stderr.contains("may take"), "{stderr}");

    for (size, code) in [("1G", 0), ("1K", 3), ("0", 2), ("1X", 2), ("", 2), ("99999999T", 2)] {
        let out = secondo(folder, &fit(&["--memory", size]));
        exits(&out, code);
    }
    let (_, stderr) = said(&secondo(folder, &fit(&["--memory", "1K"])));
    assert!(stderr.contains("may take 1.00 KiB"), "{stderr}");

    // A table is not read where it cannot be held: text alone, and text with its numbers.
    let beyond = |name: &str, memory: &str| {
        let args = ["fit", name, "--target", "y", "--memory", memory];
        let (_, stderr) = exits(&secondo(folder, &args), 3);
        assert!(stderr.contains(name) && stderr.contains("divide the file"), "{stderr}");
    };
    fs::write(folder.join("large.csv"), format!("a,y\n{}", "1,2\n".repeat(1 << 20))).unwrap();
    beyond("large.csv", "3M");
    beyond("large.csv", "30M");
    #[cfg(unix)]
    {
        fs::File::options()
            .append(true)
            .open(folder.join("large.csv"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        beyond("large.csv", "1G");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_limit_of_the_address_space_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path());
    let fit = FIT.join(" ");
    for (limit, width) in [(1_000_000, 700), (1_000_000, 3000), (400_000, 500), (400_000, 100_000)]
    {
        let line = format!(
            "ulimit -v {limit}; $SECONDO {fit} --method trust-region --device cpu --threads 2 --hidden {width}"
        );
        let out = shell(dir.path(), &line);
        let code = out.status.code();
        assert!(matches!(code, Some(0 | 3)), "{limit} {width}: {:?}", said(&out));
        assert!(width < 3000 || code == Some(3), "{limit} {width}");
    }
}

#[test]
#[cfg(unix)]
fn a_fit_needs_no_thread_and_takes_no_more_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    table(dir.path());
    exits(&secondo(dir.path(), &FIT), 0);
    let model = fs::read(dir.path().join("d.safetensors")).unwrap();
    // No thread has a stack of this size.
    let out = program(dir.path()).args(FIT).env("RUST_MIN_STACK", "1000000000000000").output();
    let (_, stderr) = exits(&out.unwrap(), 0);
    assert!(stderr.contains("note: 0 of "), "{stderr}");
    assert_eq!(fs::read(dir.path().join("d.safetensors")).unwrap(), model);
    let option = fit(&["--threads", "100000"]);
    let by_option = program(dir.path()).args(option).output().unwrap();
    let by_variable = program(dir.path()).args(FIT).env("RAYON_NUM_THREADS", "100000").output();
    for out in [by_option, by_variable.unwrap()] {
        let (_, stderr) = exits(&out, 0);
        assert!(stderr.contains("note: 100000 threads were asked for; no more than"), "{stderr}");
        assert_eq!(fs::read(dir.path().join("d.safetensors")).unwrap(), model);
    }
}

#[test]
fn names_in_messages_are_cut_and_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(1_000_000);
    let tables = [
        "a\u{1b}[2J\u{202e}b,c\n1,2\n3,4\n".to_string(),
        format!("{long},c\n1,2\n3,4\n"),
        format!("c,d\n1,{long}\n3,\u{7}\n"),
        format!("a,{long}\n1,2,3\n"),
    ];
    for table in tables {
        fs::write(dir.path().join("n.csv"), table).unwrap();
        for target in ["c", "none\u{1b}[31m", &long[..60_000]] {
            for more in [&[][..], &["--ignore", "a\r"]] {
                let args =
                    [&["fit", "n.csv", "--max-iter", "1", "--target", target], more].concat();
                let (stdout, stderr) = said(&secondo(dir.path(), &args));
                for text in [stdout, stderr] {
                    let hidden = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
                    assert!(
                        !text.contains(hidden) && text.len() < 20_000,
                        "{} {text:.2000}",
                        text.len()
                    );
                }
            }
        }
    }
}
