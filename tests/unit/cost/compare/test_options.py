"""options.toml is complete: prices exist, names are unique, numbers have a source."""

import re
from itertools import combinations

import pytest

from lambda_llm import limits
from lambda_llm.cost.compare.inputs import INPUTS
from lambda_llm.cost.compare.options import Option, Server, load
from lambda_llm.cost.prices import load as price_list
from lambda_llm.cost.units import registry

OPTIONS = load().options


@pytest.mark.parametrize("option", [pytest.param(option, id=option.name) for option in OPTIONS])
def test_an_option_is_complete(option: Option) -> None:
    assert option.prices <= price_list().keys()
    assert option.prices
    assert option.title
    assert "{" not in option.name + option.title + option.note
    assert len({line.what for line in option.lines}) == len(option.lines)
    known = {*INPUTS, *load().constants, *load().derived}
    if option.server is not None:
        server = load().servers[option.server]
        known |= {*load().server, *server.speeds, "capacity"}
        assert server.capacity in load().server
    assert {name for line in option.lines for name in line.formula.names} <= known
    assert option.own or option.kind == "tokens"


def test_every_way_is_there_once() -> None:
    names = [option.name for option in OPTIONS]
    assert len(set(names)) == len(names)
    titles = [option.title for option in OPTIONS]
    assert len(set(titles)) == len(titles)
    assert {name.split(".")[0] for name in names} == {
        *("lambda", "managed", "ec2", "sagemaker", "microvm", "agentcore", "bedrock", "onprem"),
        *("workers-ai", "together", "groq", "deepinfra"),
    }
    assert {option.kind for option in OPTIONS} == {"function", "server", "scaled", "zero", "tokens"}


@pytest.mark.parametrize("name", load().constants)
def test_a_constant_has_a_source_and_a_unit(name: str) -> None:
    constant = load().constants[name]
    assert len(constant.source) > 5
    assert registry().Quantity(1, constant.unit or "dimensionless").magnitude == 1


def test_a_server_has_its_speed_in_one_way_and_an_estimate_says_by_what() -> None:
    for server in load().servers.values():
        assert (server.vcpus is None) == (server.prefill is not None) == (server.decode is not None)
        assert server.vcpus or server.source


def test_no_two_things_have_one_name() -> None:
    options = load()
    kinds = [set(INPUTS), set(options.constants), set(options.derived), set(options.server), {"capacity"}]
    for one, other in combinations([*kinds, {"vcpus", "gpu_prefill", "gpu_decode"}], 2):
        assert not one & other


def test_every_constant_and_quantity_is_used() -> None:
    options = load()
    formulas = [each.formula for each in (*options.derived.values(), *options.server.values())]
    formulas += [line.formula for option in OPTIONS for line in option.lines]
    used = {name for formula in formulas for name in formula.names}
    # Not in a formula: they are what the report and the table say of a server.
    assert {*INPUTS, *options.constants, *options.derived} - used == set()
    assert {name for name in options.server if not name.startswith("capacity")} <= used | {"servers"}


def test_the_function_is_that_of_the_limits() -> None:
    constants = load().constants
    assert constants["memory"].value == limits.MEMORY_MB / 1024
    assert constants["function_vcpus"].value == pytest.approx(limits.MEMORY_MB / 1769, rel=0.01)
    assert constants["free_stream_gb"].value == 6 / 1024
    assert constants["month_days"].value * 24 == pytest.approx(constants["month_hours"].value)
    assert constants["month_hours"].value * 3600 == constants["month_seconds"].value


def test_formulas_are_texts_that_people_read() -> None:
    for option in OPTIONS:
        for line in option.lines:
            assert not re.search(r"  |\( | \)", line.formula.text)


def test_a_measured_server_is_measured_with_the_model_that_it_runs() -> None:
    assert Server("mine", prefill=10, decode=5, measured=True).capacity == "capacity_as_measured"
    assert Server("mine", prefill=10, decode=5).capacity == "capacity_of_gpu"
    assert Server("mine", vcpus=8).capacity == "capacity_of_vcpus"
