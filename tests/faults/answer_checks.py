"""Checks one answer on its own: as a copy of its request, as a refusal, as its generation's prediction."""

from faults.evidence import at, fingerprint, has_bytes


def findings_of(answer, request, accepted, topics, oracle):
    """Yield kind and text of each finding; `accepted` is the generation that the answer names."""
    is_refusal = answer.record.topic == topics.dead_letters
    yield from _copy(answer, request, is_refusal)
    yield from _code(answer, request, is_refusal)
    yield from _generation(answer, request, accepted, oracle, is_refusal)


def _copy(answer, request, is_refusal):
    what = []
    if fingerprint(answer.record) != request.fingerprint:
        what.append("key or headers")
    if request.operation and answer.headers.get("operation") != request.operation:
        what.append("operation")
    if is_refusal and not has_bytes(answer.record, request.value):
        what.append("bytes")
    if what:
        yield "altered", f"{at(answer.record)} has other {', '.join(what)}"


def _code(answer, request, is_refusal):
    code = (answer.headers.get("code") or b"without a code").decode(errors="replace") if is_refusal else None
    if code != request.expect:
        said = f"refused {code}: {answer.headers.get('message')}" if code else "predicted"
        yield "wrong_code", f"{said}, expected {request.expect or 'a prediction'}"


def _generation(answer, request, accepted, oracle, is_refusal):
    digest = (answer.headers.get("model-digest") or b"").decode(errors="replace")
    if digest != accepted.model[1]:
        text = f"generation {accepted.number} has model {accepted.model[1][:12]}, the answer names {digest[:12]}"
        yield "wrong_generation", text
    elif not is_refusal:
        value = answer.record.value
        if oracle.agrees(digest, accepted.proto, request.value or b"", value or b"") is False:
            yield "wrong_answer", f"{at(answer.record)} is not what generation {accepted.number} says offline"
