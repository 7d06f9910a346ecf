//! Random choices that are the same everywhere, the values that programs stumble over, and mutated bytes.
#![allow(dead_code)]

use std::time::Duration;

/// Xorshift.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of one round of a run with this seed.
    pub fn new(seed: u64, round: u64) -> Self {
        let mut random =
            Random((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round).wrapping_mul(2) + 1);
        for _ in 0..8 {
            let _ = random.below(2);
        }
        random
    }

    /// One of 0 … n − 1; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// Whether the one chance in n comes.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// A number between −2 and 2.
    pub fn tame(&mut self) -> f64 {
        self.below(4001) as f64 / 1000.0 - 2.0
    }

    /// Mostly a number between −2 and 2; one time in eight one of the ends of what f64 holds.
    pub fn number(&mut self) -> f64 {
        if self.one_in(8) { self.pick(&NUMBERS) } else { self.tame() }
    }

    /// Mostly less than eight; one time in eight a size at which a product overflows, or memory does.
    pub fn size(&mut self) -> usize {
        if self.one_in(8) { self.pick(&SIZES) } else { self.below(8) }
    }

    /// Mostly as many tame numbers as asked for; else another length, or a number that is not tame.
    pub fn numbers(&mut self, len: usize) -> Vec<f64> {
        let wrong = if self.one_in(12) {
            let others = [0, 1, len.saturating_sub(1), len + 1, 2 * len];
            self.pick(&others)
        } else {
            len
        };
        let mut numbers: Vec<f64> = (0..wrong).map(|_| self.tame()).collect();
        if self.one_in(8) && wrong > 0 {
            let at = self.below(wrong);
            numbers[at] = self.pick(&NUMBERS);
        }
        numbers
    }

    pub fn duration(&mut self) -> Duration {
        let ends = [Duration::ZERO, Duration::MAX, Duration::from_nanos(1), Duration::from_secs(9)];
        self.pick(&ends)
    }
}

/// The ends of what f64 holds.
pub const NUMBERS: [f64; 16] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    -0.0,
    0.0,
    1e160,
    -1e200,
    1e-160,
    f64::EPSILON,
    9007199254740993.0,
    -1.0,
    1e300,
];

/// Sizes at which a product overflows, or memory does.
pub const SIZES: [usize; 10] = [
    usize::MAX,
    usize::MAX - 1,
    usize::MAX / 2 + 1,
    1 << 61,
    1 << 48,
    1 << 32,
    (1 << 31) - 1,
    1 << 20,
    65_537,
    300,
];

/// Pieces that parsers may stumble over.
const PIECES: [&str; 30] = [
    "",
    "\"",
    "\"\"",
    ",",
    "\n",
    "\r",
    "\r\n",
    "\u{feff}",
    "\0",
    "1e400",
    "-1e-400",
    "NaN",
    "null",
    "[",
    "]",
    "{",
    "}",
    "-",
    "18446744073709551616",
    "18446744073709551615",
    "9223372036854775807",
    "4294967296",
    "[[[[[[[[[[[[[[[[",
    "\u{202e}",
    "1e18",
    "1000000000",
    ";",
    "\t",
    "'",
    "\u{1f}\u{8b}",
];

/// The bytes with a few changes: cut, flipped, repeated, replaced by a piece or by a part of another entry.
pub fn mutated(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
            4 => {
                let end = (at + random.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let from = random.below(other.len());
                let end = (from + random.below(40)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let end = (at + random.below(6)).min(bytes.len());
                let piece = PIECES[random.below(PIECES.len())].bytes();
                bytes.splice(at..end, piece);
            }
        }
    }
    bytes
}
