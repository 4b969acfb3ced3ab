#!/usr/bin/env python3
"""infini-gram on the corpus and the queries of the `spans` example: infini.py CORPUS.jsonl QUERIES.json bytes|words

Needs infini-gram==2.6.0, numpy<2 and tqdm. A token is a byte, or a word or a byte between words. QUERIES.json is what the example left; its matches are compared.
"""
import array
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

import numpy as np
from infini_gram.engine import InfiniGramEngine

corpus, queries, unit = sys.argv[1:]
WORD = rb"[A-Za-z0-9_\x80-\xff]+"
PIECE = re.compile(WORD + rb"|.", re.DOTALL)
# The engine counts its vocabulary in the token's own type, so that bytes have at most 255; its default, 65535, is refused there. Bytes 254 and
# 255 are never in UTF-8: the first ends texts, the second separates documents. Words are numbered in 16 bits, rarer ones spelled by bytes (in 32
# bits building the index takes 34 GB of memory).
KIND, WIDTH, VOCABULARY, END = {"bytes": ("u8", 1, 255, 254), "words": ("u16", 2, 65535, 65534)}[unit]
numbers = {}


def tokens(text):
    """Tokens, and the byte at which each starts."""
    if unit == "bytes":
        return text, range(len(text))
    found, places = array.array("H"), []
    for piece in PIECE.finditer(text):
        start, end = piece.span()
        number = numbers.get(piece[0])
        if number is None:
            found.extend(text[start:end])
            places.extend(range(start, end))
        else:
            found.append(number)
            places.append(start)
    return found, places


def whole_words(text, spans):
    """Spans cut to whole words, those of at least four that lie in no earlier one: our definition of a match."""
    words, kept = [m.span() for m in re.finditer(WORD, text)], []
    for start, end in spans:
        inside = [word for word in words if start <= word[0] and word[1] <= end]
        if len(inside) >= 4 and (not kept or inside[-1][1] > kept[-1][1]):
            kept.append((inside[0][0], inside[-1][1]))
    return kept


texts = [json.loads(line)["text"].encode() for line in open(corpus, encoding="utf-8")]
size = sum(map(len, texts))
with tempfile.TemporaryDirectory() as folder:
    started, at, starts = time.perf_counter(), 0, []
    if unit == "words":
        common = Counter(word for text in texts for word in re.findall(WORD, text) if len(word) > 1).most_common(END - 256)
        numbers = {word: number for number, (word, _) in enumerate(common, 256)}
    with open(os.path.join(folder, "tokenized.0"), "wb") as out:
        for text in texts:
            starts.append(at)
            at += out.write(b"\xff" * WIDTH + bytes(tokens(text)[0]))
    np.array(starts, np.uint64).tofile(os.path.join(folder, "offset.0"))
    cut = time.perf_counter()
    command = [sys.executable, "-m", "infini_gram.indexing", "--data_dir", folder, "--save_dir", folder, "--token_dtype", KIND, "--cpus", "2",
               "--mem", "8", "--ulimit", "4096"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    built = time.perf_counter()
    bytes_of = lambda name: os.path.getsize(os.path.join(folder, name))
    print(f"infini-gram 2.6.0, {unit}: {size / 1e6:.1f} MB in {len(starts)} documents: tokens in {cut - started:.1f} s, index built in "
          f"{built - cut:.1f} s, {bytes_of('table.0') / size:.2f} of the corpus and its tokens {bytes_of('tokenized.0') / size:.2f}")
    engine = InfiniGramEngine(index_dir=folder, eos_token_id=END, vocab_size=VOCABULARY, token_dtype=KIND)
    shortest = 7  # four words of a letter
    times, ours, theirs, same, covered = [], 0, 0, 0, 0
    for query in json.load(open(queries)):
        text = query["text"].encode()
        ids, places = tokens(text)
        ids, places = list(ids), [*places, len(text)]
        began = time.perf_counter()
        answer = engine.attribute(input_ids=ids, delim_ids=[], min_len=shortest, max_cnt=1 << 40, enforce_bow=False)
        times.append(time.perf_counter() - began)
        spans = [(places[span["l"]], places[span["r"]]) for span in answer["spans"]]
        words, known = whole_words(text, spans), [tuple(m) for m in query["matches"]]
        ours, theirs, same = ours + len(known), theirs + len(words), same + len(set(words) & set(known))
        covered += sum(any(l <= start and end <= r for l, r in spans) for start, end in known)
    print(f"{len(times)} queries of 500 bytes: median {statistics.median(times) * 1e3:.1f} ms, slowest {max(times) * 1e3:.1f} ms; {theirs} matches when cut to "
          f"words as ours are, {same} of them ours; {covered} of our {ours} lie within its spans")
