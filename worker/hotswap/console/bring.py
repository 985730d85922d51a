"""The upload of a model: its kind, its proto to edit, its predictions beside the serving ones, its plan, its swap."""

import shlex
from fractions import Fraction
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotswap.client.change import Change, Rollout
from hotswap.client.plan_text import rows_of, title_of
from hotswap.client.planning import Planner
from hotswap.console import protos, rows
from hotswap.console.drafts import Drafts, ModelDraft
from hotswap.console.shared import Shared, address, see
from hotswap.console.trial import Trial, attempt
from hotswap.errors import HotswapError
from hotswap.gateway.bodies import Form
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.problems import Problem
from hotswap.generation import Proto
from hotswap.runtimes.kinds import kinds

TAB = "bring"
_FORM_BYTES = 8 << 20


class _Forecast(NamedTuple):
    """A plan as the page shows it; `rows` are empty if none could be made, and `reasons` then say why."""

    title: str
    rows: list[tuple[str, str]]
    reasons: tuple[str, ...]


class BringPages:
    """The pages of each deployment under /d/{deployment}/bring."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._drafts = Drafts()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/d/{deployment}/bring", self.show, methods=["GET"]),
            Route("/d/{deployment}/bring", self.upload, methods=["POST"]),
            Route("/d/{deployment}/bring/{key}", self.draft, methods=["GET"]),
            Route("/d/{deployment}/bring/{key}", self.edit, methods=["POST"]),
            Route("/d/{deployment}/bring/{key}/swap", self.swap, methods=["POST"]),
        ]

    def close(self) -> None:
        """Remove the drafts."""
        self._drafts.close()

    async def show(self, request: Request) -> Response:
        """Show the form for a file."""
        quoted = shlex.quote(self._shared.deployment(request).name)
        return await self._shared.page(request, "bring", TAB, kinds=sorted(kinds()), quoted=quoted)

    async def upload(self, request: Request) -> Response:
        """Save an uploaded model, and redirect to its draft."""
        deployment = self._shared.deployment(request)
        async with self._shared.pages.form(request, self._shared.limits.artifact_bytes) as form:
            draft = await self._drafts.add(deployment, form, self._shared.limits)
        return see(address(request, deployment.name, TAB, draft.key))

    async def draft(self, request: Request) -> Response:
        """Show a draft."""
        return await self._page(request, self._find(request))

    async def edit(self, request: Request) -> Response:
        """Take the edited proto, or reset it to the draft or the serving one; check it, and plan its swap."""
        draft = self._find(request)
        async with self._shared.pages.form(request, _FORM_BYTES) as form:
            self._take(draft, self._shared.deployment(request), form, form.text("begin"))
        return await self._page(request, draft)

    async def swap(self, request: Request) -> Response:
        """Publish the swap, and redirect to the timeline; after an error in the proto, show the draft."""
        deployment, draft = self._shared.deployment(request), self._find(request)
        async with self._shared.pages.form(request, _FORM_BYTES) as form:
            self._take(draft, deployment, form, None)
        _canary(draft.canary)
        checked = await protos.check(draft.proto)
        if checked.schema is None:
            return await self._page(request, draft)
        trial = await attempt(draft, checked.schema, deployment, self._shared.limits, self._shared.limits.work(request))
        if trial.fault:
            return await self._page(request, draft)
        change = _change(draft, trial)
        response = await self._shared.publish(request, lambda client: client.swap(change))
        self._drafts.drop(draft.key)
        return response

    def _find(self, request: Request) -> ModelDraft:
        draft = self._drafts.find(self._shared.deployment(request).name, request.path_params["key"])
        if draft is None:
            detail = "this model was swapped in, or had to make room for others: bring it in again"
            raise Problem(HTTPStatus.GONE, detail)
        return draft

    def _take(self, draft: ModelDraft, deployment: Deployment, form: Form, begin: str | None) -> None:
        if form.has("canary"):
            draft.canary = (form.text("canary") or "").strip()
        if begin == "serving" and (serving := protos.serving_text(deployment)):
            draft.proto = serving
        elif begin == "draft":
            draft.proto = draft.drafted or draft.proto
        else:
            draft.proto = (form.text("proto") or "").replace("\r\n", "\n")

    async def _page(self, request: Request, draft: ModelDraft) -> Response:
        deployment = self._shared.deployment(request)
        checked = await protos.check(draft.proto)
        own: dict[str, Any] = {"difference": None, "trial": None, "plan": None, "takes": (), "gives": ()}
        if checked.schema:
            operation = next(iter(checked.schema.operations.values()))
            trial = await attempt(
                draft, checked.schema, deployment, self._shared.limits, self._shared.limits.work(request)
            )
            own = {
                "difference": protos.difference(deployment, draft.proto, checked.schema),
                "trial": trial,
                "plan": None if trial.fault else await _plan(deployment, draft, trial),
                "takes": rows.fields_of(operation.input, trial.reads),
                "gives": rows.fields_of(operation.output, {}),
            }
        return await self._shared.page(
            request,
            "draft",
            TAB,
            HTTPStatus.OK if checked.schema else HTTPStatus.UNPROCESSABLE_ENTITY,
            draft=draft,
            checked=checked,
            lines=draft.proto.splitlines(),
            has_serving=bool(protos.serving_text(deployment)),
            swap_command=_command_of(draft),
            **own,
        )


def _command_of(draft: ModelDraft) -> str:
    """Return the equivalent command."""
    model, deployment = shlex.quote(draft.name), shlex.quote(draft.deployment)
    sample = " --samples SAMPLE.csv" if draft.sample else ""
    canary = f" --canary {shlex.quote(draft.canary)}" if draft.canary else ""
    files = f"--model MODEL --kind {draft.kind} --name {model} --proto MODEL.proto"
    return f"hotswap swap {deployment} {files}{sample}{canary}"


def _change(draft: ModelDraft, trial: Trial) -> Change:
    """Return the change that a draft is. Raises Problem: 400, its canary is none."""
    return Change(
        model=draft.model,
        kind=draft.kind,
        name=draft.name,
        proto=Proto.inline(draft.proto),
        configuration=draft.configuration,
        samples=trial.samples,
        rollout=Rollout(canary=_canary(draft.canary)),
    )


async def _plan(deployment: Deployment, draft: ModelDraft, trial: Trial) -> _Forecast:
    """Return the plan of a draft's swap; its model was loaded by the trial."""
    try:
        planner = Planner(deployment.settings, deployment.guard.trust, is_loading=False)
        plan = await planner.swap(_change(draft, trial))
    except (HotswapError, Problem) as error:
        return _Forecast(f"a swap of {deployment.name}", [], (str(error),))
    return _Forecast(title_of(plan), rows_of(plan), plan.reasons)


def _canary(text: str) -> Fraction | None:
    """Return the part of the partitions that a form names; None: all. Raises Problem: 400, it is none."""
    if not text:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        detail = f"the canary is a part of all partitions, as 1/4, not {text[:60]!r}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail) from None
