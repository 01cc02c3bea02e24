"""glTF 2.0 binary: mesh.glb, the file that is scored.

Written by hand after the Khronos glTF 2.0 specification (registry.khronos.org/glTF/specs/2.0): trimesh's writer
re-encodes the texture, leaves out the sampler and always takes 32-bit indices.
"""

from __future__ import annotations

import json
import struct
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.errors import IncompleteResults
from engine.export.files import write_file
from engine.export.image import decode_png, encode_png
from engine.export.layout import split_at_seams, unique_rows
from engine.mesh import Mesh, TexturedMesh

MAGIC: Final = 0x46546C67
CHUNK_JSON: Final = 0x4E4F534A
CHUNK_BIN: Final = 0x004E4942
FLOAT: Final = 5126
UNSIGNED_SHORT: Final = 5123
UNSIGNED_INT: Final = 5125
ARRAY_BUFFER: Final = 34962
ELEMENT_ARRAY_BUFFER: Final = 34963
LINEAR: Final = 9729
LINEAR_MIPMAP_LINEAR: Final = 9987
CLAMP_TO_EDGE: Final = 33071
PRIMITIVE_RESTART_16: Final = 65535
COMPONENTS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
DTYPES: Final[dict[int, type[np.generic]]] = {FLOAT: np.float32, UNSIGNED_SHORT: np.uint16, UNSIGNED_INT: np.uint32}


def generator() -> str:
    """Name and version of this program, for files that say who made them."""
    try:
        return f"Meshdrop {version('meshdrop')}"
    except PackageNotFoundError:
        return "Meshdrop"


def glb_chunks(textured: TexturedMesh, png: bytes) -> list[bytes]:
    """The file's bytes, in parts. png: the texture, encoded."""
    split = split_at_seams(textured)
    small = len(split.position) < PRIMITIVE_RESTART_16  # the highest index must not be the restart value
    indices = split.faces.reshape(-1).astype(np.uint16 if small else np.uint32)
    # the longest-aligned blocks first; each is padded to 4 bytes
    blocks = [split.position.tobytes(), split.normal.tobytes(), split.uv.tobytes(), indices.tobytes(), png]
    targets = [ARRAY_BUFFER, ARRAY_BUFFER, ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, None]
    views: list[dict[str, Any]] = []
    body: list[bytes] = []
    offset = 0
    for block, target in zip(blocks, targets, strict=True):
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(block)})
        if target:
            views[-1]["target"] = target
        body += [block, bytes(-len(block) % 4)]
        offset += len(block) + -len(block) % 4
    count = len(split.position)
    document = {
        "asset": {"version": "2.0", "generator": generator()},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "mesh"}],
        "meshes": [{
            "name": "mesh",
            "primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}],
        }],
        "materials": [{
            "name": "material",
            "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0},
        }],
        "textures": [{"source": 0, "sampler": 0}],
        "images": [{"bufferView": 4, "mimeType": "image/png", "name": "texture_kd"}],
        "samplers": [{
            "magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE,
        }],
        "accessors": [
            {
                "bufferView": 0, "componentType": FLOAT, "count": count, "type": "VEC3",
                "min": split.position.min(0).astype(float).tolist(),
                "max": split.position.max(0).astype(float).tolist(),
            },
            {"bufferView": 1, "componentType": FLOAT, "count": count, "type": "VEC3"},
            {"bufferView": 2, "componentType": FLOAT, "count": count, "type": "VEC2"},
            {
                "bufferView": 3, "componentType": UNSIGNED_SHORT if small else UNSIGNED_INT,
                "count": len(indices), "type": "SCALAR",
            },
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }  # fmt: skip
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<III", MAGIC, 2, 12 + 8 + len(text) + 8 + offset)
    return [head, struct.pack("<II", len(text), CHUNK_JSON), text, struct.pack("<II", offset, CHUNK_BIN), *body]


def write_glb(textured: TexturedMesh, path: Path, png: bytes | None = None) -> None:
    """Write `textured` as one GLB with its texture inside.

    png: the texture's PNG if it is encoded already. Raises DiskFull or ShareUnavailable.
    """
    write_file(path, *glb_chunks(textured, png if png is not None else encode_png(textured.texture_kd)))


def load_glb(path: Path) -> TexturedMesh:
    """Read back a GLB of one textured primitive, as `write_glb` makes it.

    Vertices with the same position, bit by bit, become one again, in the order of their first use by the file.
    Raises IncompleteResults where the file is damaged or holds something else.
    """
    try:
        return _parse(path.read_bytes())
    except (ValueError, KeyError, IndexError, TypeError, struct.error, OSError) as error:
        raise IncompleteResults(f"{path} can't be read back as a textured mesh: {error}.", path=str(path)) from error


def _parse(data: bytes) -> TexturedMesh:
    magic, gltf_version, length = struct.unpack_from("<III", data)
    if magic != MAGIC or gltf_version != 2 or length != len(data):
        raise ValueError("its header is not that of a whole GLB 2.0")
    json_length, json_kind = struct.unpack_from("<II", data, 12)
    bin_length, bin_kind = struct.unpack_from("<II", data, 20 + json_length)
    if json_kind != CHUNK_JSON or bin_kind != CHUNK_BIN:
        raise ValueError("its chunks are not JSON and BIN")
    document = json.loads(data[20 : 20 + json_length])
    body = memoryview(data)[28 + json_length : 28 + json_length + bin_length]
    primitives = [p for mesh in document["meshes"] for p in mesh["primitives"]]
    moved = any({"matrix", "translation", "rotation", "scale"} & node.keys() for node in document["nodes"])
    if len(primitives) != 1 or primitives[0].get("mode", 4) != 4 or moved:
        raise ValueError("it holds more than one untransformed set of triangles")

    def array(index: int) -> NDArray[Any]:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        if "byteStride" in view or "sparse" in accessor:
            raise ValueError("its buffers are interleaved or sparse")
        columns = COMPONENTS[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        flat = np.frombuffer(body, DTYPES[accessor["componentType"]], accessor["count"] * columns, start)
        return flat.reshape(-1, columns) if columns > 1 else flat

    attributes = primitives[0]["attributes"]
    position = array(attributes["POSITION"])
    faces_uv = array(primitives[0]["indices"]).astype(np.int32).reshape(-1, 3)
    material = document["materials"][primitives[0]["material"]]["pbrMetallicRoughness"]
    image = document["images"][document["textures"][material["baseColorTexture"]["index"]]["source"]]
    view = document["bufferViews"][image["bufferView"]]
    start = view.get("byteOffset", 0)
    first, merged = unique_rows(position)
    return TexturedMesh(
        Mesh(position[first].astype(np.float64), merged[faces_uv].astype(np.int32)),
        array(attributes["TEXCOORD_0"]).astype(np.float32),
        faces_uv,
        decode_png(bytes(body[start : start + view["byteLength"]])),
    )
