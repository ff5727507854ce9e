"""Work ahead of its use keeps its order and its errors."""

import pytest

from scgx.errors import InputError
from scgx.h5ad.threads import ahead, side_by_side


def test_items_made_ahead_keep_their_order_and_their_errors():
    def items():
        yield from range(5)
        raise InputError("the sixth")

    seen = []
    with pytest.raises(InputError, match="sixth"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]


def test_work_done_side_by_side_keeps_its_order_and_its_errors():
    def tenth(n):
        if n == 50:
            raise InputError("the fifty-first")
        return n * 10

    seen = []
    with pytest.raises(InputError, match="fifty-first"):
        for item in side_by_side(tenth, range(90)):
            seen.append(item)
    assert seen == [n * 10 for n in range(50)]
