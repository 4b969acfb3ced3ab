#!/usr/bin/env python3
"""Gathers the documentation of Rust crates from cargo's registry: a folder of text files for each repository.

gather.py OUT [REPOSITORIES] [BYTES] [SKIPPED]: the REPOSITORIES (32) with most documentation after the first SKIPPED (0), each by its largest crate, at
most BYTES (62000) of each, one file a source file. Code in documentation and paragraphs that stood before (generated text, licences) are dropped.
"""
import os
import re
import sys

out = sys.argv[1]
count, most, skipped = (int(x) if x else d for x, d in zip((sys.argv[2:] + [""] * 3)[:3], (32, 62000, 0)))
FILE_BYTES = 12000
root = os.path.expanduser("~/.cargo/registry/src")


def repository(folder, name):
    """Where a crate comes from; versions and members of one repository are one contributor."""
    try:
        with open(os.path.join(folder, "Cargo.toml"), encoding="utf-8") as manifest:
            address = re.search(r'^repository = "([^"]+)"', manifest.read(), flags=re.M)
    except OSError:
        address = None
    return "/".join(address[1].lower().removesuffix("/").removesuffix(".git").split("/")[:5]) if address else name


def paragraphs(path):
    with open(path, encoding="utf-8", errors="ignore") as source:
        lines = [re.sub(r"^\s*//[/!] ?", "", l.rstrip()) for l in source if re.match(r"^\s*//[/!]", l)]
    return re.split(r"\n\s*\n", re.sub(r"```.*?```", "", "\n".join(lines), flags=re.S))


found, seen = {}, set()
for index in sorted(os.listdir(root)):
    for crate in sorted(os.listdir(os.path.join(root, index))):
        folder = os.path.join(root, index, crate)
        files = []
        for inside, folders, names in os.walk(os.path.join(folder, "src")):
            folders.sort()
            for file in sorted(n for n in names if n.endswith(".rs")):
                fresh = []
                for paragraph in paragraphs(os.path.join(inside, file)):
                    key = " ".join(paragraph.split())
                    if len(key) > 60 and key in seen:
                        continue
                    seen.add(key)
                    fresh.append(paragraph)
                text = "\n\n".join(fresh)
                if len(text) > 1500:
                    files.append(text[:FILE_BYTES])
        if len(files) >= 4:
            name = re.sub(r"-\d+\.\d+.*$", "", crate)
            found.setdefault(repository(folder, name), []).append((sum(map(len, files)), name, files))
largest = sorted((max(crates) for crates in found.values()), key=lambda c: (-c[0], c[1]))
for _, name, files in largest[skipped : skipped + count]:
    os.makedirs(os.path.join(out, name), exist_ok=True)
    left = most
    for i, text in enumerate(files):
        if left <= 0:
            break
        with open(os.path.join(out, name, f"{i:03}.txt"), "w") as file:
            file.write(text[:left])
        left -= len(text)
