"""The report: its measurements, tables, and charts."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from benchmarks import floors, growth, measure, report, starts
from benchmarks.budgets import RATIOS, Budget
from benchmarks.exits import GROUPS as EXITS
from benchmarks.features import GROUPS as FEATURES
from benchmarks.group import HAND, OPEN, RUNTIME, SCOPE, STACK

MARKS = ("costs", "budgets", "floors", "others", "starts", "wrong")


@pytest.fixture(scope="module")
def found():
    """Return one round of all measurements of one process."""
    measured = [measure.measure_group(group, 1) for group in EXITS + FEATURES]
    names = [group.name for group in EXITS + FEATURES]
    return {
        "implementation": "CPython",
        "python": "3.99.1",
        "groups": {name: times for name, (times, _) in zip(names, measured, strict=True)},
        "wrong": {name: wrong for name, (_, wrong) in zip(names, measured, strict=True)},
        "others": measure.measure_others(1),
    }


@pytest.fixture(scope="module")
def grown():
    """Return the growth of cost up to small sizes."""
    return {"growth": growth.measure((1, 100, 10_000), (1, 5), (1, 1000))}


@pytest.fixture(scope="module")
def started():
    """Return the starts of small programs."""
    sizes = {"1 function": (1, 1), starts.JUDGED: (4, 2)}
    return {"starts": measure.measure_starts(1, sizes=sizes, judged=(4, 2))}


@pytest.fixture(scope="module")
def results(found, grown, started):
    """Return the results of one judged Python."""
    return [report.Results([found], grown, started)]


@pytest.fixture(scope="module")
def with_pypy(results, found, grown, started):
    """Return the results of that Python, and of a PyPy, which cannot count memory."""
    found = {**found, "implementation": "PyPy", "python": "3.98.2"}
    without = {"growth": {**grown["growth"], "pending": {}}}
    return [*results, report.Results([found], without, started)]


def rows_of(table):
    """Return the rows of a table as lists of cells. Check that all are as long as the head."""
    rows = [line[2:-2].split(" | ") for line in table.splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


def test_costs(results):
    """Each group has a row, with the time by hand and a ratio for each of its ways."""
    head, _, *body = rows_of(report.costs_table(results[0]))
    assert [row[0] for row in body] == [group.name for group in EXITS + FEATURES]
    for group, row in zip(EXITS + FEATURES, body, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert all(re.fullmatch(r"[\d,.]+( ns)?", cells[way]) for way in group.makes), row


def test_budgets(results):
    """Each budget has a row, and belongs to a measured group and ways."""
    makes = {group.name: group.makes for group in EXITS + FEATURES}
    assert all({way, against} <= set(makes[group]) for group, way, against, _ in RATIOS)
    _, _, *body = rows_of(report.budgets_table(results))
    assert [row[:2] for row in body[: len(RATIOS)]] == [
        [f"{b.way}: {b.group}", b.against] for b in RATIOS
    ]
    assert all(row[-1] for row in body)


def test_pypy_is_shown_and_not_judged(with_pypy, monkeypatch):
    """PyPy's column is after CPython's, and PyPy is not judged.

    Even if CPython misses every budget, PyPy misses none.
    """
    monkeypatch.setattr(report, "RATIOS", [budget._replace(limit=0.0) for budget in RATIOS])
    table, _, note = report.budgets_table(with_pypy).rpartition("\n\n")
    assert note == "The budgets are CPython's. PyPy 3.98 is shown, and not judged."
    head, _, *body = rows_of(table)
    assert head[-2:] == ["3.99", "PyPy 3.98"]
    assert all(row[-2].startswith("**") for row in body[: len(RATIOS)])
    assert not any("**" in row[-1] for row in body)
    memory = [row[-1] for row in body if "memory" in row[0]]
    assert memory == ["", "", ""]
    assert "PyPy" not in report.missed_list(with_pypy) + report.floors_table(with_pypy)


def test_starts(results):
    """Each program has a row for each way, below the bare interpreter's. Decorations follow."""
    _, _, *body = rows_of(report.starts_table(results))
    assert body[0][0] == starts.BARE
    assert [row[:2] for row in body[1:9]] == [
        [size if way == HAND else "", way]
        for size in ("1 function", starts.JUDGED)
        for way in starts.WAYS
    ]
    assert len(body) == 1 + 8 + 6 + 3
    assert all(re.fullmatch(r"[\d.]+ (ms|µs)", row[-1]) for row in body)


