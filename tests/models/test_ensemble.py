"""Members of an ensemble: which there are, and what they weigh."""

import pytest

from scgx.models.ensemble import Config, members_of


def test_shares_sum_to_one_and_a_share_of_nothing_is_no_member():
    names = [member.name for member in members_of(Config(forests=3))]
    assert names == ["xgboost0", "xgboost1", "xgboost2", "discriminant"]
    for linear in (0.0, 0.3, 1.0):
        members = members_of(Config(forests=3, linear=linear))
        assert sum(member.share for member in members) == pytest.approx(1)
        assert all(member.share > 0 for member in members)
        assert ("discriminant" in [member.name for member in members]) == (linear > 0)


def test_settings_reach_the_member_they_belong_to():
    forest, linear = members_of(Config(ridge=0.5, trees=7))
    assert forest.settings.trees == 7
    assert linear.settings.ridge == 0.5


@pytest.mark.torch
def test_on_cells_it_explains_as_its_members_do_by_what_they_are_worth() -> None:
    from dataclasses import dataclass

    import numpy as np
    from scipy import sparse

    from scgx.learn.block import CellBlock
    from scgx.learn.model import Why
    from scgx.models.ensemble import Model

    @dataclass
    class Member:
        """Calls every cell class 1, for gene `gene`."""

        gene: int

        def scores(self, block: CellBlock) -> np.ndarray:
            return np.tile(np.array([0, 1], np.float32), (block.x.shape[0], 1))

        def explain(self, blocks: object) -> Why:
            weights = np.zeros((3, 2))
            weights[self.gene, 1] = 1 if list(blocks) else 5  # type: ignore[call-overload]
            return Why("", weights)

    model = Model(Config(linear=0.25), (Member(0), Member(2)), np.array([0.5, 1.0]))
    blocks = [
        CellBlock(sparse.csr_array((n, 3)), None, np.ones(n), np.ones(3, bool))  # type: ignore[arg-type]
        for n in (4, 2)
    ]
    np.testing.assert_allclose(model.explain(iter(blocks)).weights[:, 1], [0.75 / 0.5, 0, 0.25])
    np.testing.assert_allclose(model.explain(iter(())).weights[:, 1], [0.75, 0, 0.25])
