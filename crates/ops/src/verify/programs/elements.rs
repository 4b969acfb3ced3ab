//! Ops whose element reads one element of each input.

use crate::activation::{gelu, gelu_derivative, silu, silu_derivative};
use crate::random::Stream;
use crate::verify::op::{Len, Seed};
use crate::verify::program::{Program, f};
use crate::verify::tensor::Shape;

/// `out[i] = g(x[i], y[i])`.
fn pair(p: &mut Program, len: Len, g: impl Fn(f32, f32) -> f32 + 'static) {
    let shape = Shape::vector(len.0);
    let (x, y) = (p.input("x", shape), p.input("y", shape));
    p.map("out", shape, move |read, i, j| g(f(read, x, i, j), f(read, y, i, j)));
}

/// `out[i] = g(x[i])`.
fn single(p: &mut Program, len: Len, g: impl Fn(f32) -> f32 + 'static) {
    let shape = Shape::vector(len.0);
    let x = p.input("x", shape);
    p.map("out", shape, move |read, i, j| g(f(read, x, i, j)));
}

pub(crate) fn add(p: &mut Program, len: Len) {
    pair(p, len, |x, y| y + x);
}

pub(crate) fn multiply(p: &mut Program, len: Len) {
    pair(p, len, |x, y| y * x);
}

pub(crate) fn add_scaled(p: &mut Program, len: Len, s: f32) {
    pair(p, len, move |x, y| s.mul_add(x, y));
}

pub(crate) fn scale(p: &mut Program, len: Len, s: f32) {
    single(p, len, move |x| x * s);
}

pub(crate) fn gelu_fwd(p: &mut Program, len: Len) {
    single(p, len, gelu);
}

pub(crate) fn gelu_bwd(p: &mut Program, len: Len) {
    pair(p, len, |x, d| d * gelu_derivative(x));
}

pub(crate) fn silu_fwd(p: &mut Program, len: Len) {
    single(p, len, silu);
}

pub(crate) fn silu_bwd(p: &mut Program, len: Len) {
    pair(p, len, |x, d| d * silu_derivative(x));
}

pub(crate) fn relu_fwd(p: &mut Program, len: Len) {
    single(p, len, |x| if x > 0.0 { x } else { 0.0 });
}

pub(crate) fn relu_bwd(p: &mut Program, len: Len) {
    pair(p, len, |x, d| if x > 0.0 { d } else { 0.0 });
}

pub(crate) fn swiglu_fwd(p: &mut Program, len: Len) {
    pair(p, len, |gate, up| silu(gate) * up);
}

pub(crate) fn swiglu_bwd(p: &mut Program, len: Len) {
    let shape = Shape::vector(len.0);
    let (gate, up, dy) = (p.input("gate", shape), p.input("up", shape), p.input("dy", shape));
    p.map("dgate", shape, move |read, i, j| {
        f(read, dy, i, j) * f(read, up, i, j) * silu_derivative(f(read, gate, i, j))
    });
    p.map("dup", shape, move |read, i, j| f(read, dy, i, j) * silu(f(read, gate, i, j)));
}

pub(crate) fn add_bias(p: &mut Program, rows: u64, n: u64) {
    let (bias, y) = (p.input("bias", Shape::vector(n)), p.input("y", Shape::matrix(rows, n)));
    p.map("out", Shape::matrix(rows, n), move |read, i, j| f(read, y, i, j) + f(read, bias, 0, j));
}

pub(crate) fn transpose(p: &mut Program, rows: u64, cols: u64) {
    let x = p.input("x", Shape::matrix(rows, cols));
    p.map("out", Shape::matrix(cols, rows), move |read, i, j| f(read, x, j, i));
}

pub(crate) fn random_uniform(p: &mut Program, from: Seed, len: Len) {
    let stream = Stream::new(from.seed, from.stream);
    p.map("out", Shape::vector(len.0), move |_, _, j| stream.uniform(from.offset.wrapping_add(j)));
}

pub(crate) fn random_normal(p: &mut Program, from: Seed, len: Len) {
    let stream = Stream::new(from.seed, from.stream);
    p.map("out", Shape::vector(len.0), move |_, _, j| stream.normal(from.offset.wrapping_add(j)));
}
