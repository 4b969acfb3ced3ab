#!/usr/bin/env python3
"""infini-gram beside the span index: spans.py CORPUS.jsonl QUERIES.json   (files of `corpus.py` and of the example `spans`)

Byte-level index of version 4; every query is attributed with a shortest match of 20 bytes, as the index finds them."""
import json
import os
import subprocess
import sys
import tempfile
import time

from infini_gram.engine import InfiniGramEngine

corpus, queries = os.path.abspath(sys.argv[1]), json.load(open(sys.argv[2]))
with tempfile.TemporaryDirectory() as folder:
    raw, index = os.path.join(folder, "raw"), os.path.join(folder, "index")
    os.makedirs(raw)
    size = 0
    with open(os.path.join(raw, "text.jsonl"), "w", encoding="utf-8") as out:
        for line in open(corpus, encoding="utf-8"):
            text = json.loads(line)["text"]
            size += len(text.encode())
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "infini_gram.indexing", "--data_dir", raw, "--temp_dir", folder, "--save_dir", index,
         "--token_dtype", "u8", "--cpus", str(os.cpu_count()), "--mem", "4", "--ulimit", "1024"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    built = time.perf_counter() - start
    held = sum(os.path.getsize(os.path.join(index, f)) for f in os.listdir(index))
    engine = InfiniGramEngine(index_dir=index, eos_token_id=255, vocab_size=256, version=4, token_dtype="u8")
    times, found = [], 0
    for query in queries:
        ids = list(query.encode())
        start = time.perf_counter()
        answer = engine.attribute(input_ids=ids, delim_ids=[], min_len=20, max_cnt=1 << 20, enforce_bow=False)
        times.append(time.perf_counter() - start)
        found += len(answer.get("spans", []))
    times.sort()
    print(
        f"infini-gram 2.6.0, {size/1e6:.1f} MB: built in {built:.1f} s, index {held/1e6:.1f} MB, {held/size:.2f} of the corpus; "
        f"{len(queries)} queries: {found} spans, median {times[len(times)//2]*1e3:.2f} ms, slowest {times[-1]*1e3:.2f} ms"
    )
