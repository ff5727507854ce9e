"""`census`: any slice of the CELLxGENE Census; --where says which cells, --genes which genes."""

from scgx.datasets import _census
from scgx.datasets._dataset import Dataset

DATASET = Dataset(
    name="census",
    kind="rna",
    content="any slice of the CELLxGENE Census: --where EXPR, --genes measured:2000 and the like",
    recipe="census",
    units="counts",
    licence="CC BY (as published for Census data)",
    citation="CZ CELLxGENE Discover, doi 10.1093/nar/gkae1142",
    traps="genes not measured differ by dataset: see varm['measured']; is_primary_data==True leaves"
    " out cells that another dataset holds too",
    page=f"https://cellxgene.cziscience.com (release {_census.RELEASE}; pip install 'scgx[census]')",
)

WHERE: str | None = None
GENES: str | None = None
