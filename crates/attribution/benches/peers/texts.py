"""What the scripts share that measure kronfluence and dattri on language models: batches, losses, LDS."""
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import torch
from scipy.stats import rankdata

IGNORED = -100


class Examples(list):
    """A data set that the libraries' loaders take."""


def collate(examples):
    width = max(len(e["tokens"]) for e in examples)
    pad = lambda values, fill: values + [fill] * (width - len(values))
    rows = {
        "tokens": [pad(e["tokens"], 0) for e in examples],
        "mask": [pad([1] * len(e["tokens"]), 0) for e in examples],
        # The engine marks rows without a loss by the largest number.
        "targets": [pad([t if t < 2**31 else IGNORED for t in e["targets"]], IGNORED) for e in examples],
    }
    return {name: torch.tensor(values) for name, values in rows.items()}


def loss_of(model, batch, sample=False):
    """Summed over rows."""
    logits = model(**batch).flatten(0, 1)
    targets = batch["targets"].flatten()
    if sample:
        drawn = torch.multinomial(torch.softmax(logits.detach(), -1), 1).flatten()
        targets = torch.where(targets == IGNORED, targets, drawn)
    return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")


def with_loss(language):
    """The class `language` as dattri asks of models whose batches are dictionaries; its hooks undo a mean over the batch."""

    class WithLoss(language):
        def forward(self, tokens, mask, targets):
            logits = super().forward(tokens, mask).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")
            return SimpleNamespace(loss=loss / len(tokens))

    return WithLoss


def correlation(p, m):
    p, m = p - p.mean(-1, keepdims=True), m - m.mean(-1, keepdims=True)
    return (p * m).sum(-1) / np.maximum(np.sqrt((p * p).sum(-1) * (m * m).sum(-1)), 1e-300)


def lds(predicted, quality):
    """Of `[queries, halves]` both, with a 95 % bootstrap over queries and halves."""
    predicted, measured = rankdata(predicted, axis=-1), rankdata(quality, axis=-1)
    value = correlation(predicted, measured).mean()
    random, again = np.random.default_rng(1), []
    for _ in range(1000):
        s = random.integers(0, predicted.shape[1], predicted.shape[1])
        q = random.integers(0, len(predicted), len(predicted))
        again.append(correlation(predicted[np.ix_(q, s)], measured[np.ix_(q, s)]).mean())
    return value, *np.percentile(again, [2.5, 97.5])


def ek_fac(model, tracked, items, queries, query_batch):
    """kronfluence's scores `[queries, items]` at its default damping, the seconds it fits and those it asks."""
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task
    from kronfluence.utils.dataset import DataLoaderKwargs

    class Texts(Task):
        def compute_train_loss(self, batch, model, sample=False):
            return loss_of(model, batch, sample)

        def compute_measurement(self, batch, model):
            return loss_of(model, batch)

        def get_influence_tracked_modules(self):
            return tracked

        def get_attention_mask(self, batch):
            return batch["mask"]

    with tempfile.TemporaryDirectory() as folder:
        job = Texts()
        analyzer = Analyzer("texts", prepare_model(model, job), job, cpu=True, disable_tqdm=True, output_dir=folder)
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(collate_fn=collate))
        start = time.perf_counter()
        arguments = FactorArguments(strategy="ekfac")
        analyzer.fit_all_factors("f", items, per_device_batch_size=32, factor_args=arguments, overwrite_output_dir=True)
        fitted = time.perf_counter()
        analyzer.compute_pairwise_scores(
            "s", "f", queries, items, per_device_query_batch_size=query_batch, per_device_train_batch_size=32,
            score_args=ScoreArguments(damping_factor=None), overwrite_output_dir=True,
        )
        scores = analyzer.load_pairwise_scores("s")["all_modules"].float().numpy()
        return scores, fitted - start, time.perf_counter() - fitted
