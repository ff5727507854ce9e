"""docs/loaders.md: every example runs as it stands, one after the other, in one folder."""

import re
import sys
from pathlib import Path

import pytest
from support.processes import environment, shell

PAGE = Path(__file__).resolve().parents[1] / "docs" / "loaders.md"
SECTION = "## Genes, chromatin, antibodies, pairs"


def examples() -> list[tuple[str, str]]:
    text = PAGE.read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
    return re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)


def test_there_is_one_for_each_modality_for_pairs_and_for_both_kinds_of_file() -> None:
    code = "\n".join(block for _kind, block in examples())
    for word in (
        'modality="rna"',
        'modality="atac"',
        'modality="adt"',
        '["rna", "atac"]',
        '["adt", "rna"]',
        "multiome.h5ad",
        "multiome.h5mu",
        "obs=[",
        "TorchBatches",
    ):
        assert word in code, word  # fmt: skip


@pytest.mark.torch
def test_the_examples_run(tmp_path: Path) -> None:
    lines = "".join(block for kind, block in examples() if kind == "sh")
    made = shell(f"set -eo pipefail\n{lines}", cwd=tmp_path)
    assert made.code == 0, made.err
    script = tmp_path / "examples.py"
    script.write_text("".join(block for kind, block in examples() if kind == "python"))
    ran = shell(f"{sys.executable} -W error examples.py", cwd=tmp_path, env=environment())
    assert ran.code == 0, ran.err
