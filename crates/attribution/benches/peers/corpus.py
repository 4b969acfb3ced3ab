#!/usr/bin/env python3
"""A corpus of distinct documents for the span index: corpus.py DATA MEGABYTES OUT.jsonl

Prompt and completion of every line of DATA/instruct, tinyshakespeare by speeches, then comments and source of the crates in cargo's registry, until there are enough bytes. No document occurs twice."""
import glob
import json
import os
import re
import sys

data, most, out = sys.argv[1], float(sys.argv[2]) * 1e6, sys.argv[3]


def documents():
    for path in sorted(glob.glob(os.path.join(data, "instruct", "*.jsonl"))):
        for line in open(path, encoding="utf-8"):
            row = json.loads(line)
            yield os.path.basename(path)[:-6], " ".join(str(v) for v in row.values() if isinstance(v, str))
    for path in glob.glob(os.path.join(data, "tinyshakespeare", "*.txt")):
        for speech in open(path, encoding="utf-8").read().split("\n\n"):
            yield "shakespeare", speech
    for index in glob.glob(os.path.expanduser("~/.cargo/registry/src/*")):
        for crate in sorted(os.listdir(index)):
            for path in sorted(glob.glob(os.path.join(index, crate, "**", "*.rs"), recursive=True)):
                lines = open(path, encoding="utf-8", errors="ignore").read().splitlines()
                comments = [re.sub(r"^\s*//[/!]? ?", "", l) for l in lines if re.match(r"^\s*//", l)]
                for start in range(0, len(comments), 40):
                    yield crate, "\n".join(comments[start : start + 40])
    for index in glob.glob(os.path.expanduser("~/.cargo/registry/src/*")):
        for crate in sorted(os.listdir(index)):
            for path in sorted(glob.glob(os.path.join(index, crate, "**", "*.rs"), recursive=True)):
                lines = open(path, encoding="utf-8", errors="ignore").read().splitlines()
                for start in range(0, len(lines), 60):
                    yield crate, "\n".join(lines[start : start + 60])


seen, size = set(), 0
with open(out, "w", encoding="utf-8") as file:
    for owner, text in documents():
        text = text.strip()
        key = hash(text)
        if len(text) < 80 or key in seen:
            continue
        seen.add(key)
        size += len(text.encode())
        file.write(json.dumps({"owner": owner, "text": text}, ensure_ascii=False) + "\n")
        if size >= most:
            break
print(f"{len(seen)} documents, {size/1e6:.1f} MB")
