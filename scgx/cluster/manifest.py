"""Command lines as one Job of Kubernetes: an index each, in pods that share a volume.

The manifest is JSON, which `kubectl create -f -` takes. A pod finds its command line by its index; one
that fails or is evicted is started again, which is safe, since an output is whole or absent.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from scgx import __version__
from scgx.cluster.place import Place
from scgx.errors import DataError

IMAGE = f"scgx:{__version__}"  # of the Containerfile
CLAIM, MOUNT = "scgx", "/data"  # a volume claim with the cells, and where it is mounted
RESOURCES = {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
AGAIN = 2  # times that a command line that failed is tried again


def job(lines: Sequence[str], place: Place, name: str) -> dict[str, Any]:
    """A Job (batch/v1) that runs each line in a pod of its own, `place.workers` at a time.

    Paths in the lines are those of the volume, or relative to it. DataError where there is no line, or
    where one names a path elsewhere.
    """
    if not lines:
        raise DataError("no trial is left to run", fix="tune --collect, or more --trials")
    told = place.options
    mount = str(told.get("mount", MOUNT)).rstrip("/") or "/"
    for line in lines:
        for word in shlex.split(line):
            path = word.rpartition("=")[2]
            if path.startswith("/") and not path.startswith(f"{mount.rstrip('/')}/"):
                raise DataError(
                    f"{path} is not on the volume, which pods see as {mount}",
                    fix="name files relative to it, or mount it elsewhere",
                )
    labels = {"app.kubernetes.io/name": "scgx", "app.kubernetes.io/component": "tune"}
    container = {
        "name": "trial",
        "image": told.get("image", IMAGE),
        "command": ["/bin/bash", "-euc", _script(lines)],
        "workingDir": mount,
        "resources": told.get("resources", RESOURCES),
        "env": [{"name": key, "value": str(value)} for key, value in _env(told).items()],
        "volumeMounts": [{"name": "cells", "mountPath": mount}],
    }
    claim = {"claimName": told.get("claim", CLAIM)}
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "cells", "persistentVolumeClaim": claim}],
    }
    about: dict[str, Any] = {"name": label(str(told.get("name", name))), "labels": labels}
    if "namespace" in told:
        about["namespace"] = told["namespace"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": about,
        "spec": {
            "completionMode": "Indexed",
            "completions": len(lines),
            "parallelism": min(len(lines), place.workers or len(lines)),
            "backoffLimitPerIndex": AGAIN,
            "maxFailedIndexes": len(lines),  # one trial that fails is no reason to end the others
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def text(manifest: Mapping[str, Any]) -> str:
    """The manifest as it is handed to `kubectl`."""
    return json.dumps(manifest, indent=2) + "\n"


def label(name: str) -> str:
    """A name as Kubernetes takes one: of pods too, which end in a dash, an index and five letters."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:45].strip("-")
    return found or "scgx"


def _script(lines: Sequence[str]) -> str:
    """Bash that runs the line of this pod's index; Kubernetes fills in $(NAME), unless told not to."""
    cases = [f"{i}) exec {line} ;;".replace("$(", "$$(") for i, line in enumerate(lines)]
    return "\n".join(['case "$JOB_COMPLETION_INDEX" in', *cases, "esac"]) + "\n"


def _env(told: Mapping[str, object]) -> Mapping[str, object]:
    found = told.get("env", {})
    return found if isinstance(found, Mapping) else {}
