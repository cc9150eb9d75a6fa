"""The report: what is measured of everything, the tables that are made of it, and the charts."""

from __future__ import annotations

import re

import pytest

from benchmarks import growth, measure, report
from benchmarks.budgets import RATIOS
from benchmarks.exits import GROUPS as EXITS
from benchmarks.features import GROUPS as FEATURES
from benchmarks.group import HAND, OPEN, SCOPE, STACK

MARKS = ("costs", "budgets", "floors", "others", "wrong")


@pytest.fixture(scope="module")
def results():
    """One round of everything, by one process."""
    measured = [measure.measure_group(group, 1) for group in EXITS + FEATURES]
    names = [group.name for group in EXITS + FEATURES]
    found = {
        "python": "3.99.1",
        "groups": {name: times for name, (times, _) in zip(names, measured, strict=True)},
        "wrong": {name: wrong for name, (_, wrong) in zip(names, measured, strict=True)},
        "others": measure.measure_others(1),
    }
    return [report.Results([found], {"growth": growth.measure((1, 100, 10_000), (1, 5), (1, 1000))})]


def rows_of(table):
    """The rows of a table, each a list of its cells; all are as long as the head."""
    rows = [line[2:-2].split(" | ") for line in table.splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


def test_costs(results):
    """Each group has a row, with the time by hand and a ratio for each way of ours that it has."""
    head, _, *body = rows_of(report.costs_table(results[0]))
    assert [row[0] for row in body] == [group.name for group in EXITS + FEATURES]
    for group, row in zip(EXITS + FEATURES, body, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert all(re.fullmatch(r"[\d,.]+( ns)?", cells[way]) for way in group.makes), row


def test_budgets(results):
    """Each budget has a row, and is of a group and of ways that are measured."""
    makes = {group.name: group.makes for group in EXITS + FEATURES}
    assert all({way, against} <= set(makes[group]) for group, way, against, _ in RATIOS)
    _, _, *body = rows_of(report.budgets_table(results))
    assert [row[:2] for row in body[: len(RATIOS)]] == [[f"{b.way}: {b.group}", b.against] for b in RATIOS]
    assert all(row[-1] for row in body)


def test_in_short(results):
    """README's table has the ratios of the page's; each row is full."""
    _, _, *body = rows_of(report.short_table(results))
    cells = {row[0]: row[-1] for row in body}
    assert cells["eight"] == f"{results[0].ratio('return, 8 calls', OPEN):.2f}"
    assert cells["**`defer_scope`**: one deferred call"] == f"{results[0].ratio('return, 1 call', SCOPE, STACK):.2f}"
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for cell in cells.values())


def test_what_is_missed_is_bold():
    """What is above its limit is bold."""
    assert report._judged(0.5, 0.5) == "0.50"
    assert report._judged(0.51, 0.5, " ms") == "**0.51 ms**"


def test_a_ratio_is_of_the_same_round():
    """A ratio is the median of those of the rounds in which both ways took part."""
    group = {HAND: [1.0, 10.0, 1.0], STACK: [2.0, 40.0, None]}
    process = {"python": "3.99.1", "wrong": {}, "groups": {"g": group}, "others": {}}
    found = report.Results([process], {"growth": {"pending": {}}})
    assert found.ratio("g", STACK) == 3.0
    assert found.ratio("g", "no such way") is None


def test_the_tables_are_put_where_the_document_has_their_marks(results, tmp_path):
    """Writing fills each mark of the document, leaves the rest alone, and draws the charts beside it in the page's own colour."""
    pytest.importorskip("matplotlib", reason="needs the extra 'bench'")
    document = tmp_path / "page.md"
    document.write_text("".join(f"before {name}\n<!-- {name} -->\nold\n<!-- end -->\n" for name in MARKS) + "the end\n")
    readme = tmp_path / "readme.md"
    readme.write_text("before\n<!-- costs -->\nold\n<!-- end -->\nafter\n")
    report.write(results, document, readme)
    assert readme.read_text() == f"before\n<!-- costs -->\n\n{report.short_table(results)}\n\n<!-- end -->\nafter\n"
    text = document.read_text()
    assert "old" not in text
    assert re.findall("^(?:before|the) .*", text, re.MULTILINE) == [*(f"before {name}" for name in MARKS), "the end"]
    assert report.floors_table(results) in text
    for name in ("benchmarks.svg", "benchmarks-growth.svg"):
        svg = (tmp_path / name).read_text()
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_a_document_without_a_mark(results, tmp_path):
    """A document that has no place for a table is an error, and is left alone."""
    document = tmp_path / "page.md"
    document.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no place for the table"):
        report.write(results, document, document)
    assert document.read_text() == "nothing\n"


def test_the_documents_have_the_marks(results):
    """The project's own documents have a place for each table."""
    assert "open-coded" in report._filled(report._README, {"costs": report.short_table(results)})
    page = report._filled(report._DOCUMENT, dict.fromkeys(MARKS, "a table"))
    assert page.count("a table") >= len(MARKS)
