"""Which version is taken when there is no candidate to compare it with."""

import pytest

from components.champion.component import champion_version


def test_training_may_begin_before_anything_is_served_but_nothing_else_can(tmp_path):
    assert champion_version(str(tmp_path), None, required=False) is None
    with pytest.raises(LookupError, match="no model version"):
        champion_version(str(tmp_path), None, required=True)
