"""How figures are written."""

from decimal import Decimal

import pytest

from monitoring import figures


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0"),
        (999, "999"),
        (999.6, "1.0 k"),
        (78_300, "78.3 k"),
        (999_949, "999.9 k"),
        (999_950, "1.00 M"),
        (5_012_000, "5.01 M"),
        (-1_500, "−1.5 k"),
        (None, "–"),
    ],
)
def test_tokens_have_one_decimal_from_a_thousand_on(count, written):
    assert figures.tokens(count) == written.replace(" ", figures.SPACE)


@pytest.mark.parametrize(
    ("count", "written"), [(200_000, "200 k"), (16_500, "16.5 k"), (1_000_000, "1 M"), (800, "800"), (10_000, "10 k")]
)
def test_a_round_window_has_no_decimals(count, written):
    assert figures.window(count) == written.replace(" ", figures.SPACE)


@pytest.mark.parametrize(
    ("share", "written"), [(0.0021, "+0.2 %"), (-0.014, "−1.4 %"), (0.0001, "0.0 %"), (-0.0001, "0.0 %"), (None, "–")]
)
def test_a_difference_has_its_sign_unless_it_rounds_to_nothing(share, written):
    assert figures.change(share) == written.replace(" ", figures.SPACE)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal("1139.4"), "$1,139.40"),
        (Decimal("16.84"), "$16.84"),
        (Decimal("0.0971"), "$0.097"),
        (Decimal("0.00031"), "$0.0003"),
        (Decimal("-0.5"), "−$0.500"),
        (Decimal(0), "$0.00"),
        (None, "–"),
    ],
)
def test_dollars_have_as_many_decimals_as_the_amount_needs(amount, written):
    assert figures.dollars(amount) == written