def test_a_start_is_compared_with_that_of_the_same_round():
    """A difference between starts is the median of the differences within each round."""
    times = {HAND: [0.010, 0.030, 0.010], starts.WARM: [0.012, 0.031, 0.060]}
    started = {"programs": {"p": times}, "decorating": {}, "nested": {}}
    process = {"implementation": "CPython", "python": "3.99.1"}
    process |= {"wrong": {}, "groups": {}, "others": {}}
    found = report.Results([process], {"growth": {"pending": {}}}, {"starts": started})
    assert found.start_beyond("p", starts.WARM) == pytest.approx(2.0)
    assert found.start_ratio("p", starts.WARM) == pytest.approx(1.2)
    assert found.start("p", starts.WARM) == pytest.approx(31.0)


@pytest.mark.parametrize("table", [report.others_table, report.short_table, report.starts_table])
def test_pypy_has_a_column(with_pypy, table):
    """PyPy is measured, except for its memory."""
    head, _, *body = rows_of(table(with_pypy))
    assert head[-1] == "PyPy 3.98"
    assert all(bool(row[-1]) != ("memory" in row[0] or "bytes" in row[0]) for row in body)


def test_a_miss_is_named_with_its_floor(results, monkeypatch):
    """A missed budget has a line, with each step of its floor. A budget that is met has none."""
    monkeypatch.setattr(
        report,
        "RATIOS",
        [Budget("recover", OPEN, HAND, 0.0), Budget("recover", RUNTIME, HAND, 1e9)],
    )
    first, *others = report.missed_list(results).splitlines()
    number = r"\d+\.\d+"
    assert re.fullmatch(
        rf"- open-coded: recover, against by hand: the budget is 0\. Measured: {number} on 3\.99\. "
        rf"The floor there: the least {number}; with a `recover\(\)` {number}; "
        rf"which checks its caller {number}\.",
        first,
    )
    assert not any("recover" in line for line in others)


def test_floors(results):
    """Each budget with a floor has a row for each step of it, and one for godefer."""
    _, _, *body = rows_of(report.floors_table(results))
    assert [row[:4] for row in body if row[0] == "open-coded: recover"] == [
        ["open-coded: recover", HAND, "3.5", floors.LEAST],
        ["open-coded: recover", STACK, "0.5", floors.LEAST],
    ]
    assert [row[3] for row in body].count("godefer") == [row[3] for row in body].count(floors.LEAST)
    assert all(re.fullmatch(r"[\d,.]+", row[-1]) for row in body)


def test_a_python_may_be_several_words(tmp_path):
    """A Python is a command, which may run without access to the files of the report."""
    answer = {
        "implementation": "CPython",
        "python": "3.99.1",
        "groups": {},
        "wrong": {},
        "others": {},
    }
    answer |= {"growth": {"pending": {}}}
    answer |= {"starts": {"programs": {}, "decorating": {}, "nested": {}}}
    script = tmp_path / "a python"
    script.write_text(f"import json, sys\nif '-m' in sys.argv: print(json.dumps({answer!r}))\n")
    command = shlex.join([sys.executable, str(script), "run"])
    (measured,) = report.measure([command], rounds=1, processes=2)
    assert measured.name == "CPython 3.99.1"


def test_in_short(results):
    """The table of docs/costs.md has the ratios of docs/benchmarks.md, and each row is full."""
    _, _, *body = rows_of(report.short_table(results))
    cells = {row[0]: row[-1] for row in body}
    assert cells["eight"] == f"{results[0].ratio('return, 8 calls', OPEN):.2f}"
    assert (
        cells["**`defer_scope`**: one deferred call"]
        == f"{results[0].ratio('return, 1 call', SCOPE, STACK):.2f}"
    )
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for cell in cells.values())


