"""What a job can ask for, and whether it can run here."""

from __future__ import annotations

from config.errors import ModelUnavailable
from config.job import Materials, Model


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


def require_materials(materials: Materials) -> None:
    """Check that light and material can be treated as asked.

    Raises:
        ModelUnavailable: they can't; the views' colours are never passed off as separated materials.

    """
    if materials == "baked":
        return
    raise ModelUnavailable(
        f'materials = "{materials}" is not part of this version of Meshdrop.',
        suggestion='Ask for materials = "baked" in job.toml.',
        materials=materials,
        available=["baked"],
    )
