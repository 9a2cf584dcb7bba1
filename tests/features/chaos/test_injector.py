"""Off costs nothing: a chain without rules is the chain as it always was."""

from __future__ import annotations

from proxy.configuration.load import load_text
from proxy.exchange import END, Stage
from proxy.features.chaos import OFF, Injector
from proxy.features.chaos.response_faults import ChaosReturn
from proxy.features.chaos.stages import ChaosStage
from proxy.plan import RoutePlan
from proxy.stages.admit import Admit
from proxy.stages.connect import Connect
from proxy.stages.pick import Pick
from proxy.stages.relay import Relay
from proxy.stages.send import Send
from tests.features.chaos.injected import asked, rule
from tests.support.plans import linked

TEXT = (
    "listeners: [{bind: '127.0.0.1:0'}]\nupstreams: {app: {backends: ['127.0.0.1:1']}}\n"
    "routes: [{name: app, upstream: app}, {name: fixed, path: /f, respond: {status: 200}}]\n"
)


def routes(injector: Injector) -> dict[str, RoutePlan]:
    plan = linked(load_text(TEXT).config, injector=injector)
    found: list[RoutePlan] = [plan.routes.find(asked(path=path).head) for path in (b"/", b"/f")]
    return {each.name: each for each in found}


def chain(stage: Stage) -> list[type]:
    found: list[type] = []
    while stage is not END:
        found.append(type(stage))
        stage = stage.next
    return found


def test_off_links_nothing() -> None:
    app = routes(OFF)["app"]
    assert chain(app.first) == [Admit, Pick, Connect, Send]
    assert type(app.back) is Relay


def test_each_fault_stands_before_its_stage() -> None:
    app = routes(Injector([rule("connect", "abort"), rule("route", "abort"), rule("lookup", "abort")]))["app"]
    assert chain(app.first) == [ChaosStage, Admit, ChaosStage, Pick, ChaosStage, Connect, Send]
    assert type(app.back) is ChaosReturn


def test_faults_before_one_stage_share_it_in_the_order_of_the_stages() -> None:
    app = routes(Injector([rule("admit", "abort"), rule("accept", "abort")]))["app"]
    assert chain(app.first) == [ChaosStage, Admit, Pick, Connect, Send]
    assert [live.rule.stage for live in app.first.rules] == ["accept", "admit"]


def test_a_rule_for_another_route_links_nothing() -> None:
    found = routes(Injector([rule("send", "abort", routes=frozenset(["fixed"]))]))
    assert chain(found["app"].first) == [Admit, Pick, Connect, Send]
    assert type(found["app"].back) is Relay


def test_retries_and_new_connections_pass_the_faults_of_a_backend_but_not_those_before_it() -> None:
    app = routes(Injector([rule("pick", "abort"), rule("send", "abort")]))["app"]
    assert (type(app.pick), type(app.send)) == (Pick, ChaosStage)


def test_tallies_by_rule() -> None:
    assert Injector([rule("send", "abort", id="a"), rule("send", "abort", id="b")]).tallies() == {
        "a": (0, 0, 0),
        "b": (0, 0, 0),
    }
