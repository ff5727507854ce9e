process SCGX_PREDICT {
    tag "$meta.id"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "scgx:0.1.0"

    input:
    tuple val(meta), path(model), path(cells)

    output:
    tuple val(meta), path("*.h5ad"), emit: guess
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}.predicted"
    """
    scgx predict ${model} ${cells} ${args} --threads ${task.cpus} -o ${prefix}.h5ad

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        scgx: \$(scgx --version | cut -d' ' -f2)
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}.predicted"
    """
    touch ${prefix}.h5ad
    echo '"${task.process}": {scgx: stub}' > versions.yml
    """
}
