//! A state machine over the public API: calls in any order, on what earlier calls left, many with hostile values. Each returns a
//! result whose numbers are finite or a typed error, in less than ten seconds and in no more than twice the memory that it may take.
//!
//! `scripts/fuzz` runs the same for longer, with other seeds: `SECONDO_FUZZ_CALLS` and `SECONDO_FUZZ_SEED`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::allocator;
use crate::random::Random;
use crate::{ALONE, processor_time, variable, warm};
use secondo::Result;

#[path = "machine/calls.rs"]
mod calls;
#[path = "machine/world.rs"]
mod world;

use world::World;

/// A call of the API with values that it draws.
type Call = (&'static str, fn(&mut World, &mut Random) -> Result<()>);

/// Bytes that one request may take: what is larger must be refused.
const BUDGET: u64 = 64 << 20;
/// Calls after which a new world begins: each can be tried again by its number.
const EPISODE: u64 = 50;

/// The outcome of a call.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done,
    Refused,
    Failed(String),
}

/// The call that runs, since when: one that does not come back could not say so.
static NOW: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Ends the process where a call takes ten minutes, however busy the machine is, and names it.
fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            if let Some((since, place)) = &*NOW.lock().unwrap()
                && since.elapsed() > Duration::from_secs(600)
            {
                eprintln!("{place} does not come back");
                std::process::exit(101);
            }
        }
    });
}

/// Runs one call and looks at what it did.
fn attempt(call: Call, world: &mut World, random: &mut Random) -> Outcome {
    let begin = processor_time();
    let run = AssertUnwindSafe(|| (call.1)(world, random));
    let (done, bytes) = allocator::peak_of(|| std::panic::catch_unwind(run));
    let failed = |why: String| Outcome::Failed(format!("{}: {why}", call.0));
    match done {
        Err(panic) => {
            let said = (panic.downcast_ref::<String>().cloned())
                .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
            failed(format!("panics: {}", said.unwrap_or_default()))
        }
        _ if processor_time() - begin > Duration::from_secs(10) => {
            failed(format!("took {:?}", processor_time() - begin))
        }
        _ if bytes > 2 * BUDGET as i64 => failed(format!("held {bytes} bytes")),
        Ok(Ok(())) => Outcome::Done,
        Ok(Err(error)) => {
            let text = error.to_string();
            let legible =
                text.len() < 4000 && !text.contains(|c: char| c.is_control() && c != '\n');
            if legible { Outcome::Refused } else { failed(format!("says {text:?}")) }
        }
    }
}

/// The calls of one episode, and how often each was done and refused; or the failure.
fn episode(
    seed: u64,
    number: u64,
    calls: u64,
    counts: &mut BTreeMap<&'static str, [u64; 2]>,
) -> std::result::Result<(), (&'static str, String)> {
    let mut random = Random::new(seed, number);
    let mut world = World::new(&mut random);
    for step in 0..calls {
        let call = random.pick(calls::ALL);
        let place = format!("seed {seed}, episode {number}, call {step}");
        *NOW.lock().unwrap() = Some((Instant::now(), format!("{place}: {}", call.0)));
        let count = counts.entry(call.0).or_default();
        match attempt(call, &mut world, &mut random) {
            Outcome::Done => count[0] += 1,
            Outcome::Refused => count[1] += 1,
            Outcome::Failed(why) => {
                return Err((call.0, format!("{place}: {why}\n{world:.4?}")));
            }
        }
    }
    *NOW.lock().unwrap() = None;
    Ok(())
}

#[test]
fn every_sequence_of_calls_ends_in_results_or_errors() {
    let _alone = ALONE.lock();
    secondo::limit_memory(BUDGET);
    warm();
    watch();
    let calls = variable("SECONDO_FUZZ_CALLS", 20_000);
    let (seed, first) = (variable("SECONDO_FUZZ_SEED", 1), variable("SECONDO_FUZZ_EPISODE", 0));
    let (mut counts, mut failures) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..calls.div_ceil(EPISODE) {
        if let Err((name, why)) = episode(seed, first + number, EPISODE, &mut counts) {
            // One of each call: the first failure is rarely the only one.
            failures.entry(name).or_insert(why);
        }
    }
    for (name, [done, refused]) in &counts {
        println!("{name:<32}{done:>8} done{refused:>8} refused");
    }
    let why: Vec<String> = failures.into_values().collect();
    assert!(why.is_empty(), "{}", why.join("\n\n"));
    // A call that is always refused tries little.
    for (name, [done, refused]) in counts {
        assert!(done + refused < 100 || done > 0, "{name}: {done} done, {refused} refused");
    }
}

/// Each kind of fault that the machine is there for is seen.
#[test]
fn what_must_not_be_is_found() {
    let _alone = ALONE.lock();
    let mut random = Random::new(1, 1);
    let mut world = World::new(&mut random);
    let faults: [Call; 4] = [
        ("a panic", |_, random| {
            let numbers = [1.0, 2.0];
            world::finite([numbers[2 + random.below(1)]]);
            Ok(())
        }),
        ("an overflow", |_, random| {
            let one = 1 + random.below(1);
            assert!(usize::MAX + one > 0);
            Ok(())
        }),
        ("NaN", |_, _| {
            world::finite([f64::NAN]);
            Ok(())
        }),
        ("memory", |_, random| {
            drop(vec![1_u8; 3 * BUDGET as usize + random.below(2)]);
            Ok(())
        }),
    ];
    for fault in faults {
        let found = attempt(fault, &mut world, &mut random);
        assert!(matches!(found, Outcome::Failed(_)), "{}: {found:?}", fault.0);
    }
    let sound: Call = ("a sound call", |_, _| Ok(()));
    assert_eq!(attempt(sound, &mut world, &mut random), Outcome::Done);
}
