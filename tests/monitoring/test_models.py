"""What monitoring can hold at all."""

import pytest
from django.apps import apps
from django.db import models

from monitoring.models import CODE

ROWS = list(apps.get_app_config("monitoring").get_models())
NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField, models.DateTimeField, models.UUIDField)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_no_column_can_hold_what_a_user_wrote(row):
    for field in row._meta.get_fields():
        if isinstance(field, NUMBERS):
            continue
        if isinstance(field, models.JSONField):
            # The one open column; recording lets only codes with counts in.
            assert (row.__name__, field.name) == ("ModelCall", "components")
            continue
        assert isinstance(field, models.CharField), f"{row.__name__}.{field.name} takes free text"
        assert field.max_length <= CODE, f"{row.__name__}.{field.name} is longer than a code"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_no_row_hangs_on_another_so_that_usage_outlives_a_conversation(row):
    assert not [field.name for field in row._meta.get_fields() if field.is_relation]


def test_there_are_rows_to_check():
    assert {row.__name__ for row in ROWS} >= {"ModelCall", "ContextEvent", "SessionGauge"}
