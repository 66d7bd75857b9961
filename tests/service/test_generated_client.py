"""A client that a public generator makes from the OpenAPI document does a session.

The generator is not installed with the tests: `pipx install openapi-python-client`, or name its
command in `OPENAPI_PYTHON_CLIENT`.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.serving import Server

GENERATOR = os.environ.get("OPENAPI_PYTHON_CLIENT") or shutil.which("openapi-python-client")


@pytest.fixture
def generated(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return the modules of a client for the API, by their names."""
    if GENERATOR is None:
        pytest.skip("needs openapi-python-client: pipx install openapi-python-client")
    (tmp_path / "openapi.json").write_text(client.get("/openapi.json").text)
    # The generator knows bytes of one media type only.
    overrides = "content_type_overrides: {application/zip: application/octet-stream}\n"
    (tmp_path / "config.yaml").write_text(f"post_hooks: []\n{overrides}")
    done = subprocess.run(
        [
            *(GENERATOR, "generate", "--path", "openapi.json", "--config", "config.yaml"),
            *("--meta", "none", "--output-path", "made_client", "--fail-on-warning"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    wanted = ("client", "models", "api.runs.list_runs", "api.exports.export_run")
    wanted += ("api.exports.list_run_exports", "api.exports.delete_run_export", "api.runs.get_run")
    wanted += ("api.jobs.get_job",)
    modules = {name: importlib.import_module(f"made_client.{name}") for name in wanted}
    for name in [name for name in sys.modules if name.startswith("made_client")]:
        monkeypatch.delitem(sys.modules, name)
    return modules


def test_a_session(generated: dict[str, Any], server: Server) -> None:
    client = generated["client"].Client(base_url=server.url, timeout=httpx.Timeout(60))
    page = generated["api.runs.list_runs"].sync(client=client, search="run_a", page_size=5)
    assert [run.id for run in page.items] == ["run_a"]
    run = generated["api.runs.get_run"].sync("run_a", client=client)
    assert run.components == ["A", "B"]

    options = generated["models"].ExportOptions.from_dict(
        {"formats": ["csv"], "filter": "value > 2"}
    )
    answer = generated["api.exports.export_run"].sync("run_a", client=client, body=options)
    assert answer.state == "done"
    job = generated["api.jobs.get_job"].sync(answer.job_id, client=client)
    assert job.files[0].rows == 10

    exports = generated["api.exports.list_run_exports"].sync("run_a", client=client)
    custom = next(one for one in exports.items if one.variant == answer.variant)
    assert custom.options.filter_ == "value > 2"
    delete = generated["api.exports.delete_run_export"].sync_detailed
    assert delete("run_a", answer.variant, client=client).status_code == 204
    missing = delete("run_a", answer.variant, client=client)
    assert missing.parsed.code == "export-not-found"
