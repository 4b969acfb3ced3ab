"""The same weights under Hugging Face transformers on two threads: python crates/gateway/benches/transformers_generate.py FOLDER [NUMBER]

FOLDER is the measure example's (it holds config.json and model.safetensors). Prints tokens/s of one sequence, and of NUMBER sequences in one static
batch: transformers generates for them together from start to end, without HTTP, streams, attribution or receipts.
"""

import json
import sys
import time

import torch
import transformers

TOKENS, PROMPT = 64, 24
torch.set_num_threads(2)
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], torch_dtype=torch.float32).eval()
number = int(sys.argv[2]) if len(sys.argv) > 2 else 200


def seconds(rows):
    prompts = torch.randint(1, 2000, (rows, PROMPT))
    started = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            pad_token_id=0,
        )
    assert out.shape == (rows, PROMPT + TOKENS)
    return time.perf_counter() - started


for rows in (1, 8, number):
    times = sorted(seconds(rows) for _ in range(4))[:3]
    middle = times[1]
    figures = {"what": "transformers", "version": transformers.__version__, "torch": torch.__version__, "rows": rows}
    print(json.dumps({**figures, "seconds": round(middle, 3), "tokens_per_s": round(rows * TOKENS / middle)}))
