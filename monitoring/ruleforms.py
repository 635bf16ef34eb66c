"""The form that a rule is edited by: the same words as its sentence, in the same order."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from monitoring.models import AlertRule, Measure

PERIODS = ((300, _("5 min")), (900, _("15 min")), (3_600, _("1 h")), (21_600, _("6 h")), (86_400, _("1 d")))
REPEATS = ((900, _("15 min")), (3_600, _("1 h")), (14_400, _("4 h")), (28_800, _("8 h")), (86_400, _("1 d")))
# What a measure can be told apart by; all others have one alert for all.
APART = {Measure.SESSION: AlertRule.Each.SESSION, Measure.CACHE: AlertRule.Each.MODEL}
PERCENTS = (Measure.MEAN, Measure.SESSION, Measure.GATE, Measure.ERRORS, Measure.CACHE)


class RuleForm(forms.ModelForm):
    """Every field of a rule that a person decides; what it measures is decided once, when it is made."""

    class Meta:
        model = AlertRule
        fields = (
            "measure", "limit", "resolve", "opens_after", "resolves_after", "period_s", "minimum", "each", "severity",
            "repeat_s", "email", "webhook", "enabled",
        )  # fmt: skip
        labels = {
            "measure": _("Measure"),
            "limit": _("Opens over"),
            "resolve": _("Resolves at or below"),
            "opens_after": _("Evaluations to open"),
            "resolves_after": _("Evaluations to resolve"),
            "period_s": _("Looks back"),
            "minimum": _("Least samples"),
            "each": _("Alerts"),
            "severity": _("Severity"),
            "repeat_s": _("Tells again after"),
            "email": _("e-mail"),
            "webhook": _("webhook"),
            "enabled": _("Rule is on"),
        }

    period_s = forms.TypedChoiceField(coerce=int, choices=PERIODS, label=_("Looks back"))
    repeat_s = forms.TypedChoiceField(coerce=int, choices=REPEATS, label=_("Tells again after"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["measure"]
        for name in ("limit", "resolve"):
            if isinstance(given := self.initial.get(name), float) and given.is_integer():
                self.initial[name] = int(given)
            self.fields[name].widget.attrs |= {"step": "any", "min": "0", "max": "1000000"}
        for name in ("opens_after", "resolves_after"):
            self.fields[name].widget.attrs |= {"min": "1", "max": "60"}
        for name, seconds, choices in (("period_s", "period_s", PERIODS), ("repeat_s", "repeat_s", REPEATS)):
            # A period that somebody set in the admin stays what it is.
            own = getattr(self.instance, seconds)
            if own not in dict(choices):
                field = self.fields[name]
                assert isinstance(field, forms.TypedChoiceField)
                field.choices = [*choices, (own, f"{own} s")]

    def clean(self) -> dict[str, Any]:
        """The lines stand the right way round and mean something for this measure."""
        given = super().clean() or self.cleaned_data
        measure = given.get("measure") or self.instance.measure
        limit, resolve = given.get("limit"), given.get("resolve")
        if limit is not None and limit < 0:
            self.add_error("limit", _("Not below 0."))
        if limit is not None and measure in PERCENTS and limit > 100:
            self.add_error("limit", _("At most 100."))
        if limit is not None and resolve is not None and resolve > limit:
            self.add_error("resolve", _("It resolves at or below the line at which it opens."))
        for name in ("opens_after", "resolves_after"):
            if given.get(name) is not None and not 1 <= given[name] <= 60:
                self.add_error(name, _("From 1 to 60."))
        each = given.get("each")
        if each and APART.get(measure) != each:
            raise ValidationError({"each": _("This measure has one alert for all.")})
        return given
