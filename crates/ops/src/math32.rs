//! Transcendental functions of f32 from +, -, *, /, fused multiply-add and bit moves only.
//!
//! Every step is a single IEEE operation, so the result is the same on every machine. Measured errors stand in
//! `docs/OPS.md` and are asserted by the tests. Coefficients: S. Moshier, Cephes (`expf`, `logf`, `tanhf`).

/// 1.5 * 2^23: adding and subtracting it rounds to the nearest integer.
const ROUND: f32 = 12_582_912.0;
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// e^x. Below -104 it is 0, above 88.73 infinity; subnormal results are exact to the last bit's half.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let t = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = t - ROUND;
    let r = n.mul_add(-LN2_HI, x);
    let r = n.mul_add(-LN2_LO, r);
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_2e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    let p = (p * r).mul_add(r, r) + 1.0;
    // 2^n in two factors, so that neither overflows or loses bits before the last product.
    let n = t.to_bits() as i32;
    let n = n.wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let low = f32::from_bits((half.wrapping_add(127) as u32) << 23);
    let high = f32::from_bits((n.wrapping_sub(half).wrapping_add(127) as u32) << 23);
    (p * low) * high
}

/// Natural logarithm of a positive, normal x.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let e = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let e = e as f32;
    let r = m - 1.0;
    let z = r * r;
    let mut p = 7.037_683_6e-2f32;
    p = p.mul_add(r, -1.151_461e-1);
    p = p.mul_add(r, 1.167_699_9e-1);
    p = p.mul_add(r, -1.242_014_1e-1);
    p = p.mul_add(r, 1.424_932_3e-1);
    p = p.mul_add(r, -1.666_805_7e-1);
    p = p.mul_add(r, 2.000_071_5e-1);
    p = p.mul_add(r, -2.499_999_4e-1);
    p = p.mul_add(r, 3.333_333_1e-1);
    let y = (p * r) * z;
    let y = e.mul_add(LN2_LO, y);
    let y = z.mul_add(-0.5, y);
    e.mul_add(LN2_HI, r + y)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    let capped = if a > 10.0 { 10.0 } else { a };
    let large = 1.0 - 2.0 / (exp(2.0 * capped) + 1.0);
    let z = a * a;
    let mut p = -5.704_988_7e-3f32;
    p = p.mul_add(z, 2.063_908_9e-2);
    p = p.mul_add(z, -5.373_971_6e-2);
    p = p.mul_add(z, 1.333_144_2e-1);
    p = p.mul_add(z, -3.333_328e-1);
    let small = (p * z).mul_add(a, a);
    let r = if a < 0.625 { small } else { large };
    let r = if a.is_nan() { a } else { r };
    f32::from_bits(r.to_bits() | (x.to_bits() & 0x8000_0000))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Rounds to the nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub fn round_even(x: f32) -> f32 {
    (x + ROUND) - ROUND
}
