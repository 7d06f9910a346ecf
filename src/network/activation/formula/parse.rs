//! From a formula's text to its tape.

use std::f64::consts::{E, PI};

use super::{Activation, Formula, Function, Op, series};
use crate::error::{Error, Result};
use crate::network::Series;

/// The longest formula, in characters.
const LONGEST: usize = 1000;
/// Parentheses, signs and powers inside each other.
const DEEPEST: usize = 50;
/// Whole powers up to this are products.
const LARGEST_POWER: f64 = 1024.0;

/// Where a formula is finite at least once, if it is of any use.
const PROBES: [f64; 12] = [0.0, 1e-3, 0.05, 0.3, 0.7, 1.0, 1.6, 2.9, 7.3, 31.0, 117.0, 1000.0];

const OPERAND: &str = "a number, u, a function or '(' is needed";

pub(super) fn parse(text: &str) -> Result<Formula> {
    let text = text.trim();
    let mut parser = Parser {
        text,
        chars: text.chars().collect(),
        at: 0,
        depth: 0,
        tape: Vec::new(),
        degrees: Vec::new(),
    };
    let length = parser.chars.len();
    if length == 0 {
        return Err(parser.error(0, "it is empty; give one in u, such as 1-(1+u)^-2"));
    }
    if length > LONGEST {
        let why = format!("it has {length} characters and may have {LONGEST}");
        return Err(parser.error(LONGEST, why));
    }
    let root = parser.sum()?;
    match parser.peek() {
        None => {}
        Some(')') => return Err(parser.error(parser.at, "this ')' closes no '('")),
        Some(c) => {
            let why = format!("an operator (+ - * / ^) or the end is needed, not '{c}'");
            return Err(parser.error(parser.at, why));
        }
    }
    if parser.degrees[root] == 0 {
        return Err(parser.error(0, "it does not depend on u"));
    }
    // Nodes that folding has left over stand behind.
    parser.tape.truncate(root + 1);
    parser.degrees.truncate(root + 1);
    let formula =
        Formula { text: text.into(), tape: parser.tape.clone(), degrees: parser.degrees.clone() };
    let both = PROBES.iter().flat_map(|&u| [u, -u]);
    if !both.into_iter().any(|u| formula.derivatives(u)[0].is_finite()) {
        let why =
            format!("it is finite at none of {} points between -1000 and 1000", 2 * PROBES.len());
        return Err(parser.error(0, why));
    }
    Ok(formula)
}

struct Parser<'a> {
    text: &'a str,
    chars: Vec<char>,
    /// The next character.
    at: usize,
    depth: usize,
    tape: Vec<Op>,
    degrees: Vec<usize>,
}

