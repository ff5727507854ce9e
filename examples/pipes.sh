#!/usr/bin/env bash
# One shell, several ways to join commands: pipes, redirected files, process substitution.
# Usage: examples/pipes.sh [FOLDER]
set -euo pipefail
out=${1:-pipes-out}
mkdir -p "$out"

# a pipe of four; each command starts at once and works when its input is there
scgx fetch demo | scgx filter-chrom ^chrM | scgx split --by donor | scgx normalize --modality rna > "$out/n.h5ad"

# a redirected file is opened in place, without a copy
scgx filter-chrom X < "$out/n.h5ad" -o "$out/x.h5ad"

# two pipes into one command
scgx join <(scgx fetch demo --modality rna) <(scgx fetch demo --modality atac) -o "$out/joined.h5ad"

# the same model under three seeds
for seed in 1 2 3; do
  scgx split "$out/joined.h5ad" --by donor --seed "$seed" |
    tee "$out/split-$seed.h5ad" |
    scgx train ridge --from atac --to rna --seed "$seed" -o "$out/ridge-$seed.scgx"
  scgx predict "$out/ridge-$seed.scgx" "$out/split-$seed.h5ad" |
    scgx score "$out/split-$seed.h5ad" - --json > "$out/scores-$seed.json"
done

scgx check "$out"/*.h5ad "$out"/*.scgx
