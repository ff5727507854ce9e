"""`census-naive-b`: all primary naive B cells of the Census, protein-coding genes."""

from scgx.datasets import _census
from scgx.datasets._dataset import Dataset

DATASET = Dataset(
    name="census-naive-b",
    kind="rna",
    content="naive B cells of the CELLxGENE Census, primary data, protein-coding genes, raw counts",
    recipe="census",
    units="counts",
    licence="CC BY (as published for Census data)",
    citation="CZ CELLxGENE Discover, doi 10.1093/nar/gkae1142",
    traps="genes not measured differ by dataset: see varm['measured']; obs has dataset_id, donor_id",
    page=f"https://cellxgene.cziscience.com (release {_census.RELEASE}; pip install 'scgx[census]')",
)

WHERE = "is_primary_data == True and cell_type == 'naive B cell'"
GENES = "type:protein_coding"
