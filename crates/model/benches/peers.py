"""PyTorch on the work of `cargo bench -p model`: the same models, batches and numbers of threads. See docs/benchmarks/model.md.

Usage: python crates/model/benches/peers.py train|generate|int8 [THREADS [SECONDS]]
Needs torch; transformers and peft are not used. Each line is the median of at least three runs, after one that warms up.

train     a step of the 10.7 M-parameter GPT, 12 x 256 tokens, AdamW: eager, torch.compile, and eager with oneDNN's linear layers
generate  greedy, with a key/value cache, the same model, 200 tokens, batch 1 and 8
int8      a 141 M-parameter model of Llama's form, 24 tokens, batch 1 and 8: f32 and dynamically quantised linear layers
"""
import os, sys, time
import torch
from torch.nn import functional as F

V, L, H, D, T, B = 65, 6, 6, 384, 256, 12
THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 2
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 6
torch.set_num_threads(THREADS)
torch.manual_seed(0)


class MkldnnLinear(torch.nn.Linear):
    """A linear layer whose products are oneDNN's, whatever BLAS torch was built with; forward and backward."""
    def forward(self, x):
        return MkldnnProduct.apply(x, self.weight)


class MkldnnProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.ops.aten.mkldnn_linear(x.to_mkldnn(), w.to_mkldnn()).to_dense()

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        rows = dy.reshape(-1, dy.shape[-1])
        dx = torch.ops.aten.mkldnn_linear(rows.to_mkldnn(), w.t().contiguous().to_mkldnn()).to_dense().view_as(x)
        flat = x.reshape(-1, x.shape[-1])
        dw = torch.ops.aten.mkldnn_linear(rows.t().contiguous().to_mkldnn(), flat.t().contiguous().to_mkldnn()).to_dense()
        return dx, dw


class Block(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.n1, self.n2 = (torch.nn.LayerNorm(D, bias=False) for _ in range(2))
        self.qkv, self.out = linear(D, 3 * D, bias=False), linear(D, D, bias=False)
        self.up, self.down = linear(D, 4 * D, bias=False), linear(4 * D, D, bias=False)

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
    def __init__(self, linear=torch.nn.Linear):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(V, D), torch.nn.Embedding(T, D)
        self.blocks = torch.nn.ModuleList(Block(linear) for _ in range(L))
        self.norm = torch.nn.LayerNorm(D, bias=False)

    def forward(self, x, start=0, caches=None):
        h = self.wte(x) + self.wpe(torch.arange(start, start + x.shape[1]))
        for i, block in enumerate(self.blocks):
            h = block(h, caches[i] if caches is not None else None)
        return self.norm(h) @ self.wte.weight.T


def median(call):
    call()
    wall, cpu, began = [], [], time.perf_counter()
    while len(wall) < 3 or time.perf_counter() - began < SECONDS:
        w, c = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - w), cpu.append(time.process_time() - c)
    return sorted(wall)[len(wall) // 2], sorted(cpu)[len(cpu) // 2]


def train():
    x, y = torch.randint(0, V, (2, B, T))
    for name in os.environ.get("MODES", "eager,oneDNN linears,compile").split(","):
        model = Gpt(MkldnnLinear if name.startswith("oneDNN") else torch.nn.Linear)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        forward = torch.compile(model) if name == "compile" else model

        def step():
            optimizer.zero_grad()
            F.cross_entropy(forward(x).view(-1, V), y.view(-1)).backward()
            optimizer.step()

        wall, cpu = median(step)
        print(f"torch {torch.__version__} {name}, {THREADS} threads: {wall * 1e3:.0f} ms a step, {cpu * 1e3:.0f} ms of processor",
              flush=True)


def generate():
    model = Gpt()
    with torch.inference_mode():
        for batch in (1, 8):
            def run():
                caches, tokens = [[] for _ in range(L)], torch.randint(0, V, (batch, 1))
                for i in range(200):
                    tokens = model(tokens, i, caches)[:, -1:].argmax(2)

            wall, cpu = median(run)
            print(f"torch {torch.__version__} generate, batch {batch}, {THREADS} threads: {batch * 200 / wall:.0f} tokens/s, "
                  f"{batch * 200 / cpu:.0f} a processor second", flush=True)


class LlamaBlock(torch.nn.Module):
    def __init__(self, d, heads, wide):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = torch.nn.RMSNorm(d), torch.nn.RMSNorm(d)
        self.qkv, self.out = torch.nn.Linear(d, 3 * d, bias=False), torch.nn.Linear(d, d, bias=False)
        self.gate, self.up = (torch.nn.Linear(d, wide, bias=False) for _ in range(2))
        self.down = torch.nn.Linear(wide, d, bias=False)

    def forward(self, x, cache):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.n1(x)).split(d, 2))
        if cache:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        cache[:] = [k, v]
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def int8():
    d, layers, heads, vocabulary = 960, 12, 12, 8192
    wide = (8 * d // 3 + 31) // 32 * 32
    embedding = torch.nn.Embedding(vocabulary, d)
    model = torch.nn.ModuleList([LlamaBlock(d, heads, wide) for _ in range(layers)] + [torch.nn.Linear(d, vocabulary, bias=False)])
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters")
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    with torch.inference_mode():
        for name, m in (("f32", model), ("dynamic int8", quantised)):
            for batch in (1, 8):
                def run():
                    caches, tokens = [[] for _ in range(layers)], torch.randint(0, vocabulary, (batch, 1))
                    for i in range(24):
                        x = embedding(tokens)
                        for block, cache in zip(m[:-1], caches):
                            x = block(x, cache)
                        tokens = m[-1](x[:, -1:]).argmax(2)

                wall, _ = median(run)
                print(f"torch {torch.__version__} {name}, batch {batch}, {THREADS} threads: {batch * 24 / wall:.1f} tokens/s", flush=True)


{"train": train, "generate": generate, "int8": int8}[sys.argv[1]]()
