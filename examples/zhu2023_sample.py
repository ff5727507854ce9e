"""The published five-gene sample of Zhu et al. 2023, from its wide text to a paired h5ad.

Usage: python examples/zhu2023_sample.py sample.csv zhu5.h5ad

The text has a line per cell and, per gene, `<id>_Expression`, `_ChromatinAccessibility`,
`_Chromosome`, `_Start`, `_End`. Values are log1p of counts, which is declared and left so.
Coordinates are 1-based and one gene writes them with thousands separators ("5,840,637"); they become
0-based half-open. obs["split"] is the split of the publication: 60/20/20 by cell, at random (which
is why its scores flatter; `scgx split --by` is the honest way where donors are known).

Then: scgx train mean zhu5.h5ad --from activity --to rna --units log1p-counts -o mean.scgx
      scgx predict mean.scgx zhu5.h5ad | scgx score zhu5.h5ad - --covariate age_group --covariate sex
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.model_selection import train_test_split

from scgx import invocation
from scgx.cells.split import identity
from scgx.genome.annotation import tss
from scgx.h5ad import history, streams, writer
from scgx.h5ad.frame import Frame, categorical

PARTS = ("train", "val", "test")
STRANDS = {  # the text has none; these are GENCODE's
    "ENSG00000146938": "-",
    "ENSG00000101849": "+",
    "ENSG00000047644": "+",
    "ENSG00000073464": "+",
    "ENSG00000101871": "-",
}


def number(text: str) -> int:
    """A whole number, thousands separators or not; anything else is an error and never a NaN."""
    return int(text.replace(",", ""))


def published_split(n: int) -> np.ndarray:
    """Part of each row (0, 1, 2): two calls of train_test_split, as the publication made them."""
    rest, test = train_test_split(np.arange(n), test_size=0.2, random_state=42)
    train, val = train_test_split(rest, test_size=0.25, random_state=42)
    parts = np.zeros(n, dtype=np.int64)
    parts[val], parts[test] = 1, 2
    return parts


def main(source: str, output: str) -> None:
    """Read the text, write the h5ad."""
    with open(source, encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    suffix = "_ChromatinAccessibility"
    genes = [name.removesuffix(suffix) for name in rows[0] if name.endswith(suffix)]
    kinds = {"Gene Expression": "_Expression", "Gene Activity": suffix}
    columns = [gene + end for end in kinds.values() for gene in genes]
    values = np.array([[float(row[name]) for name in columns] for row in rows], np.float32)
    names = np.array([row["Cell ID"] for row in rows], dtype=object)
    parts = published_split(len(rows))
    obs = Frame(
        names,
        {
            "sex": categorical(row["sex"] for row in rows),
            "age_group": categorical(row["age_group"] for row in rows),
            "split": categorical([PARTS[part] for part in parts], PARTS),
        },
    )
    about = {"by": None, "of": "the publication: train_test_split, .2 then .25", "seed": 42}
    about["id"] = identity(names, parts)
    with streams.sink(output) as dst, writer.create(dst.path) as out:
        out.frame("obs", obs)
        out.frame("var", features(rows[0], genes, list(kinds)))
        with out.matrix("X", len(columns), np.float32) as append:
            append(sparse.csr_array(values))
        out.uns("scgx/genome", "GRCh38")
        out.uns("scgx/split", json.dumps(about, sort_keys=True))
        units = {"X": {"rna": "log1p-counts", "activity": "log1p-counts"}}
        history.sign(out, [], units=units)


def features(row: dict[str, str], genes: list[str], kinds: list[str]) -> Frame:
    """var: every gene twice, as expression and as activity."""
    start = np.array([number(row[f"{gene}_Start"]) - 1 for gene in genes])
    end = np.array([number(row[f"{gene}_End"]) for gene in genes])
    strand = np.array([STRANDS.get(gene) for gene in genes], dtype=object)
    first = tss(start, end, strand)
    twice = len(kinds)
    return Frame(
        np.array(genes + [f"{gene}:activity" for gene in genes], dtype=object),
        {
            "gene_id": categorical(genes * twice),
            "feature_types": categorical([kind for kind in kinds for _ in genes]),
            "chrom": categorical([f"chr{row[f'{gene}_Chromosome']}" for gene in genes] * twice),
            "start": np.tile(start, twice),
            "end": np.tile(end, twice),
            "strand": categorical(list(strand) * twice, ["+", "-"]),
            "tss": np.tile(first, twice),
        },
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {Path(sys.argv[0]).name} sample.csv out.h5ad")
    invocation.remember(["zhu2023_sample.py", *map(str, sys.argv[1:])])
    main(*sys.argv[1:])
