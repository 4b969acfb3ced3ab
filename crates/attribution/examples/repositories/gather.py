#!/usr/bin/env python3
"""Gathers the documentation of Rust crates from cargo's registry: a folder of text files for each crate.

gather.py OUT [CRATES] [BYTES]: the CRATES crates (32) with most documentation, at most BYTES (60000) of each, one file a source file.
"""
import os
import re
import sys

out = sys.argv[1]
crates, most = (int(x) if x else d for x, d in zip((sys.argv[2:] + ["", ""])[:2], (32, 60000)))
root = os.path.expanduser("~/.cargo/registry/src")
found = {}
for index in sorted(os.listdir(root)):
    for crate in sorted(os.listdir(os.path.join(root, index))):
        name = re.sub(r"-\d+\.\d+.*$", "", crate)
        files = []
        for folder, folders, names in os.walk(os.path.join(root, index, crate, "src")):
            folders.sort()
            for file in sorted(n for n in names if n.endswith(".rs")):
                with open(os.path.join(folder, file), encoding="utf-8", errors="ignore") as source:
                    lines = [re.sub(r"^\s*//[/!] ?", "", l.rstrip()) for l in source if re.match(r"^\s*//[/!]", l)]
                # Code in documentation is no prose.
                text = re.sub(r"```.*?```", "", "\n".join(lines), flags=re.S)
                if len(text) > 1500:
                    files.append(text)
        if len(files) >= 4:
            found[name] = files
size = lambda name: min(most, sum(map(len, found[name])))
for name in sorted(sorted(found, key=lambda n: (-size(n), n))[:crates]):
    os.makedirs(os.path.join(out, name), exist_ok=True)
    left = most
    for i, text in enumerate(found[name]):
        if left <= 0:
            break
        with open(os.path.join(out, name, f"{i:03}.txt"), "w") as file:
            file.write(text[: min(left, 12000)])
        left -= min(len(text), 12000)
