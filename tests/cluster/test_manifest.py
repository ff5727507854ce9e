"""A search as a Job of Kubernetes: what the API takes, and what a pod of it runs."""

import importlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scgx.cluster import manifest, place
from scgx.errors import DataError, InputError, UsageError

ROOT = Path(__file__).parents[2]
LINES = ["scgx train ridge s.h5ad -o a.scgx", "scgx train mean 's $(x).h5ad' -o b.scgx"]
NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"

# batch/v1 Job, the fields that are used: a type, a list of one, or a table of any names
META = {"name": str, "namespace": str, "labels": {None: str}}
CONTAINER = {
    "name": str, "image": str, "command": [str], "workingDir": str,
    "resources": {"requests": {None: str}, "limits": {None: str}},
    "env": [{"name": str, "value": str}],
    "volumeMounts": [{"name": str, "mountPath": str}],
}  # fmt: skip
POD = {
    "restartPolicy": str, "containers": [CONTAINER],
    "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str}}],
}  # fmt: skip
JOB = {
    "apiVersion": str, "kind": str, "metadata": META,
    "spec": {
        "completionMode": str, "completions": int, "parallelism": int,
        "backoffLimitPerIndex": int, "maxFailedIndexes": int,
        "template": {"metadata": META, "spec": POD},
    },
}  # fmt: skip


def fits(value: Any, schema: Any, at: str = "job") -> None:
    if isinstance(schema, list):
        assert isinstance(value, list), at
        for i, each in enumerate(value):
            fits(each, schema[0], f"{at}[{i}]")
    elif isinstance(schema, dict):
        assert isinstance(value, dict), at
        for key, each in value.items():
            assert key in schema or None in schema, f"{at}.{key} is unknown"
            fits(each, schema.get(key, schema.get(None)), f"{at}.{key}")
    else:
        assert type(value) is schema, at


def of_client(value: Any, kind: str, models: Any, at: str = "job") -> None:
    """The same against the classes that are made from the API's own description."""
    if found := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), at
        for each in value:
            of_client(each, found[1], models, at)
    elif found := re.fullmatch(r"dict\((.*), (.*)\)|dict\[(.*), (.*)\]", kind):
        assert isinstance(value, dict), at
        for each in value.values():
            of_client(each, found[2] or found[4], models, at)
    elif hasattr(models, kind):
        about = getattr(models, kind)
        fields = {name: about.openapi_types[key] for key, name in about.attribute_map.items()}
        for key, each in value.items():
            assert key in fields, f"{at}.{key} is unknown"
            of_client(each, fields[key], models, f"{at}.{key}")
    else:
        assert type(value) is {"str": str, "int": int, "bool": bool}.get(kind, type(value)), at


def made(word: str = "kubernetes", lines: list[str] = LINES) -> dict[str, Any]:
    return manifest.job(lines, place.parse(word), "scgx-Kang (all)")


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "lab.toml"
    path.write_text(
        '[kubernetes]\nname = "lab"\nnamespace = "cells"\nimage = "lab/scgx:1"\nclaim = "atlas"\n'
        'mount = "/atlas"\nworkers = 1\nresources = { limits = { cpu = "4", memory = "8Gi" } }\n'
        'env = { OMP_NUM_THREADS = "4" }\n'
    )
    return f"kubernetes:{path}"


def test_the_manifest_has_the_fields_of_the_api_alone(profile: str) -> None:
    for word in ("kubernetes", profile):
        fits(json.loads(manifest.text(made(word))), JOB)


def test_the_manifest_fits_the_description_of_the_api(profile: str) -> None:
    models = pytest.importorskip("kubernetes.client.models")
    for word in ("kubernetes", profile):
        of_client(made(word), "V1Job", models)
    with pytest.raises(AssertionError, match="unknown"):
        of_client({"spec": {"completion": 1}}, "V1Job", models)
    assert importlib.import_module("kubernetes").__version__


def test_names_are_those_that_kubernetes_takes() -> None:
    assert made()["metadata"]["name"] == "scgx-kang-all"
    for name in ("A" * 90, "-x-", "ä", "", "0.scgx"):
        assert re.fullmatch(NAME, manifest.label(name)) and len(manifest.label(name)) <= 45


def test_a_profile_says_image_volume_resources_and_how_many(profile: str) -> None:
    told = made(profile)
    assert told["metadata"]["name"] == "lab" and told["metadata"]["namespace"] == "cells"
    assert (told["spec"]["completions"], told["spec"]["parallelism"]) == (2, 1)
    pod = told["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (container["image"], container["workingDir"]) == ("lab/scgx:1", "/atlas")
    assert container["resources"]["limits"]["memory"] == "8Gi"
    assert container["env"] == [{"name": "OMP_NUM_THREADS", "value": "4"}]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "atlas"
    assert pod["volumes"][0]["name"] == container["volumeMounts"][0]["name"]


def test_each_index_runs_its_own_line(tmp_path: Path) -> None:
    command = made()["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "$(" not in command[-1].replace("$$(", "")
    command[-1] = command[-1].replace("$$(", "$(")  # as the kubelet does
    (tmp_path / "scgx").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "scgx").chmod(0o755)
    for index, line in enumerate(LINES):
        env = {**os.environ, "JOB_COMPLETION_INDEX": str(index)}
        env["PATH"] = f"{tmp_path}:{env['PATH']}"
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == shlex.split(line)[1:]


def test_what_no_pod_could_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no trial is left"):
        made(lines=[])
    for line in ("scgx train ridge /elsewhere/s.h5ad", "scgx train ridge s --config=/x.toml"):
        with pytest.raises(DataError, match="not on the volume"):
            made(lines=[line])
    assert made(lines=["scgx train ridge /data/s.h5ad"])
    with pytest.raises(InputError, match="no such file"):
        made(f"kubernetes:{tmp_path / 'none.toml'}")


def test_another_form_is_a_usage_error() -> None:
    from scgx.commands import _tune_emit as emission

    assert emission.checked(None) is None and emission.checked("commands") is None
    with pytest.raises(UsageError, match="is no form"):
        emission.checked("nomad")
    assert emission.text(LINES, None, Path("x.study")) == "".join(f"{line}\n" for line in LINES)


def test_the_containerfile_is_whole() -> None:
    """No engine builds it here: instructions, arguments, and the files that it copies."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    steps = [
        line.split(None, 1)
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    known = {"ARG", "FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in steps} <= known
    assert [word for word, _ in steps][0:2] == ["ARG", "FROM"]
    stages = [rest.split()[-1] for word, rest in steps if word == "FROM"]
    arguments = {rest.partition("=")[0] for word, rest in steps if word == "ARG"}
    for word, rest in steps:
        for used in re.findall(r"\$\{?(\w+)", rest):
            assert used in arguments | {"PATH"}, f"{word} uses {used}"
        if word in ("ENTRYPOINT", "CMD"):
            assert json.loads(rest)
        if word == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)
        if word == "COPY":
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            origin = re.match(r"--from=(\w+)", rest)
            assert origin[1] in stages if origin else all((ROOT / one).exists() for one in sources)
    assert all(re.search(rf"\$\{{?{name}\b", text) for name in arguments)
    kept = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    copied = next(rest for word, rest in steps if word == "COPY").split()[:-1]
    assert {f"!{name}" for name in [*copied, "scgx"]} <= set(kept)
    assert manifest.IMAGE in text
