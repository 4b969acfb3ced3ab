//! Optimiser steps and reductions of whole tensors.

use crate::optimizer::{AdamW, power};
use crate::verify::op::Len;
use crate::verify::program::{Program, at, f};
use crate::verify::tensor::{Dtype, RUN, Shape};

pub(crate) fn adamw(p: &mut Program, len: Len, h: AdamW, step: Len) {
    let shape = Shape::vector(len.0);
    let (w, g) = (p.input("w before", shape), p.input("g", shape));
    let (m, v) = (p.input("m before", shape), p.input("v before", shape));
    let c1 = (1.0 - power(f64::from(h.beta1), step.0)) as f32;
    let c2 = (1.0 - power(f64::from(h.beta2), step.0)) as f32;
    let m1 = p.map("m", shape, move |read, i, j| {
        let m = f(read, m, i, j);
        (f(read, g, i, j) - m).mul_add(1.0 - h.beta1, m)
    });
    let v1 = p.map("v", shape, move |read, i, j| {
        let g = f(read, g, i, j);
        f(read, v, i, j).mul_add(h.beta2, (g * g) * (1.0 - h.beta2))
    });
    p.map("w", shape, move |read, i, j| {
        let step = (h.lr * (f(read, m1, i, j) / c1)) / ((f(read, v1, i, j) / c2).sqrt() + h.eps);
        (f(read, w, i, j) * (1.0 - h.lr * h.weight_decay)) - step
    });
}

pub(crate) fn sgd(p: &mut Program, len: Len, lr: f32, momentum: f32, weight_decay: f32) {
    let shape = Shape::vector(len.0);
    let (w, g, m) = (p.input("w before", shape), p.input("g", shape), p.input("m before", shape));
    let m1 = p.map("m", shape, move |read, i, j| {
        f(read, m, i, j).mul_add(momentum, weight_decay.mul_add(f(read, w, i, j), f(read, g, i, j)))
    });
    p.map("w", shape, move |read, i, j| (-lr).mul_add(f(read, m1, i, j), f(read, w, i, j)));
}

pub(crate) fn sum_squares(p: &mut Program, len: Len) {
    reduce(p, len, |v, acc| v.mul_add(v, acc));
}

pub(crate) fn sum(p: &mut Program, len: Len) {
    reduce(p, len, |v, acc| acc + v);
}

/// Each run of 4,096 in 8 stripes and a tree, then a running total of the runs.
fn reduce(p: &mut Program, len: Len, term: fn(f64, f64) -> f64) {
    let x = p.input("x", Shape::vector(len.0));
    let runs = Shape::vector(len.0.div_ceil(RUN)).of(Dtype::F64);
    let partial = p.push("runs", runs, move |read, place| {
        let mut s = [0f64; 8];
        for i in place.col * RUN..((place.col + 1) * RUN).min(len.0) {
            let stripe = &mut s[(i % RUN % 8) as usize];
            *stripe = term(read.get(x, at(0, i)), *stripe);
        }
        for width in [4, 2, 1] {
            for i in 0..width {
                s[i] += s[i + width];
            }
        }
        s[0]
    });
    let own = p.next();
    p.push("totals", runs, move |read, place| {
        let before = place.col.checked_sub(1).map_or(0.0, |before| read.get(own, at(0, before)));
        before + read.get(partial, place)
    });
}
