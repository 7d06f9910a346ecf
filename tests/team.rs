//! Several processes as threads that send each other numbers: the bits of one process, messages as the formulas count them, failures
//! of any of them as errors that name it. Over MPI the same is tested by scripts/test-mpi.
#[path = "common/processes.rs"]
mod processes;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ndarray::Array2;
use secondo::backend::Cpu;
use secondo::{
    Constraint, Curvature, Data, Device, Error, Lbfgs, LevenbergMarquardt, LinearOperator, Loss,
    Method, Penalty, Problem, Reduction, Request, Result, Structure, Team, silent,
};

use processes::{Made, UNIT, end_of_fit, everything, held, methods, network, read, start};

/// Numbers of a request before W, and of a node before its sums.
const HEAD: u64 = 8;
const NODE: u64 = 3;

/// Messages and numbers that were sent by all.
#[derive(Debug, Default)]
struct Sent([AtomicU64; 2]);

impl Sent {
    fn take(&self) -> [u64; 2] {
        [&self.0[0], &self.0[1]].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

/// One of several threads.
#[derive(Debug)]
struct Wire {
    rank: usize,
    to: Vec<Sender<Vec<f64>>>,
    from: Vec<Mutex<Receiver<Vec<f64>>>>,
    sent: Arc<Sent>,
}

impl Team for Wire {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&self, to: usize, numbers: &[f64]) -> Result<()> {
        self.sent.0[0].fetch_add(1, Ordering::Relaxed);
        self.sent.0[1].fetch_add(numbers.len() as u64, Ordering::Relaxed);
        let ended = |_| Error::Rank { rank: to, why: "it ended".into() };
        self.to[to].send(numbers.to_vec()).map_err(ended)
    }

    fn receive(&self, from: usize) -> Result<Vec<f64>> {
        let ended = |_| Error::Rank { rank: from, why: "it ended".into() };
        self.from[from].lock().unwrap().recv().map_err(ended)
    }
}

/// So many threads, each connected with each.
fn wires(size: usize) -> (Vec<Wire>, Arc<Sent>) {
    let sent = Arc::new(Sent::default());
    let mut all: Vec<Wire> = (0..size)
        .map(|rank| Wire { rank, to: Vec::new(), from: Vec::new(), sent: sent.clone() })
        .collect();
    for to in 0..size {
        for from in 0..size {
            let (sender, receiver) = channel();
            all[from].to.push(sender);
            all[to].from.push(Mutex::new(receiver));
        }
    }
    (all, sent)
}

/// Returns the result of `f` for a problem of so many processes at rank 0, and how each of the others ended.
fn across<R>(
    size: usize,
    make: impl Fn(usize) -> Result<Problem> + Sync,
    f: impl FnOnce(Problem, &Sent) -> R,
) -> (Result<R>, Vec<Result<()>>) {
    let (mut wires, sent) = wires(size);
    let first: Arc<dyn Team> = Arc::new(wires.remove(0));
    let make = &make;
    std::thread::scope(|scope| {
        let others: Vec<_> = (wires.into_iter())
            .map(|wire| {
                let rank = wire.rank;
                scope.spawn(move || {
                    let problem = Problem::across(Arc::new(wire), || make(rank))?;
                    assert!(problem.is_none());
                    Ok(())
                })
            })
            .collect();
        let problem = Problem::across(first, || make(0));
        let done = problem.map(|problem| {
            let problem = problem.unwrap();
            assert_eq!(problem.processes(), size);
            f(problem, &sent)
        });
        (done, others.into_iter().map(|other| other.join().unwrap()).collect())
    })
}

#[test]
fn any_number_of_processes_and_threads_has_the_bits_of_one() {
    let structures = Structure::ALL;
    for rows in [100, 2 * UNIT - 1, 2 * UNIT, 5 * UNIT + 17] {
        for device in [Device::Cpu, Device::CpuF32] {
            let alone = held(rows, 4).unwrap().on(device.clone());
            let want = everything(&alone, &structures);
            for size in [2, 3, 4, 5] {
                for make in [held, read] {
                    let make = |_| Ok(make(rows, 4)?.on(device.clone()));
                    let (found, others) = across(size, make, |p, _| everything(&p, &structures));
                    assert!(found.unwrap() == want, "{rows} rows among {size}, {device:?}");
                    assert!(others.iter().all(Result::is_ok), "{others:?}");
                }
            }
        }
    }
    let want = everything(&held(5 * UNIT, 4).unwrap(), &structures[..1]);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let work = |p: Problem, _: &Sent| pool.install(|| everything(&p, &structures[..1]));
        assert!(across(3, |_| held(5 * UNIT, 4), work).0.unwrap() == want, "{threads} threads");
    }
}

