"""Any command of scgx as a step: params.command says which, inputs come in order, -o is the output."""

from snakemake.shell import shell

command = snakemake.params.command  # noqa: F821
extra = snakemake.params.get("extra", "")  # noqa: F821
option = snakemake.params.get("option", "-o")  # noqa: F821
log = snakemake.log_fmt_shell(stdout=False, stderr=True)  # noqa: F821

shell("scgx {command} {snakemake.input:q} {extra} {option} {snakemake.output[0]:q} {log}")