impl Parser<'_> {
    fn error(&self, at: usize, why: impl Into<String>) -> Error {
        Error::Formula { formula: self.text.into(), column: at + 1, why: why.into() }
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    /// One level deeper.
    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<usize>) -> Result<usize> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let why = format!("more than {DEEPEST} parentheses, signs or powers inside each other");
            return Err(self.error(self.at, why));
        }
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn sum(&mut self) -> Result<usize> {
        let mut left = self.product()?;
        loop {
            let at = self.at;
            left = match self.peek() {
                Some('+') => {
                    self.at += 1;
                    let right = self.product()?;
                    self.push(Op::Add(left, right), at)?
                }
                Some('-') => {
                    self.at += 1;
                    let right = self.product()?;
                    self.push(Op::Subtract(left, right), at)?
                }
                _ => return Ok(left),
            };
        }
    }

    fn product(&mut self) -> Result<usize> {
        let mut left = self.factor()?;
        loop {
            let at = self.at;
            left = match self.peek() {
                Some('*') => {
                    self.at += 1;
                    let right = self.factor()?;
                    self.push(Op::Multiply(left, right), at)?
                }
                Some('/') => {
                    self.at += 1;
                    let right = self.factor()?;
                    self.push(Op::Divide(left, right), at)?
                }
                _ => return Ok(left),
            };
        }
    }

    fn factor(&mut self) -> Result<usize> {
        let at = self.at;
        match self.peek() {
            Some('-') => {
                self.at += 1;
                let a = self.nested(Self::factor)?;
                self.push(Op::Negate(a), at)
            }
            Some('+') => {
                self.at += 1;
                self.nested(Self::factor)
            }
            _ => {
                let base = self.atom()?;
                let at = self.at;
                if !self.take('^') {
                    return Ok(base);
                }
                let exponent = self.nested(Self::factor)?;
                self.power(base, exponent, at)
            }
        }
    }

    fn atom(&mut self) -> Result<usize> {
        let Some(c) = self.peek() else {
            return Err(self.error(self.at, format!("{OPERAND} where it ends")));
        };
        let start = self.at;
        match c {
            '(' => self.parenthesis(),
            '0'..='9' | '.' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
                let name: String = self.chars[start..].iter().copied().take_while(word).collect();
                self.at += name.len();
                match name.as_str() {
                    "u" => self.push(Op::Argument, start),
                    "pi" => self.push(Op::Constant(PI), start),
                    "e" => self.push(Op::Constant(E), start),
                    _ => {
                        let Some(function) = Function::find(&name) else {
                            let why = format!(
                                "unknown name '{name}'; known: u, pi, e and the functions {}",
                                Function::names().join(", ")
                            );
                            return Err(self.error(start, why));
                        };
                        if self.peek() != Some('(') {
                            let why =
                                format!("'(' is needed: {name} takes one argument, {name}(u)");
                            return Err(self.error(self.at, why));
                        }
                        let a = self.parenthesis()?;
                        match function {
                            Function::Builtin(Activation::Identity) => Ok(a),
                            _ => self.push(Op::Call(function, a), start),
                        }
                    }
                }
            }
            _ => Err(self.error(start, format!("{OPERAND}, not '{c}'"))),
        }
    }

    /// From '(' to its ')'.
    fn parenthesis(&mut self) -> Result<usize> {
        let open = self.at + 1;
        self.at += 1;
        let inner = self.nested(Self::sum)?;
        if self.take(')') {
            return Ok(inner);
        }
        let found = match self.peek() {
            Some(c) => format!("not '{c}'"),
            None => "but the formula ends".into(),
        };
        let why = format!("')' is needed for the '(' at column {open}, {found}");
        Err(self.error(self.at, why))
    }

    fn number(&mut self) -> Result<usize> {
        let start = self.at;
        let digits = |from: usize| {
            let mut at = from;
            while self.chars.get(at).is_some_and(char::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(start);
        if self.chars.get(end) == Some(&'.') {
            end = digits(end + 1);
        }
        if matches!(self.chars.get(end), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.chars.get(end + 1), Some('+' | '-')));
            let after = digits(end + 1 + sign);
            if after > end + 1 + sign {
                end = after;
            }
        }
        let text: String = self.chars[start..end].iter().collect();
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.at = end;
                self.push(Op::Constant(value), start)
            }
            Ok(_) => Err(self.error(start, "the number is too large")),
            Err(_) => Err(self.error(start, format!("'{text}' is not a number"))),
        }
    }

    fn constant(&self, slot: usize) -> Option<f64> {
        match self.tape[slot] {
            Op::Constant(c) => Some(c),
            _ => None,
        }
    }

    fn power(&mut self, base: usize, exponent: usize, at: usize) -> Result<usize> {
        let log = Function::Builtin(Activation::Log);
        let exp = Function::Builtin(Activation::Exp);
        match (self.constant(base), self.constant(exponent)) {
            (_, Some(0.0)) => self.push(Op::Constant(1.0), at),
            (_, Some(1.0)) => Ok(base),
            (_, Some(r)) if r.fract() == 0.0 && r.abs() <= LARGEST_POWER => {
                self.push(Op::Integer(base, r as i32), at)
            }
            (_, Some(0.5)) => self.push(Op::Call(Function::Builtin(Activation::Sqrt), base), at),
            (_, Some(r)) => self.push(Op::Power(base, r), at),
            (Some(c), None) if c <= 0.0 => {
                let why = format!("{c} to a power that varies: the base must be greater than 0");
                Err(self.error(at, why))
            }
            // bᵃ = exp(a ln b)
            (_, None) => {
                let log = self.push(Op::Call(log, base), at)?;
                let product = self.push(Op::Multiply(exponent, log), at)?;
                self.push(Op::Call(exp, product), at)
            }
        }
    }

    /// The place of an operation on the tape: what is there already is computed once, what is constant never.
    fn push(&mut self, op: Op, at: usize) -> Result<usize> {
        let degree = |slot: usize| self.degrees[slot];
        let degree = match op {
            Op::Constant(_) => 0,
            Op::Argument => 1,
            Op::Add(a, b) | Op::Subtract(a, b) => degree(a).max(degree(b)),
            Op::Negate(a) => degree(a),
            Op::Multiply(a, b) => match (degree(a), degree(b)) {
                (0, other) | (other, 0) => other,
                _ => 2,
            },
            Op::Divide(a, b) => match (degree(a), degree(b)) {
                (a, 0) => a,
                _ => 2,
            },
            Op::Integer(a, _) | Op::Power(a, _) | Op::Call(_, a) => match degree(a) {
                0 => 0,
                _ => 2,
            },
        };
        let op = match op {
            Op::Constant(_) => op,
            _ if degree == 0 => {
                let constants: Vec<_> = (self.tape.iter())
                    .map(|op| match op {
                        Op::Constant(c) => Series::constant(*c, 0),
                        _ => Series::constant(f64::NAN, 0),
                    })
                    .collect();
                let value = series(op, &constants, &constants[0])?.coefficients()[0];
                if !value.is_finite() {
                    return Err(self.error(at, format!("this constant part is {value}")));
                }
                Op::Constant(value)
            }
            _ => op,
        };
        if let Some(slot) = self.tape.iter().position(|known| *known == op) {
            return Ok(slot);
        }
        self.tape.push(op);
        self.degrees.push(degree);
        Ok(self.tape.len() - 1)
    }
}
