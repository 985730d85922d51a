"""Drafts: uploaded models, perhaps with a sample, kept until swapped in or displaced by others."""

import asyncio
import re
import secrets
import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from hotswap.artifacts.detect import UnknownKind, find_kind
from hotswap.batch import Format
from hotswap.console.protos import EMPTY, serving_text
from hotswap.errors import HotswapError, SwapError, UsageError
from hotswap.gateway.bodies import Form
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.problems import Problem
from hotswap.generation import Configuration
from hotswap.packages.onboarding import Wish, onboard
from hotswap.packages.package import open_package

_MOST = 4


@dataclass(slots=True, kw_only=True)
class ModelDraft:
    """An uploaded model, with its proposed proto and configuration.

    `drafted` is the drafted proto, or the package's; empty: none.
    """

    key: str
    deployment: str
    folder: Path
    model: Path
    kind: str
    name: str
    is_loadable: bool
    about: str = ""
    drafted: str = ""
    configuration: Configuration
    notes: list[str]
    proto: str = ""
    canary: str = ""
    """As it was typed."""
    samples: tuple[bytes, ...] = ()
    sample: bytes = b""
    content: Format = Format.CSV


class Drafts:
    """The last drafts of a console, unknown to other processes."""

    def __init__(self) -> None:
        self._drafts: OrderedDict[str, ModelDraft] = OrderedDict()

    async def add(self, deployment: Deployment, form: Form, limits: GatewayLimits) -> ModelDraft:
        """Save the files of a form, and draft a proto.

        Raises:
            Problem: not a model, or one that cannot be loaded.
            SwapError: the same.

        """
        folder = Path(tempfile.mkdtemp(prefix="hotswap-console-"))
        try:
            draft = await _save(deployment, form, folder, limits)
            await _describe(draft, deployment, limits)
        except BaseException:
            shutil.rmtree(folder)
            raise
        self._drafts[draft.key] = draft
        while len(self._drafts) > _MOST:
            self.drop(next(iter(self._drafts)))
        return draft

    def find(self, deployment: str, key: str) -> ModelDraft | None:
        """Return a draft; None: swapped in or displaced."""
        draft = self._drafts.get(key)
        return draft if draft and draft.deployment == deployment else None

    def drop(self, key: str) -> None:
        """Forget a draft, and remove its files."""
        if draft := self._drafts.pop(key, None):
            shutil.rmtree(draft.folder, ignore_errors=True)

    def close(self) -> None:
        """Remove all drafts."""
        for key in list(self._drafts):
            self.drop(key)


async def _save(deployment: Deployment, form: Form, folder: Path, limits: GatewayLimits) -> ModelDraft:
    path, file_name = await form.save("model", folder)
    if not path.stat().st_size:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "choose the file of a model: it is empty, or none was chosen")
    kind = form.text("kind")
    draft = ModelDraft(
        key=secrets.token_urlsafe(12),
        deployment=deployment.name,
        folder=folder,
        model=path,
        kind=kind or "",
        name=form.text("name") or file_name or "model",
        is_loadable=False,
        configuration=Configuration(),
        notes=[],
    )
    if not kind:
        try:
            draft.kind = find_kind(path)
        except UnknownKind as error:
            await _unpack(draft, error)
    draft.is_loadable = limits.may_load(draft.kind)
    if form.has("sample") and (sample := await form.content("sample", limits.body_bytes)):
        draft.sample = sample
        draft.content = Format.JSON if sample.lstrip()[:1] in (b"{", b"[") else Format.CSV
    return draft


async def _unpack(draft: ModelDraft, error: UnknownKind) -> None:
    """Take the parts of a package. Raises Problem if the file is not one."""

    def unpack() -> None:
        with open_package(draft.model) as package:
            inside = draft.folder / f"inside{package.model.suffix}"
            shutil.copyfile(package.model, inside)
            draft.model, draft.kind, draft.name = inside, package.kind, package.name
            draft.configuration, draft.samples = package.configuration, package.samples
            draft.about = f"package {package.name} {package.version or ''}".strip()
            if package.proto and not package.proto.is_descriptor_set:
                draft.drafted = (package.proto.source or b"").decode(errors="replace")

    try:
        await asyncio.to_thread(unpack)
    except (HotswapError, OSError):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the file {error.why}") from None


async def _describe(draft: ModelDraft, deployment: Deployment, limits: GatewayLimits) -> None:
    """Draft a proto if the model has none and can be loaded here."""
    if not draft.drafted and draft.is_loadable:
        sample = None
        if draft.sample and draft.content is Format.CSV:
            sample = draft.folder / "sample.csv"
            sample.write_bytes(draft.sample)
        name = re.sub(r"[^A-Za-z0-9_-]", "_", draft.name) or None
        request = Wish(
            model=draft.model,
            kind=draft.kind,
            name=name,
            sample=sample,
            configuration=draft.configuration,
            may_lack=True,  # the page shows the notes beside the trial
        )
        try:
            async with limits.host():
                content, notes = await onboard(deployment.settings, request)
            draft.about, draft.drafted = content.about, (content.proto.source or b"").decode()
            draft.configuration = content.configuration
            draft.notes += notes
        except SwapError as error:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"the model cannot be loaded: {error.code}: {error.message}"
            ) from None
        except UsageError as error:
            draft.notes.append(str(error))
    elif not draft.is_loadable:
        draft.notes.append(
            f"a model of kind {draft.kind} brings code of its own, which this console does not run: it was not loaded "
            "here, and the workers are the first to do so (--allow-foreign-code)"
        )
    draft.proto = draft.drafted or serving_text(deployment) or EMPTY
