"""Mutations of Keras files: their configurations, their HDF5 data, and the archives around them."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from fuzz.byte_mutations import mutate_bytes
from fuzz.json_mutations import mutate_json
from fuzz.values import INTS, STRINGS, pick

_ZIP = b"PK"
_WHEN = (1980, 1, 1, 0, 0, 0)


def mutate_keras(data: bytes, rng: random.Random, words: Sequence[str] = ()) -> bytes:
    """One change to a .keras or .h5 file.

    Parameters
    ----------
    data : bytes
        A sound file, or one that was changed here before.
    rng : random.Random
    words : sequence of str
        Names of layers and activations.
    """
    return _mutate_zip(data, rng, words) if data.startswith(_ZIP) else mutate_h5(data, rng, words)


def _mutate_zip(data: bytes, rng: random.Random, words: Sequence[str]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    kind = rng.randrange(20)
    packing = zipfile.ZIP_STORED
    for at, (name, content) in enumerate(members):
        if kind < 11 and name == "config.json":
            changed = mutate_json(json.loads(content), rng, words)
            members[at] = (name, json.dumps(changed).encode("utf-8", "surrogatepass"))
        elif 11 <= kind < 16 and name == "model.weights.h5":
            members[at] = (name, mutate_h5(content, rng, words))
        elif kind == 16 and name == "metadata.json":
            members[at] = (name, json.dumps(mutate_json(json.loads(content), rng)).encode())
    if kind == 17:
        at = rng.randrange(len(members))
        name, content = members[at]
        members[at] = rng.choice(
            [(pick([n for n, _ in members], rng, name) + rng.choice(("", "/", ".")), content),
             (name, mutate_bytes(content, rng)), (name, bytes(rng.choice((0, 1, 1 << 22))))]
        )  # fmt: skip
    elif kind == 18:
        packing = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif kind == 19:
        members.insert(rng.randrange(len(members) + 1), members[rng.randrange(len(members))])
    return _packed(members, packing)


def _packed(members: Sequence[tuple[str, bytes]], packing: int) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # names that come twice are wanted
        for name, content in members:
            info = zipfile.ZipInfo(name, _WHEN)
            info.compress_type = packing
            archive.writestr(info, content)
    return stream.getvalue()


def mutate_h5(data: bytes, rng: random.Random, words: Sequence[str] = ()) -> bytes:
    """One change to an HDF5 file: of the configuration in it, of an attribute, a dataset, or a link."""
    import h5py

    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        objects: list[Any] = [file]
        file.visititems(lambda _, item: objects.append(item))
        if "model_config" in file.attrs and rng.random() < 0.5:
            text = file.attrs["model_config"]
            changed = mutate_json(json.loads(text), rng, words)
            file.attrs["model_config"] = json.dumps(changed).replace("\0", "?").replace("\\u0000", "?")
        elif rng.random() < 0.4:
            _change_attribute(pick([o for o in objects if len(o.attrs)], rng, file), rng)
        else:
            rng.choice((_change_dataset, _change_dataset, _change_link))(file, objects, rng)
    return stream.getvalue()


def _change_attribute(item: Any, rng: random.Random) -> None:
    name = pick(sorted(item.attrs), rng, None)
    if name is None:
        return
    value = item.attrs[name]
    del item.attrs[name]
    kind = rng.randrange(6)
    if kind == 0:
        return
    if kind == 1 and isinstance(value, np.ndarray) and value.size:
        item.attrs[name] = value[::-1]
    elif kind == 2 and isinstance(value, np.ndarray) and value.size:
        item.attrs[name] = np.concatenate([value, value]) if rng.random() < 0.5 else value[:-1]
    elif kind == 3:
        item.attrs[name] = rng.choice(INTS)
    elif kind == 4:
        item.attrs[name] = rng.choice(STRINGS).replace("\0", "?")
    else:
        item.attrs[name] = np.array([b"a", b"b/c", b"kernel:0"])


def _change_dataset(file: Any, objects: Sequence[Any], rng: random.Random) -> None:
    arrays = [o for o in objects if hasattr(o, "dtype")]
    dataset = pick(arrays, rng, None)
    if dataset is None:
        return
    name, value = dataset.name, dataset[()]
    del file[name]
    kind = rng.randrange(8)
    if kind == 0:
        value = np.transpose(value)
    elif kind == 1:
        value = np.reshape(value, (1, *np.shape(value)))
    elif kind == 2:
        value = np.concatenate([np.ravel(value), np.ravel(value)])
    elif kind == 3:
        value = np.asarray(value).astype(rng.choice(["f2", "f8", "i8", "u1", "c8", "S4", "?"]))
    elif kind == 4:
        value = np.full(np.shape(value), rng.choice([np.nan, np.inf, -1e30]), "f4")
    elif kind == 5:
        shape = tuple(rng.choice((0, 1, 3, 1 << 10, 1 << 20, 1 << 40)) for _ in range(rng.randrange(1, 5)))
        chunks = tuple(min(max(d, 1), 16) for d in shape)
        file.create_dataset(name, shape, "f4", chunks=chunks, maxshape=(None,) * len(shape))
        return
    elif kind == 6:
        value = rng.choice([np.float32(1), np.zeros((0,), "f4"), np.zeros((3, 0), "f4")])
    else:
        return
    file[name] = value


def _change_link(file: Any, objects: Sequence[Any], rng: random.Random) -> None:
    import h5py

    groups = [o for o in objects if isinstance(o, h5py.Group)]
    group = pick(groups, rng, file)
    name = pick(sorted(group), rng, None)
    if name is None:
        return
    target = pick(objects, rng, file)
    kind = rng.randrange(5)
    del group[name]
    if kind == 1 and target:
        group[name] = target  # may close a circle
    elif kind == 2:
        group[name] = h5py.SoftLink(rng.choice(("/", "/nowhere", f"{group.name}/{name}")))
    elif kind == 3:
        group[name] = h5py.ExternalLink("other.h5", "/")
    elif kind == 4:
        group.create_group(name + rng.choice(("", "x", "_1")))
