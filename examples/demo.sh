#!/usr/bin/env bash
# Chromatin to expression on drawn cells: nothing is downloaded. Usage: examples/demo.sh [FOLDER]
# The score is on the cells of a donor that no model has seen.
set -euo pipefail
out=${1:-demo-out}
models=${MODELS:-mean ridge cnn}
size=${CELLS:+--cells $CELLS}
mkdir -p "$out"

bold='' plain=''
if [ -t 2 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() { printf '\n%s$ %s%s\n' "$bold" "$1" "$plain" >&2; eval "$1"; }

step "scgx fetch demo${size:+ $size} | scgx split --by donor --stratify cell_type -o $out/paired.h5ad"
step "scgx info $out/paired.h5ad"
step "scgx filter-chrom X $out/paired.h5ad -o $out/x.h5ad"
guesses=
for model in $models; do
  step "scgx train $model $out/paired.h5ad --from atac --to rna -o $out/$model.scgx"
  step "scgx predict $out/$model.scgx $out/paired.h5ad -o $out/$model.h5ad"
  guesses+=" $out/$model.h5ad"
done
step "scgx score $out/paired.h5ad$guesses --label cell_type --table $out/scores.tsv"
step "scgx log $out/$model.h5ad"
printf '\nCells, models, predictions and scores.tsv are in %s (%d s).\n' "$out" "$SECONDS" >&2
