"""Each network against tensors that the unmodified reference computed, with the same made-up weights and inputs.

The bar is 1e-5, absolute; relative to the largest value where that is above 1, for float32 holds no more digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.models.reconviagen.conditions import (
    LAYERS,
    LatentCondition,
    StructureCondition,
    StructureConditionShape,
)
from engine.models.reconviagen.decoders import DecoderShape, GaussianDecoder, GaussianShape
from engine.models.reconviagen.flexicubes import extract
from engine.models.reconviagen.latents import LatentFlow, LatentFlowShape
from engine.models.reconviagen.sparse import Lattice, SparseGrid
from engine.models.reconviagen.structure import (
    StructureDecoder,
    StructureDecoderShape,
    StructureFlow,
    StructureFlowShape,
)
from engine.models.reconviagen.vggt import Aggregator, AggregatorShape, CameraHead
from engine.models.reconviagen.vit import VisionShape
from tests.models.made_up import GOLDEN, decoded_cells, fill, golden, largest_difference, voxels, wave

BAR = 1e-5


def _scale(expected: np.ndarray) -> float:
    return max(1.0, float(np.abs(expected).max()))


def test_structure_flow() -> None:
    flow = fill(StructureFlow(StructureFlowShape(4, 8, 64, 48, 8, 2, 4)))
    found = flow(wave((1, 8, 4, 4, 4), "x"), torch.tensor([700.0]), flow.contexts([wave((1, 12, 48), "c")]))
    assert largest_difference(found, golden("ss_flow")["out"]) <= BAR


def test_structure_decoder() -> None:
    # The last norms run over eight channels that differ by as little as 0.002: rounding grows a hundredfold there. The
    # reference's own tensor is 1.4e-4 away from this network evaluated in float64, and half of it within 4e-6.
    decoder = fill(StructureDecoder(StructureDecoderShape(1, 8, 1, 1, (32, 16, 8))))
    expected = golden("ss_dec")["out"]
    found = decoder(wave((1, 8, 4, 4, 4), "z")).numpy()
    difference = np.abs(found - expected)
    assert difference.max() <= 2e-4
    assert np.median(difference) <= 4e-6


def test_structure_condition() -> None:
    condition = fill(StructureCondition(StructureConditionShape(64, 3072, 4, 16)))
    expected = golden("ss_vggt_cond")["out"]
    found = condition([wave((1, 3, 9, 2048), f"t{i}") for i in LAYERS], wave((1, 3, 4, 1024), "d"))
    assert largest_difference(found, expected) <= BAR * _scale(expected)


def test_latent_condition() -> None:
    condition = fill(LatentCondition(1024, 3072))
    expected = golden("slat_vggt_cond")["out"]
    found = condition([wave((1, 3, 9, 2048), f"t{i}") for i in LAYERS], wave((1, 3, 9, 1024), "d9"))
    assert largest_difference(found, expected) <= BAR * _scale(expected)


def test_aggregator() -> None:
    small = VisionShape(image_px=56, channels=384, blocks=12, heads=6)
    aggregator = fill(Aggregator(AggregatorShape(56, 384, 2, 6, 4, small)))
    images = wave((1, 2, 3, 56, 56), "img") * 0.5 + 0.5
    expected = golden("vggt_aggr")["last"]
    layers = aggregator(images)
    assert len(layers) == 2
    assert largest_difference(layers[-1], expected) <= BAR * _scale(expected)
    assert torch.equal(aggregator(images, keep={1})[0], layers[-1])


def test_camera_head() -> None:
    head = fill(CameraHead(64, 4))
    assert largest_difference(head(wave((1, 3, 9, 64), "ct")), golden("camera_head")["pose"]) <= BAR


def test_latent_flow() -> None:
    flow = fill(LatentFlow(LatentFlowShape(64, 8, 64, 48, 8, 2, 4, 2, (32,))))
    expected = golden("slat_flow")
    cells = voxels(300, 8, 1)
    np.testing.assert_array_equal(cells, expected["coords"])
    lattice = Lattice(cells, 64)
    views = [wave((1, 10, 48), f"v{i}") for i in range(3)]
    noisy = SparseGrid(lattice, wave((len(cells), 8), "f"))
    found = flow(noisy, torch.tensor([700.0]), flow.contexts(views), flow.mergings(lattice))
    assert largest_difference(found.features, expected["out"]) <= BAR


def test_mesh_decoder() -> None:
    expected = golden("mesh_dec")
    found = decoded_cells()
    assert len(found.features) == 64 * len(expected["coords"])
    assert largest_difference(found.features[:64], expected["feats_head"]) <= BAR
    # A sum over 1,728 rows: the bar is for each of them.
    assert largest_difference(found.features.sum(dim=0), expected["feats_sum"]) <= BAR * len(found.features)


def test_flexicubes_faces_are_identical() -> None:
    expected = golden("mesh_fc")
    cells = decoded_cells()
    mesh = extract(cells.lattice.cells, cells.features, cells.lattice.resolution)
    np.testing.assert_array_equal(mesh.faces, expected["faces"])
    assert largest_difference(mesh.vertices, expected["vertices"]) <= BAR
    # Kept in float16, whose steps are 4.9e-4 above a half.
    assert largest_difference(mesh.colors, expected["color"]) <= 2.5e-4


def test_gaussian_decoder() -> None:
    decoder = fill(GaussianDecoder(DecoderShape(8, 8, 64, 2, 4, 4), GaussianShape(per_voxel=4)))
    cells = voxels(30, 8, 2)
    found = decoder(SparseGrid(Lattice(cells, 8), wave((len(cells), 8), "g")))
    expected = golden("gs_dec")
    for name, values in {
        "xyz": found.centre, "scale": found.scale, "rot": found.rotation, "op": found.opacity,
        "rgb": found.color[:, None],
    }.items():  # fmt: skip
        assert largest_difference(values, expected[name]) <= BAR, name


def test_each_golden_tensor_is_read() -> None:
    tested = {path.stem for path in GOLDEN.glob("*.npz")}
    source = Path(__file__).read_text(encoding="utf-8")
    assert tested == {name for name in tested if f'golden("{name}")' in source}
    assert len(tested) == 10
