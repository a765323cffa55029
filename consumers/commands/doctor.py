"""`stream-rec doctor`: what is silently wrong with an installation, and how to mend it.

The checks are in `consumers/diagnosis/`; this prints what they found.
"""

from collections.abc import Mapping

import msgspec
from rich.table import Table
from rich.text import Text

from consumers import terminal
from consumers.diagnosis.examination import CHECKS, Check, Checked, examine
from consumers.diagnosis.look import Bounds, looking
from consumers.diagnosis.model_checks import model_loads
from consumers.settings import Settings


def diagnose(
    settings: Settings,
    *,
    programs: tuple[str, ...] = (),
    load_model: bool = False,
    as_json: bool = False,
    watch_s: float = 3.0,
) -> bool:
    """Examine the installation, print what was found, and say whether all is sound.

    `programs` are those that run as this user: recommender and encoder unless named.

    Raises:
        BrokerUnavailable: nobody answers.
    """
    checks = {**CHECKS, "loading the model": model_loads} if load_model else CHECKS
    with terminal.busy("looking at the installation"):
        found = examined(settings, checks, Bounds(watched_s=watch_s), programs=programs)
    if as_json:
        terminal.results.print_json(msgspec.json.encode(found).decode())
    else:
        _print(found)
    return found.sound


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What every check found, and whether nothing is wrong."""

    sound: bool
    checks: list[Checked]


def examined(
    settings: Settings,
    checks: Mapping[str, Check] = CHECKS,
    bounds: Bounds | None = None,
    *,
    programs: tuple[str, ...] = (),
) -> Diagnosis:
    """Examine the installation, as `doctor --json` prints it.

    Raises:
        BrokerUnavailable: nobody answers.
    """
    with looking(settings, bounds, programs=programs) as look:
        found = examine(look, checks)
    return Diagnosis(sound=all(checked.sound for checked in found), checks=found)


def _print(found: Diagnosis) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for checked in found.checks:
        if not checked.findings:
            table.add_row(Text("ok", style="green"), checked.check, "")
        for finding in checked.findings:
            style = "red" if finding.weight == "wrong" else "yellow"
            table.add_row(
                Text(finding.weight, style=style),
                checked.check,
                Text(f"{finding.about}: {finding.text}"),
            )
            table.add_row("", "", Text(f"mend: {finding.mend}", style="dim"))
    terminal.results.print(table)
    faults = sum(f.weight == "wrong" for checked in found.checks for f in checked.findings)
    verdict = "nothing is wrong" if found.sound else f"{faults} things are wrong"
    terminal.results.print(verdict, highlight=False)
