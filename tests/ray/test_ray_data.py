"""Parquet to Parquet by Ray Data, also when an actor dies on the way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from rnnrt.ray import Predictor
from tests.ray.support import local_ray, recipe
from tests.serving.support import network, sequences, written_out

pytest.importorskip("ray.data")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = 120
XS = sequences(*(1 + (7 * i) % 23 for i in range(ROWS)))


@pytest.fixture(scope="module")
def ray():
    with local_ray() as ray:
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    for k, start in enumerate(range(0, ROWS, 20)):
        rows = range(start, start + 20)
        kind = pa.list_(pa.list_(pa.float32()))
        seq = pa.array([XS[i].tolist() for i in rows], kind)
        data = {"id": list(rows), "name": [f"row {i}" for i in rows], "seq": seq}
        parquet.write_table(pa.table(data), folder / f"part-{k}.parquet")
    return folder


def assert_all_there(folder, column="state"):
    """Each row once, with its own result."""
    found = parquet.read_table(folder)
    assert sorted(found["id"].to_pylist()) == list(range(ROWS))
    assert found.schema.field("products").type == pa.list_(pa.list_(pa.float32()))
    for row in found.to_pylist():
        products, state = written_out(XS[row["id"]])
        assert row["name"] == f"row {row['id']}"
        np.testing.assert_allclose(row["state"], state, atol=1e-5)
        np.testing.assert_allclose(row["products"], products, atol=1e-5)


def test_parquet_to_parquet_with_a_model_that_is_sent(ray, source, tmp_path):
    data = ray.data.read_parquet(str(source))
    recipe("ray_batch").scored(data, 1, model=network(), inputs={"seq": "x"}).write_parquet(str(tmp_path))
    assert_all_there(tmp_path)


def test_the_script_reads_the_model_from_a_path(ray, source, tmp_path, monkeypatch):
    network().save(tmp_path / "m.rnnrt")
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["ray_batch.py", str(tmp_path / "m.rnnrt"), str(source), str(out), "seq", "1"])
    recipe("ray_batch").main()
    assert_all_there(out)


class Mortal(Predictor):
    """Its process is killed in its third batch, in the middle of the run; a file says that it has been."""

    def __init__(self, fatal: str, deaths: int, **arguments):
        super().__init__(**arguments)
        self._fatal, self._deaths, self._calls = Path(fatal), deaths, 0

    def __call__(self, batch):
        self._calls += 1
        out = super().__call__(batch)
        if self._calls == 3 and len(list(self._fatal.iterdir())) < self._deaths:
            (self._fatal / f"{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return out


def test_no_row_is_lost_and_none_comes_twice_when_actors_are_killed(ray, source, tmp_path):
    fatal, out = tmp_path / "fatal", tmp_path / "out"
    fatal.mkdir()
    module = recipe("ray_batch")
    data = ray.data.read_parquet(str(source)).repartition(6)
    made = module.scored(data, 1, 10, Mortal, model=network(), inputs={"seq": "x"}, fatal=str(fatal), deaths=2)
    made.write_parquet(str(out))
    assert len(list(fatal.iterdir())) == 2
    assert_all_there(out)


def test_a_bad_row_ends_the_run_with_its_column_and_row(ray, tmp_path):
    kind = pa.list_(pa.list_(pa.float32()))
    seq = pa.array([XS[0].tolist(), XS[1][:, :4].tolist()], kind)
    data = ray.data.from_arrow(pa.table({"seq": seq}))
    with pytest.raises(Exception, match="column 'seq', row 1 of the batch: input 'x' takes shape"):
        recipe("ray_batch").scored(data, 1, model=network(), inputs={"seq": "x"}).materialize()


def test_numpy_batches_and_rays_tensors(ray):
    xs = np.stack(sequences(4, 4, 4, 4))
    data = ray.data.from_items([{"id": i, "seq": x} for i, x in enumerate(xs)])
    for batch_format in ("numpy", "pyarrow"):
        made = data.map_batches(
            Predictor,
            fn_constructor_kwargs={"model": network(), "inputs": {"seq": "x"}},
            batch_format=batch_format,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        rows = made.take_all()
        assert sorted(row["id"] for row in rows) == [0, 1, 2, 3]
        for row in rows:
            np.testing.assert_allclose(row["state"], written_out(xs[row["id"]])[1], atol=1e-5)
