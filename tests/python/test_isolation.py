"""No invocation sees what another one did to its event or its arguments."""

from collections.abc import Callable
from typing import Any

from subcast_guest import Context, current_event, subscription
from subcast_guest._runner import Runner

Call = Callable[..., Any]


def test_each_invocation_has_an_event_of_its_own(resolve: Call) -> None:
    seen = []

    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        seen.append((event, event["list"]))
        event["list"].append(variables["n"])
        event[str(variables["n"])] = True
        return event

    texts = [outcome.value for outcome in resolve("field", {"list": []}, {"n": 1}, {"n": 2})]
    assert texts == ['{"list":[1],"1":true}', '{"list":[2],"2":true}']
    assert seen[0][0] is not seen[1][0] and seen[0][1] is not seen[1][1]


def test_each_invocation_has_arguments_of_its_own(resolve: Call) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        assert variables == {}
        variables["left"] = "behind"
        return 1

    assert [outcome.value for outcome in resolve("field", None, {}, {}, {})] == ["1", "1", "1"]


def test_each_invocation_has_a_context_of_its_own(resolve: Call, principal: Any) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any, context: Context) -> Any:
        context.claims["roles"].append("admin")
        context.subject = "eve"
        return context.claims["roles"]

    assert [outcome.value for outcome in resolve("field", None, {}, {}, principal=principal)] == ['["a","admin"]'] * 2


def test_current_event_follows_the_invocation(wire: Any, job: Call, declarations: list[Any]) -> None:
    @subscription("field", channel="c")
    async def field(event: Any, variables: Any) -> Any:
        current_event().data["seen"] = current_event().id
        return [event["seen"], current_event().id]

    answers = Runner(declarations, wire).resolve([job("field", {}, id="1"), job("field", {}, {}, {}, id="2")])
    assert [[outcome.value for outcome in answer] for answer in answers] == [['["1","1"]'], ['["2","2"]'] * 2]
