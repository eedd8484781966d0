"""One resource for another, for a while, here and not elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
from dataclasses import dataclass

import pytest

from orchestrator import Resource, Warehouse
from orchestrator.definitions.resources import active_resource
from orchestrator.errors import DefinitionError


@dataclass(frozen=True)
class Api(Resource):
    url: str

    @property
    def host(self) -> str:
        return self.url.rpartition("/")[2]

    def ask(self) -> str:
        return f"asked {self.url}"


@dataclass(frozen=True)
class Told(Resource):
    answer: str
    host: str = "nowhere"

    def ask(self) -> str:
        return self.answer


@dataclass(frozen=True)
class Mute(Resource):
    pass


api = Api("https://example.com")


def test_inside_the_block_the_other_one_answers() -> None:
    with api.override(Told("told")):
        assert (api.ask(), api.host) == ("told", "nowhere")
    assert (api.ask(), api.host) == ("asked https://example.com", "example.com")


def test_it_stays_itself_as_a_key_and_as_a_value() -> None:
    with api.override(Told("told")):
        assert {api: 1}[api] == 1
        assert api == Api("https://example.com")
        assert (api.url, repr(api)) == ("https://example.com", "Api(url='https://example.com')")


def test_overrides_nest_and_the_innermost_holds() -> None:
    with api.override(Told("outer")):
        with api.override(Told("inner")):
            assert api.ask() == "inner"
        assert api.ask() == "outer"


def test_an_override_of_the_replacement_holds_too() -> None:
    told = Told("one")
    with api.override(told), told.override(Told("two")):
        assert api.ask() == "two"


def test_an_equal_resource_is_the_same_one() -> None:
    with api.override(Told("told")):
        assert pickle.loads(pickle.dumps(api)).ask() == "told"
        assert Api("https://other.example.com").ask() == "asked https://other.example.com"


def test_it_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), api.override(Told("told")):
        _ = 1 / 0
    assert active_resource(api) is api


def test_another_thread_has_its_own_unless_it_is_given_a_copy() -> None:
    answers: dict[str, str] = {}

    def ask(who: str) -> None:
        answers[who] = api.ask()

    with api.override(Told("told")):
        context = contextvars.copy_context()
        threads = [
            threading.Thread(target=contextvars.Context().run, args=(ask, "alone")),
            threading.Thread(target=context.run, args=(ask, "given")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {"alone": "asked https://example.com", "given": "told"}


def test_tasks_of_one_loop_do_not_disturb_each_other() -> None:
    async def ask(answer: str) -> str:
        with api.override(Told(answer)):
            await asyncio.sleep(0)
            return api.ask()

    async def both() -> list[str]:
        return list(await asyncio.gather(ask("one"), ask("two")))

    assert asyncio.run(both()) == ["one", "two"]
    assert api.ask() == "asked https://example.com"


def test_what_cannot_stand_in_is_refused() -> None:
    with pytest.raises(DefinitionError) as caught, api.override(Mute()):
        pass
    assert str(caught.value) == (
        "DefinitionError: Mute cannot stand in for Api: it has no ask, host\n"
        "  fix: override it by a resource that has the methods of Api"
    )
    with pytest.raises(DefinitionError) as caught, Warehouse.from_dbt().override(api):
        pass
    assert caught.value.what == "Api cannot stand in for Warehouse: it has no execute, table"
    with pytest.raises(DefinitionError) as caught, api.override("a string"):  # type: ignore[arg-type]
        pass
    assert str(caught.value) == (
        "DefinitionError: str is no resource\n"
        "  fix: subclass orchestrator.Resource (a frozen dataclass) with the methods that are used"
    )


def test_a_ring_is_refused() -> None:
    other = Api("https://other.example.com")
    with api.override(other), pytest.raises(DefinitionError) as caught, other.override(api):
        pass
    assert caught.value.what == "Api(url='https://other.example.com') would stand in for itself"
