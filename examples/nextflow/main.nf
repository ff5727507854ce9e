// The modules at work, several models on one file of cells:
// nextflow run examples/nextflow --cells paired.h5ad --models mean,ridge

include { SCGX_TRAIN } from './modules/scgx/train/main'
include { SCGX_PREDICT } from './modules/scgx/predict/main'

params.cells = 'paired.h5ad'
params.models = 'mean,ridge,kernel-ridge'

workflow {
    cells = file(params.cells, checkIfExists: true)
    names = Channel.fromList(params.models.tokenize(','))
    SCGX_TRAIN(names.map { name -> tuple([id: name], cells) }, names)
    SCGX_PREDICT(SCGX_TRAIN.out.model.map { meta, model -> tuple(meta, model, cells) })
    SCGX_PREDICT.out.guess.view { meta, guess -> "${meta.id}: ${guess}" }
}
