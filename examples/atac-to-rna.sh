#!/usr/bin/env bash
# Expression of the X chromosome from chromatin, from a public dataset to a score table.
#
#   examples/atac-to-rna.sh [DATASET] [FOLDER]        DATASET: zhu2023 (default) or demo
#
# zhu2023 has chromatin as gene activity, demo as peaks. Donors of the test are never trained on.
# Settings: WHERE (the cells taken; of zhu2023 the oligodendrocytes, WHERE= takes all), BY (column that
# a split keeps whole), FROM (modality), LABEL (cell types), MODELS, EPOCHS.
set -euo pipefail

dataset=${1:-zhu2023}
out=${2:-atac-to-rna-out}
where="" by=donor_id from=activity label=author_cell_type
case $dataset in
  demo) by=donor from=atac label=cell_type ;;
  zhu2023) where=author_cell_type=Oligodendrocytes ;;
esac
where=${WHERE-$where} by=${BY:-$by} from=${FROM:-$from} label=${LABEL:-$label}
mkdir -p "$out"

taken=(cat)
[[ -z $where ]] || taken=(scgx sample --where "$where")
scgx fetch "$dataset" | "${taken[@]}" | scgx filter-chrom X -o "$out/x.h5ad"
scgx split "$out/x.h5ad" --by "$by" --stratify "$label" -o "$out/split.h5ad"
scgx info "$out/split.h5ad"

guesses=()
for model in ${MODELS:-mean group-mean ridge cnn}; do
  options=()
  case $model in
    group-mean | cnn) options+=(--covariate age_group --covariate sex) ;;
  esac
  case $model in
    cnn) options+=(${EPOCHS:+--epochs "$EPOCHS"} --log "$out/$model.jsonl") ;;
  esac
  scgx train "$model" "$out/split.h5ad" --from "$from" --to rna ${options[@]+"${options[@]}"} \
    -o "$out/$model.scgx"
  scgx predict "$out/$model.scgx" "$out/split.h5ad" -o "$out/$model.h5ad"
  guesses+=("$out/$model.h5ad")
done

scgx score "$out/split.h5ad" "${guesses[@]}" --label "$label" \
  --covariate age_group --covariate sex --per age_group --table "$out/scores.tsv"
