#!/usr/bin/env python3
"""Attribution beside its Python peers on the digits: reads our rows, measures pyDVL and kronfluence on the same models, data and
retrainings, writes a table and a picture of LDS against time.

peers.py DATA OURS.json OUT.md OUT.svg      (see `run` beside this file)
"""
import json
import math
import os
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(os.cpu_count())
data_folder, ours_file, table_file, picture_file = sys.argv[1:5]
load = lambda name: np.load(os.path.join(data_folder, "digits", name))
data, lr, full, truth = load("data.npz"), load("lr.npz"), load("mlp_full.npz"), load("mlp_gt.npz")
x, y = torch.tensor(data["Xtr"]), torch.tensor(data["Ytr"])
xt, yt = torch.tensor(data["Xte"]), torch.tensor(data["Yte"])
subsets = data["subsets"].astype(np.float64)
rows = json.load(open(ours_file))


def ranks(values):
    """Ranks along the last axis, ties shared."""
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def lds(scores, quality, seed=1):
    """Mean rank correlation and a bootstrap over queries and retrainings."""
    predicted, measured = ranks(scores @ subsets.T), ranks(quality.T)

    def correlation(p, m):
        p, m = p - p.mean(-1, keepdims=True), m - m.mean(-1, keepdims=True)
        return (p * m).sum(-1) / np.sqrt((p * p).sum(-1) * (m * m).sum(-1))

    value = correlation(predicted, measured).mean()
    random = np.random.default_rng(seed)
    again = []
    for _ in range(1000):
        s = random.integers(0, predicted.shape[1], predicted.shape[1])
        q = random.integers(0, len(predicted), len(predicted))
        again.append(correlation(predicted[np.ix_(q, s)], measured[np.ix_(q, s)]).mean())
    return value, *np.percentile(again, [2.5, 97.5])


def logistic():
    model = torch.nn.Sequential(torch.nn.Linear(64, 10))
    w = torch.tensor(lr["W"], dtype=torch.float32)
    model[0].weight.data, model[0].bias.data = w[:, :64].clone(), w[:, 64].clone()
    return model


def perceptron():
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    for place, (w, b) in {0: ("p0", "p1"), 2: ("p2", "p3")}.items():
        model[place].weight.data = torch.tensor(full[w][0]).T.contiguous()
        model[place].bias.data = torch.tensor(full[b][0]).reshape(-1)
    return model