/// 64 lanes, and a matrix so large that all chunks of a lane add to the same sums.
#[test]
fn many_lanes_and_large_sums_have_the_bits_of_one_process() {
    let few = [Structure::Diagonal];
    let want = everything(&held(64 * UNIT + 5, 2).unwrap(), &few);
    for size in [2, 3] {
        let (found, _) = across(size, |_| held(64 * UNIT + 5, 2), |p, _| everything(&p, &few));
        assert!(found.unwrap() == want, "among {size}");
    }
    let full = |problem: &Problem| {
        let w = start(problem);
        let at = problem.curvature(&w, Curvature::GaussNewton, Structure::Full).unwrap();
        (
            at.value.to_bits(),
            at.curvature.unwrap().blocks().flat_map(|b| b.packed().to_vec()).collect::<Vec<_>>(),
        )
    };
    let want = full(&held(4 * UNIT, 150).unwrap());
    assert!(want.1.len() > 1 << 18);
    let (found, _) = across(3, |_| held(4 * UNIT, 150), |p, _| full(&p));
    assert!(found.unwrap() == want);
}

#[test]
fn fits_go_the_same_way() {
    let rows = 4 * UNIT + 99;
    for method in methods() {
        let fit = |problem: &Problem| end_of_fit(&*method, problem);
        let want = fit(&read(rows, 3).unwrap());
        for size in [2, 3] {
            let (found, others) = across(size, |_| read(rows, 3), |p, _| fit(&p));
            assert!(found.unwrap() == want, "{} among {size}", method.name());
            assert!(others.iter().all(Result::is_ok), "{others:?}");
        }
    }
}

/// Tied weights, fixed ones and a penalty, of which only the first process knows, come after the rows of all.
#[test]
fn squares_under_a_constraint_go_the_same_way() {
    let rows = 4 * UNIT + 99;
    let of = |problem: Problem| -> Result<Problem> {
        let p = problem.network().parameters();
        let entry = |l: usize| (l, l.saturating_sub(2), 1.0 + 0.1 * l as f64);
        let mut fixed = vec![0.0; p];
        (fixed[0], fixed[5]) = (0.3, 0.1);
        problem.constraint(Constraint::new(fixed, p - 2, (1..p).map(entry).collect())?)
    };
    let fit = |problem: Problem| {
        let problem = of(problem)?;
        let theta = vec![0.2; problem.parameters()];
        let method = LevenbergMarquardt { max_iter: 8, ..LevenbergMarquardt::default() };
        let fit = method.fit(&problem, &theta, &mut silent)?;
        assert!(fit.value < 0.5 * fit.initial_value, "{fit}");
        let errors = problem.standard_errors(&fit.w)?;
        let numbers = fit.w.iter().chain(&errors).chain([&fit.value]);
        Result::Ok(numbers.map(|v| v.to_bits()).collect::<Vec<_>>())
    };
    let want = fit(read(rows, 3).unwrap()).unwrap();
    // In memory, too, if the chunks are as long.
    assert!(fit(held(rows, 3).unwrap().memory_budget(4 << 20)).unwrap() == want);
    for size in [2, 3] {
        let (found, others) = across(size, |_| read(rows, 3), |p, _| fit(p));
        assert!(found.unwrap().unwrap() == want, "among {size}");
        assert!(others.iter().all(Result::is_ok), "{others:?}");
    }
}

