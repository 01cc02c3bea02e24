"""The stages in their order: views to conditions, to voxels, to latents, to a mesh.

Source: ReconViaGen (2025), on TRELLIS (Xiang et al. 2024). One network is in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
import torch
from torch import Tensor, nn

from config.errors import ModelFailed, ModelOutOfVram
from engine.models.reconviagen.conditions import LatentCondition, StructureCondition
from engine.models.reconviagen.decoders import MeshDecoder
from engine.models.reconviagen.flexicubes import RawMesh, extract
from engine.models.reconviagen.latents import LatentFlow
from engine.models.reconviagen.layers import Context
from engine.models.reconviagen.preprocess import IMAGE_PX
from engine.models.reconviagen.residence import on_device, watched, weight_bytes
from engine.models.reconviagen.sampler import LATENTS, STRUCTURE, Schedule, evaluations, sample
from engine.models.reconviagen.sparse import Lattice, SparseGrid
from engine.models.reconviagen.structure import StructureDecoder, StructureFlow
from engine.models.reconviagen.vggt import Aggregator, normalised
from engine.models.reconviagen.vit import VisionTransformer
from engine.progress import Checkpoint

log = structlog.get_logger(__name__)

Network = TypeVar("Network", bound=nn.Module)

TFLOP: Final = {"vggt": 22.0, "dinov2": 5.0, "conditions": 2.0, "structure": 300.0, "latents": 260.0, "mesh": 6.0}
"""What the stages take at full size with six views, counted from the matrices' sizes; an object of 20,000 voxels."""

_SPECIAL_TOKENS: Final = 5


@dataclass(frozen=True)
class Networks:
    """The model: how to get each of its networks, in host memory and in the precision it runs in.

    layers: the aggregator's layers that are looked at. mean, deviation: of the latents, a number for each channel.
    image_px: the size of the pictures that they are for.
    """

    aggregator: Callable[[], Aggregator]
    vision: Callable[[], VisionTransformer]
    structure_condition: Callable[[], StructureCondition]
    structure_flow: Callable[[], StructureFlow]
    structure_decoder: Callable[[], StructureDecoder]
    latent_condition: Callable[[], LatentCondition]
    latent_flow: Callable[[], LatentFlow]
    mesh_decoder: Callable[[], MeshDecoder]
    layers: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    structure_schedule: Schedule = STRUCTURE
    latent_schedule: Schedule = LATENTS
    image_px: int = IMAGE_PX


@dataclass(frozen=True)
class Means:
    """What may be used. vram_bytes: of the device's memory, for weights; None: no limit. mixed: the precision of the
    aggregator's products; None: float32.
    """

    device: torch.device
    vram_bytes: int | None = None
    mixed: torch.dtype | None = None


def generate(images: Tensor, networks: Networks, means: Means, seed: int, checkpoint: Checkpoint) -> RawMesh:
    """Generate the object that the views show.

    images: [V, 3, S, S] float32, 0..1, of `preprocess`; the first is the one that the others are seen from.
    seed: the same one gives the same mesh on the same machine.
    Returns the mesh in [-0.5, 0.5]^3, z up, in host memory.
    Raises ModelOutOfVram; ModelFailed where nothing is found; what `checkpoint` raises, within a layer's time.
    """
    try:
        with torch.inference_mode():
            return _Run(networks, means, seed, checkpoint).mesh(images)
    except torch.OutOfMemoryError as error:
        raise ModelOutOfVram(
            "ReconViaGen ran out of GPU memory.",
            suggestion="Lower models.reconviagen.vram_mb, so that weights come block by block, or free the GPU.",
        ) from error


