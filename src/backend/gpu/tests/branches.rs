//! No loop of a shader holds many branches one after another: SwiftShader orders the blocks of a loop's body by a search
//! that follows every path, and its time doubles with every branch whose two arms are of one length, so that they reach
//! their common end at once. Where one is shorter, the search knows the end already when the other comes there. Calls belong to
//! the body that they stand in, since it inlines them.

use naga::{Block, Module, Statement};

use std::collections::BTreeMap;

use super::launch::{Key, Number, Threads};
use super::source;
use super::texts::keys;

/// Branches that a loop's body may hold in a row: some 4000 paths.
const MOST: u32 = 12;

/// The branches with arms of one length in a list of statements.
#[derive(Clone, Copy, Default)]
struct Branches {
    /// Blocks on the shortest way through.
    length: u32,
    /// Branches in a row on that way: what follows comes on top of them.
    open: u32,
    /// The longest row.
    longest: u32,
    /// The longest row inside a loop.
    in_loop: u32,
}

impl Branches {
    fn then(self, next: Branches) -> Branches {
        Branches {
            length: self.length + next.length,
            open: self.open + next.open,
            longest: self.longest.max(self.open + next.longest),
            in_loop: self.in_loop.max(next.in_loop),
        }
    }

    /// Of a branch with these arms.
    fn of(arms: &[Branches]) -> Branches {
        let length = arms.iter().map(|arm| arm.length).min().unwrap_or(0);
        let first = || arms.iter().filter(|arm| arm.length == length);
        let doublings = first().count().next_power_of_two().ilog2();
        let open = doublings + first().map(|arm| arm.open).max().unwrap_or(0);
        let inside = arms.iter().map(|arm| arm.longest).max();
        Branches {
            length: 1 + length,
            open,
            longest: open.max(inside.unwrap_or(0)),
            in_loop: arms.iter().map(|arm| arm.in_loop).max().unwrap_or(0),
        }
    }
}

/// Whether all ways through lead out of the function. naga puts a `return` at every end of a function.
fn leaves(block: &[&Statement]) -> bool {
    match block.last() {
        Some(Statement::Return { .. }) => true,
        Some(Statement::If { accept, reject, .. }) => {
            leaves(&list(accept)) && leaves(&list(reject))
        }
        Some(Statement::Block(inner)) => leaves(&list(inner)),
        _ => false,
    }
}

fn list(block: &Block) -> Vec<&Statement> {
    block.iter().collect()
}

fn branches(module: &Module, statements: &[&Statement]) -> Branches {
    let mut sum = Branches::default();
    for (i, statement) in statements.iter().enumerate() {
        let next = match statement {
            Statement::Block(inner) => branches(module, &list(inner)),
            Statement::If { accept, reject, .. } => {
                let mut arms = [list(accept), list(reject)];
                let out = arms.each_ref().map(|arm| leaves(arm));
                if out != [false, false] {
                    // The statements that follow are the end of the arm that stays.
                    for (arm, _) in arms.iter_mut().zip(out).filter(|(_, out)| !out) {
                        arm.extend(&statements[i + 1..]);
                    }
                }
                let branch = Branches::of(&arms.map(|arm| of_arm(module, &arm)));
                if out != [false, false] {
                    return sum.then(branch);
                }
                branch
            }
            Statement::Loop { body, continuing, .. } => {
                let inside =
                    branches(module, &list(body)).then(branches(module, &list(continuing)));
                Branches { in_loop: inside.longest, ..inside }
            }
            Statement::Call { function, .. } => {
                branches(module, &list(&module.functions[*function].body))
            }
            Statement::Switch { cases, .. } => {
                let arms = cases.iter().map(|case| of_arm(module, &list(&case.body)));
                Branches::of(&arms.collect::<Vec<_>>())
            }
            _ => continue,
        };
        sum = sum.then(next);
    }
    sum
}

/// An arm without statements is no block of its own.
fn of_arm(module: &Module, arm: &[&Statement]) -> Branches {
    let mut inside = branches(module, arm);
    inside.length += u32::from(!arm.is_empty());
    inside
}

fn in_loops(text: &str) -> u32 {
    let module = naga::front::wgsl::parse_str(text).unwrap();
    branches(&module, &list(&module.entry_points[0].function.body)).in_loop
}

#[test]
fn loops_hold_few_branches_in_a_row() {
    let mut most = BTreeMap::new();
    for key in keys() {
        let found = in_loops(&source::text(&key).unwrap());
        let most = most.entry(key.stem).or_insert((0, key.defines.clone()));
        if found > most.0 {
            *most = (found, key.defines);
        }
    }
    for (stem, (found, defines)) in &most {
        println!("{found:4} {stem}");
        assert!(*found <= MOST, "{stem}: {found} with {defines:?}");
    }
}

#[test]
fn branches_in_loops_are_counted() {
    let count = |functions: &str, body: &str| {
        in_loops(&format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32, 64>;
            {functions}
            @compute @workgroup_size(1) fn main() {{ {body} }}"
        ))
    };
    let both = "if a[0] == 1u { a[1] = 2u; } else { a[2] = 2u; }";
    let one = "if a[0] == 1u { a[1] = 2u; }";
    let and = "if a[0] == 1u && a[1] == 2u { a[1] = 2u; }";
    let early = "fn early() -> u32 { if a[0] == 1u { return 2u; } return a[3]; }";
    let in_loop = |body: &str| format!("for (var i = 0u; i < 9u; i++) {{ {body} }}");
    let pair = format!("{both}{both}");
    for (body, expected) in [
        (both.into(), 0),
        (in_loop(one), 0),
        (in_loop(both), 1),
        (in_loop(and), 1),
        (in_loop(&pair), 2),
        (in_loop(&format!("{one}{both}{one}{and}")), 2),
        (in_loop(&in_loop(&pair)), 2),
        (in_loop(&format!("if a[0] == 1u {{ {pair} }} {both}")), 2),
        (in_loop("a[0] += early(); a[0] += early();"), 2),
    ] {
        let expected: u32 = expected;
        assert_eq!(count(early, &body), expected, "{body}");
    }
    let key = Key {
        stem: "weighted_sum/lanes",
        number: Number::F32,
        threads: Threads::Workgroup(8),
        defines: [("COLUMNS", "4".into()), ("BROADCAST", "0".into())].into(),
        params: vec!["n", "run", "units", "a0", "a1", "tiles"],
        arrays: vec![("c", false), ("phi", false), ("partial", true)],
    };
    let text = source::text(&key).unwrap();
    assert!(in_loops(&text) <= MOST);
    assert!(in_loops(&text.replace(" & (", " && (")) >= 32);
}
