//! Transcendental functions of f64 from +, -, *, / and bit moves, for tables and small solves.
//!
//! Algorithms and coefficients: Sun's fdlibm (`e_exp.c`, `e_log.c`, `k_sin.c`, `k_cos.c`); the reduction of angles is
//! Cody and Waite's in three parts, good for |x| below 2^20.

const LN2_HI: f64 = 6.931_471_803_691_238_2e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
/// 1.5 * 2^52: adding and subtracting it rounds to the nearest integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// e^x; 0 below -745.2, infinity above 709.8.
pub fn exp(x: f64) -> f64 {
    if x > 709.782_712_893_384 {
        return f64::INFINITY;
    }
    if x < -745.2 {
        return 0.0;
    }
    if x.is_nan() {
        return x;
    }
    let n = (x * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let (hi, lo) = (x - n * LN2_HI, n * LN2_LO);
    let r = hi - lo;
    let t = r * r;
    const P: [f64; 5] = [
        1.666_666_666_666_660_2e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
    scale_by_power(y, n as i32)
}

/// y * 2^n, rounded once.
fn scale_by_power(y: f64, n: i32) -> f64 {
    let power = |n: i32| f64::from_bits(((n + 1023) as u64) << 52);
    let half = n >> 1;
    (y * power(half)) * power(n - half)
}

/// Natural logarithm; NaN below zero, -infinity at zero.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    // Subnormals are scaled up first.
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, -54) } else { (x, 0) };
    let sqrt_half = 0x3fe6_a09e_0000_0000u64;
    let bits = x.to_bits().wrapping_sub(sqrt_half);
    let k = ((bits as i64) >> 52) as f64 + bias as f64;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(sqrt_half));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let (z, w) = (s * s, (s * s) * (s * s));
    let t1 = w * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let t2 = z
        * (0.666_666_666_666_673_5
            + w * (0.285_714_287_436_623_9 + w * (0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86)));
    let half = 0.5 * f * f;
    s * (half + (t1 + t2)) + k * LN2_LO - half + f + k * LN2_HI
}

/// x^y for positive x, as `exp(y * ln(x))`.
pub fn pow(x: f64, y: f64) -> f64 {
    exp(y * ln(x))
}

/// Sine, for |x| below 2^20.
pub fn sin(x: f64) -> f64 {
    let (r, tail, quadrant) = reduce(x);
    match quadrant {
        0 => kernel_sin(r, tail),
        1 => kernel_cos(r, tail),
        2 => -kernel_sin(r, tail),
        _ => -kernel_cos(r, tail),
    }
}

/// Cosine, for |x| below 2^20.
pub fn cos(x: f64) -> f64 {
    let (r, tail, quadrant) = reduce(x);
    match quadrant {
        0 => kernel_cos(r, tail),
        1 => -kernel_sin(r, tail),
        2 => -kernel_cos(r, tail),
        _ => kernel_sin(r, tail),
    }
}

/// x = n pi/2 + r + tail with |r| at most pi/4.
fn reduce(x: f64) -> (f64, f64, u32) {
    // pi/2 in parts of 33 bits, so that n * part is exact for n below 2^20.
    const PART_1: f64 = 1.570_796_326_734_125_6;
    const PART_2: f64 = 6.077_100_506_303_966e-11;
    const PART_3: f64 = 2.022_266_248_711_166_5e-21;
    const TAIL_3: f64 = 8.478_427_660_368_9e-32;
    let n = (x * std::f64::consts::FRAC_2_PI + ROUND) - ROUND;
    let t = x - n * PART_1;
    let w = n * PART_2;
    let r1 = t - w;
    let e1 = (t - r1) - w;
    let w = n * PART_3;
    let r2 = r1 - w;
    let e2 = (r1 - r2) - w;
    let w = (e1 + e2) - n * TAIL_3;
    let r = r2 + w;
    let tail = (r2 - r) + w;
    (r, tail, (n as i64 & 3) as u32)
}

fn kernel_sin(x: f64, y: f64) -> f64 {
    const S: [f64; 6] = [
        -1.666_666_666_666_663_2e-1,
        8.333_333_333_322_49e-3,
        -1.984_126_982_985_795e-4,
        2.755_731_370_707_006_8e-6,
        -2.505_076_025_340_686_3e-8,
        1.589_690_995_211_55e-10,
    ];
    let z = x * x;
    let w = z * z;
    let r = S[1] + z * (S[2] + z * S[3]) + z * w * (S[4] + z * S[5]);
    let v = z * x;
    x - ((z * (0.5 * y - v * r) - y) - v * S[0])
}

fn kernel_cos(x: f64, y: f64) -> f64 {
    const C: [f64; 6] = [
        4.166_666_666_666_66e-2,
        -1.388_888_888_887_411e-3,
        2.480_158_728_947_673e-5,
        -2.755_731_435_139_066_3e-7,
        2.087_572_321_298_175e-9,
        -1.135_964_755_778_819_5e-11,
    ];
    let z = x * x;
    let w = z * z;
    let r = z * (C[0] + z * (C[1] + z * C[2])) + w * w * (C[3] + z * (C[4] + z * C[5]));
    let hz = 0.5 * z;
    let w = 1.0 - hz;
    w + (((1.0 - w) - hz) + (z * r - x * y))
}
