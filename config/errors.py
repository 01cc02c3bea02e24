"""The one error tree.

MeshdropError                 code, kind, exit status, suggestion
├── InputError                the bundle's or the job's fault: fails at once, the sender can mend it
│   ├── InvalidFileCount      INVALID_FILE_COUNT
│   ├── InvalidFileFormat     INVALID_FILE_FORMAT
│   ├── FileTooLarge          FILE_TOO_LARGE
│   ├── ValidationFailed      VALIDATION_FAILED
│   ├── JobExpired            JOB_EXPIRED
│   └── CalibrationFailed     CALIBRATION_FAILED
├── UsageError
│   ├── OutputExists          OUTPUT_EXISTS
│   ├── JobNotFound           JOB_NOT_FOUND
│   └── JobNotReady           JOB_NOT_READY
├── EngineError               the engine could not do it
│   ├── ModelFailed           MODEL_FAILED
│   ├── ModelOutOfMemory      MODEL_OOM
│   ├── ModelOutOfVram        MODEL_VRAM_OOM
│   ├── ModelNotConverged     MODEL_CONVERGENCE_FAILED
│   ├── ModelUnavailable      MODEL_UNAVAILABLE
│   ├── QualityThresholdFailed QUALITY_THRESHOLD_FAILED
│   ├── TimedOut              TIMEOUT
│   └── WorkerCrashed         WORKER_CRASHED
├── InfrastructureError       the machine or the share: the job is held and resumes
│   ├── GpuUnavailable        GPU_UNAVAILABLE
│   ├── DiskFull              DISK_FULL
│   ├── MemoryExhausted       MEMORY_EXHAUSTED
│   └── ShareUnavailable      SHARE_UNAVAILABLE
└── Bug
    ├── IncompleteResults     INCOMPLETE_RESULTS
    └── UnknownError          UNKNOWN_ERROR
Cancelled                     not an error: somebody asked
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Kind = Literal["input", "usage", "engine", "infrastructure", "bug"]


class MeshdropError(Exception):
    """Something went wrong that a person has to be told about."""

    code: ClassVar[str] = "UNKNOWN_ERROR"
    kind: ClassVar[Kind] = "bug"
    exit_status: ClassVar[int] = 4
    default_suggestion: ClassVar[str] = "Send this message and the log to your support contact."

    def __init__(self, message: str, *, suggestion: str | None = None, **details: Any) -> None:
        """message: what and where, in a sentence. suggestion: what to do. details: facts, JSON-serialisable."""
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion or self.default_suggestion
        self.details = details

    @property
    def retry(self) -> bool:
        """Whether the same input may work at another time."""
        return self.kind == "infrastructure"

    def as_json(self) -> dict[str, Any]:
        """The content of error.json."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "suggestion": self.suggestion,
            "retry": self.retry,
        }


class Cancelled(Exception):
    """The job was cancelled on request."""

    exit_status: ClassVar[int] = 130


class InputError(MeshdropError):
    """The bundle or its job.toml is at fault; correcting it is enough."""

    kind = "input"
    exit_status = 3
    default_suggestion = "Correct the file named and drop the bundle again."


class InvalidFileCount(InputError):
    """Views are missing or there are too many."""

    code = "INVALID_FILE_COUNT"
    default_suggestion = (
        "A bundle holds front, back, left, right, top and bottom.png in multi_views and in depth_renders."
    )


class InvalidFileFormat(InputError):
    """A file is not a PNG, is truncated or damaged, or has a pixel format that is not supported."""

    code = "INVALID_FILE_FORMAT"
    default_suggestion = "Export the file again as PNG: RGB or RGBA for views, 8- or 16-bit grayscale for depth."


class FileTooLarge(InputError):
    """A file, the bundle or an image's dimensions are over the limit."""

    code = "FILE_TOO_LARGE"
    default_suggestion = "Send smaller images, or ask for the limit to be raised in the settings."


class ValidationFailed(InputError):
    """The files can be read but what they hold can't be used."""

    code = "VALIDATION_FAILED"


