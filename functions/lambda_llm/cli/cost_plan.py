"""`lambda-llm cost plan`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import JSON, out, print_error
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.cost.plans.resources import Assumed


class PlanFileError(LambdaLLMError):
    """A file can't be read, or is no measurement."""


def plan(
    file: Annotated[
        Path,
        typer.Argument(help="What `terraform show -json` printed of a plan; - for standard input.", show_default=False),
    ],
    *,
    seconds_per_request: Annotated[
        float | None,
        typer.Option(min=0, help="For how long a request keeps a function busy; 10 unless given or --measured."),
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="The same by a measurement: the output of `lambda-llm bench --json`.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="With --measured: new tokens of a prompt.")] = 300,
    answer_tokens: Annotated[int, typer.Option(min=1, help="With --measured: tokens of an answer.")] = 150,
    instance_price: Annotated[
        list[str], typer.Option(help="Dollars an hour of a type of instances, like ml.g6.2xlarge=1.37.")
    ] = [],  # noqa: B006 - typer's way, never changed
    fail_above: Annotated[
        float | None,
        typer.Option(help="Exit status 1 if the plan raises what is paid idle by more than these dollars a month."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a comment for a pull request.")] = False,
    as_json: JSON = False,
) -> None:
    """Say what a Terraform plan costs, before and after: idle a month, and a thousand requests, in total and by module.

    Functions with SnapStart keep a snapshot for each published version, and every apply that changes one publishes
    another: functions whose unused versions nobody deletes are named, with what each costs. What is known only when it
    is applied, and what is not priced here, is named as well. Prices are those of us-east-1, without free tiers; a
    month is 730 hours. Nothing is sent anywhere, and AWS is not asked.

    Example: `terraform show -json plan.bin > plan.json`, then `lambda-llm cost plan plan.json --fail-above 50`
    """
    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json are two forms: give one.")
    if measured is not None and seconds_per_request is not None:
        raise typer.BadParameter("--measured tells the seconds of a request: leave --seconds-per-request out.")
    _check_finite({"--seconds-per-request": seconds_per_request, "--fail-above": fail_above})
    from lambda_llm.cli import cost_plan_shown
    from lambda_llm.cost.plans.file import read
    from lambda_llm.cost.plans.report import public, report
    from lambda_llm.units import printable

    assumed = _assumed(seconds_per_request, measured, prompt_tokens, answer_tokens, instance_price)
    found = report(read(sys.stdin.buffer.read() if str(file) == "-" else _read(file)), assumed)
    if as_json:
        out.print_json(data=public(found))
    elif markdown:
        out.print(cost_plan_shown.markdown(found), markup=False, end="")
    else:
        cost_plan_shown.show(found)
    if fail_above is not None and found.sums.more > fail_above:
        print_error(
            printable(
                f"The plan raises what is paid idle by ${found.sums.more:,.2f} a month, which is more than "
                f"${fail_above:,.2f}: change it, or raise --fail-above."
            )
        )
        raise typer.Exit(1)


def _check_finite(numbers: dict[str, float | None]) -> None:
    """Refuse `nan`, which nothing is above, and infinity."""
    import math

    for name, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise typer.BadParameter(f"{name} is {number}: give a number.")


def _assumed(
    seconds: float | None, measured: Path | None, prompt: int, answer: int, instance_price: list[str]
) -> "Assumed":
    from lambda_llm.cost.plans.resources import Assumed

    prices = {}
    for given in instance_price:
        kind, _, dollars = given.partition("=")
        try:
            prices[kind] = float(dollars)
        except ValueError:
            raise typer.BadParameter(f"{given!r} is not TYPE=DOLLARS_AN_HOUR, like ml.g6.2xlarge=1.37.") from None
        if not (kind and 0 <= prices[kind] < float("inf")):
            raise typer.BadParameter(f"{given!r} is not TYPE=DOLLARS_AN_HOUR, like ml.g6.2xlarge=1.37.")
    if measured is not None:
        seconds = _measured_seconds(measured, prompt, answer)
    return Assumed(instance_hour=prices) if seconds is None else Assumed(seconds, prices)


def _measured_seconds(file: Path, prompt: int, answer: int) -> float:
    from lambda_llm.cost.measured import read
    from lambda_llm.cost.speeds import Speeds

    return Speeds.of(read(file), prompt).seconds(prompt, answer)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PlanFileError(f"{file} can't be read ({error.strerror}): give a file that can.") from error
