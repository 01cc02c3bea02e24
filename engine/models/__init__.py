"""What a job can ask for, and whether it can run here."""

from __future__ import annotations

from config.job import Model
from config.sections import Models


def require_model(model: Model, settings: Models) -> None:
    """Check that a model can run on this machine: that its weights are there, and its licences accepted.

    Raises:
        ModelUnavailable: it can't; another model is never taken in silence.

    """
    if model == "nvdiffrec":
        return
    from engine.models.reconviagen.weights import require

    require(settings.reconviagen)
