#!/usr/bin/env python3
"""LoRA fine-tunes on `instruct` by kronfluence and dattri LoGra, on the checkpoint, items, queries and retrainings that
`cargo run --release -p attribution --example lora -- WORK` left in WORK.

lora_peers.py WORK OUT.md

Tracked are the factors of the adapter alone, as linear layers. LoGra's settings are chosen on every other pair of halves, kronfluence has its default damping; LDS is of the rest.
"""
import glob
import json
import os
import sys
import time
import warnings

import numpy as np
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from texts import Examples, collate, ek_fac, lds, loss_of, with_loss

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
torch.set_num_threads(os.cpu_count())
work, table = sys.argv[1:3]
known = json.load(open(os.path.join(work, "peers.json")))


class Adapted(torch.nn.Module):
    """A frozen layer and the pair beside it."""

    def __init__(self, base, a, b, scale):
        super().__init__()
        self.base, self.scale = base, scale
        self.lora_A = torch.nn.Linear(a.shape[1], a.shape[0], bias=False)
        self.lora_B = torch.nn.Linear(b.shape[1], b.shape[0], bias=False)
        self.lora_A.weight.data, self.lora_B.weight.data = a.clone(), b.clone()

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x) * self.scale)


class Language(torch.nn.Module):
    """Logits of padded batches."""

    def __init__(self):
        super().__init__()
        self.gpt = GPT2LMHeadModel.from_pretrained(os.path.join(work, "model"), attn_implementation="eager")
        for p in self.gpt.parameters():
            p.requires_grad_(False)
        folder = os.path.join(work, known["adapter"])
        config = json.load(open(os.path.join(folder, "adapter_config.json")))
        factors = load_file(os.path.join(folder, "adapter_model.safetensors"))
        scale = config["lora_alpha"] / config["r"]
        for name, module in list(self.gpt.named_modules()):
            key = f"base_model.model.{name}"
            if isinstance(module, Conv1D) and f"{key}.lora_A.weight" in factors:
                parent = self.gpt.get_submodule(name.rpartition(".")[0])
                pair = (factors[f"{key}.lora_A.weight"], factors[f"{key}.lora_B.weight"])
                setattr(parent, name.rpartition(".")[2], Adapted(module, *pair, scale))

    def forward(self, tokens, mask, targets=None):
        return self.gpt(input_ids=tokens, attention_mask=mask).logits


def truth(kind, count):
    """Members as [halves, count] and minus the mean loss over seeds, split into pairs that choose and pairs that report."""
    by_number = {}
    for path in sorted(glob.glob(os.path.join(work, "halves", f"{kind}-*.json"))):
        by_number.setdefault(int(os.path.basename(path).split("-")[1]), []).append(json.load(open(path)))
    numbers = sorted(by_number)
    members = np.zeros((len(numbers), count))
    for row, n in enumerate(numbers):
        members[row, by_number[n][0]["members"]] = 1
    quality = np.array([-np.mean([h["losses"] for h in by_number[n]], axis=0) for n in numbers])
    odd = np.array([n // 2 % 2 == 1 for n in numbers])
    return [(members[odd == side], quality[odd == side]) for side in (False, True)]


source_of = np.array(known["source_of"])
truths = {"item": truth("item", len(source_of)), "source": truth("source", source_of.max() + 1)}


def lds_of(scores, kind, side):
    members, quality = truths[kind][side]
    if kind == "source":
        totals = np.zeros((scores.shape[0], source_of.max() + 1))
        np.add.at(totals.T, source_of, scores.T)
        scores = totals
    return lds(scores @ members.T, quality.T)


rows = []


def add(method, settings, fit, ask):
    """Of (setting, scores) the one that is best on the pairs that choose."""
    best = max(settings, key=lambda s: lds_of(s[1], "item", 0)[0] + lds_of(s[1], "source", 0)[0])
    rows.append((method, best[0], lds_of(best[1], "item", 1), lds_of(best[1], "source", 1), fit, ask))
    print(rows[-1], flush=True)


items, queries = Examples(known["items"]), Examples(known["queries"])
model = Language()
model.eval()
with torch.no_grad():
    found = [float(loss_of(model, collate([q]))) / sum(t < 2**31 for t in q["targets"]) for q in queries]
apart = np.abs(np.array(found) - np.array(known["losses"])).max()
print(f"losses of the queries differ from the engine's by at most {apart:.2e}")
assert apart < 1e-3, "the model here is not the engine's"
tracked = [n for n, m in model.named_modules() if n.endswith(("lora_A", "lora_B"))]


def kronfluence():
    scores, fit, ask = ek_fac(Language().eval(), tracked, items, queries, len(queries))
    add("kronfluence 1.0.1 EK-FAC", [("damping .1 of the mean eigenvalue", scores)], fit, ask)


def logra():
    from dattri.algorithm.logra import LoGraAttributor
    from dattri.task import AttributionTask

    settings, spent = [], []
    for side in (8, 16):
        for damping in (None, 1e-3, 1e-2, 1e-1, 1.0):
            own = with_loss(Language)().eval()
            loss = lambda m, batch, device: m(**batch).loss
            task = AttributionTask(loss_func=loss, model=own, checkpoints=own.state_dict())
            attributor = LoGraAttributor(
                task, layer_names=tracked, hessian="eFIM", damping=damping, proj_dim=side * side, offload="none"
            )
            loader = lambda of: DataLoader(of, batch_size=32, shuffle=False, collate_fn=collate)
            start = time.perf_counter()
            attributor.cache(loader(items))
            cached = time.perf_counter()
            scores = attributor.attribute(loader(items), loader(queries))
            spent.append((cached - start, time.perf_counter() - cached))
            settings.append((f"{side}x{side} a layer, damping {damping}", scores.T.float().numpy()))
    add("dattri 0.3.0 LoGra", settings, *min(spent))


for part in (kronfluence, logra):
    try:
        part()
    except Exception as error:  # A peer that fails is reported, and the others go on.
        print(f"{part.__name__} failed: {type(error).__name__}: {error}", file=sys.stderr)

with open(table, "w") as out:
    out.write("| method | chosen | item LDS [95 %] | source LDS [95 %] | fit | all queries |\n|---|---|---|---|---|---|\n")
    for method, setting, item, source, fit, ask in rows:
        interval = lambda i: f"{i[0]:.3f} [{i[1]:.3f}, {i[2]:.3f}]"
        out.write(f"| {method} | {setting} | {interval(item)} | {interval(source)} | {fit:.1f} s | {ask:.1f} s |\n")
