#!/usr/bin/env bash
# The three tasks of the multi-modal benchmark on its own cells: predict, match, embed.
#
#   examples/multiome.sh [DATASET] [FOLDER]        DATASET: neurips2021-multiome (default), an address, demo
#
# Bone marrow, expression and chromatin of the same cells, split by batch as published: what is scored
# was measured at a site that no model saw. Settings: BY, TEST and VAL (column of batches, and which
# of them test and validate; donor 1 is in both train and test as published, BY=DonorID holds donors
# out), LABEL (cell types), MODELS (chromatin to expression), JOINT (one space for both).
set -euo pipefail

dataset=${1:-neurips2021-multiome}
out=${2:-multiome-out}
by=batch test=s4d1,s4d8,s4d9 val=s1d2,s3d7
[[ $dataset != demo ]] || { by=donor test=D5,D6 val=D4; }
by=${BY:-$by} test=${TEST:-$test} val=${VAL:-$val} label=${LABEL:-cell_type}
mkdir -p "$out"

# X of the published file is normalised in one way for genes and in another for peaks: counts are sure
counts=(scgx normalize --method counts --layer counts)
[[ $dataset != demo ]] || counts=(cat)
scgx fetch "$dataset" | "${counts[@]}" |
  scgx split --by "$by" --test "$test" --val "$val" -o "$out/split.h5ad"
scgx info "$out/split.h5ad"

guesses=()
for model in ${MODELS:-ridge kernel-ridge cca}; do
  scgx train "$model" "$out/split.h5ad" --from atac --to rna -o "$out/$model.scgx"
  scgx predict "$out/$model.scgx" "$out/split.h5ad" -o "$out/$model.h5ad"
  guesses+=("$out/$model.h5ad")
done
scgx score "$out/split.h5ad" "${guesses[@]}" --label "$label" --table "$out/predicted.tsv"

for model in ${JOINT:-cca}; do
  [[ -e $out/$model.scgx ]] ||
    scgx train "$model" "$out/split.h5ad" --from atac --to rna -o "$out/$model.scgx"
  scgx align "$out/$model.scgx" "$out/split.h5ad" --transfer "$label" -o "$out/$model-match.h5ad"
  scgx score "$out/split.h5ad" "$out/$model-match.h5ad" --label "$label" \
    --table "$out/$model-matched.tsv"
  scgx embed "$out/$model.scgx" "$out/split.h5ad" -o "$out/$model-embedded.h5ad"
  scgx score "$out/split.h5ad" "$out/$model-embedded.h5ad" --task embedding --label "$label" \
    --table "$out/$model-embedded.tsv"
done
