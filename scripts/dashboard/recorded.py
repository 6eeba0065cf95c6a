"""Lines that functions really wrote, as an account, and the module's arguments for these functions."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from scripts.dashboard.evaluate import Account
from scripts.dashboard.metrics import Metrics
from scripts.dashboard.module import MACHINE, log_group


def read(text: Iterable[str]) -> list[dict[str, Any]]:
    """The lines with figures of a log; others are left out.

    Args:
        text: lines of a log, such as messages of CloudWatch's events.
    """
    found = []
    for each in text:
        try:
            line = json.loads(each)
        except ValueError:
            continue
        if isinstance(line, dict) and {"service", "event", "function"} <= line.keys():
            found.append(line)
    return found


def account(lines: Iterable[dict[str, Any]]) -> Account:
    """Metrics and logs of lines; of AWS's own metrics there are none."""
    metrics, groups = Metrics(), defaultdict[str, list[dict[str, Any]]](list)
    for line in lines:
        groups[log_group(line["function"])].append(line)
    for each in groups.values():
        metrics.take(each)
    return Account(metrics, groups, {})


def arguments(lines: Iterable[dict[str, Any]]) -> dict[str, object]:
    """The module's arguments for the functions that wrote lines."""
    functions: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for line in lines:
        name = line["function"]
        functions[line["service"]].setdefault(name, {"function_name": name, "log_group_name": log_group(name)})
    machines = {name: {"state_machine_arn": MACHINE, "worker": one} for name, one in functions["batch"].items()}
    return {
        "inference": functions["inference"],
        "routers": functions["router"],
        "agents": functions["agent"],
        "batches": machines,
        "pruners": functions["pruner"],
    }
