"""What monitoring can hold at all."""

import pytest
from django.apps import apps
from django.db import models

from monitoring.models import CODE

OPEN = {("ModelCall", "components"), ("ModelCall", "cut"), ("AlertRule", "standing")}
ROWS = list(apps.get_app_config("monitoring").get_models())
NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField, models.DateTimeField, models.UUIDField)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_no_column_can_hold_what_a_user_wrote(row):
    for field in row._meta.get_fields():
        if isinstance(field, NUMBERS):
            continue
        if isinstance(field, models.JSONField):
            # The open columns; recording lets only codes with counts in, and a rollup adds up what it let in.
            assert (row.__name__, field.name) in OPEN or row.__name__ == "Rollup"
            continue
        if isinstance(field, models.BooleanField):
            continue
        if field.is_relation:
            assert field.related_model._meta.app_label == "monitoring"
            continue
        assert isinstance(field, models.CharField), f"{row.__name__}.{field.name} takes free text"
        assert field.max_length <= CODE, f"{row.__name__}.{field.name} is longer than a code"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_no_row_hangs_on_the_chat_so_that_usage_outlives_a_conversation(row):
    relations = [field for field in row._meta.get_fields() if field.is_relation]
    assert {field.related_model._meta.app_label for field in relations} <= {"monitoring"}


def test_there_are_rows_to_check():
    assert {row.__name__ for row in ROWS} >= {"ModelCall", "ContextEvent", "SessionGauge"}