def timed(run, times=3):
    """Last result and the median time."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        result = run()
        spent.append(time.perf_counter() - start)
    return result, sorted(spent)[len(spent) // 2]


def add(who, task, method, scores, quality, fit, ask):
    value, low, high = lds(scores, quality)
    rows.append(
        dict(who=who, task=task, method=method, value=value, low=low, high=high, fit_seconds=fit, query_seconds=ask)
    )
    print(f"{task:10} {who} {method:40} {value:.3f} [{low:.3f}, {high:.3f}] fit {fit*1e3:.1f} ms, 100 queries {ask*1e3:.2f} ms")


tasks = {
    "logistic": (logistic, -lr["loss"]),
    "MLP": (perceptron, -truth["loss"].mean(0)),
}


def pydvl():
    from pydvl.influence import InfluenceMode
    from pydvl.influence.torch import DirectInfluence, NystroemSketchInfluence

    loss = torch.nn.functional.cross_entropy
    loader = DataLoader(TensorDataset(x, y), batch_size=1000)

    def measure(task, name, make):
        model, quality = tasks[task][0](), tasks[task][1]
        fitted, fit = timed(lambda: make(model, loss).fit(loader))
        scores, ask = timed(lambda: fitted.influences(xt, yt, x, y, mode=InfluenceMode.Up))
        scores = scores.detach().numpy()
        # Libraries differ in the sign of help.
        if lds(scores, quality)[0] < 0:
            scores = -scores
        add("pyDVL 0.10.0", task, name, scores, quality, fit, ask)

    measure("logistic", "direct", lambda m, l: DirectInfluence(m, l, regularization=1e-3))
    for damping in (0.005, 0.01, 0.03):
        name = f"Nystroem r=300, damping {damping}"
        measure("MLP", name, lambda m, l: NystroemSketchInfluence(m, l, regularization=damping, rank=300))


def kronfluence():
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    class Classify(Task):
        def compute_train_loss(self, batch, model, sample=False):
            logits = model(batch[0])
            if sample:
                labels = torch.multinomial(torch.softmax(logits.detach(), -1), 1).flatten()
                return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            return torch.nn.functional.cross_entropy(logits, batch[1], reduction="sum")

        def compute_measurement(self, batch, model):
            return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    train, test = TensorDataset(x, y), TensorDataset(xt, yt)
    for task, (make, quality) in tasks.items():
        with tempfile.TemporaryDirectory() as folder:
            job = Classify()
            model = prepare_model(make(), job)
            analyzer = Analyzer("digits", model, job, cpu=True, disable_tqdm=True, output_dir=folder)
            _, fit = timed(
                lambda: analyzer.fit_all_factors(
                    "f", train, per_device_batch_size=500, factor_args=FactorArguments(strategy="ekfac"), overwrite_output_dir=True
                ),
                1,
            )
            arguments = ScoreArguments(damping_factor=None)
            _, ask = timed(
                lambda: analyzer.compute_pairwise_scores(
                    "s", "f", test, train, per_device_query_batch_size=100, per_device_train_batch_size=500,
                    score_args=arguments, overwrite_output_dir=True,
                ),
                1,
            )
            scores = analyzer.load_pairwise_scores("s")["all_modules"].numpy()
            add("kronfluence 1.0.1", task, "EK-FAC", scores, quality, fit, ask)


def knn():
    from pydvl.valuation.dataset import Dataset
    from pydvl.valuation.methods.knn_shapley import KNNShapleyValuation
    from sklearn.neighbors import KNeighborsClassifier

    train, test = Dataset(x.numpy(), y.numpy()), Dataset(data["Xho"], data["Yho"])
    run = lambda: KNNShapleyValuation(KNeighborsClassifier(n_neighbors=5), test, progress=False).fit(train)
    _, spent = timed(run, 1)
    rows.append(
        dict(who="pyDVL 0.10.0", task="mislabels", method="KNN-Shapley, 697 trusted points (time alone)", value=float("nan"),
             low=float("nan"), high=float("nan"), fit_seconds=spent, query_seconds=0.0)
    )


for part in (pydvl, kronfluence, knn):
    try:
        part()
    except Exception as error:  # A peer that fails is reported, and the others go on.
        print(f"{part.__name__} failed: {type(error).__name__}: {error}", file=sys.stderr)

with open(table_file, "w") as out:
    out.write("| task | who | method | LDS or AUC [95 %] | fit | 100 queries |\n|---|---|---|---|---|---|\n")
    for r in sorted(rows, key=lambda r: (r["task"], -r["value"] if r["value"] == r["value"] else 0)):
        value = "" if r["value"] != r["value"] else f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
        out.write(
            f"| {r['task']} | {r['who']} | {r['method']} | {value} | {r['fit_seconds']*1e3:.1f} ms | {r['query_seconds']*1e3:.2f} ms |\n"
        )


def picture(task):
    """LDS against the time to fit and ask 100 queries, logarithmic."""
    width, height, left, bottom = 760, 420, 60, 50
    points = [r for r in rows if r["task"] == task]
    span = [math.log10(r["fit_seconds"] + r["query_seconds"]) for r in points]
    low, high = math.floor(min(span)), math.ceil(max(span))
    px = lambda r: left + (math.log10(r["fit_seconds"] + r["query_seconds"]) - low) / (high - low) * (width - left - 20)
    py = lambda v: height - bottom - max(v, 0) * (height - bottom - 20)
    ink = {"ours": "#2f6f9f"}
    body = []
    for power in range(low, high + 1):
        at = left + (power - low) / (high - low) * (width - left - 20)
        body.append(f'<line x1="{at:.0f}" x2="{at:.0f}" y1="20" y2="{height-bottom}" stroke="#e4e8ec"/>')
        label = f"{10**power*1e3:g} ms" if power < 0 else f"{10**power:g} s"
        body.append(f'<text x="{at:.0f}" y="{height-bottom+18}" font-size="12" text-anchor="middle">{label}</text>')
    for tenth in range(0, 11, 2):
        body.append(f'<line x1="{left}" x2="{width-20}" y1="{py(tenth/10):.0f}" y2="{py(tenth/10):.0f}" stroke="#e4e8ec"/>')
        body.append(f'<text x="{left-8}" y="{py(tenth/10)+4:.0f}" font-size="12" text-anchor="end">{tenth/10:.1f}</text>')
    for r in points:
        color = ink.get(r["who"], "#b5562b")
        own = r["method"].startswith("Gauss")
        fill = color if own or r["who"] != "ours" else "#ffffff"
        title = f"{r['who']}: {r['method']}, {r['value']:.3f}"
        body.append(f'<line x1="{px(r):.0f}" x2="{px(r):.0f}" y1="{py(r["low"]):.0f}" y2="{py(r["high"]):.0f}" stroke="{color}" stroke-width="2"/>')
        body.append(f'<circle cx="{px(r):.0f}" cy="{py(r["value"]):.0f}" r="5" fill="{fill}" stroke="{color}" stroke-width="2"><title>{title}</title></circle>')
    legend = "blue: OpenLedger (filled: Gauss-Newton, hollow: baselines reimplemented); brown: pyDVL, kronfluence; bars: 95 %"
    body.append(f'<text x="{left}" y="14" font-size="12">LDS, {task}. {legend}</text>')
    body.append(f'<text x="{width/2:.0f}" y="{height-8}" font-size="12" text-anchor="middle">time to fit and to ask 100 queries</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui,sans-serif">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(body)}</svg>\n'
    )


with open(picture_file, "w") as out:
    out.write(picture("MLP"))
