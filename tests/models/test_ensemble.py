"""Members of an ensemble: which there are, and what they weigh."""

import pytest

from scgx.models.ensemble import Config, members_of


def test_shares_sum_to_one_and_a_share_of_nothing_is_no_member():
    names = [member.name for member in members_of(Config(forests=3))]
    assert names == ["xgboost0", "xgboost1", "xgboost2", "logistic"]
    for linear in (0.0, 0.3, 1.0):
        members = members_of(Config(forests=3, linear=linear))
        assert sum(member.share for member in members) == pytest.approx(1)
        assert all(member.share > 0 for member in members)
        assert ("logistic" in [member.name for member in members]) == (linear > 0)


def test_settings_reach_the_member_they_belong_to():
    forest, linear = members_of(Config(C=0.5, trees=7))
    assert forest.settings.trees == 7
    assert linear.settings.C == 0.5
