"""Names out of a file."""

import pytest

from scgx.errors import InputError
from scgx.learn.knobs import read_names


def test_a_line_is_a_name_up_to_a_tab(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# two genes\n Gene A \n\nGATA1\tENSG00000102145\n")
    assert read_names(path) == ("Gene A", "GATA1")


def test_a_file_that_names_nothing_is_refused(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# none\n\t\n")
    with pytest.raises(InputError, match="names nothing"):
        read_names(path)
