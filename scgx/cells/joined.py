"""The join as a whole: planned from what the files hold, then written."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.cells import metadata, paired
from scgx.cells.join import PREFIXES, merge_obs
from scgx.errors import DataError
from scgx.h5ad import mudata, stack
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.h5ad.measured import PLACE, Measured, table_of, write_measured
from scgx.h5ad.stack import Layers, Part
from scgx.h5ad.writer import Writer


class Options(NamedTuple):
    """What the user asked of the join."""

    modalities: str | None = None
    shared_genes: bool = False
    by_position: bool = False
    make_unique: bool = False


class Plan(NamedTuple):
    """All that is decided before anything is written, and what to say of it."""

    parts: list[Part]
    obs: Frame
    var: Frame
    layers: Layers
    units: dict[str, dict[str, str]]
    said: list[str]
    split_kept: bool

    @property
    def prefixes(self) -> list[str]:
        """What marks a name of each part where names differ."""
        return [PREFIXES.get(part.modality, f"{part.modality.upper()}_") for part in self.parts]


def plan(cells: Sequence[Cells], options: Options, table: Frame | None, memory: int) -> Plan:
    """Pair, name and merge. DataError where nothing pairs, or two files hold the same modality."""
    paired.one_genome(cells)
    kinds = paired.kinds_of(cells, options.modalities)
    parts, rules = paired.pair_all(cells, kinds, by_position=options.by_position)
    said = _counted(parts, rules)
    totals: dict[str, np.ndarray] = {}
    if options.shared_genes:
        whole, parts = parts, paired.keep_shared(parts)
        for before, after in zip(whole, parts, strict=True):
            totals.update(_totals(before, after, memory))
            gone = len(before.columns) - len(after.columns)
            said.append(
                f"kept {len(after.columns):,} shared features of {before.modality}, dropped {gone:,}"
            )
    parts = paired.name_features(parts, unique=options.make_unique)
    beside = None
    if table is not None:
        found = metadata.find(parts[0].cells.obs_names[parts[0].rows], table, "--obs")
        said.append(describe(found, "--obs"))
        beside = found.frame
    merged = paired.obs_of(parts, beside)
    obs = merged.frame
    for name, sums in totals.items():
        obs = obs.with_column(f"total_counts_{name}", sums)
    if merged.conflicts:
        said.append(f"obs columns that differ got prefixes: {', '.join(merged.conflicts)}")
    renamed = [
        p.modality for p in parts if not np.array_equal(p.names, p.cells.var_names[p.columns])
    ]
    if renamed:
        said.append(f"feature names of {', '.join(renamed)} were in use: see var['gene_id']")
    layers = stack.layers_of(parts)
    if layers.dropped:
        said.append(f"layers that not every file has are left out: {', '.join(layers.dropped)}")
    units = stack.units_of_layers(parts, layers)
    return Plan(parts, obs, paired.var_of(parts), layers, units, said, "split" in obs)


def write(out: Writer, made: Plan, memory: int, *, as_mudata: bool) -> list[str]:
    """Write all but history; returns what to say of what was left out."""
    parts, said = made.parts, []
    measured = _measured(made)
    if as_mudata:
        if measured is not None and not measured.mask.all():
            raise DataError("h5mu does not say what each dataset measured", fix="--format h5ad")
        lost = mudata.write_mudata(out, parts, made.obs, made.var, memory)
    else:
        out.frame("obs", made.obs)
        out.frame("var", made.var)
        stack.write_matrices(out, parts, made.layers, memory)
        lost = stack.write_obsm(out, parts)
    skip = (PLACE,) if made.split_kept else (PLACE, "split")
    differ = stack.write_uns(out, parts, made.prefixes, skip)
    if measured is not None and not as_mudata:
        write_measured(out, measured)
        lost = [name for name in lost if name != f"varm/{PLACE}"]
    if lost:
        said.append(f"left out, since it cannot be joined: {', '.join(lost)}")
    if differ:
        said.append(f"uns entries that differ got prefixes: {', '.join(differ)}")
    return said


def _measured(made: Plan) -> Measured | None:
    """What each dataset measured of all parts, where any was stacked of datasets; a part that was not
    is one that all measured. DataError where the parts were stacked of different datasets.
    """
    found = [table_of(part.cells) for part in made.parts]
    tables = [table for table in found if table is not None]
    if not tables:
        return None
    first = tables[0]
    order = first.datasets.tolist()
    alike = all(t.key == first.key and set(t.datasets) == set(order) for t in tables)
    if not alike or first.key not in made.obs:
        raise DataError(
            f"the files disagree on the datasets of their cells (obs[{first.key!r}])",
            fix="join the files of each dataset, then scgx concat",
        )
    masks = []
    for part, table in zip(made.parts, found, strict=True):
        if table is None:
            masks.append(np.ones((len(part.columns), len(order)), dtype=bool))
        else:
            place = [table.datasets.tolist().index(name) for name in order]
            masks.append(table.mask[part.columns][:, place])
    rows = next(p.rows for p, t in zip(made.parts, found, strict=True) if t is first)
    return Measured(np.concatenate(masks), first.datasets, first.codes[rows], first.key)


def with_metadata(cells: Cells, table: Frame, name: str) -> tuple[Frame, list[str]]:
    """obs of one file with a table of text beside it."""
    found = metadata.find(cells.obs_names, table, name)
    merged = merge_obs([cells.obs, found.frame], ["", "META_"])
    said = [f"{c} of {name} differs from obs and is META_{c}" for c in merged.conflicts]
    return merged.frame, [describe(found, name), *said]


def describe(found: metadata.Found, name: str) -> str:
    """A line on how a table fitted the cells."""
    lacks = f"; {found.missing:,} cells are not in it" if found.missing else ""
    return f"{len(found.frame.columns)} columns of {name} joined {found.rule}{lacks}"


def _counted(parts: Sequence[Part], rules: Sequence[str]) -> list[str]:
    """How many cells were kept and dropped, and by which rule they were paired."""
    if len(parts) == 1:
        return []
    said = [f"{len(parts[0].rows):,} cells are in all {len(parts)} files"]
    for part, rule in zip(parts, ["", *rules], strict=True):
        dropped = part.cells.n_obs - len(part.rows)
        how = f", paired {rule}" if rule else ""
        held = " and ".join(str(kind) for kind in dict.fromkeys(part.kinds))
        said.append(
            f"{part.cells.name}: {held}, {len(part.rows):,} cells kept, {dropped:,} dropped{how}"
        )
    return said


def _totals(before: Part, after: Part, memory: int) -> dict[str, np.ndarray]:
    """Counts per cell of the modalities that lose features, unless obs has them."""
    sums = {}
    for kind in dict.fromkeys(before.kinds):
        fewer = (after.kinds == kind).sum() < (before.kinds == kind).sum()
        if fewer and f"total_counts_{kind}" not in before.cells.obs:
            found = stack.row_sums(before, str(kind), memory)
            if found is not None:
                sums[str(kind)] = found
    return sums
