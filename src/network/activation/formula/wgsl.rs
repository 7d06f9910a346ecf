//! A formula's tape as WGSL text.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Formula, Function, Op};

impl Formula {
    /// `fn NAME(u: real) -> vec3<real>`, which gives h, h′ and h″, with what it includes.
    pub fn wgsl(&self, name: &str) -> String {
        let mut includes = BTreeSet::from(["lib/chain".to_string()]);
        let mut body = String::new();
        for (i, op) in self.tape.iter().enumerate() {
            if let Some(file) = file(*op) {
                includes.insert(file);
            }
            self.operation(i, *op, &mut body);
        }
        let mut text = String::new();
        for file in includes {
            text += &format!("#include \"{file}.wgsl\"\n");
        }
        let last = self.tape.len() - 1;
        let [h, h1, h2] = [0, 1, 2].map(|k| self.at(last, k).unwrap_or("real(0.0)".into()));
        text + &format!(
            "\nfn {name}(u: real) -> vec3<real> {{\n{body}    return vec3<real>({h}, {h1}, {h2});\n}}\n"
        )
    }

    /// Derivative k of an operation, unless it is 0 for every u.
    fn at(&self, slot: usize, k: usize) -> Option<String> {
        if k > self.degrees[slot] {
            return None;
        }
        Some(match (self.tape[slot], k) {
            (Op::Argument, 0) => "u".into(),
            (Op::Argument, _) => "real(1.0)".into(),
            _ => format!("{}{slot}", ["v", "a", "b"][k]),
        })
    }

    /// The lines that define `v{i}`, `a{i}` and `b{i}`, as far as they are not 0.
    fn operation(&self, i: usize, op: Op, body: &mut String) {
        let value = |slot: usize| self.at(slot, 0).unwrap_or_default();
        if let Op::Integer(a, _) | Op::Power(a, _) | Op::Call(_, a) = op {
            let v = value(a);
            if let Op::Power(_, r) = op {
                constant(&format!("r{i}"), r, body);
            }
            let call = match op {
                Op::Integer(_, n) => format!("integer_power({v}, {n})"),
                Op::Power(..) => format!("real_power({v}, r{i})"),
                Op::Call(Function::Builtin(f), _) => format!("activation_{}({v})", f.name()),
                Op::Call(f, _) => format!("function_{}({v})", name(f)),
                _ => String::new(),
            };
            // Writing to a text does not fail.
            let _ = writeln!(body, "    let f{i} = {call};");
        }
        let mut line = |k: usize, value: String| {
            if k <= self.degrees[i] {
                let _ = writeln!(body, "    let {}{i} = {value};", ["v", "a", "b"][k]);
            }
        };
        // The sum of the products whose factors are not 0.
        let sum = |terms: &[(&str, Option<String>, Option<String>)]| {
            let terms: Vec<String> = (terms.iter())
                .filter_map(|(c, x, y)| Some(format!("{c}{} * {}", x.as_ref()?, y.as_ref()?)))
                .collect();
            if terms.is_empty() { "real(0.0)".to_string() } else { terms.join(" + ") }
        };
        match op {
            Op::Argument => {}
            Op::Constant(c) => constant(&format!("v{i}"), c, body),
            Op::Add(a, b) | Op::Subtract(a, b) => {
                let sign = if matches!(op, Op::Add(..)) { "+" } else { "-" };
                for k in 0..3 {
                    line(
                        k,
                        match (self.at(a, k), self.at(b, k)) {
                            (Some(a), Some(b)) => format!("{a} {sign} {b}"),
                            (Some(a), None) => a,
                            (None, Some(b)) => format!("{}{b}", sign.replace('+', "")),
                            (None, None) => "real(0.0)".into(),
                        },
                    );
                }
            }
            Op::Negate(a) => {
                for k in 0..3 {
                    line(k, self.at(a, k).map_or("real(0.0)".into(), |a| format!("-{a}")));
                }
            }
            Op::Multiply(a, b) => {
                let [a0, a1, a2] = [0, 1, 2].map(|k| self.at(a, k));
                let [b0, b1, b2] = [0, 1, 2].map(|k| self.at(b, k));
                line(0, sum(&[("", a0.clone(), b0.clone())]));
                line(1, sum(&[("", a1.clone(), b0.clone()), ("", a0.clone(), b1.clone())]));
                line(2, sum(&[("", a2, b0), ("2.0 * ", a1, b1), ("", a0, b2)]));
            }
            Op::Divide(a, b) => {
                let own = |k: usize| Some(format!("{}{i}", ["v", "a"][k]));
                let numerator = |k: usize| self.at(a, k).unwrap_or("real(0.0)".into());
                let (b1, b2) = (self.at(b, 1), self.at(b, 2));
                line(0, format!("{} / {}", value(a), value(b)));
                let rest = sum(&[("", own(0), b1.clone())]);
                line(1, format!("quotient({} - {rest}, {})", numerator(1), value(b)));
                let rest = sum(&[("2.0 * ", own(1), b1), ("", own(0), b2)]);
                line(2, format!("quotient({} - ({rest}), {})", numerator(2), value(b)));
            }
            Op::Integer(a, _) | Op::Power(a, _) | Op::Call(_, a) => {
                let v = value(a);
                line(0, format!("f{i}.x"));
                let v1 = self.at(a, 1).unwrap_or_default();
                line(1, format!("chain(f{i}.y, {v}, {v1})"));
                let rest = match self.at(a, 2) {
                    Some(v2) => format!(" + chain(f{i}.y, {v}, {v2})"),
                    None => String::new(),
                };
                line(2, format!("chain(f{i}.z, {v}, {v1} * {v1}){rest}"));
            }
        }
    }
}

/// The line that defines a constant, which f32 may not hold: infinite there, or 0.
fn constant(name: &str, c: f64, body: &mut String) {
    let single = c as f32;
    let exact = format!("    let {name} = real({c:?});\n");
    let text = match (single.is_infinite(), c != 0.0 && single.abs() < f32::MIN_POSITIVE) {
        (false, false) => exact,
        (infinite, _) => {
            let value = match (infinite, c < 0.0) {
                (true, false) => "inf()",
                (true, true) => "-inf()",
                _ => "real(0.0)",
            };
            format!("#if F64\n{exact}#else\n    let {name} = {value};\n#end\n")
        }
    };
    body.push_str(&text);
}

/// The name of a function that is no activation.
fn name(function: Function) -> &'static str {
    (Function::OTHERS.iter()).find(|(_, f)| *f == function).map_or("", |f| f.0)
}

/// The file in `shaders/` that an operation needs.
fn file(op: Op) -> Option<String> {
    match op {
        Op::Integer(..) | Op::Power(..) => Some("lib/power".into()),
        Op::Call(Function::Builtin(f), _) => Some(format!("lib/activation/{}", f.name())),
        Op::Call(f, _) => Some(format!("lib/function/{}", name(f))),
        _ => None,
    }
}