def test_in_the_readme(results):
    """The table of README.md has five rows of the table of docs/costs.md."""
    head, rule, *rows = report.readme_table(results).splitlines()
    in_short = report.short_table(results).splitlines()
    assert in_short[:2] == [head, rule]
    assert len(rows) == 5
    assert [row for row in in_short if row in rows] == rows


def test_a_miss_is_bold():
    """A value above its limit is bold."""
    assert report._judged(0.5, 0.5) == "0.50"
    assert report._judged(0.51, 0.5, " ms") == "**0.51 ms**"


def test_a_ratio_is_of_the_same_round():
    """A ratio is the median over the rounds in which both ways took part."""
    group = {HAND: [1.0, 10.0, 1.0], STACK: [2.0, 40.0, None]}
    process = {
        "implementation": "CPython",
        "python": "3.99.1",
        "wrong": {},
        "groups": {"g": group},
        "others": {},
    }
    started = {"programs": {}, "decorating": {}, "nested": {}}
    found = report.Results([process], {"growth": {"pending": {}}}, {"starts": started})
    assert found.ratio("g", STACK) == 3.0
    assert found.ratio("g", "no such way") is None


def test_the_tables_are_put_where_the_document_has_their_marks(results, tmp_path):
    """Writing fills each mark of the document and leaves the rest alone.

    It draws the charts beside the document, in the page's own colour.
    """
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    document = tmp_path / "page.md"
    document.write_text(
        "".join(f"before {name}\n<!-- {name} -->\nOUTDATED\n<!-- end -->\n" for name in MARKS)
        + "the end\n"
    )
    costs, readme = tmp_path / "costs.md", tmp_path / "readme.md"
    for path in (costs, readme):
        path.write_text("before\n<!-- costs -->\nOUTDATED\n<!-- end -->\nafter\n")
    report.write(results, document, costs, readme)
    for path, table in {costs: report.short_table, readme: report.readme_table}.items():
        assert (
            path.read_text()
            == f"before\n<!-- costs -->\n\n{table(results)}\n\n<!-- end -->\nafter\n"
        )
    text = document.read_text()
    assert "OUTDATED" not in text
    assert re.findall("^(?:before|the) .*", text, re.MULTILINE) == [
        *(f"before {name}" for name in MARKS),
        "the end",
    ]
    assert report.floors_table(results) in text
    for name in ("benchmarks.svg", "benchmarks-growth.svg", "benchmarks-starts.svg"):
        svg = (tmp_path / name).read_text()
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_starts_alone(results, tmp_path):
    """Measuring only the starts changes only their table and their chart."""
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    document = tmp_path / "page.md"
    document.write_text(
        "<!-- others -->\nOUTDATED\n<!-- end -->\n<!-- starts -->\nOUTDATED\n<!-- end -->\n"
    )
    report.write_starts(results, document)
    assert document.read_text() == (
        "<!-- others -->\nOUTDATED\n<!-- end -->\n"
        f"<!-- starts -->\n\n{report.starts_table(results)}\n\n<!-- end -->\n"
    )
    assert [path.name for path in tmp_path.glob("*.svg")] == ["benchmarks-starts.svg"]


def test_a_document_without_a_mark(results, tmp_path):
    """A document without a place for a table is an error, and is not changed."""
    document = tmp_path / "page.md"
    document.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no place for the table"):
        report.write(results, document, document, document)
    assert document.read_text() == "nothing\n"


def test_the_documents_have_the_marks(results):
    """The project's own documents have a place for each table."""
    for document in (report._COSTS, report._README):
        assert "a table" in report._filled(document, {"costs": "a table"})
    page = report._filled(report._DOCUMENT, dict.fromkeys(MARKS, "a table"))
    assert page.count("a table") >= len(MARKS)
