"""Print what the torch-free part needs, for `make test-without-torch`: pyproject.toml without torch."""

import re
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
named = ((re.match(r"[A-Za-z0-9_-]+", line), line) for line in wanted)
sys.stdout.writelines(f"{line}\n" for name, line in named if name and name[0] != "torch")
