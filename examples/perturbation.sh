#!/usr/bin/env bash
# What do perturbations do that were never made? A screen, several answers, one honest table.
#
#   examples/perturbation.sh [FOLDER]
#
# A screen is drawn from a gene network whose truth is known (SCREEN=FILE takes a real one in its place),
# whole perturbations are held out, models answer them from the controls of the test, and all of them are
# scored side by side: against controls that no model was trained on, beside simple baselines and the
# replicate of two halves.
#
# Settings: SCREEN (a file of yours), UNSEEN (conditions, targets or combinations are held out), MODELS,
# SEED, SET (options of `train perturb`, as --set epochs=20).
set -euo pipefail

out=${1:-perturbation-out}
models=${MODELS:-additive one-hot-ridge perturb}
mkdir -p "$out"

screen=${SCREEN:-$out/screen.h5ad}
[[ -n ${SCREEN-} ]] ||
  scgx simulate --kind nonlinear --cells 4000 --genes 100 --perturbations 20 --doubles 30 -o "$screen"

scgx split "$screen" --by perturbation --unseen "${UNSEEN:-combinations}" --seed "${SEED:-0}" \
  -o "$out/split.h5ad"

guesses=()
for model in $models; do
  set=()
  [[ $model != perturb || -z ${SET-} ]] || read -r -a set <<<"$SET"
  scgx train "$model" "$out/split.h5ad" --label perturbation "${set[@]}" -o "$out/$model.scgx"
  scgx predict "$out/$model.scgx" "$out/split.h5ad" -o "$out/$model.h5ad"
  guesses+=("$out/$model.h5ad")
done

scgx score "$out/split.h5ad" "${guesses[@]}" --json >"$out/scores.json"
scgx score "$out/split.h5ad" "${guesses[@]}" >"$out/scores.txt"
tail -n 3 "$out/scores.txt"
