"""The protocol with one of its parts taken out: some test must fail each time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS, EXPORTERS = "tests/reliability/test_kills.py", "tests/reliability/test_exporters.py"
CHANGES, FAULTS = "tests/reliability/test_changes.py", "tests/reliability/test_store_faults.py"
FOLDERS = "tests/exports/test_shared_folders.py"
LEFTOVERS = "tests/reliability/test_leftovers.py"
IMPORTS = "tests/reliability/test_killed_imports.py"
LOCAL, OBJECTS = "connectors/storage/disk/local.py", "connectors/storage/objects/storage.py"

_COMMITS = """\
    for one in staged:
        claim.check()
        storage.commit(one)
    claim.check()
"""
_DESCRIPTOR = """\
    write_whole(storage, path, descriptor.dump(package), before)
"""
IN_ORDER = _COMMITS + _DESCRIPTOR
DESCRIPTOR_FIRST = _DESCRIPTOR + _COMMITS

STAGED = """\
            local = target.parent / staged_name(target.name)
            self._staged.add(local)
            # Mode 0666 less the umask: what a file has that is simply written.
            os.close(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL"""
IN_PLACE = """\
            local = target
            os.close(os.open(local, os.O_WRONLY | os.O_CREAT"""

# Name: file, text, its replacement, the tests that are to see it.
MUTATIONS: dict[str, tuple[str, str, str, list[str]]] = {
    "no fsync of the file": (
        LOCAL, "            _sync(staged.local)\n            staged.local.replace",
        "            staged.local.replace", [KILLS, "-k", "on_the_disk"],
    ),
    "no fsync of the folder": (
        LOCAL, "            _sync(staged.local.parent)\n", "", [KILLS, "-k", "on_the_disk"],
    ),
    "no staging": (
        LOCAL, STAGED, IN_PLACE, [KILLS, "-k", "overwrite and each_call", "--times", "2"],
    ),
    "no hash check": (
        "connectors/flowtime/scan/scanner.py", "    if found != file.sha256:\n        raise",
        "    if False:\n        raise", ["tests/exports/test_faults.py", CHANGES],
    ),
    "no condition on the descriptor": (
        "connectors/storage/s3/client.py", "if expected is not None:", "if False:",
         [EXPORTERS, "-k", "between"],
    ),
    "no claim": (
        "connectors/storage/staging/claim.py", "        while others := self._others():",
        "        while others := []:", [EXPORTERS, "-k", "sixteen or claim", "--times", "2"],
    ),
    "no look under the claim": (
        "pipeline/writing/descriptor_file.py",
        "if listed == published.resources(pending.plan, pending.target):",
        "if True:", [EXPORTERS, "-k", "overtaken"],
    ),
    "descriptor first": (
        "pipeline/writing/descriptor_file.py", IN_ORDER, DESCRIPTOR_FIRST,
        [KILLS, "-k", "each_call", "--times", "2"],
    ),
    "lost answers are failures": (
        OBJECTS, "elif not self._holds(staged.target, body):", "else:", [FAULTS, "-k", "knows"],
    ),
    "no second look for replaced files": (
        "pipeline/exports/attempt.py", "publisher.tidy(choice.current)", "published.changed",
        [KILLS, "-k", "at_each_call and overwrite", "--times", "8"],
    ),
    "uploads of the dead stay": (
        "connectors/storage/staging/claim.py", "        if paths and since is not None:",
        "        if False:", [KILLS, LEFTOVERS, "-k", "each_request or gives_up", "--times", "2"],
    ),
    "claims record no files": (
        "connectors/storage/staging/claim.py",
        'if files:\n            self._record["files"] = list(files)', "pass",
        [KILLS, FOLDERS, "-k", "at_each_call or killed", "--times", "2"],
    ),
    "files of others are recorded as one's own": (
        "pipeline/writing/publish.py", "(_new(group) | self._replaced(group)) - unnamed",
        "_new(group) | self._replaced(group) | unnamed", [FOLDERS, "-k", "killed"],
    ),
    "files of others are overwritten": (
        "pipeline/writing/publish.py", "        _refuse_overwriting(group)\n", "",
        [FOLDERS, "-k", "overwritten"],
    ),
    "a forged record removes any file": (
        "pipeline/writing/removal.py",
        "if is_safe_name(path) and is_partition(parent) and is_data_file(name):", "if True:",
        [FOLDERS, "-k", "forged"],
    ),
    "links on the way to a run are followed": (
        "pipeline/planning/target.py", "self.storage.refuse_links(self.link_free_root, path)",
        "self.storage.refuse_links(self.folder, path)", [CHANGES, "-k", "becomes_a_link"],
    ),
    "the interpreter is taken down after an error": (
        "pipeline/cli/main.py", "    if code != DONE:\n        leave(code)\n", "",
        ["tests/reliability/test_interruption.py", "-k", "spoil"],
    ),
    "no wait for a store that joins parts": (
        "connectors/storage/s3/upload.py", "(joining if S3_FAILURES.is_silence(failure) else 0)",
        "0",
        [FAULTS, "-k", "slowly"],
    ),
    "manifest.json stays while its run is replaced": (
        "connectors/flowtime/restore/run_folder.py",
        "first = [MANIFEST_FILE] if MANIFEST_FILE in self.existing else []",
        "first: list[str] = []", [IMPORTS, "--times", "3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_mutation_fits_the_code(name: str) -> None:
    file, text, _, _ = MUTATIONS[name]
    assert (ROOT / file).read_text().count(text) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_some_test_fails(tmp_path: Path, name: str) -> None:
    file, text, instead, tests = MUTATIONS[name]
    for folder in ("connectors", "pipeline", "tests", "samples", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    source = tmp_path / file
    before = source.read_text()
    source.write_text(before.replace(text, instead))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout[-2000:]
    assert re.search(r"\d+ (failed|error)", ended.stdout)
