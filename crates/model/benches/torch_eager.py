"""The same training step and generation in eager PyTorch, for docs/benchmarks/model.md.

Usage: python torch_eager.py train|generate THREADS [STEPS]. Prints wall and processor seconds: on a loaded machine compare the latter.
"""
import sys, time
import torch
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[2]))
STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
V, L, H, D, T, B = 65, 6, 6, 384, 256, 12


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = (torch.nn.LayerNorm(D, bias=False) for _ in range(2))
        self.qkv, self.out = torch.nn.Linear(D, 3 * D, bias=False), torch.nn.Linear(D, D, bias=False)
        self.up, self.down = torch.nn.Linear(D, 4 * D, bias=False), torch.nn.Linear(4 * D, D, bias=False)

    def forward(self, x, cache=None):
        b, t, _ = x.shape
        q, k, v = (z.view(b, t, H, D // H).transpose(1, 2) for z in self.qkv(self.n1(x)).split(D, 2))
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, D))
        return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))


class Gpt(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(V, D), torch.nn.Embedding(T, D)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.norm = torch.nn.LayerNorm(D, bias=False)

    def forward(self, x, start=0, caches=None):
        h = self.wte(x) + self.wpe(torch.arange(start, start + x.shape[1]))
        for i, block in enumerate(self.blocks):
            h = block(h, caches[i] if caches is not None else None)
        return self.norm(h) @ self.wte.weight.T


torch.manual_seed(0)
model = Gpt()
if sys.argv[1] == "train":
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = torch.randint(0, V, (2, B, T))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x).view(-1, V), y.view(-1)).backward()
        optimizer.step()

    step()
    wall, cpu = [], []
    for _ in range(STEPS):
        w, c = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - w), cpu.append(time.process_time() - c)
    wall.sort(), cpu.sort()
    print(f"torch eager train, {sys.argv[2]} threads: {wall[STEPS // 2] * 1e3:.0f} ms a step, {cpu[STEPS // 2] * 1e3:.0f} ms of processor")
else:
    with torch.no_grad():
        for batch in (1, 8):
            caches, tokens = [[] for _ in range(L)], torch.randint(0, V, (batch, 1))
            w, c = time.perf_counter(), time.process_time()
            for i in range(200):
                tokens = model(tokens, i, caches)[:, -1:].argmax(2)
            w, c = time.perf_counter() - w, time.process_time() - c
            print(f"torch eager generate, batch {batch}, {sys.argv[2]} threads: {batch * 200 / w:.0f} tokens/s, "
                  f"{batch * 200 / c:.0f} a processor second")
