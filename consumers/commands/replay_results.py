"""What a replay measured, for people or for programs: quality, spread, and how lists differ.

Two policies are shown side by side, with what the second changes. Knows figures, not their making.
"""

from collections.abc import Callable, Mapping

import msgspec
from rich.table import Table

from consumers import terminal
from stream_rec.policy_comparison import Changed, Spread, Standing, changed
from stream_rec.replay import Report

Segments = dict[str, dict[str, float]]


def show(
    reports: Mapping[str, Report],
    lists: Mapping[str, Standing],
    beside: Mapping[str, Segments],
    *,
    as_json: bool = False,
) -> None:
    """Print the runs, their spread, the baselines, and each run compared with the first."""
    spreads = {name: standing.spread() for name, standing in lists.items()}
    first = next(iter(reports))
    compared = {
        name: changed(lists[first].lists, standing.lists)
        for name, standing in lists.items()
        if name != first
    }
    if as_json:
        found = {"runs": reports, "lists": spreads, "compared": compared, "baselines": beside}
        terminal.results.print_json(msgspec.json.encode(found).decode())
        return
    if compared:
        _print_side_by_side(reports, spreads, compared)
    _print_quality(reports, beside)


def _print_side_by_side(
    reports: Mapping[str, Report], spreads: Mapping[str, Spread], compared: Mapping[str, Changed]
) -> None:
    names = list(reports)
    table = Table("", *names, *(["difference"] if len(names) == 2 else []), box=None)
    for title, figure in ROWS.items():
        values = [figure(reports[name], spreads[name]) for name in names]
        cells = [f"{value:.4f}" for value in values]
        if len(names) == 2:
            cells.append(f"{values[1] - values[0]:+.4f}" + _ratio(values))
        table.add_row(title, *cells)
    terminal.results.print(table)
    for name, found in compared.items():
        terminal.results.print(
            f"{name} against {names[0]}: of {found.compared} lists {found.lists:.1%} changed, "
            f"{found.first:.1%} have another item on top, {found.replaced:.1%} of the items of a "
            "list are others",
            highlight=False,
            markup=False,
        )
    terminal.results.print()


def _ratio(values: list[float]) -> str:
    return f" ({values[1] / values[0] - 1:+.1%})" if values[0] else ""


def _print_quality(reports: Mapping[str, Report], beside: Mapping[str, Segments]) -> None:
    segments = ("all", "warm", "new item", "new user")
    table = Table("NDCG@10 (hit rate)", *segments, "coverage", "lists", box=None)
    for name, report in reports.items():
        cells = [_cell(report.segments.get(segment)) for segment in segments]
        table.add_row(name, *cells, f"{report.coverage:.1%}", f"{report.lists:,}", style="bold")
    for name, measured in _best_popularity(beside).items():
        table.add_row(name, *(_cell(measured.get(segment)) for segment in segments), "", "")
    terminal.results.print(table)
    scored = {name: report.segments["all"]["n"] for name, report in reports.items()}
    for name, report in reports.items():
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
        best = max((run["all"]["ndcg"] for run in beside.values()), default=0.0)
        ratio = f", {report.segments['all']['ndcg'] / best:.2f} x the best baseline" if best else ""
        terminal.results.print(
            f"{name}: {scored[name]} events scored{ratio}; {outcomes}; digest {report.digest[:16]}",
            highlight=False,
        )


def _best_popularity(beside: Mapping[str, Segments]) -> dict[str, Segments]:
    """Keep the best of the half-lives, which is chosen in hindsight."""
    popular = [name for name in beside if name.startswith("popularity")]
    best = max(popular, key=lambda name: beside[name]["all"]["ndcg"], default=None)
    return {name: run for name, run in beside.items() if name not in popular or name == best}


def _cell(measured: dict[str, float] | None) -> str:
    if not measured or not measured["n"]:
        return "–"
    return f"{measured['ndcg']:.4f} ({measured['hr']:.4f})"


def _segment(segment: str, figure: str) -> Callable[[Report, Spread], float]:
    return lambda report, _: report.segments.get(segment, {}).get(figure, 0.0)


ROWS: Mapping[str, Callable[[Report, Spread], float]] = {
    "NDCG@10": _segment("all", "ndcg"),
    "NDCG@10, new items": _segment("new item", "ndcg"),
    "NDCG@10, new users": _segment("new user", "ndcg"),
    "hit rate@10": _segment("all", "hr"),
    "coverage": lambda _, spread: spread.coverage,
    "Gini of exposure": lambda _, spread: spread.gini,
    "diversity of a list": lambda _, spread: spread.diversity,
    "exposure of new items": lambda _, spread: spread.exposure["new"],
    "exposure of the head": lambda _, spread: spread.exposure["head"],
    "exposure of the tail": lambda _, spread: spread.exposure["tail"],
}
