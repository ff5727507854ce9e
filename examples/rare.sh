#!/usr/bin/env bash
# Do synthetic cells of a rare type help a classifier to find it in donors that it has not seen?
#
#   examples/rare.sh CELLS.h5ad RARE [FOLDER]
#
# For every donor of TEST (comma-separated) the other donors but VAL train: a generator, told the donors, and
# a classifier, once on real cells alone and once with N synthetic cells of the type RARE added. Both are
# scored on the cells of that donor. gain.tsv has F1 of RARE and mean F1 of all types, without and with.
#
# Settings: LABEL (column of types), DONOR (column of donors), TEST and VAL (donors), MODEL (generator: cvae,
# copula, nb, resample), CLASSIFIER, N (synthetic cells), SET (options of train for the generator).
set -euo pipefail

cells=$1 rare=$2 out=${3:-rare-out}
label=${LABEL:-cell_type} donor=${DONOR:-donor} model=${MODEL:-cvae} classifier=${CLASSIFIER:-logistic}
mkdir -p "$out"
printf 'donor\ttaught by\tF1 of %s\tmean F1\n' "$rare" >"$out/gain.tsv"

for test in ${TEST//,/ }; do
  parts=(--by "$donor" --test "$test" --val "$VAL")
  scgx split "$cells" "${parts[@]}" -o "$out/real.h5ad"

  # synthetic cells have donors as the training cells of the type have them, so the same split keeps them in
  # training; a generator that does not know a donor could not say in which part its cells are
  # shellcheck disable=SC2086
  scgx train "$model" "$out/real.h5ad" --label "$label" --condition "$donor" ${SET-} -o "$out/made.scgx"
  scgx generate "$out/made.scgx" --n "${N:-1000}" --condition "$label=$rare" -o "$out/made.h5ad"
  scgx concat "$out/real.h5ad" "$out/made.h5ad" --names real,made |
    scgx split "${parts[@]}" -o "$out/both.h5ad"

  for which in real both; do
    scgx train "$classifier" "$out/$which.h5ad" --label "$label" -o "$out/$which.scgx"
    scgx classify "$out/$which.scgx" "$out/real.h5ad" -o "$out/$which.calls.h5ad"
    scgx score "$out/real.h5ad" "$out/$which.calls.h5ad" --label "$label" --table "$out/$which.tsv" \
      >"$out/$which.txt"
    awk -F '\t' -v rare="$rare" -v begin="$test"$'\t'"$which" '
      $1 == rare && NF == 6 { one = $6 } $1 == "f1" && $2 == "macro" { mean = $3 }
      END { print begin "\t" one "\t" mean }' "$out/$which.tsv" >>"$out/gain.tsv"
  done
done
awk -F '\t' 'NR > 1 { n[$2]++; one[$2] += $3; mean[$2] += $4 }
  END { for (k in n) print "all\t" k "\t" one[k] / n[k] "\t" mean[k] / n[k] }' "$out/gain.tsv" |
  sort -r >"$out/all.tsv"
cat "$out/all.tsv" >>"$out/gain.tsv" && rm "$out/all.tsv"
cat "$out/gain.tsv"
