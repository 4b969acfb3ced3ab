"""Compares the model crate with PyTorch, transformers and PEFT on random small models made on the spot.

Usage: python crates/model/tests/oracle/oracle.py PROGRAM
PROGRAM is the example `oracle` of the crate (see docs/testing/numerics.md). Nothing is downloaded.

Each check writes a model with one side, runs both, and compares. Tolerances are relative to the largest magnitude compared:
both sides compute in f32 with different orders of addition.
"""
import json, os, subprocess, sys, tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import transformers
from torch.nn import functional as F
from transformers import (AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

LOGITS_TOLERANCE = 2e-5
GRADIENT_TOLERANCE = 2e-4
LOSS_TOLERANCE = 2e-5
PROGRAM = sys.argv[1]
failures = []


def program(command, **arguments):
    out = subprocess.run([PROGRAM, command, json.dumps(arguments)], capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit(f"{command} failed: {out.stderr}")
    return json.loads(out.stdout)


def check(name, found, expected, tolerance):
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    error = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
    ok = bool(error <= tolerance)
    print(f"{'ok  ' if ok else 'FAIL'} {name}: relative error {error:.1e}, allowed {tolerance:.0e}")
    if not ok:
        failures.append(name)


def equal(name, found, expected):
    ok = found == expected
    print(f"{'ok  ' if ok else 'FAIL'} {name}")
    if not ok:
        failures.append(name)
        print("   found   ", found)
        print("   expected", expected)


def scaled(model, seed):
    """Weights large enough that an error in any part shows in the logits."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn_like(p) * (0.8 / p.shape[-1] ** 0.5))
            elif name.endswith("bias"):
                p.copy_(torch.randn_like(p) * 0.2)
            else:
                p.copy_(1 + 0.3 * torch.randn_like(p))
    return model.eval().float()


SIZES = dict(vocab_size=97, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=112,
             max_position_embeddings=128, bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)


def rope(parameters):
    """As this transformers names them: one dictionary since version 5, the base beside the rest before. An unknown name would be ignored."""
    if int(transformers.__version__.split(".")[0]) >= 5:
        return dict(rope_parameters=parameters)
    return dict(rope_theta=parameters["rope_theta"], rope_scaling={k: v for k, v in parameters.items() if k != "rope_theta"})


FAMILIES = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=64, n_layer=3, n_head=4, n_positions=128, resid_pdrop=0,
                                               embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)),
    "llama untied, llama3 rope": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=1, tie_word_embeddings=False,
                                                                      **rope(LLAMA3))),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=24, tie_word_embeddings=False)),
}


def families(scratch):
    text = torch.tensor([[(7 * i * i + 3 * i + 1) % 97 for i in range(40)]])
    for number, (name, make) in enumerate(FAMILIES.items()):
        model = scaled(make(), number)
        dir = f"{scratch}/{number}"
        shards = dict(max_shard_size="100KB") if number % 2 else {}
        model.save_pretrained(dir, **shards)
        logits = model(text).logits[0]
        loss = F.cross_entropy(logits[:-1], text[0, 1:], reduction="sum")
        loss.backward()
        ours = program("pass", dir=dir, tokens=text[0].tolist())
        check(f"{name}: logits", ours["logits"], logits[:-1].detach().flatten().numpy(), LOGITS_TOLERANCE)
        check(f"{name}: loss", ours["loss"], loss.item(), LOSS_TOLERANCE)
        parameters = dict(model.named_parameters())
        for tensor, gradient in ours["gradients"].items():
            expected = parameters[tensor].grad
            if tensor.endswith("weight") and name == "gpt2" and ".h." in tensor and "ln_" not in tensor:
                expected = expected.T
            check(f"{name}: gradient of {tensor}", gradient, expected.flatten().numpy(), GRADIENT_TOLERANCE)
        prompts = [text[0, :5].tolist(), text[0, 3:20].tolist(), text[0, 30:31].tolist()]
        answers = program("generate", dir=dir, prompts=prompts, tokens=24)
        for prompt, answer in zip(prompts, answers):
            with torch.no_grad():
                expected = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                                          max_new_tokens=24, do_sample=False)
            equal(f"{name}: greedy tokens after {len(prompt)}", answer, expected[0, len(prompt):].tolist())
        # And back: what we write, transformers loads to the same weights.
        program("export", dir=dir, to=f"{dir}-exported", dtype="f32")
        again = AutoModelForCausalLM.from_pretrained(f"{dir}-exported", dtype=torch.float32)
        same = all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
        equal(f"{name}: exported weights", same, True)
        with torch.no_grad():
            check(f"{name}: exported logits", again(text).logits.numpy(), logits[None].detach().numpy(), 1e-6)
        half = f"{dir}-half"
        model.bfloat16().save_pretrained(half)
        with torch.no_grad():
            reference = AutoModelForCausalLM.from_pretrained(half, dtype=torch.float32)(text).logits[0, :-1]
        check(f"{name}: logits from bf16 files", program("pass", dir=half, tokens=text[0].tolist())["logits"],
              reference.flatten().numpy(), LOGITS_TOLERANCE)


def ten_losses(scratch):
    """Ten steps of AdamW, from the same weights over the same batches."""
    config = GPT2Config(vocab_size=65, n_embd=96, n_layer=4, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                        bos_token_id=None, eos_token_id=None)
    torch.manual_seed(5)
    model = GPT2LMHeadModel(config).float()
    dir = f"{scratch}/ten"
    model.save_pretrained(dir)
    batches = torch.randint(0, 65, (10, 6, 65), generator=torch.Generator().manual_seed(3))
    ours = program("train", dir=dir, batches=batches.tolist(), rate=3e-3, weight_decay=0.1, clip=1.0)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() == 1]
    groups = [dict(params=decay, weight_decay=0.1), dict(params=rest, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for batch in batches:
        optimizer.zero_grad()
        logits = model(batch[:, :-1]).logits
        loss = F.cross_entropy(logits.reshape(-1, 65), batch[:, 1:].reshape(-1))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    check("GPT: ten losses of AdamW", ours["losses"], losses, 1e-4)
    check("GPT: ten gradient norms", ours["norms"], norms, 1e-3)


def adapters(scratch):
    from peft import LoraConfig, PeftModel, get_peft_model
    text = torch.tensor([[(5 * i * i + i + 1) % 97 for i in range(30)]])
    for name, targets in [("llama", ["q_proj", "v_proj", "down_proj"]), ("gpt2", ["c_attn", "c_fc"])]:
        base = scaled(FAMILIES[name](), 9)
        dir = f"{scratch}/{name}-base"
        base.save_pretrained(dir)
        options = LoraConfig(r=5, lora_alpha=7, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM",
                             fan_in_fan_out=name == "gpt2")
        model = get_peft_model(base, options).eval()
        torch.manual_seed(1)
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_" in n:
                    p.copy_(torch.randn_like(p) * 0.1)
        model.save_pretrained(f"{dir}-adapter")
        with torch.no_grad():
            expected = model(text).logits[0, :-1].flatten().numpy()
        ours = program("pass", dir=dir, tokens=text[0].tolist(), adapter=f"{dir}-adapter")
        check(f"{name}: logits with a PEFT adapter", ours["logits"], expected, LOGITS_TOLERANCE)
        program("export_adapter", dir=dir, adapter=f"{dir}-adapter", to=f"{dir}-adapter-exported")
        fresh = AutoModelForCausalLM.from_pretrained(dir, dtype=torch.float32)
        again = PeftModel.from_pretrained(fresh, f"{dir}-adapter-exported").eval()
        with torch.no_grad():
            check(f"{name}: PEFT loads our adapter", again(text).logits[0, :-1].flatten().numpy(), expected, 1e-6)


def tokenizers(scratch):
    from transformers import PreTrainedTokenizerFast
    text = open(__file__).read() + " \u00e9t\u00e9 \u4e2d\u6587 \U0001F600\n\n\tend"
    program("tokenizer", text=text, vocabulary=600, to=f"{scratch}/tokenizer")
    ours = program("encode", dir=f"{scratch}/tokenizer", text=text)
    theirs = PreTrainedTokenizerFast(tokenizer_file=f"{scratch}/tokenizer/tokenizer.json")
    equal("tokenizer: our file gives transformers the same tokens", ours, theirs.encode(text))
    equal("tokenizer: and the same text", theirs.decode(ours), text)


with tempfile.TemporaryDirectory() as scratch:
    families(scratch)
    ten_losses(scratch)
    adapters(scratch)
    tokenizers(scratch)
print(f"{len(failures)} failures" if failures else "all equal within tolerance")
sys.exit(1 if failures else 0)
