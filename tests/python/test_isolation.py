"""No invocation sees what another one did to its event or its arguments."""

from collections.abc import Callable
from typing import Any

from subcast_guest import Context, current_event, subscription

Call = Callable[..., Any]


def test_each_invocation_has_an_event_of_its_own(resolve: Call) -> None:
    seen = []

    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        seen.append((event, event["list"]))
        event["list"].append(variables["n"])
        event[str(variables["n"])] = True
        return event

    said = [outcome["value"] for outcome in resolve("field", {"list": []}, {"n": 1}, {"n": 2})]
    assert said == [{"list": [1], "1": True}, {"list": [2], "2": True}]
    assert seen[0][0] is not seen[1][0] and seen[0][1] is not seen[1][1]


def test_each_invocation_has_flat_data_of_its_own(resolve: Call) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        event["n"] += 1
        event[str(variables["n"])] = True
        return event

    said = [outcome["value"] for outcome in resolve("field", {"n": 0}, {"n": 1}, {"n": 2}, {"n": 3})]
    assert said == [{"n": 1, "1": True}, {"n": 1, "2": True}, {"n": 1, "3": True}]


def test_each_invocation_has_arguments_of_its_own(resolve: Call) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        assert variables == {}
        variables["left"] = "behind"
        return 1

    assert [outcome["value"] for outcome in resolve("field", None, {}, {}, {})] == [1, 1, 1]


def test_each_invocation_has_a_context_of_its_own(resolve: Call, principal: Any) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any, context: Context) -> Any:
        context.claims["roles"].append("admin")
        context.subject = "eve"
        return context.claims["roles"]

    assert [outcome["value"] for outcome in resolve("field", None, {}, {}, principal=principal)] == [["a", "admin"]] * 2


def test_current_event_follows_the_invocation(run: Call, job: Call) -> None:
    @subscription("field", channel="c")
    async def field(event: Any, variables: Any) -> Any:
        current_event().data["seen"] = current_event().id
        return [event["seen"], current_event().id]

    outcomes = run("field", job({}, id="1"), job({}, {}, {}, id="2"))
    assert [outcome["value"] for outcome in outcomes] == [["1", "1"], ["2", "2"], ["2", "2"]]
