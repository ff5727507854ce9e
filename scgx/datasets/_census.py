"""Where the CELLxGENE Census lies. A release is pinned: another one is other cells."""

RELEASE = "2025-01-30"
ORGANISMS = {"human": "homo_sapiens", "mouse": "mus_musculus"}
_BUCKET = "s3://cellxgene-census-public-us-west-2/cell-census"


def address(release: str) -> str:
    """The SOMA store of a release."""
    return f"{_BUCKET}/{release}/soma/"
