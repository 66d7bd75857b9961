"""The journal of what users say stays short, and is read only when that is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.registry import user_journal
from pipeline.registry.user_data import UserData
from pipeline.registry.user_journal import UserJournal


def _said(number: int, note: str) -> UserData:
    return UserData(type="run", id=f"run_{number}", location=f"/runs/run_{number}", note=note)


def test_what_is_said_again_and_again_does_not_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_journal, "_COMPACT_BYTES", 10_000)
    monkeypatch.setattr(user_journal.os, "fsync", lambda _: None)
    reads = 0
    journal = UserJournal(tmp_path / "registry.db")
    read = journal.entries

    def counted() -> list[UserData]:
        nonlocal reads
        reads += 1
        return read()

    monkeypatch.setattr(journal, "entries", counted)
    known = {number: _said(number, "first") for number in range(10)}
    most = 0
    for turn in range(2_000):
        changed = known[turn % 10] = _said(turn % 10, f"note {turn}")
        journal.append([changed], known.values())
        most = max(most, journal.path.stat().st_size)
    assert most < 20_000
    assert reads < 50
    assert {one.id: one.note for one in read()} == {one.id: one.note for one in known.values()}


def test_what_does_not_shrink_is_not_read_at_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_journal, "_COMPACT_BYTES", 1_000)
    journal = UserJournal(tmp_path / "registry.db")
    known = [_said(number, "x" * 100) for number in range(200)]
    journal.append(known, known)
    assert journal.path.stat().st_size > 1_000
    monkeypatch.setattr(UserJournal, "entries", None)  # would fail
    for number in range(10):
        journal.append([_said(number, "y")], known)