/// The sums of all rows are those of each lane, each as a problem of its own, added as the leaves of a tree.
#[test]
fn sums_are_added_in_the_tree_that_is_documented() {
    let request = Request::curvature(Curvature::Exact, Structure::RowBlocks);
    let bits = |data: Data| -> Vec<f64> {
        let problem = Problem::new(network(4), data, Loss::SquaredError).unwrap();
        let at = problem.evaluate_on(&Cpu::<f64>::new(), &start(&problem), request, 512).unwrap();
        let blocks = at.curvature.unwrap();
        let blocks = blocks.blocks().flat_map(|b| b.packed().to_vec());
        std::iter::once(at.value).chain(at.gradient).chain(blocks).collect()
    };
    // Four units and a rest, which the last of four lanes has; each alone has one lane.
    let n = 4 * UNIT + 1234;
    let borders = [0, UNIT, 2 * UNIT, 3 * UNIT, n];
    let lanes: Vec<Vec<f64>> =
        borders.windows(2).map(|border| bits(Made::data(border[0]..border[1]))).collect();
    let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
    let tree = add(&add(&lanes[0], &lanes[1]), &add(&lanes[2], &lanes[3]));
    let all = bits(Made::data(0..n));
    assert!(all == tree);
    // Another order has other bits.
    let fold = add(&add(&add(&lanes[0], &lanes[1]), &lanes[2]), &lanes[3]);
    assert!(all != fold);
    let errors = all.iter().zip(&fold).map(|(a, b)| (a - b).abs() / a.abs().max(1.0));
    assert!(errors.fold(0.0, f64::max) < 1e-10);
}

#[test]
fn messages_are_as_many_as_the_formulas_say() {
    let rows = 8 * UNIT;
    for size in [2u64, 4, 8] {
        let count = |problem: Problem, sent: &Sent| {
            let mut w = start(&problem);
            let p = w.len() as u64;
            let others = size - 1;
            // After this what they told each other before is counted.
            problem.objective(&vec![0.0; w.len()]).unwrap();
            sent.take();
            let session = problem.session();
            // A request and its answer for each of the others; W where it is new.
            let check = |w: &[f64], request: Request, down: u64, sums: u64| {
                session.at(w).unwrap().evaluate(request).unwrap();
                let numbers = others * (HEAD + down) + others * (1 + NODE + sums);
                assert_eq!(sent.take(), [2 * others, numbers], "{request:?} among {size}");
            };
            // The other zeros are another point.
            check(&vec![-0.0; w.len()], Request::default(), p, 1);
            check(&w, Request::default(), p, 1);
            check(&w, Request::gradient(), 0, 1 + p);
            w[0] += 1.0;
            check(&w, Request::gradient(), p, 1 + p);
            let diagonal = Request::curvature(Curvature::GaussNewton, Structure::Diagonal);
            check(&w, diagonal, 0, 1 + 2 * p);
            let operator = session.at(&w).unwrap().operator(Curvature::GaussNewton).unwrap();
            operator.products(Array2::ones((2, w.len())).view()).unwrap();
            let numbers = others * (HEAD + 2 * p) + others * (1 + NODE + 2 * p);
            assert_eq!(sent.take(), [2 * others, numbers], "products among {size}");
            // Of the exact Hessian those of the weights behind the first layer twice: four units and one output.
            let operator = session.at(&w).unwrap().operator(Curvature::Exact).unwrap();
            operator.products(Array2::ones((2, w.len())).view()).unwrap();
            let numbers = others * (HEAD + 2 * p) + others * (1 + NODE + 2 * (p + 4));
            assert_eq!(sent.take(), [2 * others, numbers], "exact products among {size}");
            // A value, and the triangle of the same W with the sizes of the parameters.
            let start = LevenbergMarquardt { max_iter: 0, ..LevenbergMarquardt::default() };
            start.fit(&problem, &vec![0.5; w.len()], &mut silent).unwrap();
            let triangle = (p + 1) * (p + 2) / 2 + 1;
            let numbers = others * (2 * HEAD + 2 * p) + others * (2 * (1 + NODE) + 1 + triangle);
            assert_eq!(sent.take(), [4 * others, numbers], "a triangle among {size}");
            // Results for each row are computed without the others.
            let outputs = Request { outputs: true, ..Request::default() };
            session.at(&w).unwrap().evaluate(outputs).unwrap();
            assert_eq!(sent.take(), [0, 0]);
        };
        across(size as usize, |_| held(rows, 4), count).0.unwrap();
    }
}

