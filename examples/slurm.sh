#!/usr/bin/env bash
#SBATCH --job-name=scgx --cpus-per-task=2 --mem=8G --time=01:00:00 --array=0-2
# A model per task of an array: sbatch examples/slurm.sh CELLS FOLDER; then `scgx score` over the guesses.
# Without SLURM all of them run one after the other. --memory stays under --mem; an output is whole or absent,
# so a task that was killed is simply started again.
set -euo pipefail
cells=$1
out=${2:-slurm-out}
models=(mean ridge kernel-ridge)
mkdir -p "$out"

for task in ${SLURM_ARRAY_TASK_ID:-${!models[@]}}; do
  model=${models[$task]}
  scgx train "$model" "$cells" --from atac --to rna --memory 4G --threads "${SLURM_CPUS_PER_TASK:-2}" \
    -o "$out/$model.scgx"
  scgx predict "$out/$model.scgx" "$cells" --memory 4G -o "$out/$model.h5ad"
done
