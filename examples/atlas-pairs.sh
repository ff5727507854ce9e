#!/usr/bin/env bash
# What goes with a gene in an atlas that nobody perturbed: naive B cells of the CELLxGENE Census, in pairs.
#
#   examples/atlas-pairs.sh [FOLDER]
#
# Cells of one type, donor and dataset are paired; the second of a pair is labelled with one gene in which it
# differs from the first, and a model is asked for the other genes. It learns which genes go together:
# correlation, not cause, as the files and the score say. For causes take a screen: scgx fetch norman2019.
#
# Five steps: fetch (genes chosen by who measured them, before a count is read), pair, split (labels that
# never trained are the test), train and predict, score beside the simple answers. The last lines of
# scores.txt say whether the model beats them, and whether anything could.
#
# Settings: ATLAS (a file of cells in place of the Census; the Census needs pip install 'scgx[census]'),
# MEASURED (how many genes are fetched), GENES (how many of them take part), PAIRS (at most), WITHIN (columns
# in which partners agree), MODELS, UNSEEN (what the test holds out: conditions or targets), SET (options of
# train, as --set epochs=5).
set -euo pipefail

out=${1:-atlas-pairs-out}
mkdir -p "$out"
within=()
for column in ${WITHIN:-cell_type donor_id dataset_id}; do within+=(--within "$column"); done

# 1: the 4,000 genes that most cells measured and have
atlas=${ATLAS:-$out/naive-b.h5ad}
[[ -n ${ATLAS-} || -s $atlas ]] || scgx fetch census-naive-b --genes "measured:${MEASURED:-4000}" -o "$atlas"

# 2 and 3: pairs, one gene each; whole labels are held out
scgx pairs "$atlas" "${within[@]}" --genes "${GENES:-100}" --n "${PAIRS:-100000}" --seed 111 |
  scgx split --by perturbation --unseen "${UNSEEN:-conditions}" --seed 111 -o "$out/pairs.h5ad"

# 4: models of responses, controls of the same type and dataset
guesses=()
for model in ${MODELS:-linear perturb}; do
  # shellcheck disable=SC2086
  scgx train "$model" "$out/pairs.h5ad" --label perturbation --seed 111 ${SET-} -o "$out/$model.scgx"
  scgx predict "$out/$model.scgx" "$out/pairs.h5ad" -o "$out/$model.h5ad"
  guesses+=("$out/$model.h5ad")
done

# 5: every simple answer beside them, and halves of the test cells as what can be reached
scgx score "$out/pairs.h5ad" "${guesses[@]}" --table "$out/scores.tsv" | tee "$out/scores.txt"
