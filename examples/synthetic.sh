#!/usr/bin/env bash
# Do synthetic cells teach what real ones teach? From a public atlas to the table of three rows.
#
#   examples/synthetic.sh [FOLDER]
#
# Nine steps, on the developing immune system (E-ANND-5, 828,328 cells, 126 types): fetch, take counts,
# drop what is no cell type, split, bound quality on training cells, choose genes, classify and explain,
# generate, score. scores.tsv has precision, recall and F1 of real-real, real-synthetic and synthetic-real,
# per class, macro and micro, for fine types and, with MAP, for coarse ones.
#
# Settings: LABEL (column of types), MAP (a table: fine type, tab, coarse type), BY (a column of donors that
# the split keeps whole; else cells are split at random, by type), MODEL (generator: cvae, copula, nb,
# resample), GENES (how many), PER_CLASS (synthetic cells of each type), LEAST (cells a gene is seen in),
# SAMPLE (cells of a type that are scored at most), SET (options of train, as --set epochs=20).
set -euo pipefail

out=${1:-synthetic-out}
label=${LABEL:-celltype_annotation}
model=${MODEL:-cvae}
mkdir -p "$out"
map=()
[[ -z ${MAP-} ]] || map=(--label-map "$MAP")
groups=(--stratify "$label")
[[ -z ${BY-} ]] || groups+=(--by "$BY")

# 1 to 4: fetch; counts in place of normalised values; no doublets, no unknown types; 70/10/20
scgx fetch e-annd-5 |
  scgx normalize --method counts |
  scgx qc --keep "n_genes > 0" --drop-doublets predicted_doublets --label "$label" --drop-unlabelled \
    --drop-label '^(DOUBLET|LOW_Q|False|PLACENTAL_CONTAMINANTS|UNKNOWN)' |
  scgx split "${groups[@]}" --seed 42 -o "$out/split.h5ad"

# 5 and 6: bounds and genes from training cells; test cells are never dropped for their label
scgx qc "$out/split.h5ad" --min-genes "${MIN_GENES:-100},iqr1.5" --max-genes iqr1.5 --max-pct-mt iqr1.5 \
  --per "$label" --min-cells "${LEAST:-100}" --table "$out/dropped.tsv" |
  scgx hvg --n "${GENES:-2000}" -o "$out/real.h5ad"

# 7: a classifier, and the genes that speak for each type
scgx train xgboost "$out/real.h5ad" --label "$label" --features marked "${map[@]}" -o "$out/types.scgx"
scgx explain "$out/types.scgx" --top 5 --table "$out/genes.tsv" >"$out/genes.txt"

# 8: a generator, and as many cells of each type
# shellcheck disable=SC2086
scgx train "$model" "$out/real.h5ad" --label "$label" --features marked ${SET-} -o "$out/$model.scgx"
scgx generate "$out/$model.scgx" --per-class "${PER_CLASS:-1000}" --seed 1337 -o "$out/synthetic.h5ad"

# 9: three rows, beside what costs little and real cells against real cells
scgx score --task generation "$out/real.h5ad" "$out/synthetic.h5ad" "${map[@]}" \
  --sample "${SAMPLE:-2000}" --table "$out/scores.tsv"
