//! Transcendental functions against the standard library in f64, and known answers of the generator.

use ops::{math32, math64, random};

/// Distance from the exact value in units of the last place of its f32 neighbourhood.
fn ulps(got: f32, exact: f64) -> f64 {
    let near = exact as f32;
    let step = if near == 0.0 {
        f64::from(f32::from_bits(1))
    } else {
        f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs())
    };
    (f64::from(got) - exact).abs() / step
}

fn worst(range: std::ops::Range<f32>, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> (f64, f32) {
    let n = 400_000;
    let mut worst = (0.0, 0.0);
    for i in 0..n {
        let x = range.start + (range.end - range.start) * (i as f32 / n as f32);
        let e = ulps(f(x), exact(f64::from(x)));
        if e > worst.0 {
            worst = (e, x);
        }
    }
    worst
}

#[test]
fn f32_functions_stay_within_their_stated_error() {
    #[allow(clippy::disallowed_methods)]
    for (name, bound, got) in [
        ("exp", 1.1, worst(-103.0..88.7, math32::exp, f64::exp)),
        ("ln", 1.1, worst(1e-30..1.5, math32::ln, f64::ln)),
        ("ln", 1.1, worst(1.5..1e30, math32::ln, f64::ln)),
        ("tanh", 2.1, worst(-10.0..10.0, math32::tanh, f64::tanh)),
        ("sigmoid", 2.6, worst(-80.0..80.0, math32::sigmoid, |x| 1.0 / (1.0 + (-x).exp()))),
    ] {
        eprintln!("{name}: {:.3} ulp at {:e}", got.0, got.1);
        assert!(got.0 <= bound, "{name}: {} ulp at {:e}", got.0, got.1);
    }
}

#[test]
fn f64_functions_agree_with_the_standard_library() {
    #[allow(clippy::disallowed_methods)]
    for i in 1..200_000 {
        let x = i as f64 * 0.37;
        let close = |a: f64, b: f64| (a - b).abs() <= 2.3e-16 * b.abs().max(1e-3) * 2.0;
        assert!(close(math64::sin(x), x.sin()), "sin {x}");
        assert!(close(math64::cos(x), x.cos()), "cos {x}");
        assert!(close(math64::ln(x), x.ln()), "ln {x}");
        let y = x / 200.0 - 180.0;
        assert!(close(math64::exp(y) / y.exp(), 1.0), "exp {y}");
    }
}

#[test]
fn philox_gives_the_published_answers() {
    // Random123's kat_vectors for philox4x32-10.
    assert_eq!(random::philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(
        random::philox([u32::MAX; 4], [u32::MAX; 2]),
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    );
    let pi = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
    assert_eq!(random::philox(pi.0, pi.1), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}