#[test]
fn differences_between_processes_are_refused_everywhere() {
    let rows = 2 * UNIT;
    let other = |change: fn(&mut Array2<f64>, &mut Vec<f64>)| {
        let data = Made::data(0..rows);
        let (mut x, mut weights) = (data.x().to_owned(), data.weights().to_vec());
        change(&mut x, &mut weights);
        let data = Data::new(x, data.y().to_owned()).unwrap().weighted(weights).unwrap();
        let problem = Problem::new(network(4), data, Loss::SquaredError)?;
        Ok(problem.on(Device::Cpu).reduction(Reduction::Mean))
    };
    let last_digit = |x: &mut Array2<f64>, _: &mut Vec<f64>| {
        let v = &mut x[[2 * UNIT - 1, 2]];
        *v = f64::from_bits(v.to_bits() + 1);
    };
    type Make<'a> = &'a (dyn Fn() -> Result<Problem> + Sync);
    let cases: [(Make, &str); 7] = [
        (&|| held(rows - 1, 4), "8191 rows"),
        (&|| held(rows, 5), "[3-5-1]"),
        (&|| Ok(held(rows, 4)?.reduction(Reduction::Sum)), "reduction Sum"),
        (&|| other(last_digit), "contents of X"),
        (&|| other(|_, weights| weights[5] += 1.0), "weights"),
        (&|| Err(Error::Numerical { what: "no such file".into() }), "no such file"),
        (&|| Err(Error::Interrupted), "interrupted"),
    ];
    for (make, said) in cases {
        let make = |rank: usize| if rank == 2 { make() } else { held(rows, 4) };
        let (found, others) = across(4, make, |_, _| ());
        for (rank, end) in std::iter::once(found).chain(others).enumerate() {
            let error = end.unwrap_err();
            assert!(error.to_string().contains(said), "rank {rank}: {error}");
            let is_named = matches!(error, Error::Rank { rank: 2, .. });
            assert!(is_named || rank == 2 && !matches!(error, Error::Rank { .. }), "{error:?}");
        }
    }
    // The penalty is rank 0's.
    let make = |rank: usize| held(rows, 4)?.penalty(Penalty::ridge(rank as f64));
    assert!(across(2, make, |_, _| ()).0.is_ok());
}

/// A failure in the middle of a request is an error at rank 0, the others go on, and so does rank 0.
#[test]
fn failures_during_a_request_name_the_process() {
    let rows = 8 * UNIT;
    for (row, rank) in [(rows - 1, 3), (5 * UNIT, 2), (0, 0)] {
        for why in ["gone", "panic"] {
            let make = |_| {
                let made = Made::new(rows, Some((row, why)));
                let problem = Problem::over(network(4), Arc::new(made), Loss::SquaredError)?;
                Ok(problem.memory_budget(4 << 20).on(Device::Cpu))
            };
            let ask = |problem: Problem, _: &Sent| {
                let w = start(&problem);
                for _ in 0..2 {
                    let error = problem.gradient(&w).unwrap_err();
                    let said = if why == "panic" { format!("no row {row}") } else { why.into() };
                    assert!(error.to_string().contains(&said), "{error}");
                    match error {
                        Error::Rank { rank: named, .. } => assert_eq!(named, rank),
                        _ => assert_eq!(rank, 0, "{error}"),
                    }
                }
                // A fit ends with it.
                let fit = Lbfgs::default().fit(&problem, &w, &mut silent);
                assert!(fit.is_err());
            };
            let (done, others) = across(4, make, ask);
            done.unwrap();
            assert!(others.iter().all(Result::is_ok), "{others:?}");
        }
    }
    let alone = Problem::across(Arc::new(wires(1).0.remove(0)), || held(100, 2));
    assert_eq!(alone.unwrap().unwrap().processes(), 1);
}

