"""`examples/organoids.sh` runs whole, on stand-ins in the layout of the UCSC Cell Browser."""

import gzip
from pathlib import Path

import numpy as np
from support.processes import shell
from support.web import Web, serving

from scgx.h5ad.reader import open_cells

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "organoids.sh"
TYPES = ["Excitatory", "Interneuron", "RG", "Outlier"]
GENES = 60


def stand_in(web: Web, place: str, n: int, shares: list[float], columns: dict[str, list[str]]):
    """Genes x cells as text, and a table of cells; types differ in some genes each."""
    draw = np.random.default_rng(n)
    kind = draw.choice(len(TYPES), n, p=shares)
    level = np.random.default_rng(0).gamma(1, 2, (len(TYPES), GENES))
    counts = draw.poisson(level[kind]).T
    cells = [f"{place.split('/')[1]}_{i}" for i in range(n)]
    rows = ["\t".join(["gene", *cells])]
    rows += [f"G{g}|G{g}\t" + "\t".join(map(str, row)) for g, row in enumerate(counts)]
    table = ["\t".join(["Cell", "Type", *columns])]
    for i, cell in enumerate(cells):
        more = [levels[i % len(levels)] for levels in columns.values()]
        table.append("\t".join([cell, TYPES[kind[i]] + " " * (i % 2), *more]))
    matrix = gzip.compress("\n".join(rows).encode() + b"\n")
    web.url(f"/{place}/exprMatrix.tsv.gz", web.serve(matrix))
    web.url(f"/{place}/meta.tsv", web.serve("\n".join(table).encode() + b"\n"))


def test_it_goes_from_text_to_the_composition_of_organoids(tmp_path: Path) -> None:
    labels = tmp_path / "map.tsv"
    labels.write_text("Excitatory\tneuron\nInterneuron\tneuron in\nRG\tglia\nOutlier\t-\n")
    with serving() as web:
        donors = {"Individual": [f"D{i}" for i in range(6)]}
        stand_in(web, "organoidreportcard/primary10X", 600, [0.4, 0.3, 0.2, 0.1], donors)
        kinds = {"Protocol": ["early", "late"]}
        stand_in(web, "organoidreportcard/organoids10X", 200, [0.2, 0.1, 0.6, 0.1], kinds)
        adult = "allen-celltypes/human-cortex/various-cortical-areas"
        stand_in(web, adult, 150, [0.6, 0.4, 0, 0], {"region_label": ["V1", "M1", "CgG"]})
        env = {
            "SCGX_BASE_URLS": f"https://cells.ucsc.edu={web.base}",
            "SCGX_CACHE": str(tmp_path / "cache"),
            "SAMPLE": "Protocol", "BY": "Individual", "MAP": str(labels), "MODELS": "logistic knn",
        }  # fmt: skip
        done = shell('export -f scgx; bash "$1" "$2"', [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    said = done.out.decode()
    assert "logistic beats" in said and "composition by Protocol" in said
    assert "composition by region_label" in said and "total variation distance" in said
    with open_cells(tmp_path / "out" / "organoids-named.h5ad") as cells:
        found = cells.obs.strings("scgx_label")
        assert set(found) == {"neuron", "neuron in", "glia"}
        assert (found == "glia").mean() > 0.4
