import json
import re
from pathlib import Path

import pytest

from hotswap.batch import Code
from hotswap.metrics import REGISTRY

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
SAMPLES = {
    f"{metric.name}{suffix}"
    for metric in REGISTRY.collect()
    for suffix in {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}[
        "gauge" if metric.type == "info" else metric.type
    ]
}
ALERTS = re.findall(r"- alert: (\w+)", (OPS / "alerts.yml").read_text(encoding="utf-8"))


def expressions():
    dashboard = json.loads((OPS / "grafana/dashboards/hotswap.json").read_text(encoding="utf-8"))
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    yield from (variable["definition"] for variable in dashboard["templating"]["list"])
    for name in ("alerts.yml", "alerts_test.yml"):
        yield from (OPS / name).read_text(encoding="utf-8").splitlines()


def test_every_metric_in_ops_exists():
    asked = {name for text in expressions() for name in re.findall(r"(?<!deployment:)\bhotswap_\w+", text)}
    assert asked
    assert asked - SAMPLES == set()


def test_every_metric_except_the_details_is_on_the_dashboard():
    shown = " ".join(expressions())
    families = {metric.name for metric in REGISTRY.collect()}
    assert {name for name in families if name not in shown and name.startswith("hotswap_")} == {
        "hotswap_build_info",
        "hotswap_swap_phase_seconds",
        "hotswap_unknown_categories",
    }


def test_every_refusal_code_that_a_runbook_names_exists():
    page = (OPS / "runbooks/HotswapDeadLettersRising.md").read_text(encoding="utf-8")
    named = {code for line in page.splitlines() if line.startswith("*") for code in re.findall(r"`([A-Z_]{5,})`", line)}
    assert named
    assert named - set(Code) == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_and_names_its_runbook(alert):
    page = f"ops/runbooks/{alert}.md"
    assert (ROOT / page).read_text(encoding="utf-8").startswith(f"# {alert}\n")
    assert f'"{{{{ $externalURL }}}}/user/{alert}.md"' in (OPS / "alerts.yml").read_text(encoding="utf-8")
    assert f"alertname: {alert}\n" in (OPS / "alerts_test.yml").read_text(encoding="utf-8")


def test_every_runbook_belongs_to_an_alert():
    assert sorted(page.stem for page in (OPS / "runbooks").glob("*.md")) == sorted(ALERTS)
