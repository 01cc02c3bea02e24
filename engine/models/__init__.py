"""What a job can ask for, and whether it can run here."""

from __future__ import annotations

from config.errors import ModelUnavailable
from config.job import Model


def require_model(model: Model) -> None:
    """Check that a model can run on this machine with this version.

    Raises:
        ModelUnavailable: it can't; another model is never taken in silence.

    """
    if model == "nvdiffrec":
        return
    raise ModelUnavailable(
        f'The model "{model}" is not part of this version of Meshdrop.',
        suggestion='Ask for model = "nvdiffrec", in job.toml or by --model.',
        model=model,
        available=["nvdiffrec"],
    )