class _Run:
    """One generation. It knows how far it is."""

    def __init__(self, networks: Networks, means: Means, seed: int, checkpoint: Checkpoint) -> None:
        self.networks = networks
        self.means = means
        self.device = means.device
        # The noise of both flows comes from one sequence, drawn on the CPU: a seed means the same everywhere.
        self.noise = torch.Generator("cpu").manual_seed(seed)
        self.checkpoint = checkpoint
        self.fraction = 0.0
        self.stage_from = 0.0

    def mesh(self, images: Tensor) -> RawMesh:
        aggregated, tokens = self.features(images)
        structure, latent = self.conditions(aggregated, tokens)
        del aggregated, tokens
        lattice = self.structure(structure)
        latents = self.latents(lattice, latent)
        del structure, latent
        with self.stage("mesh"), self.network(self.networks.mesh_decoder) as decoder:
            cells = decoder(latents)
            mesh = extract(cells.lattice.cells, cells.features, cells.lattice.resolution)
        if not len(mesh.faces):
            raise ModelFailed("ReconViaGen generated no surface.", voxels=len(lattice.cells))
        return RawMesh(mesh.vertices.cpu(), mesh.faces.cpu(), mesh.colors.cpu())

    def features(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """VGGT's features at `layers`, [1, V, T, 2 C] each, and DINOv2's [1, V, T, C']."""
        images = images.to(self.device)
        mixed = self.means.mixed
        with (
            self.stage("vggt"),
            self.network(self.networks.aggregator) as aggregator,
            torch.autocast(self.device.type, dtype=mixed or torch.bfloat16, enabled=mixed is not None),
        ):
            aggregated = [layer.float() for layer in aggregator(images[None], keep=self.networks.layers)]
        with self.stage("dinov2"), self.network(self.networks.vision) as vision:
            # View by view: each is by itself, and the memory is one view's.
            tokens = torch.cat([vision(image[None]) for image in normalised(images)])
        return aggregated, tokens[None]

    def conditions(self, aggregated: list[Tensor], tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the flows look at: [1, L, C], and [1, T, C] a view."""
        with self.stage("conditions"):
            with self.network(self.networks.structure_condition) as structure_condition:
                structure = structure_condition(aggregated, tokens[:, :, _SPECIAL_TOKENS:])
            with self.network(self.networks.latent_condition) as latent_condition:
                latent = latent_condition(aggregated, tokens)
        return structure, [view[None] for view in latent]

    def structure(self, condition: Tensor) -> Lattice:
        """Which voxels there are."""
        with self.stage("structure"):
            latents = self.structure_latents(condition)
            with self.network(self.networks.structure_decoder) as decoder:
                occupancy = decoder(latents)[0, 0]
        cells = torch.nonzero(occupancy > 0)
        log.info("reconviagen.structure", voxels=len(cells))
        if not len(cells):
            raise ModelFailed("ReconViaGen found nothing in the views.", suggestion="Try another seed.")
        return Lattice(cells, occupancy.shape[0])

    def structure_latents(self, condition: Tensor) -> Tensor:
        schedule = self.networks.structure_schedule
        with self.network(self.networks.structure_flow) as flow:
            shape = flow.shape
            noise = torch.randn(1, shape.in_channels, *[shape.resolution] * 3, generator=self.noise)
            with_views = flow.contexts([condition], keep=self.keeps(flow, [condition], shape.blocks))
            without: list[Context | None] = [None] * shape.blocks

            def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
                out: Tensor = flow(x, _thousandths(t, x), with_views if conditioned else without)
                return out

            return sample(velocity, noise.to(self.device), schedule, self.steps("structure", schedule))

    def latents(self, lattice: Lattice, views: list[Tensor]) -> SparseGrid:
        """What the voxels are like."""
        schedule = self.networks.latent_schedule
        with self.stage("latents"), self.network(self.networks.latent_flow) as flow:
            shape = flow.shape
            noise = torch.randn(len(lattice.cells), shape.in_channels, generator=self.noise)
            with_views = flow.contexts(views, keep=self.keeps(flow, views, shape.blocks))
            without: list[Context | None] = [None] * shape.blocks
            mergings = flow.mergings(lattice)

            def velocity(x: Tensor, t: float, conditioned: bool) -> Tensor:
                contexts = with_views if conditioned else without
                out: SparseGrid = flow(SparseGrid(lattice, x), _thousandths(t, x), contexts, mergings)
                return out.features

            found = sample(velocity, noise.to(self.device), schedule, self.steps("latents", schedule))
        mean, deviation = found.new_tensor(self.networks.mean), found.new_tensor(self.networks.deviation)
        return SparseGrid(lattice, found * deviation + mean)

    def keeps(self, flow: StructureFlow | LatentFlow, views: Sequence[Tensor], blocks: int) -> bool:
        """Whether the budget has room for the views' keys and values besides the weights."""
        if self.means.vram_bytes is None:
            return True
        tokens = sum(view.shape[1] for view in views)
        kept = 2 * tokens * flow.shape.model_channels * blocks * flow.dtype.itemsize
        return weight_bytes(flow) + kept <= self.means.vram_bytes

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Report a stage's share of the work."""
        begin_s = time.monotonic()
        yield
        self.stage_from += TFLOP[name] / sum(TFLOP.values())
        self.at(self.stage_from)
        memory = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
        log.info("reconviagen.stage", stage=name, seconds=round(time.monotonic() - begin_s, 2), peak_bytes=memory)

    def at(self, fraction: float) -> None:
        self.fraction = fraction
        self.checkpoint(fraction)

    def steps(self, name: str, schedule: Schedule) -> Callable[[int], None]:
        """What a flow calls after each step."""
        runs = evaluations(schedule)
        share = TFLOP[name] / sum(TFLOP.values()) / sum(runs)
        begin = self.stage_from
        return lambda step: self.at(begin + share * sum(runs[:step]))

    @contextmanager
    def network(self, load: Callable[[], Network]) -> Iterator[Network]:
        """Have a network on the device; it is given up afterwards."""
        self.checkpoint(self.fraction)
        network = load().eval()
        with (
            on_device(network, self.device, self.means.vram_bytes),
            watched(network, lambda: self.checkpoint(self.fraction)),
        ):
            yield network
        del network
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _thousandths(t: float, like: Tensor) -> Tensor:
    return torch.tensor([1000 * t], dtype=torch.float32, device=like.device)
