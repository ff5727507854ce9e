"""Annotations of every dialect become one table, or one clear line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from scgx.errors import InputError
from scgx.genome import annotation
from scgx.genome.annotation import Genes
from scgx.genome.gtf import attributes

GTF = 'chr7\tHAVANA\tgene\t101\t200\t.\t-\t.\tgene_id "ENSG00000000001.5"; gene_name "AAA";\n'


def read(tmp_path: Path, text: str | bytes, **options: int) -> Genes:
    path = tmp_path / "genes.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return annotation.read(path, name="genes.txt", **options)


def rows(genes: Genes) -> list[tuple[object, ...]]:
    columns = (genes.gene_id, genes.gene_name, genes.chrom, genes.start, genes.end, genes.strand)
    return [
        tuple(x.item() if hasattr(x, "item") else x for x in row)
        for row in zip(*columns, strict=True)
    ]


AAA = ("ENSG00000000001.5", "AAA", "chr7", 100, 200, "-")


@pytest.mark.parametrize(
    "text",
    [
        GTF,
        GTF.replace("\n", "\r\n"),
        "#!genome-build GRCh38\n" + GTF,
        "\ufeff" + GTF,
        GTF.removesuffix("\n"),
        gzip.compress(GTF.encode(), mtime=0),
        gzip.compress(b"# first member\n", mtime=0) + gzip.compress(GTF.encode(), mtime=0),
        GTF.replace("chr7", "NC_000007.14"),
        GTF.replace("101\t200", '"101"\t200').replace('"101"', "101"),
        "7\tensembl\tgene\t101\t200\t.\t-\t.\tID=gene:x;Name=AAA;gene_id=ENSG00000000001.5;biotype=a\n",
        "chr7\t100\t200\tAAA\t0\t-\tENSG00000000001.5\tlincRNA\n",
        "#chr\tstart\tend\tname\tscore\tstrand\tEnsembl_ID\nchr7\t100\t200\tAAA\t0\t-\tENSG00000000001.5\n",
        "track name=x\nchr7\t100\t200\tAAA\t0\t-\tENSG00000000001.5\n",
        "chrom,start,end,gene_id,gene_name,strand\n7,100,200,ENSG00000000001.5,AAA,-\n",
        'chrom,start,end,gene_id,gene_name,strand\n7,"100",200,ENSG00000000001.5,AAA,-1\n',
        "gene_id;gene_name;chrom;start;end;strand\nENSG00000000001.5;AAA;7;100;200;-\n",
        "ensembl_gene_id,external_gene_name,chromosome_name,start_position,end_position,strand\n"
        "ENSG00000000001.5,AAA,7,101,200,-1\n",
    ],
)
def test_every_dialect_says_the_same_gene(tmp_path: Path, text: str | bytes) -> None:
    assert rows(read(tmp_path, text)) == [AAA]


def test_the_start_of_a_minus_gene_is_its_last_base(tmp_path: Path) -> None:
    genes = read(tmp_path, GTF + GTF.replace("\t-\t", "\t+\t"))
    assert genes.tss.tolist() == [199, 100]


def test_starts_of_a_table_count_from_what_is_declared(tmp_path: Path) -> None:
    text = "chrom,start,end,gene_id\n7,101,200,A\n"
    assert read(tmp_path, text).start.tolist() == [101]
    assert read(tmp_path, text, start_base=1).start.tolist() == [100]


def test_thousands_separators_are_numbers(tmp_path: Path) -> None:
    text = 'gene,chromosome_name,start_position,end_position\nAPOO,X,"5,840,637","5,850,000"\n'
    assert rows(read(tmp_path, text)) == [("APOO", "APOO", "chrX", 5_840_636, 5_850_000, "")]


def test_genes_without_gene_lines_span_their_exons(tmp_path: Path) -> None:
    exon = '1\tx\texon\t{}\t{}\t.\t+\t.\tgene_id "G1"; transcript_id "T"; gene_name "g";\n'
    text = exon.format(500, 600) + exon.format(100, 200) + exon.format(300, 400).replace("G1", "G2")
    assert rows(read(tmp_path, text)) == [
        ("G1", "g", "chr1", 99, 600, "+"),
        ("G2", "g", "chr1", 299, 400, "+"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GTF + GTF.replace("101", "300"), "line 2: start 300 lies behind end 200"),
        (GTF.replace("101\t200", ".\t."), "line 1: start '.', end '.' are no numbers"),
        (GTF.replace("\t101\t", "\t0\t"), "line 1: start is 0"),
        (
            "#x\n" + GTF.replace('gene_id "ENSG00000000001.5"; gene_name "AAA";', "x"),
            "line 2: a gene",
        ),
        (GTF + GTF[:16], "line 2: 3 of 9 columns"),
        (GTF.replace("\t", "    "), "line 1 has blanks"),
        ("chr1\t5\t2\tA\n", "line 1: start 5 lies behind end 2"),
        ("chrom,start,end,gene_id\n1,5,9,A\n1,x,9,A\n", "line 3: 'x' is no position"),
        ("chrom,start,end,gene_id\n1,5,9,A\n1,5\n", "line 3: 2 columns"),
        ("chrom,start,end,gene_id\n,5,9,A\n", "line 2: no chromosome"),
        ("chr1\t5\t9\n", "no gene name"),
        ("chr1\t248956422\n", "neither GTF nor BED"),
        ("<!DOCTYPE html><html></html>", "an HTML page"),
        ("\ufeffchr1\t1".encode("utf-16"), "UTF-16"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("", "empty"),
        ("##gff-version 3\n", "no features"),
        ("chr1\ta\tmatch\t1\t5\t.\t+\t.\tID=x\n", "no genes in it"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("genes.txt: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_a_truncated_gzip_names_the_line_where_it_stops(tmp_path: Path) -> None:
    packed = gzip.compress("".join(GTF.replace("101", str(i)) for i in range(1, 150)).encode())
    with pytest.raises(InputError, match=r"gzip data is truncated at line \d+"):
        read(tmp_path, packed[: len(packed) // 2])
    broken = bytearray(packed)
    broken[-6] ^= 255
    with pytest.raises(InputError, match="corrupt"):
        read(tmp_path, bytes(broken))


def test_lines_across_blocks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(GTF.replace("101", str(i)) for i in range(1, 100))
    whole = rows(read(tmp_path, text))
    monkeypatch.setattr("scgx.genome.lines._CHUNK", 97)
    assert rows(read(tmp_path, text)) == whole
    with pytest.raises(InputError, match="line 100: start 999"):
        read(tmp_path, text + GTF.replace("101", "999"))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('gene_id "A"; gene_name "b c";', {"gene_id": "A", "gene_name": "b c"}),
        (' gene_id "A;B"; tag "x"; tag "y"', {"gene_id": "A;B", "tag": "x"}),
        ("ID=g;Note=a%20b%3Bc;Lack 3'-end;", {"ID": "g", "Note": "a b;c", "Lack": "3'-end"}),
        (
            'Transcript "B.1" ; Gene "W" ; Note "x; y"',
            {"Transcript": "B.1", "Gene": "W", "Note": "x; y"},
        ),
        ('name "f"; transcriptId 873', {"name": "f", "transcriptId": "873"}),
        ('protAcc ""; a "b"', {"protAcc": "", "a": "b"}),
        ("ID=;Parent=X.1,", {"Parent": "X.1,"}),
    ],
)
def test_attributes_are_read_in_every_dialect(text: str, pairs: dict[str, str]) -> None:
    assert attributes(text) == pairs


DIALECTS = {
    "FBgn0031208.gff": 3,
    "FBgn0031208.gtf": 3,
    "c_elegans_WS199_shortened_gff.txt": 2,
    "ensembl_gtf.txt": 2,
    "gencode-v19.gtf": 1,
    "gff_example1.gff3": 1,
    "gff_example1.gff3.gz": 1,
    "glimmer_nokeyval.gff3": 2,
    "gms2_example.gff3": 2,
    "intro_docs_example.gff": 1,
    "issue174.gtf": 1,
    "issue_197.gff": 11,
    "jgi_gff2.txt": 1,
    "keep-order-test.gtf": 1,
    "mouse_extra_comma.gff3": 1,
    "ncbi_gff3.txt": 5,
    "nonascii": 1,
    "random-chr.gff": 1,
    "sharr.gtf": 1,
    "wormbase_gff2.txt": 2,
    "wormbase_gff2_alt.txt": 1,
}


def test_every_real_dialect_parses_or_says_why_not(real_data: Path) -> None:
    files = sorted((real_data / "gtf-dialects").iterdir())
    assert len(files) == 28
    for path in files:
        try:
            found = len(annotation.read(path))
        except InputError as error:
            assert path.name not in DIALECTS, str(error)
            assert "\n" not in str(error)
        else:
            assert found == DIALECTS[path.name], path.name


def test_real_dialects_have_the_right_genes(real_data: Path) -> None:
    folder = real_data / "gtf-dialects"
    assert rows(annotation.read(folder / "issue174.gtf")) == [
        ("BRCA2", "BRCA2", "chr13", 32_315_507, 32_400_268, "+")
    ]
    assert annotation.read(folder / "issue174.gtf").genome == "GRCh38"
    assert rows(annotation.read(folder / "ensembl_gtf.txt"))[1][:3] == ("B0019.1", "amx-2", "chrI")
    assert annotation.read(folder / "sharr.gtf").end[0] > 2**29
    assert annotation.read(folder / "gencode-v19.gtf").genome == "GRCh37"


def test_the_same_genes_as_gtf_and_as_table_are_the_same(real_data: Path) -> None:
    folder = real_data / "genes-coordinates"
    gtf = annotation.read(folder / "gencode_v48_genes_only.gtf.gz")
    table = annotation.read(folder / "gene_coordinates_homo_sapiens.csv.gz")
    assert len(gtf) == 78_894
    for column in ("gene_id", "gene_name", "chrom", "start", "end", "strand"):
        assert np.array_equal(getattr(gtf, column), getattr(table, column)), column
    place = {
        name: (c, int(s), int(e)) for name, c, s, e in zip(gtf.gene_name, *places(gtf), strict=True)
    }
    assert place["TP53"] == ("chr17", 7_661_778, 7_687_546)
    assert place["XIST"] == ("chrX", 73_820_648, 73_852_714)
    assert place["MT-CO1"] == ("chrM", 5_903, 7_445)


def places(genes: Genes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return genes.chrom, genes.start, genes.end


def test_what_is_not_an_annotation_is_named(real_data: Path) -> None:
    for name in ("git-lfs-pointer.tsv.gz", "html-instead-of-data.rds"):
        with pytest.raises(InputError):
            annotation.read(real_data / "broken" / name)
