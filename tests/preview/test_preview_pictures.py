"""The previews and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from config.bundle_layout import VIEW_NAMES
from engine.mesh import Mesh, TexturedMesh
from engine.occlusion import Occlusion, sky_directions
from engine.preview import Previews, studio, turntable, views, write_contact_sheet, write_previews
from engine.preview.contact_sheet import heat
from engine.progress import Checkpoint
from engine.quality import Evaluation, Figures, Thumbnails, ViewFigures
from engine.quality.facts import mesh_facts
from engine.sample import sample_scene


@pytest.fixture(scope="module")
def teapot() -> TexturedMesh:
    return sample_scene("teapot", size_px=256, grid=64).truth.textured(1024)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("previews")


@pytest.fixture(scope="module")
def made(teapot: TexturedMesh, folder: Path) -> Previews:
    return write_previews(teapot, folder)


@pytest.fixture(scope="module")
def pictures(made: Previews, folder: Path) -> list[np.ndarray]:
    names = [f"preview_{k}.png" for k in range(8)]
    assert sorted(made.names) == sorted([*names, "turntable.webp", "thumbnail.webp"])
    assert sorted(p.name for p in folder.iterdir()) == sorted(made.names)
    return [np.asarray(Image.open(folder / name)).astype(np.float64) for name in names]


def test_the_turntable_goes_round_once_and_for_ever(made: Previews, folder: Path) -> None:
    path = folder / "turntable.webp"
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as film:
        assert (film.n_frames, film.info["loop"], film.size) == (36, 0, (300, 300))  # type: ignore[attr-defined]
        frames = []
        for index in range(36):
            film.seek(index)
            frames.append(np.asarray(film.convert("RGB")).astype(np.float64))
    steps = [
        np.abs(frame - frames[index - 1]).mean() for index, frame in enumerate(frames)
    ]  # the first's: from the last
    assert min(steps) > 0.5
    assert max(steps) < 3 * np.median(steps)
    assert np.abs(frames[0] - frames[18]).mean() > 3


def test_the_thumbnail_is_small_and_shows_the_first_frame(made: Previews, folder: Path) -> None:
    path = folder / "thumbnail.webp"
    assert path.stat().st_size < 20_000
    with Image.open(path) as small, Image.open(folder / "turntable.webp") as film:
        assert small.size == (256, 256)
        first = np.asarray(film.convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)).astype(np.float64)
        assert np.abs(np.asarray(small.convert("RGB")) - first).mean() < 4


def test_the_poster_is_cut_out(made: Previews) -> None:
    poster = made.poster
    assert poster.shape == (640, 640, 4)
    alpha = poster[..., 3]
    assert set(np.unique(alpha[[0, -1]])) == {0}
    assert 0.1 < (alpha == 255).mean() < 0.6
    assert poster[alpha == 255][:, :3].std() > 20


def test_eight_pictures_from_all_around(pictures: list[np.ndarray]) -> None:
    for k, picture in enumerate(pictures):
        assert picture.shape == (512, 512, 3)
        assert np.abs(picture - pictures[k - 1]).mean() > 2
    # Spout to the right from the front, to the left from behind: its blue is on that side.
    blue = [((p[..., 2] - p[..., 0]) > 40).nonzero()[1].mean() for p in (pictures[0], pictures[4])]
    assert blue[0] > 256 > blue[1]


def test_the_object_is_whole_and_on_a_neutral_ground(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (rim.max(-1) - rim.min(-1)).max() < 12
        assert rim.min() > 100


def test_edges_are_drawn_and_do_not_hide_the_texture(
    teapot: TexturedMesh, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "WIRE_ALPHA", 0.0)
    monkeypatch.setattr(views, "COUNT", 1)
    monkeypatch.setattr(turntable, "FRAMES", 1)
    write_previews(teapot, tmp_path)
    plain = np.asarray(Image.open(tmp_path / "preview_0.png")).astype(np.float64)
    change = np.abs(plain - pictures[0]).max(-1)
    assert 0.01 < (change > 4).mean() < 0.3
    assert change.max() < 60


def test_the_same_mesh_gives_the_same_bytes(
    teapot: TexturedMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "COUNT", 2)
    monkeypatch.setattr(turntable, "FRAMES", 3)
    for name, threads in (("a", "1"), ("b", "2")):
        monkeypatch.setenv("MESHDROP_ENGINE__THREADS", threads)
        (tmp_path / name).mkdir()
        write_previews(teapot, tmp_path / name)
    for file in ("preview_0.png", "preview_1.png", "turntable.webp", "thumbnail.webp"):
        a, b = ((tmp_path / name / file).read_bytes() for name in "ab")
        assert a == b


def test_it_can_be_cancelled(teapot: TexturedMesh, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(fraction: float) -> None:
        if fraction > 0.4:
            raise Stopped

    checkpoint: Checkpoint = stop
    with pytest.raises(Stopped):
        write_previews(teapot, tmp_path, checkpoint)
    assert not list(tmp_path.iterdir())


def test_openness_of_a_box_in_a_corner() -> None:
    """The top of a cube sees the whole sky; the floor beside it sees less; the floor far away all of it."""
    s = sample_scene("cube", size_px=256, grid=48).truth.mesh
    low, high = s.bounds()
    occlusion = Occlusion(s, np.zeros(3), float(np.linalg.norm(high)))
    side = float(high[0])
    points = np.array([[0, high[1], 0], [1.1 * side, low[1], 0], [9 * side, low[1], 0]])
    top, beside, away = occlusion.openness(points, np.tile([0.0, 1.0, 0.0], (3, 1)))
    assert top > 0.98
    assert 0.35 < beside < 0.75
    assert away > 0.97
    assert np.abs(sky_directions().mean(0)).max() < 0.02


def test_creases_stay_sharp_and_curves_smooth() -> None:
    faces = np.array([[0, 1, 2], [0, 3, 1]], np.int32)
    for lift, sharp in ((1.0, True), (0.1, False)):
        folded = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0.5, 1, -lift], [0.5, -1, -lift]], np.float64), faces)
        apart = np.abs(studio.corner_normals(folded, 40)[:, 0] - folded.face_normals()).max()
        assert (apart < 1e-6) == sharp


def _evaluation(difference: int) -> Evaluation:
    rng = np.random.default_rng(1)
    figures = ViewFigures(27.31, 0.912, *(Figures(20.0, 0.8),) * 3, 0.9, 0.99, 0.001)
    thumbnails = {}
    for view in VIEW_NAMES:
        delivered = rng.integers(0, 200, (512, 512, 3)).astype(np.uint8)
        thumbnails[view] = Thumbnails(
            delivered, delivered + np.uint8(difference), np.full((512, 512), difference, np.uint8)
        )
    mesh = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32),
    )
    return Evaluation(dict.fromkeys(VIEW_NAMES, figures), mesh_facts(mesh), thumbnails)


def test_contact_sheet(tmp_path: Path) -> None:
    for folder, difference in (("none", 0), ("some", 40)):
        (tmp_path / folder).mkdir()
        assert write_contact_sheet(_evaluation(difference), tmp_path / folder) == ["contact_sheet.png"]
    none, some = (np.asarray(Image.open(tmp_path / f / "contact_sheet.png")).astype(int) for f in ("none", "some"))
    assert none.shape == some.shape
    assert none.shape[1] > 1800
    changed = (none != some).any(-1)
    assert not changed[:430].any()  # titles and the inputs' row
    assert changed[500:700].mean() > 0.8  # renders
    assert changed[850:1000].mean() > 0.8  # differences


def test_heat_grows_darker() -> None:
    luma = heat(np.arange(256, dtype=np.uint8)[None])[0].astype(int).sum(-1)
    assert luma[0] == 765
    assert (np.diff(luma) <= 0).all()
