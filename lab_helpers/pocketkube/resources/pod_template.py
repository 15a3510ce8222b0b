"""PodTemplates: a template on its own, which nobody makes Pods of.

Models core/validation ValidatePodTemplate (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause
from ..objects import Obj
from .pod_validation import validate_template_spec
from .pod_warnings import template_warnings
from .strategy import Strategy
from .workload import default_template


class PodTemplateStrategy(Strategy):
    """Checked and kept."""

    tracks_generation = True
    generation_fields = ("template",)

    def default(self, obj: Obj) -> None:
        """The defaults of a Pod."""
        default_template(obj)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePodTemplateSpec."""
        return validate_template_spec(obj["template"], "template")

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        return template_warnings(new, old, path="template", names_pods=False)