/// One of several threads, which loses the next message when it is told to.
#[derive(Debug)]
struct Lossy(Wire, Arc<AtomicBool>);

impl Team for Lossy {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn send(&self, to: usize, numbers: &[f64]) -> Result<()> {
        self.0.send(to, numbers)
    }

    fn receive(&self, from: usize) -> Result<Vec<f64>> {
        if self.1.swap(false, Ordering::Relaxed) {
            return Err(Error::Rank { rank: from, why: "a message was lost".into() });
        }
        self.0.receive(from)
    }
}

/// Sums of one request are never taken for those of another.
#[test]
fn after_a_lost_message_nothing_more_is_computed() {
    let (mut wires, _) = wires(2);
    let loses = Arc::new(AtomicBool::new(false));
    let first = Arc::new(Lossy(wires.remove(0), loses.clone()));
    let other = wires.remove(0);
    std::thread::scope(|scope| {
        let make = || held(2 * UNIT, 2);
        let other = scope.spawn(move || Problem::across(Arc::new(other), make).map(drop));
        let problem = Problem::across(first, make).unwrap().unwrap();
        let at = |scale: f64| {
            let w: Vec<f64> = start(&problem).iter().map(|w| scale * w).collect();
            problem.gradient(&w).map_err(|error| error.to_string())
        };
        assert!(at(1.0).is_ok());
        loses.store(true, Ordering::Relaxed);
        assert!(at(0.9).unwrap_err().contains("a message was lost"));
        for scale in [0.9, 0.8] {
            assert!(at(scale).unwrap_err().contains("no longer in step"));
        }
        drop(problem);
        assert!(other.join().unwrap().is_err());
    });
}

/// Requests from several threads: each has its result, or an error that says to ask one after the other.
#[test]
fn requests_do_not_mix() {
    let want = held(4 * UNIT, 4).unwrap();
    let w = start(&want);
    let want = want.gradient(&w).unwrap();
    let ask = |problem: Problem, _: &Sent| {
        let done = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| problem.gradient(&w))).collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        for found in done {
            match found {
                Ok(gradient) => assert_eq!(gradient, want),
                Err(error) => assert!(error.to_string().contains("one after the other"), "{error}"),
            }
        }
        assert_eq!(problem.gradient(&w).unwrap(), want);
        let other = problem.clone().reduction(Reduction::Sum);
        assert_eq!(other.processes(), 1);
        assert!(other.gradient(&w).is_ok());
    };
    across(3, |_| held(4 * UNIT, 4), ask).0.unwrap();
}

/// A second problem of a team is refused while the first lives, and not afterwards.
#[test]
fn a_team_has_one_problem_at_a_time() {
    let (mut wires, _) = wires(2);
    let first: Arc<dyn Team> = Arc::new(wires.remove(0));
    let other: Arc<dyn Team> = Arc::new(wires.remove(0));
    let make = || held(2 * UNIT, 2);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..2 {
                assert!(Problem::across(other.clone(), make).unwrap().is_none());
            }
        });
        let problem = Problem::across(first.clone(), make).unwrap().unwrap();
        let w = start(&problem);
        let gradient = problem.gradient(&w).unwrap();
        let error = Problem::across(first.clone(), make).unwrap_err();
        assert!(error.to_string().contains("drop that with all its clones"), "{error}");
        assert_eq!(problem.gradient(&w).unwrap(), gradient);
        drop(problem);
        let next = Problem::across(first, make).unwrap().unwrap();
        assert_eq!(next.gradient(&w).unwrap(), gradient);
    });
}
