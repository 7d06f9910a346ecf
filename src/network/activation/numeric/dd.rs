//! Pairs of doubles (double-double arithmetic).

/// The unevaluated sum `hi + lo`, with `|lo| < 2⁻²⁰ |hi|` unless `hi` has
/// cancelled: [`Dd::round`] is the double nearest. Sums, products and
/// reciprocals are good to 2⁻⁷⁰ (sums: of the larger term), ample for what is to
/// be rounded to 53 bits. All want finite numbers below 2¹⁰⁰⁰ and lose digits
/// only to underflow.
#[derive(Clone, Copy)]
pub struct Dd {
    pub hi: f64,
    pub lo: f64,
}

impl Dd {
    pub const ONE: Self = Self::from(1.0);

    /// −0 is the zero that any sum may leave out, and the compiler does.
    pub const fn from(hi: f64) -> Self {
        Self { hi, lo: -0.0 }
    }

    #[inline(always)]
    pub const fn round(self) -> f64 {
        self.hi + self.lo
    }

    /// `a + b`, exact (Knuth).
    #[inline(always)]
    pub fn sum(a: f64, b: f64) -> Self {
        let hi = a + b;
        let of_b = hi - a;
        Self { hi, lo: (a - (hi - of_b)) + (b - of_b) }
    }

    /// `a + b`, exact if `|a| ≥ |b|` (Dekker).
    #[inline(always)]
    pub const fn ordered(a: f64, b: f64) -> Self {
        let hi = a + b;
        Self { hi, lo: b - (hi - a) }
    }

    /// `u²`, exact.
    #[inline(always)]
    pub fn square(u: f64) -> Self {
        let hi = u * u;
        Self { hi, lo: u.mul_add(u, -hi) }
    }

    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        let s = Self::sum(self.hi, other.hi);
        Self::ordered(s.hi, s.lo + (self.lo + other.lo))
    }

    /// The sum with what is not larger in size, at half the cost.
    #[inline(always)]
    pub fn add_less(self, other: Self) -> Self {
        let s = Self::ordered(self.hi, other.hi);
        Self { hi: s.hi, lo: s.lo + (self.lo + other.lo) }
    }

    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        self.add(other.scale(-1.0))
    }

    /// All of the product but that of the two `lo`.
    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        let hi = self.hi * other.hi;
        let mixed = self.hi.mul_add(other.lo, self.lo * other.hi);
        Self { hi, lo: self.hi.mul_add(other.hi, -hi) + mixed }
    }

    /// The product, rounded once.
    #[inline(always)]
    pub fn product(self, other: Self) -> f64 {
        let mixed = self.hi.mul_add(other.lo, self.lo * other.hi);
        self.hi.mul_add(other.hi, mixed)
    }

    /// The product, rounded once.
    #[inline(always)]
    pub fn by(self, f: f64) -> f64 {
        self.product(Self::from(f))
    }

    #[inline(always)]
    pub fn twice(self) -> Self {
        Self { hi: self.hi + self.hi, lo: self.lo + self.lo }
    }

    #[inline(always)]
    pub fn times(self, f: f64) -> Self {
        self.mul(Self::from(f))
    }

    /// Multiplies by a power of two, up to its sign: exact.
    #[inline(always)]
    pub const fn scale(self, f: f64) -> Self {
        Self { hi: self.hi * f, lo: self.lo * f }
    }

    /// One step of Newton from the double nearest.
    #[inline(always)]
    pub fn recip(self) -> Self {
        let w = 1.0 / self.round();
        Self { hi: w, lo: w * (-self.lo).mul_add(w, (-self.hi).mul_add(w, 1.0)) }
    }

    /// Between 1 and 8: Newton's steps until they double
    /// no more digits.
    pub fn sqrt(self) -> Self {
        let (mut root, mut step) = (self, 0);
        while step < 9 {
            root = root.add(self.mul(root.recip())).scale(0.5);
            step += 1;
        }
        root
    }
}
