process SCGX_TRAIN {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "scgx:0.1.0"

    input:
    tuple val(meta), path(cells)
    val model

    output:
    tuple val(meta), path("*.scgx"), emit: model
    tuple val(meta), path("*.jsonl"), emit: log, optional: true
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    def memory = task.memory ? "--memory ${task.memory.toGiga()}G" : ''
    """
    scgx train ${model} ${cells} ${args} --threads ${task.cpus} ${memory} -o ${prefix}.scgx

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        scgx: \$(scgx --version | cut -d' ' -f2)
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.scgx
    echo '"${task.process}": {scgx: stub}' > versions.yml
    """
}