class JobExpired(InputError):
    """The bundle stayed incomplete for too long."""

    code = "JOB_EXPIRED"
    default_suggestion = "Add the missing files: the bundle is taken as soon as it is complete."


class CalibrationFailed(InputError):
    """The cameras or the depth coding could not be found from the images."""

    code = "CALIBRATION_FAILED"
    exit_status = 4
    default_suggestion = "State the cameras and the depth coding in job.toml, tables [cameras] and [depth]."


class UsageError(MeshdropError):
    """A command was called in a way that can't work."""

    kind = "usage"
    exit_status = 2
    default_suggestion = "See `meshdrop --help`."


class OutputExists(UsageError):
    """A result would overwrite something."""

    code = "OUTPUT_EXISTS"
    default_suggestion = "Name a folder that does not exist yet."


class JobNotFound(UsageError):
    """No job has this id."""

    code = "JOB_NOT_FOUND"


class JobNotReady(UsageError):
    """The job has not finished yet."""

    code = "JOB_NOT_READY"


class EngineError(MeshdropError):
    """The engine could not make a result."""

    kind = "engine"


class ModelFailed(EngineError):
    """The engine failed."""

    code = "MODEL_FAILED"


class ModelOutOfMemory(EngineError):
    """The engine ran out of host memory."""

    code = "MODEL_OOM"
    default_suggestion = "Ask for a lower quality, or run on a machine with more memory."


class ModelOutOfVram(EngineError):
    """The engine ran out of GPU memory."""

    code = "MODEL_VRAM_OOM"
    default_suggestion = "Ask for a lower quality, or free the GPU."


class ModelNotConverged(EngineError):
    """The optimisation did not converge."""

    code = "MODEL_CONVERGENCE_FAILED"


class ModelUnavailable(EngineError):
    """The model that the job asks for can't run here."""

    code = "MODEL_UNAVAILABLE"


class QualityThresholdFailed(EngineError):
    """The result is below the warning threshold; it is published all the same."""

    code = "QUALITY_THRESHOLD_FAILED"
    exit_status = 1
    default_suggestion = "Look at report.html: it shows where the render differs from the input."


class TimedOut(EngineError):
    """The job took longer than its time limit."""

    code = "TIMEOUT"
    default_suggestion = "Raise timeout_s in job.toml, or ask for a lower quality."


class WorkerCrashed(EngineError):
    """The process that ran the job died."""

    code = "WORKER_CRASHED"


class InfrastructureError(MeshdropError):
    """The machine or the share is at fault; the job is held and resumes by itself."""

    kind = "infrastructure"
    exit_status = 5


class GpuUnavailable(InfrastructureError):
    """A GPU is required and none is usable."""

    code = "GPU_UNAVAILABLE"


class DiskFull(InfrastructureError):
    """No space or quota is left where something has to be written."""

    code = "DISK_FULL"
    default_suggestion = "Free some space, or choose another folder."


class MemoryExhausted(InfrastructureError):
    """The host has too little memory left."""

    code = "MEMORY_EXHAUSTED"


class ShareUnavailable(InfrastructureError):
    """A folder is gone, read-only or not permitted."""

    code = "SHARE_UNAVAILABLE"
    default_suggestion = "Check that the folder is mounted and that this user may write to it."


class Bug(MeshdropError):
    """A fault of the program itself."""


class IncompleteResults(Bug):
    """A result lacks a file that it should have."""

    code = "INCOMPLETE_RESULTS"


class UnknownError(Bug):
    """Anything else."""

    code = "UNKNOWN_ERROR"


def _leaves(cls: type[MeshdropError]) -> list[type[MeshdropError]]:
    # Classes that other modules derive share a code of this tree and stand for it nowhere else.
    below = [leaf for child in cls.__subclasses__() if child.__module__ == __name__ for leaf in _leaves(child)]
    return below or [cls]


def error_classes() -> dict[str, type[MeshdropError]]:
    """Every code and its class."""
    return {cls.code: cls for cls in _leaves(MeshdropError)}
