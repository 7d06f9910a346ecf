// The bits of the float in use.
//
// The bounds in ULP at the heads of the files are the largest errors measured, rounded up; they hold in f32 and in f64
// where the result is normal and sums, products, quotients and roots are correctly rounded. WGSL asks for quotients and
// roots within 2.5 ULP only: add 2 for each that a result goes through. Subnormal arguments and results may be flushed to
// 0. Contraction of a b + c does no harm. Where sums must not be rearranged, exact terms go through integers or a mask
// (seal, top, difference), which no compiler looks through.
#if F64
#include "lib/real_f64.wgsl"
#else
#include "lib/real_f32.wgsl"
#end
