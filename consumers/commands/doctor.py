"""`stream-rec doctor`: what is silently wrong with an installation, and how to mend it.

The checks are in `consumers/diagnosis/`; this prints what they found.
"""

import msgspec
from rich.table import Table
from rich.text import Text

from consumers import terminal
from consumers.diagnosis.examination import CHECKS, Checked, examine
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
    with (
        terminal.busy("looking at the installation"),
        looking(settings, Bounds(watched_s=watch_s), programs=programs) as look,
    ):
        found = examine(look, checks)
    sound = all(checked.sound for checked in found)
    if as_json:
        answer = {"sound": sound, "checks": found}
        terminal.results.print_json(msgspec.json.encode(answer).decode())
    else:
        _print(found, sound=sound)
    return sound


def _print(found: list[Checked], *, sound: bool) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for checked in found:
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
    faults = sum(f.weight == "wrong" for checked in found for f in checked.findings)
    verdict = "nothing is wrong" if sound else f"{faults} things are wrong"
    terminal.results.print(verdict, highlight=False)
