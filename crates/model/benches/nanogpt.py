"""A GPT as nanoGPT trains it on Tiny Shakespeare, in PyTorch: the peer of docs/benchmarks/model.md's curve.

Usage: python crates/model/benches/nanogpt.py TEXT [STEPS [SEED]] > evaluations.jsonl
The settings are those of nanoGPT's CPU example: 4 layers, 4 heads, width 128, context 64, batch 12, no dropout, no biases, AdamW with
a cosine from 1e-3 to 1e-4 after 100 steps of warm-up, beta2 0.99, weight decay 0.1 on matrices, gradients cut to norm 1; the last
tenth of the text is for validation. Each evaluation takes the same 240 windows spread over it as `openledger model train` does.
"""
import json, math, sys, time
import torch
from torch.nn import functional as F

text = open(sys.argv[1]).read()
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
torch.manual_seed(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
torch.set_num_threads(1)  # the operations are small
L, H, D, T, B, WINDOWS = 4, 4, 128, 64, 12, 240
letters = sorted(set(text))
tokens = torch.tensor([letters.index(c) for c in text])
cut = len(tokens) - len(tokens) // 10
training, validation = tokens[:cut], tokens[cut:]


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = torch.nn.LayerNorm(D, bias=False), torch.nn.LayerNorm(D, bias=False)
        self.qkv, self.out = torch.nn.Linear(D, 3 * D, bias=False), torch.nn.Linear(D, D, bias=False)
        self.up, self.down = torch.nn.Linear(D, 4 * D, bias=False), torch.nn.Linear(4 * D, D, bias=False)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (z.view(b, t, H, D // H).transpose(1, 2) for z in self.qkv(self.n1(x)).split(D, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, D))
        return x + self.down(F.gelu(self.up(self.n2(x))))


class Gpt(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(len(letters), D), torch.nn.Embedding(T, D)
        self.blocks, self.norm = torch.nn.ModuleList(Block() for _ in range(L)), torch.nn.LayerNorm(D, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                scale = 0.02 / math.sqrt(2 * L) if name.endswith(("out.weight", "down.weight")) else 0.02
                torch.nn.init.normal_(p, std=scale)

    def forward(self, x):
        h = self.wte(x) + self.wpe.weight[:x.shape[1]]
        for block in self.blocks:
            h = block(h)
        return self.norm(h) @ self.wte.weight.T


def windows(source, starts):
    return (torch.stack([source[s:s + T] for s in starts]), torch.stack([source[s + 1:s + T + 1] for s in starts]))


def loss(x, y):
    return F.cross_entropy(model(x).view(-1, len(letters)), y.reshape(-1))


model = Gpt()
groups = [dict(params=[p for p in model.parameters() if p.dim() > 1], weight_decay=0.1),
          dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
held_out = windows(validation, [i * ((len(validation) - T) // WINDOWS) for i in range(WINDOWS)])
began = time.time()
for step in range(1, STEPS + 1):
    part = min(max(step - 100, 0) / (STEPS - 100), 1)
    rate = 1e-3 * step / 100 if step <= 100 else 1e-4 + 0.5 * (1 + math.cos(math.pi * part)) * 9e-4
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    now = loss(*windows(training, torch.randint(len(training) - T, (B,)).tolist()))
    now.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 100 == 0 or step == STEPS:
        with torch.no_grad():
            print(json.dumps(dict(step=step, loss=loss(*held_out).item(), trainingLoss=now.item(),
                                  seconds=round(time.time() - began, 1))), flush=True)
