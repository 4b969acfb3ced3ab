//! Step verifiers: programs agree with the kernels to the bit, honest leaves pass, a flipped bit convicts.

use crate::cases::{case, vec1};
use crate::data::numbers;
use ops::verify::{ClaimError, Len, OPENINGS_MAX, Op, OpKind, Opening, Tensor, Trace, Verdict, verify};
use ops::{Ctx, Stream};

/// The trace of an op, after checking it against the kernels.
fn trace(kind: OpKind) -> Trace {
    let case = case(kind, &Ctx::detect());
    assert_eq!(case.op.kind(), kind);
    let trace = Trace::new(case.op, case.inputs).unwrap_or_else(|e| panic!("{}: {e}", kind.name()));
    for (name, output) in case.outputs {
        let computed = trace.tensor(name).unwrap_or_else(|| panic!("{} has no {name}", kind.name()));
        assert_eq!(computed.shape, output.shape, "{} {name}", kind.name());
        assert!(
            computed.root() == output.root(),
            "{}: the program's {name} is not the kernel's",
            kind.name()
        );
    }
    trace
}

/// Tensor `t` with one bit of one leaf flipped.
fn flipped(t: &Tensor, leaf: usize, bit: usize) -> Tensor {
    let mut leaves = t.leaves().to_vec();
    leaves[leaf][bit / 8] ^= 1 << (bit % 8);
    Tensor::from_leaves(t.shape, leaves)
}

#[test]
fn every_op_passes_honest_leaves_and_convicts_one_flipped_bit() {
    for kind in OpKind::ALL {
        let mut trace = trace(*kind);
        let stream = Stream::new(11, *kind as u64);
        for tensor in 0..trace.tensors().len() {
            let (shape, by_row, computed) = {
                let def = &trace.program().tensors[tensor];
                (def.shape, def.by_row, def.rule.is_some())
            };
            if !computed {
                continue;
            }
            let name = format!("{} {}", kind.name(), trace.program().tensors[tensor].name);
            // Every leaf of outputs and small intermediates, a sample of deep ones.
            let step = shape.leaves().div_ceil(12).max(1);
            for leaf in (0..shape.leaves()).step_by(step as usize) {
                let honest = trace.tensors()[tensor].clone();
                let bits = honest.leaves()[leaf as usize].len() * 8;
                let bit = stream.below(leaf, bits as u64) as usize;
                let r = shape.rectangle(leaf).expect("a leaf");
                let row = by_row.then_some(bit as u64 / 8 / shape.dtype.bytes() / r.cols);
                let (claim, openings) = trace.claim(tensor, leaf, row).expect("a claim");
                assert!(openings.len() <= OPENINGS_MAX, "{name}: {} leaves", openings.len());
                assert_eq!(verify(&claim, &openings), Ok(Verdict::Right), "{name} leaf {leaf}");
                trace.replace(tensor, flipped(&honest, leaf as usize, bit));
                let (claim, openings) = trace.claim(tensor, leaf, row).expect("a claim");
                assert_eq!(verify(&claim, &openings), Ok(Verdict::Wrong), "{name} leaf {leaf} bit {bit}");
                trace.replace(tensor, honest);
            }
        }
    }
}

#[test]
fn a_claim_convicts_nobody_unless_its_openings_hold() {
    let trace = trace(OpKind::MatmulNn);
    let blocks = trace.program().tensors.iter().position(|t| t.name == "blocks").expect("blocks");
    let (claim, openings) = trace.claim(blocks, 0, None).expect("a claim");
    let without_last = &openings[..openings.len() - 1];
    assert!(matches!(verify(&claim, without_last), Err(ClaimError::Missing { .. })));
    let mut forged: Vec<Opening> = openings.clone();
    forged[0].bytes[0] ^= 1;
    assert_eq!(verify(&claim, &forged), Err(ClaimError::BadOpening(0)));
    let mut short = openings.clone();
    short[0].bytes.pop();
    assert_eq!(verify(&claim, &short), Err(ClaimError::BadOpening(0)));
    let many: Vec<Opening> = openings.iter().cycle().take(OPENINGS_MAX + 1).cloned().collect();
    assert_eq!(verify(&claim, &many), Err(ClaimError::TooLarge));
    let mut input = claim.clone();
    input.tensor = 0;
    assert!(matches!(verify(&input, &openings), Err(ClaimError::NoSuchLeaf { .. })));
    let mut huge = claim.clone();
    huge.op = Op::MatmulNn { m: 1 << 60, n: 1, k: 1, accumulate: false };
    assert!(matches!(verify(&huge, &openings), Err(ClaimError::Shape(_))));
    let mut rootless = claim;
    rootless.roots.pop();
    assert!(matches!(verify(&rootless, &openings), Err(ClaimError::Roots { .. })));
}

#[test]
fn a_leaf_with_nan_is_wrong_even_if_the_rule_gives_it() {
    let mut x = numbers(1, 100);
    x[3] = f32::NAN;
    let trace = Trace::new(Op::Scale { len: Len(100), s: 2.0 }, vec![vec1(&x)]).expect("a trace");
    let (claim, openings) = trace.claim(1, 0, None).expect("a claim");
    assert_eq!(verify(&claim, &openings), Ok(Verdict::Wrong));
}
