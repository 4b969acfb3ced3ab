#!/usr/bin/env python3
"""A small language model by kronfluence and dattri LoGra, on what `cargo run --release -p attribution --example repositories -- TEXT WORK ...` left in WORK:
its model, its documents, its held-out texts and its retrainings on halves of the contributors.

language_peers.py WORK OUT.md [kronfluence|logra]

Tracked are the linear layers of the blocks, as ours are. An item is what one contributor has in a row of the committed stream. LoGra's settings are chosen on every
other pair of halves, kronfluence has its default damping; LDS is of the rest.
"""
import glob
import json
import os
import sys
import time
import warnings

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.utils.data import DataLoader
from transformers import GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from texts import IGNORED, Examples, collate, ek_fac, lds, with_loss

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(os.cpu_count())
work, table = sys.argv[1:3]
PER_DOCUMENT = 3


class Language(torch.nn.Module):
    """Logits of padded batches; GPT-2's layers as the libraries know them."""

    def __init__(self):
        super().__init__()
        self.gpt = GPT2LMHeadModel.from_pretrained(os.path.join(work, "model"), attn_implementation="eager")
        for name, module in list(self.gpt.named_modules()):
            if isinstance(module, Conv1D):
                linear = torch.nn.Linear(*module.weight.shape, bias=False)
                linear.weight.data = module.weight.data.T.contiguous()
                assert not module.bias.any()
                setattr(self.gpt.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], linear)
        self.eval()

    def forward(self, tokens, mask, targets=None):
        return self.gpt(input_ids=tokens, attention_mask=mask).logits


def documents(name):
    return [json.loads(line) for line in open(os.path.join(work, name), encoding="utf-8")]


model = Language()
context = model.gpt.config.n_positions
tokenizer = Tokenizer.from_file(os.path.join(work, "model", "tokenizer.json"))
encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
owners, stream, owner_of = [], [], []
for document in documents("train.jsonl"):
    if document["owner"] not in owners:
        owners.append(document["owner"])
    ids = encode(document["text"])
    stream += ids
    owner_of += [owners.index(document["owner"])] * len(ids)
items, item_owner = Examples(), []
for start in range(0, len(stream) - 1, context):
    end = min(start + context, len(stream) - 1)
    whose = owner_of[start + 1 : end + 1]
    for owner in dict.fromkeys(whose):
        targets = [t if o == owner else IGNORED for t, o in zip(stream[start + 1 : end + 1], whose)]
        items.append({"tokens": stream[start:end], "targets": targets})
        item_owner.append(owner)

prompt = context // 4
texts = []
for document in documents("held-out.jsonl"):
    if document["owner"] in owners:
        ids = encode(document["text"])
        texts += [ids[s : s + context] for s in range(0, len(ids) - context + 1, context)][:PER_DOCUMENT]
own = torch.tensor([text[:prompt] for text in texts])
with torch.no_grad():
    while own.shape[1] < context:
        own = torch.cat([own, model(own, torch.ones_like(own))[:, -1:].argmax(2)], 1)
asked = lambda ids: {"tokens": ids[:-1], "targets": [IGNORED] * (prompt - 1) + ids[prompt:]}
queries = Examples(map(asked, texts + own.tolist()))

halves = {}
for path in sorted(glob.glob(os.path.join(work, "retrain", "half-*.json"))):
    number = int(os.path.basename(path).removesuffix(".json").split("-")[1])
    halves.setdefault(number, []).append(json.load(open(path)))
members = np.zeros((len(halves), len(owners)))
for row, number in enumerate(sorted(halves)):
    members[row, halves[number][0]["owners"]] = 1
quality = np.array([np.mean([half["quality"] for half in halves[number]], axis=0) for number in sorted(halves)])
reports = np.array([number // 2 % 2 == 1 for number in sorted(halves)])
assert quality.shape[1] == len(queries), f"{quality.shape[1]} queries in the retrainings, {len(queries)} here"
print(f"{len(items)} items of {len(owners)} contributors, {len(queries)} queries, {len(halves)} halves", flush=True)


def lds_of(scores, asked, side):
    """Of the queries `asked`, over the halves that choose or report."""
    totals = np.zeros((len(queries), len(owners)))
    np.add.at(totals.T, item_owner, scores.T)
    return lds(totals[asked] @ members[reports == side].T, quality[reports == side][:, asked].T)


KINDS = (slice(0, len(texts)), slice(len(texts), len(queries)))
rows = []


def add(method, settings, fit, ask):
    """Of (setting, scores) the one that is best on the pairs that choose."""
    best = max(settings, key=lambda s: sum(lds_of(s[1], kind, False)[0] for kind in KINDS))
    rows.append((method, best[0], *(lds_of(best[1], kind, True) for kind in KINDS), fit, ask))
    print(rows[-1], flush=True)


tracked = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and not n.endswith("lm_head")]


def kronfluence():
    scores, fit, ask = ek_fac(Language(), tracked, items, queries, 128)
    add("kronfluence 1.0.1 EK-FAC", [("damping .1 of the mean eigenvalue", scores)], fit, ask)


def logra():
    from dattri.algorithm.logra import LoGraAttributor
    from dattri.task import AttributionTask

    settings, spent = [], []
    for damping in (None, 1e-2, 1.0):
        own = with_loss(Language)()
        loss = lambda m, batch, device: m(**batch).loss
        task = AttributionTask(loss_func=loss, model=own, checkpoints=own.state_dict())
        attributor = LoGraAttributor(task, layer_names=tracked, hessian="eFIM", damping=damping, proj_dim=256, offload="none")
        loader = lambda of: DataLoader(of, batch_size=32, shuffle=False, collate_fn=collate)
        start = time.perf_counter()
        attributor.cache(loader(items))
        cached = time.perf_counter()
        scores = attributor.attribute(loader(items), loader(queries))
        spent.append((cached - start, time.perf_counter() - cached))
        settings.append((f"16x16 a layer, damping {damping}", scores.T.float().numpy()))
    add("dattri 0.3.0 LoGra", settings, *min(spent))


for part in (kronfluence, logra):
    if sys.argv[3:] and part.__name__ not in sys.argv[3:]:
        continue
    try:
        part()
    except Exception as error:  # A peer that fails is reported, and the others go on.
        print(f"{part.__name__} failed: {type(error).__name__}: {error}", file=sys.stderr)

with open(table, "w") as out:
    out.write("| method | chosen | LDS, held-out | LDS, own answers | fit | all queries |\n|---|---|---|---|---|---|\n")
    for method, setting, held_out, own_answers, fit, ask in rows:
        interval = lambda i: f"{i[0]:.3f} [{i[1]:.3f}, {i[2]:.3f}]"
        out.write(f"| {method} | {setting} | {interval(held_out)} | {interval(own_answers)} | {fit:.1f} s | {ask:.1f} s |\n")
