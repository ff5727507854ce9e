// From a dataset to a score table, with Nextflow: nextflow run examples/main.nf --dataset demo
// Settings: --dataset zhu2023 --by donor_id --source activity --models mean,ridge --out FOLDER

params.dataset = 'demo'
params.by = 'donor'
params.source = 'atac'
params.models = 'mean,ridge,kernel-ridge'
params.out = 'nextflow-out'

process SPLIT {
    output:
    path 'paired.h5ad'

    script:
    """
    set -o pipefail
    scgx fetch ${params.dataset} | scgx split --by ${params.by} -o paired.h5ad
    """
}

process TRAIN {
    input:
    tuple val(model), path(cells)

    output:
    tuple val(model), path("${model}.scgx"), path(cells)

    script:
    """
    scgx train ${model} ${cells} --from ${params.source} --to rna -o ${model}.scgx
    """
}

process PREDICT {
    input:
    tuple val(model), path(trained), path(cells)

    output:
    path "${model}.h5ad"

    script:
    """
    scgx predict ${trained} ${cells} -o ${model}.h5ad
    """
}

process SCORE {
    publishDir params.out, mode: 'copy'

    input:
    path truth
    path guesses

    output:
    path 'scores.tsv'

    script:
    """
    scgx score ${truth} ${guesses} --table scores.tsv
    """
}

workflow {
    cells = SPLIT()
    models = Channel.fromList(params.models.tokenize(','))
    guesses = PREDICT(TRAIN(models.combine(cells)))
    SCORE(cells.first(), guesses.collect())
}
