"""The one place that chooses the stores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from featurewatch.errors import SettingsError, StoreLocked, Unavailable
from featurewatch.model import FeatureKey
from featurewatch.settings import Settings
from featurewatch.stores import open_stores
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.prometheus import PrometheusStore

pytestmark = pytest.mark.anyio


async def test_the_embedded_stores_are_opened_in_data_dir_and_closed_together(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    stores = await open_stores(settings)
    for store in (stores.logs, stores.metrics, stores.state):
        await store.ping()
    await stores.state.see([FeatureKey("chat", "production")], {})
    await stores.close()
    await stores.close()
    with pytest.raises(Unavailable):
        await stores.state.ping()
    again = await open_stores(settings)
    assert list(await again.state.features()) == ["chat"]
    await again.close()


async def test_a_second_bridge_on_the_same_data_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    stores = await open_stores(settings)
    with pytest.raises(StoreLocked, match="in use by another bridge"):
        await open_stores(settings)
    await stores.logs.ping()
    await stores.close()


@pytest.mark.parametrize("name", ["state.db", "metrics.db", "logs.db"])
async def test_a_damaged_store_is_named_and_the_others_are_let_go(tmp_path: Path, name: str) -> None:
    settings = Settings(data_dir=tmp_path)
    await (await open_stores(settings)).close()
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(b"no database at all" * 500)
    with pytest.raises(Unavailable, match=f"{name}.*corrupt") as caught:
        await open_stores(settings)
    assert "\n" not in str(caught.value)
    for left in (f"{name}-wal", f"{name}-shm"):
        (tmp_path / left).unlink(missing_ok=True)
    (tmp_path / name).write_bytes(good)
    await (await open_stores(settings)).close()


async def test_over_prometheus_calls_alone_are_kept_here(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, prometheus_url="http://127.0.0.1:9", prometheus_matchers=("cluster=eu",))
    stores = await open_stores(settings)
    assert isinstance(stores.metrics, PrometheusStore)
    assert stores.calls is not None
    await stores.calls.ping()
    with pytest.raises(Unavailable, match=r"Prometheus at .* cannot be reached"):
        await stores.metrics.ping()
    await stores.close()
    await stores.close()
    assert (tmp_path / "calls.db").exists()
    assert not (tmp_path / "metrics.db").exists()


async def test_over_loki_the_journal_alone_is_kept_here_and_loki_need_not_be_there_yet(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, loki_url="http://127.0.0.1:9")
    stores = await open_stores(settings)
    assert isinstance(stores.logs, LokiStore)
    stores.logs.want({"chat"})
    with pytest.raises(Unavailable, match=r"Loki at http://127.0.0.1:9 cannot be reached"):
        await stores.logs.ping()
    await stores.close()
    await stores.close()
    assert {"arrivals.db", "arrivals.json"} <= {found.name for found in tmp_path.iterdir()}  # noqa: ASYNC240 (a few)
    assert not (tmp_path / "logs.db").exists()


async def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, loki_url="https://127.0.0.1:9", loki_ca_file=tmp_path / "absent.pem")
    with pytest.raises(SettingsError, match="FEATUREWATCH_LOKI_CA_FILE"):
        await open_stores(settings)


async def test_the_state_can_live_elsewhere(tmp_path: Path) -> None:
    stores = await open_stores(Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/elsewhere.db"))
    await stores.close()
    assert {"elsewhere.db", "logs.db", "metrics.db"} <= {found.name for found in tmp_path.iterdir()}  # noqa: ASYNC240


def test_the_choice_itself_loads_no_store() -> None:
    program = "import sys, featurewatch.stores; print('sqlalchemy' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
