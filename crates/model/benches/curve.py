"""Draws curves of validation loss: python crates/model/benches/curve.py OUT.svg LABEL=evaluations.jsonl ...

A line of a file is {"step": ..., "loss": ...}, as `openledger model train` and nanogpt.py write them.
"""
import json, sys

out, files = sys.argv[1], [a.split("=", 1) for a in sys.argv[2:]]
curves = [(label, [(r["step"], r["loss"]) for r in map(json.loads, open(path))]) for label, path in files]
steps = max(s for _, c in curves for s, _ in c)
low, high = min(l for _, c in curves for _, l in c), max(l for _, c in curves for _, l in c)
low, high = int(low * 5) / 5, int(high * 5 + 1) / 5
W, H, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 60, 20, 20, 45
COLOURS = ["#1f6feb", "#d1691e", "#2da44e", "#8250df"]
x = lambda s: LEFT + s / steps * (W - LEFT - RIGHT)
y = lambda l: TOP + (high - l) / (high - low) * (H - TOP - BOTTOM)
svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="13" fill="#57606a">',
       f'<rect width="{W}" height="{H}" fill="#ffffff"/>']
tick = low
while tick <= high + 1e-9:
    svg.append(f'<path d="M{LEFT} {y(tick):.1f}H{W - RIGHT}" stroke="#d8dee4"/><text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    tick += 0.4
for s in range(0, steps + 1, steps // 4):
    svg.append(f'<text x="{x(s):.1f}" y="{H - BOTTOM + 18}" text-anchor="middle">{s}</text>')
svg.append(f'<text x="{(LEFT + W - RIGHT) / 2}" y="{H - 6}" text-anchor="middle">steps; validation loss in nats a character</text>')
for i, ((label, curve), colour) in enumerate(zip(curves, COLOURS)):
    points = " ".join(f"{x(s):.1f},{y(l):.1f}" for s, l in curve)
    dash = ' stroke-dasharray="6 4"' if i else ""
    svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
    svg.append(f'<text x="{W - RIGHT - 8}" y="{TOP + 20 + 18 * i}" text-anchor="end" fill="{colour}">{label}: {curve[-1][1]:.3f} after {curve[-1][0]}</text>')
open(out, "w").write("\n".join(svg + ["</svg>"]) + "\n")
