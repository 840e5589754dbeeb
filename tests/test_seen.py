"""What was seen on a machine, beside verdicts and prices."""

from __future__ import annotations

import json

import pytest

from bench.silicon.seen import Count, load_seen

RUN = {
    "schema": 1,
    "machine": {"processor": "a processor", "microcode": "0x1", "kernel": "a kernel", "cores": 2},
    "executed": [
        {"name": "unfixed, system", "instances": 8_100_000, "wrong": 12_034},
        {"name": "idempotent, system", "instances": 500, "wrong": 0},
        {"name": "idempotent, system, split", "instances": 70, "wrong": 70},
        {"name": "aligned-disp-x86, link, stub to near", "instances": 20, "wrong": 1},
        {"name": "aligned-disp-x86, link, near, or far", "instances": 30, "wrong": 2},
        {"name": "aligned-disp-x86, link, stub to near, split", "instances": 70, "wrong": 70},
        {"name": "aligned-disp-x86, unlink, near to stub", "instances": 100, "wrong": 5},
    ],
}


@pytest.fixture
def seen(tmp_path):
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(RUN))
    return str(path)


def test_the_cases_of_a_scenario_count_together_where_the_file_lays_them(seen):
    found = load_seen(seen)
    assert found.scenarios("aligned-disp-x86", ["link"]) == Count("", 50, 3)
    assert found.scenarios("aligned-disp-x86", ["link", "unlink"]) == Count("", 150, 8)
    assert found.scenarios("aligned-disp-x86", ["far"]) is found.among([("unfixed", "user")]) is None
    assert found.among([("unfixed", "system"), ("idempotent", "system"), ("unfixed", "user")]) == Count(
        "", 8_100_500, 12_034
    )


def test_it_is_a_column_of_every_table_of_a_comparison_and_of_the_page(seen, tiny_trace, staleline):
    asked = f"compare {tiny_trace} --strategy unfixed,idempotent --scenario system --seen {seen}"
    rows = {row["strategy"]: row for row in staleline(f"{asked} --host arm926 --format json").valid["results"]}
    assert rows["unfixed"]["seen"] == {"wrong": 12_034, "instances": 8_100_000}
    assert rows["idempotent"]["seen"] == {"wrong": 0, "instances": 500}
    for options in ("", "--wide", "--format html"):
        text = staleline(f"{asked} --host arm926 {options}").out
        assert "12,034 of 8.1 M" in text and "0 of 500" in text and "seen here" in text
        assert "on a processor, a kernel (staleline run)" in " ".join(text.split())
    text = staleline(f"{asked} --host arm926,armv8 --what-if").out
    assert "12,034 of 8.1 M" in text and "seen here" in text
    header, *lines = staleline(f"{asked} --host arm926,armv8 --what-if --format csv").out.splitlines()
    places = [header.split(",").index(name) for name in ("seen_wrong", "seen_instances")]
    assert {tuple(line.split(",")[place] for place in places) for line in lines} == {("12034", "8100000"), ("0", "500")}


def test_it_is_a_column_of_the_scenarios_of_a_site(seen, staleline):
    asked = f"check aligned-disp-x86 --host x86-skylake --scenario link,unlink,relink --seen {seen}"
    rows = {row["scenario"]: row["seen"] for row in staleline(f"{asked} --format json").valid["sites"]}
    assert rows == {"link": {"wrong": 3, "instances": 50}, "unlink": {"wrong": 5, "instances": 100}, "relink": None}
    lines = [line.split() for line in staleline(asked).out.splitlines()]
    assert ["scenario", "x86-skylake", "seen", "here"] in lines
    assert ["unlink", "holds", "5", "of", "100"] in lines and ["relink", "holds"] in lines


def test_it_is_a_column_of_compared_sites(seen, tiny_trace, staleline):
    asked = f"compare {tiny_trace} aligned-disp-x86 --scenario link,unlink --seen {seen}"
    (row,) = staleline(f"{asked} --host x86-skylake --format json").valid["linking"]
    assert row["seen"] == {"wrong": 8, "instances": 150}
    for hosts in ("x86-skylake", "x86-skylake,x86-amd"):
        text = staleline(f"{asked} --host {hosts}").out
        assert "seen here" in text and "8 of 150" in text and "on a processor, a kernel" in " ".join(text.split())
    page = staleline(f"{asked} --host x86-skylake --format html").out
    assert 'data-sort="8">8 of 150</td>' in page and '<td data-label="seen here"' in page
    assert "on a processor, a kernel (staleline run)" in " ".join(page.split())
    assert "seen here" not in staleline(f"{asked.partition(' --seen')[0]} --host x86-skylake --format html").out
