"""What a user is likely to get wrong is named with its place, at every entry point."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import StorageError
from connectors.storage import connect
from pipeline.cli.config_template import config_template
from pipeline.cli.main import run_cli
from pipeline.config import load_config, parse_config
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.sinks.formats import ALL_FORMATS
from tests.exporting import config, names, spec, write_runs

Streams = pytest.CaptureFixture[str]


def text_of(url: str = "runs", path: str = "out.csv", version: str = "1", rest: str = "") -> str:
    return (
        f"version: {version}\nsource:\n  url: '{url}'\n{rest}"
        f"sinks:\n  - format: csv\n    path: '{path}'\n"
    )


def refusal(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, filename="c.yaml", environ=environ)
    return str(caught.value)


# --------------------------------------------------------------------------- URLs

URLS = {
    "zip://a.zip": "zip:// names an archive, which is not read: unpack it",
    "tar://a.tar": "tar:// names an archive",
    "zip://x::s3://lake/a.zip": "zip:// names an archive",
    "simplecache::s3://lake/runs": "wraps another storage, which is not supported",
    "filecache://x": "wraps another storage",
    "htp://host/runs": "htp:// is not a protocol that fsspec knows: did you mean http://?",
    "qqq://x": "qqq:// is not a protocol that fsspec knows: correct the URL",
    "ftp://": "ftp:// names no place",
    "s3://": "names no bucket",
    "s3:/lake/runs": "has one slash after s3: where a URL has two; write s3://...",
    "file:/lake/runs": "has one slash after file:",
    "~no-such-user/runs": "no home folder is known for ~no-such-user",
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_is_none(url: str, capsys: Streams) -> None:
    assert refusal(text_of(url)).startswith("c.yaml:3:8: source.url: ")
    assert URLS[url] in refusal(text_of(url))
    if not url.endswith("://"):
        assert URLS[url] in refusal(text_of(path=f"{url}/{{run_id}}.csv"))
    with pytest.raises(StorageError) as caught:
        connect(url)
    assert URLS[url] in str(caught.value)
    assert run_cli(["runs", url]) in (1, 2)
    assert run_cli(["export", url, "--format", "csv"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_can_only_be_read_is_no_sink() -> None:
    message = refusal(text_of(path="https://host/a.csv"))
    assert message == (
        "c.yaml:6:11: sinks[0].path: https:// can only be read: write to a disk or an object store"
    )
    assert parse_config(text_of("https://host/runs")).source.url == "https://host/runs"


def test_a_server_that_is_not_there(tmp_path: Path, capsys: Streams) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text_of("ftp://127.0.0.1:1/runs", f"{tmp_path}/a.csv"))
    assert run_cli(["validate", str(file)]) == 0
    for verb in ("run", "plan", "doctor"):
        assert run_cli([verb, str(file)]) == 1
    shown = "".join(capsys.readouterr())
    assert "connecting to ftp://: no connection" in shown
    assert "Traceback" not in shown


# --------------------------------------------------------------------------- other slips

SLIPS = {
    "version: 1\nsource: /data/runs\nsinks: [{format: csv, path: a.csv}]\n": (
        "c.yaml:2:9: source: expected a block of keys, found text '/data/runs'; write {url: ...}"
    ),
    "version: 1\nsource:\n\turl: runs\nsinks: [{format: csv, path: a.csv}]\n": (
        "c.yaml:3:1: not YAML: a tab where only spaces may indent; replace tabs by spaces"
    ),
    "version: 1\nsource: {url: runs}\nsinks: [{format: csv, path: a.csv, separator: '||'}]\n": (
        "c.yaml:3:47: sinks[0].separator: expected one printable ASCII character or a tab, found "
        "text '||'"
    ),
    "version: 1\nsource: {url: runs}\nsinks: [{format: csv, path: a.csv, quote: ''}]\n": (
        "c.yaml:3:43: sinks[0].quote: expected one printable ASCII character, found text ''"
    ),
    "version: 1\nsource: {url: runs}\nsinks: [{format: csv, path: a.parquet}]\n": (
        "c.yaml:3:29: sinks[0].path: format csv writes no .parquet file; set the format to "
        "parquet, or give the path another ending"
    ),
}


@pytest.mark.parametrize("text", SLIPS, ids=["text", "tab", "separator", "quote", "ending"])
def test_a_slip_is_named_with_what_would_be_right(text: str) -> None:
    assert refusal(text) == SLIPS[text]


# --------------------------------------------------------------------------- home folders


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    write_runs(home / "runs", spec("run_a"))
    export(
        config("~/runs", {"path": "~/out/a.csv"}, {"format": "parquet", "path": "file://~/gold/"})
    )
    assert run_cli(["export", "~/runs/run_a", "--format", "csv", "--out", "~/out/b.csv"]) == 0
    assert run_cli(["verify", "~/out/a.csv"]) == 0
    assert run_cli(["runs", "~/runs"]) == 0
    found = names(home)
    assert {"out/a.csv", "out/b.csv", "gold/_datapackage.json"} <= set(found)
    assert names(work) == []
    assert [path.name for path in work.iterdir()] == []
    user = pwd.getpwuid(os.getuid())
    assert connect(f"~{user.pw_name}/x")[1] == f"{user.pw_dir}/x"


def test_a_mounted_secret_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "team").write_text("ops\n")
    text = text_of(rest="metadata: {constants: {team: '${file:~/team}'}}\n")
    assert parse_config(text).metadata.constants == {"team": "ops"}
    assert "no such home folder" in refusal(text.replace("~/", "~no-such-user/"))


def test_no_run_leads_to_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_runs(tmp_path / "runs", spec("run_a", run_id="~"), spec("~", run_id="~root"))
    export(config("runs", {"path": "{run_id}/a.csv"}, {"path": "{run_name}/b.csv"}))
    assert (tmp_path / "~" / "a.csv").is_file()
    assert (tmp_path / "~root" / "a.csv").is_file()
    assert (tmp_path / "~" / "b.csv").is_file()
    assert not (tmp_path / "home").exists()


# --------------------------------------------------------------------------- globs

GLOBS = {
    "[a-": "the [ in '[a-' is not closed; a literal one is written [[]",
    "run_[": "is not closed",
    "[!": "is not closed",
    "[]": "is not closed",
    "[a-c]*[": "is not closed",
    "run_[9-0]": "the range 9-0 in 'run_[9-0]' runs backwards",
    "2025/run_*": "'2025/run_*' holds a /, but names have none",
    "": "expected at least 1 character",
}


@pytest.mark.parametrize("glob", GLOBS)
@pytest.mark.parametrize("key", ["include", "exclude", "series: {measures", "series: {classes"])
def test_a_glob_that_matches_nothing(glob: str, key: str) -> None:
    end = "}" if "{" in key else ""
    message = refusal(text_of(rest=f"  {key}: ['{glob}']{end}\n"))
    assert GLOBS[glob] in message
    assert message.startswith(f"c.yaml:4:{len(key) + 6}: source.")


@pytest.mark.parametrize("glob", ["*", "run_*", "[[]a", "[!a-c]?", "[]a]", "[a-]", "a]b", "{a,b}"])
def test_globs_that_are_fine(glob: str) -> None:
    found = parse_config(text_of(rest=f"  include: ['{glob}']\n"))
    assert found.source.include == (glob,)


# --------------------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    ("version", "complaint"),
    [
        ("'1'", "expected 1, found text '1'; write 1 without quotes"),
        ("'1 '", "expected 1, found text '1 '; write 1 without quotes"),
        ("2", "expected 1, found 2"),
        ("one", "expected 1, found text 'one'"),
        ("true", "expected 1, found true"),
        ("1.0", "expected 1, found 1.0"),
        ("[1]", "expected 1, found a list"),
    ],
)
def test_the_version_is_a_number(version: str, complaint: str) -> None:
    assert refusal(text_of(version=version)) == f"c.yaml:1:10: version: {complaint}"


def test_another_case_is_a_near_miss() -> None:
    message = refusal(text_of().replace("format: csv", "format: CSV"))
    assert "unknown format, found text 'CSV'; did you mean 'csv'?" in message
    message = refusal(text_of(rest="  on_error: FAIL\n"))
    assert "expected fail or skip, found text 'FAIL'; did you mean 'fail'?" in message


@pytest.mark.parametrize(
    "reference", ["${A:-${B}}", "${A:-{run_id}}", "${A:-$${B}}", "${${A}}", "${file:${A}}"]
)
@pytest.mark.parametrize("environ", [{}, {"A": "a", "B": "b"}])
def test_references_are_not_nested(reference: str, environ: dict[str, str]) -> None:
    assert refusal(text_of(reference), **environ) == (
        "c.yaml:3:8: source.url: a reference cannot hold { or another reference: "
        "give its default as plain text"
    )


# --------------------------------------------------------------------------- init


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("zip://a.zip", "out"),
        ("ftp://", "out"),
        ("runs", "https://host/x"),
        ("runs", "out/{run}"),
        ("runs", "out/{"),
        ("${NOT_SET_ANYWHERE}", "out"),
        ("runs", "out\nx"),
        ("", "out"),
        ("runs", ""),
        ("s3://user:password@bucket/x", "out"),
    ],
)
def test_init_writes_nothing_that_is_not_valid(
    source: str, target: str, tmp_path: Path, capsys: Streams
) -> None:
    file = tmp_path / "c.yaml"
    assert run_cli(["init", "--source", source, "--to", target, "--out", str(file)]) == 2
    assert not file.exists()
    out, err = capsys.readouterr()
    assert out == ""
    assert "these options make no valid config" in err
    assert "password" not in err.replace("holds a password", "")


_PLACES = st.one_of(
    st.sampled_from(["s3://sim/runs", "S3A://x/y", "a: b #c", "it's", "'", '"', "- x", "{{a}}",
                     "{run_id}", "~/x", "null", "0x1F", "@a", "*a", "!a", "a.csv", "%x", "/"]),
    st.text(max_size=12),
)  # fmt: skip


@given(source=_PLACES, target=_PLACES, formats=st.sets(st.sampled_from(ALL_FORMATS), min_size=1))
@settings(max_examples=200, deadline=None)
def test_whatever_init_writes_is_valid(source: str, target: str, formats: set[str]) -> None:
    ordered = [form for form in ALL_FORMATS if form in formats]
    try:
        text = config_template(source, ordered, out=target)
    except ConfigError:
        return
    found = parse_config(text)
    assert found.source.url == source
    assert [sink.format for sink in found.sinks] == ordered
    assert all(sink.path.startswith(target.rstrip("/")) for sink in found.sinks)


def test_init_takes_a_file_for_one_format(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    arguments = ["--source", "s3://sim/runs", "--format", "csv", "--to", "s3://lake/a.csv.gz"]
    assert run_cli(["init", *arguments, "--out", str(file)]) == 0
    found = load_config(file, environ={})
    assert (found.sinks[0].path, found.sinks[0].storage) == ("s3://lake/a.csv.gz", "lake")
    assert found.source.storage == "lake"
