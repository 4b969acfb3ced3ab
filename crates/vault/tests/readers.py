"""Reads an export (`openledger datanet export FOLDER`) with stock readers and compares it with its lineage.

Needs: pip install datasets mlcroissant
Usage: readers.py FOLDER
Exits 1 with the first thing that does not match.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import sys
import tempfile

import datasets
import mlcroissant

datasets.disable_progress_bars()


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    parquet = folder / "data" / "train.parquet"
    lineage = json.loads((folder / "lineage.json").read_text())
    facts = lineage["facts"]
    leaves = [entry["leaf"] for entry in lineage["set"]["entries"]]
    with tempfile.TemporaryDirectory() as cache:
        table = datasets.load_dataset("parquet", data_files=str(parquet), split="train", cache_dir=cache)
        by_card = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
        assert table.num_rows == by_card.num_rows == facts["total"]["items"], "rows"
        assert facts["erased"] or list(table["leaf"]) == leaves, "leaves"
        assert sum(len(text.encode()) for text in table["text"]) == facts["total"]["bytes"], "bytes"
        licences = {}
        for licence in table["license"]:
            licences[licence] = licences.get(licence, 0) + 1
        assert licences == {name: amounts["items"] for name, amounts in facts["licences"].items()}, "licences"
        texts = list(table["text"])
    print(f"datasets {datasets.__version__}: {len(texts)} rows, from the file and by the card")

    description = folder / "croissant.json"
    dataset = mlcroissant.Dataset(jsonld=str(description))
    assert not dataset.metadata.issues.errors, dataset.metadata.issues.errors
    stated = json.loads(description.read_text())
    assert stated["distribution"][0]["sha256"] == hashlib.sha256(parquet.read_bytes()).hexdigest(), "sha256"
    assert len(dataset.metadata.license) == len(facts["licences"]), dataset.metadata.license
    records = list(dataset.records(record_set="items"))
    assert [record["items/text"].decode() for record in records] == texts, "records"
    print(f"mlcroissant {importlib.metadata.version('mlcroissant')}: {len(records)} records; warnings: {list(dataset.metadata.issues.warnings)}")

    with tempfile.TemporaryDirectory() as other:
        changed = pathlib.Path(other) / "export"
        shutil.copytree(folder, changed)
        data = bytearray((changed / "data" / "train.parquet").read_bytes())
        data[len(data) // 2] ^= 1
        (changed / "data" / "train.parquet").write_bytes(data)
        try:
            list(mlcroissant.Dataset(jsonld=str(changed / "croissant.json")).records(record_set="items"))
        except Exception as error:  # The reader's own type differs between its versions.
            print("a changed file is refused:", str(error).splitlines()[0][:100])
        else:
            sys.exit("a changed file was read")


if __name__ == "__main__":
    main()
