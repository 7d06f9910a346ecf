//! The two floats.

use super::tile::Lanes;

/// `f64` or `f32`.
pub trait Real:
    faer::traits::RealField + bytemuck::Zeroable + Lanes + Copy + Default + PartialOrd
{
    /// `"f64"` or `"f32"`.
    const NAME: &'static str;
    /// u, half the distance from 1 to the next number.
    const ROUNDOFF: f64;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest number.
    fn from_f64(v: f64) -> Self;
    /// The same number in f64.
    fn to_f64(self) -> f64;
}

impl Real for f64 {
    const NAME: &'static str = "f64";
    const ROUNDOFF: f64 = f64::EPSILON / 2.0;
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn from_f64(v: f64) -> f64 {
        v
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    const NAME: &'static str = "f32";
    const ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn from_f64(v: f64) -> f32 {
        v as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}
