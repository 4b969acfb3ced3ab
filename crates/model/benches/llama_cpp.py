"""llama.cpp on weights of ours. See docs/benchmarks/model.md for how it is built, and docs/benchmarks/gateway.md for the streams.

python llama_cpp.py generate BIN FOLDER          on the models that `cargo bench -p model -- llama FOLDER` left
python llama_cpp.py streams BIN FOLDER NUMBER... that many streams at once, on the model that the gateway's measure example left in FOLDER

BIN is the folder of llama-server and llama-batched-bench. Needs gguf==0.19.0 and safetensors. Weights are f32, then 8 bits (q8_0).
"""
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from to_gguf import convert

PORT, TOKENS = 18473, 64
ADDRESS = f"http://127.0.0.1:{PORT}"
# The bare model: no sampler but the temperature, and nothing remembered from one request to the next.
PLAIN = {"samplers": ["temperature"], "cache_prompt": False, "ignore_eos": True}
QUESTION = "What say you of the state of the realm, my lord, and of the king?"


@contextlib.contextmanager
def server(binaries, model, slots, context, *more):
    command = [os.path.join(binaries, "llama-server"), "-m", model, "--port", str(PORT), "-np", str(slots), "-c", str(slots * context),
               "-t", "2", "-tb", "2", "--threads-http", str(slots + 4), "--cache-ram", "0", *more]
    with open(model + ".log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(1200):
            assert process.poll() is None, f"llama-server ended; see {model}.log"
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{ADDRESS}/health")
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def complete(prompt, tokens):
    body = json.dumps({**PLAIN, "prompt": prompt, "n_predict": tokens, "temperature": 0, "return_tokens": True})
    request = urllib.request.Request(f"{ADDRESS}/completion", body.encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))["tokens"]


def generate(binaries, folder):
    for name in ("small", "large"):
        source, out = os.path.join(folder, name), os.path.join(folder, name)
        greedy = json.load(open(os.path.join(source, "greedy.json")))
        for kind in ("f32", "q8_0"):
            model = f"{out}-{kind}.gguf"
            convert(source, model, kind)
            with server(binaries, model, 1, 256, "-ctk", "f32", "-ctv", "f32"):
                answers = [complete(prompt, len(answer)) for prompt, answer in zip(greedy["prompts"], greedy["answers"])]
            same = sum(a == b for a, b in zip(answers, greedy["answers"]))
            print(f"{name} {kind}: {same} of {len(answers)} greedy answers of {len(answers[0])} tokens are ours", flush=True)
            for threads in ("1", "2"):
                command = [os.path.join(binaries, "llama-batched-bench"), "-m", model, "-c", "4096", "-npp", "1", "-ntg", str(greedy["length"]),
                           "-npl", "1,8,1,8,1,8", "-t", threads, "-tb", threads, "--output-format", "jsonl"]
                lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
                runs = [json.loads(line) for line in lines if line.startswith("{")]
                for batch in (1, 8):
                    speed = statistics.median(run["speed_tg"] for run in runs if run["pl"] == batch)
                    print(f"llama.cpp {name} {kind}, batch {batch}, {threads} threads: {speed:.1f} tokens/s", flush=True)


async def stream(seed):
    """Seconds to the first token and to the last, and how many there were."""
    body = json.dumps({**PLAIN, "prompt": QUESTION, "n_predict": TOKENS, "temperature": 1.0, "seed": seed, "stream": True})
    begun, first, last = time.perf_counter(), None, b""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    while chunk := await reader.read(1 << 16):
        if first is None and b"data: " in chunk:
            first = time.perf_counter() - begun
        last = (last + chunk)[-1 << 13:]
    whole = time.perf_counter() - begun
    writer.close()
    made = int(last.rsplit(b'"tokens_predicted":', 1)[1].split(b",", 1)[0])
    return first, whole, made


async def together(number):
    begun = time.perf_counter()
    done = await asyncio.gather(*(stream(seed) for seed in range(number)), return_exceptions=True)
    seconds = time.perf_counter() - begun
    good = [d for d in done if not isinstance(d, BaseException)]
    firsts, wholes = (sorted(d[place] for d in good) for place in (0, 1))
    made = sum(d[2] for d in good)
    at = lambda times, percent: round(times[(len(times) - 1) * percent // 100], 3) if times else None
    return {"streams": number, "errors": number - len(good), "tokens": made, "seconds": round(seconds, 2), "tokens_per_s": round(made / seconds),
            "first_p50_s": at(firsts, 50), "first_p95_s": at(firsts, 95), "whole_p50_s": at(wholes, 50), "whole_p95_s": at(wholes, 95)}


def streams(binaries, folder, *numbers):
    context = json.load(open(os.path.join(folder, "config.json")))["max_position_embeddings"]
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("f32", "q8_0"):
            model = os.path.join(scratch, f"{kind}.gguf")
            convert(folder, model, kind)
            for number in map(int, numbers):
                with server(binaries, model, number, context):
                    for what in ("first", "again"):
                        figures = asyncio.run(together(number))
                        print(json.dumps({"what": "llama-server streams", "weights": kind, "run": what, **figures}), flush=True)


{"generate": generate, "streams": streams}[sys.argv[1]](*sys.argv[2:])
