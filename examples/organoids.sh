#!/usr/bin/env bash
# Which cell types do organoids hold, and how far is each protocol from primary cortex?
#
#   examples/organoids.sh [FOLDER]
#
# From the text of the UCSC Cell Browser: primary cortex teaches, held-out donors judge, then organoids
# and adult cortex (Allen) are classified. Settings: LABEL (column of types of the primary cortex), MAP
# (a table that cleans them: label, tab, common label, - drops), BY (column that the split keeps whole),
# SAMPLE and ADULT (columns whose levels are compared), MODELS, COVERAGE (of the sets; other cells are
# unknown).
set -euo pipefail

out=${1:-organoids-out}
label=${LABEL:-Type}
sample=${SAMPLE:?name the column of the organoids to compare: SAMPLE=Protocol}
by=${BY:?name the column of donors of the primary cortex: BY=Individual}
mkdir -p "$out"

cleaned=(cat)
[[ -z ${MAP-} ]] || cleaned=(scgx concat - --label "$label" --label-map "$MAP")
scgx fetch bhaduri2020-primary | "${cleaned[@]}" | scgx split --by "$by" -o "$out/primary.h5ad"
scgx fetch bhaduri2020-organoids -o "$out/organoids.h5ad"
scgx fetch allen-cortex -o "$out/adult.h5ad"

guesses=()
for model in ${MODELS:-logistic xgboost}; do
  scgx train "$model" "$out/primary.h5ad" --label "$label" -o "$out/$model.scgx"
  scgx classify "$out/$model.scgx" "$out/primary.h5ad" -o "$out/$model.h5ad"
  guesses+=("$out/$model.h5ad")
done
scgx score "$out/primary.h5ad" "${guesses[@]}" --table "$out/scores.tsv"

best=${MODELS:-logistic}
best=${best%% *}
scgx explain "$out/$best.scgx" --top 5 --table "$out/genes.tsv"
for set in organoids adult; do
  column=$sample
  [[ $set == organoids ]] || column=${ADULT:-region_label}
  scgx classify "$out/$best.scgx" "$out/$set.h5ad" --coverage "${COVERAGE:-0.9}" \
    --composition "$column" --reference "$out/primary.h5ad" \
    --table "$out/$set.tsv" -o "$out/$set-named.h5ad" | tee "$out/$set-composition.txt"
done
