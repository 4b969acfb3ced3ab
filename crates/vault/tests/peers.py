"""Near-duplicates by datasketch, on the documents that `vault_bench near|scale ... OUT` wrote, beside what the vault found.

Needs: pip install datasketch rapidfuzz
Usage: peers.py OUT
Same 3-word shingles, 64 bands of 3 rows. Time is the process's own, for signatures, queries and insertions; candidates are then confirmed by
the same rule as the vault's (word edit similarity of at least 0.8), untimed, so that what was found can be compared.
"""

import sys
import time

from datasketch import MinHash, MinHashLSH
from rapidfuzz.distance import Levenshtein


def main():
    found, documents = [], []
    for line in open(sys.argv[1]):
        of, *words = line.split()
        found.append(of != "-")
        documents.append(words)
    lsh = MinHashLSH(num_perm=192, params=(64, 3))
    candidates = []
    start = time.process_time()
    for number, words in enumerate(documents):
        shingles = {" ".join(words[i : i + 3]).encode() for i in range(max(1, len(words) - 2))} if words else set()
        if not shingles:
            candidates.append([])
            continue
        minhash = MinHash(num_perm=192)
        minhash.update_batch(shingles)
        candidates.append(lsh.query(minhash))
        lsh.insert(number, minhash, check_duplication=False)
    spent = time.process_time() - start
    confirmed = []
    for words, earlier in zip(documents, candidates):
        longest = lambda other: max(len(words), len(other))
        near = lambda other: 10 * Levenshtein.distance(words, other, score_cutoff=longest(other) // 5 + 1) <= 2 * longest(other)
        confirmed.append(any(near(documents[i]) for i in earlier))
    both = sum(a and b for a, b in zip(found, confirmed))
    print(f"{len(documents)} documents, datasketch {spent:.2f} s: {sum(map(bool, candidates))} with a candidate, {sum(confirmed)} confirmed")
    print(f"vault {sum(found)}; by both {both}, by the vault alone {sum(found) - both}, by datasketch alone {sum(confirmed) - both}")


if __name__ == "__main__":
    main()
