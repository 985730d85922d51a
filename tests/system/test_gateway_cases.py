"""Calls of a client of Acumos's model runner, right ones and wrong ones, to a gateway before a real fleet."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import httpx

from harness.calls import Gateway
from harness.fleet import EXAMPLES, ROOT
from hotswap.codec.proto import compile as compile_proto
from hotswap.gateway.documents import as_json

GBM, GLM, CANCER, MIXED = (
    (f"{name}.zip", (EXAMPLES / "models" / f"{name}.zip").read_bytes())
    for name in ("iris_gbm", "iris_glm", "cancer_gbm", "mixed_glm")
)
IRIS, CELLS, ESTIMATES = (
    (EXAMPLES / "protos" / f"{name}.proto").read_bytes() for name in ("iris", "cancer", "mixed_glm")
)
HEAD = b"sepal_length,sepal_width,petal_length,petal_width\n"
ROW = b"5.1,3.5,1.4,0.2\n"
BAD = b"long,3.5,1.4,0.2\n"
NAMED = b'syntax = "proto3"; message Row { string name = 1; double age = 2; } service S { rpc go(Row) returns (Row); }'
ODD = b"""syntax = "proto3"; package a.b; import "google/protobuf/wrappers.proto"; option java_multiple_files = true;
// This message has an enum of message{ and enum{ in its comment.
message Out{ message Inner{ double x2y = 1; } map<string, Inner> enums = 1; oneof either { bool message_a = 2; } }
message Row{ optional double x2y = 1; google.protobuf.DoubleValue wrapped = 2; string message = 3; }
service S{ rpc go(Row) returns (Out); }"""
TABLE = {"headers": {"accept": "text/csv"}}


def csv(*rows, **more):
    return {"files": {"csvFile": b"".join(rows), **more}}


def own(*rows, model=GLM, proto=IRIS):
    return csv(*rows, model=model, proto=proto)


def message(content, kind="application/octet-stream"):
    return {"content": content, "headers": {"content-type": kind, "accept": "application/json"}}


CALLS = {
    "`PUT /model`, a text": ("PUT", "/model", {"files": {"model": ("iris.zip", b"garbage" * 99)}}),
    "`PUT /model`, half of a MOJO, `kind=h2o`": (
        "PUT",
        "/model?kind=h2o",
        {"files": {"model": (GLM[0], GLM[1][: len(GLM[1]) // 2])}},
    ),
    "`PUT /model`, no bytes": ("PUT", "/model", {"files": {"model": ("iris.zip", b"")}}),
    "`PUT /model`, a MOJO with other columns": ("PUT", "/model", {"files": {"model": CANCER}}),
    "`PUT /model`, without the part": ("PUT", "/model", {"files": {"file": GLM}}),
    "`PUT /model`, no multipart": ("PUT", "/model", {"content": GLM[1]}),
    "`POST /model`": ("POST", "/model", {"files": {"model": GLM}}),
    "`PUT /putModel`, the name of older clients": ("PUT", "/putModel", {"files": {"model": GLM}}),
    "`PUT /proto`, a text": ("PUT", "/proto", {"files": {"proto": b"nonsense"}}),
    "`PUT /proto`, no bytes": ("PUT", "/proto", {"files": {"proto": b""}}),
    "`PUT /proto`, of another model": ("PUT", "/proto", {"files": {"proto": CELLS}}),
    "`PUT /model/configuration`, an unknown setting": (
        "PUT",
        "/model/configuration",
        {"files": {"modelConfig": b'{"mising": "refuse"}'}},
    ),
    "`/getBinary`, a proto with comments, nested messages, maps": (
        "POST",
        "/getBinary",
        csv(b"x2y,message,wrapped\n1,enum,2\n", proto=ODD),
    ),
    "`/getBinary`, CRLF": ("POST", "/getBinary", csv(b"name,age\r\na,1.5\r\n", proto=NAMED)),
    "`/getBinary`, quotes, a comma and a line break in a cell": (
        "POST",
        "/getBinary",
        csv(b'name,age\n"a, ""b""\nc","1.5"\n', proto=NAMED),
    ),
    "`/getBinary`, UTF-8 with a BOM": ("POST", "/getBinary", csv("\ufeffname,age\nZoë,1.5\n".encode(), proto=NAMED)),
    "`/getBinary`, columns in another order": ("POST", "/getBinary", csv(b"age,name\n1.5,a\n", proto=NAMED)),
    "`/getBinary`, a proto that does not compile": ("POST", "/getBinary", csv(HEAD, ROW, proto=b"message {")),
    "`/getBinary`, without the part `proto`": ("POST", "/getBinary", csv(HEAD, ROW)),
    "`/getBinaryDefault`, an empty cell": ("POST", "/getBinaryDefault", csv(HEAD, b"5.1,,1.4,0.2\n")),
    "`/getBinaryDefault`, two rows where a message holds one": ("POST", "/getBinaryDefault", csv(HEAD, ROW, ROW)),
    "`/getBinaryDefault`, an empty file": ("POST", "/getBinaryDefault", csv(b"")),
    "`/getBinaryJSONDefault`, a file called `../../x`": (
        "POST",
        "/getBinaryJSONDefault",
        {"files": {"jsonFile": ("../../x", b'{"petal_width": 0.2}')}},
    ),
    "`/getBinaryJSONDefault`, an unknown field": (
        "POST",
        "/getBinaryJSONDefault",
        {"files": {"jsonFile": b'{"petal_with": 0.2}'}},
    ),
    "`/transformJSONDefault`, no JSON": ("POST", "/transformJSONDefault", {"files": {"jsonFile": b"sepal_length"}}),
    "`/transformCSVDefault`, probabilities": ("POST", "/transformCSVDefault", csv(HEAD, ROW) | TABLE),
    "`/transformCSVDefault`, one bad row of three": ("POST", "/transformCSVDefault", csv(HEAD, ROW, BAD, ROW)),
    "`/transformCSVDefault`, a row with a cell too many": (
        "POST",
        "/transformCSVDefault",
        csv(HEAD, b"5.1,3.5,1.4,0.2,9\n"),
    ),
    "`/transformCSVDefault`, only the header": ("POST", "/transformCSVDefault", csv(HEAD)),
    "`/transformCSVDefault`, columns of something else": ("POST", "/transformCSVDefault", csv(b"x,y\n1,2\n")),
    "`/transformCSVDefault`, `operation=Guess`": ("POST", "/transformCSVDefault?operation=Guess", csv(HEAD, ROW)),
    "`/transformCSVDefault`, two messages where one is a reply": ("POST", "/transformCSVDefault", csv(HEAD, ROW, ROW)),
    "`/transformCSVDefault`, a picture as reply": (
        "POST",
        "/transformCSVDefault",
        csv(HEAD, ROW) | {"headers": {"accept": "image/png"}},
    ),
    "`/transformCSVDefault`, more than `--max-body`": ("POST", "/transformCSVDefault", csv(HEAD, ROW * 70_000)),
    "`/transformCSVDefault`, a body that ends amidst a part": (
        "POST",
        "/transformCSVDefault",
        {"content": b"--x\r\nContent-Disp", "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ),
    "`/transformCSV`, a text as the model": ("POST", "/transformCSV", own(HEAD, ROW, model=("m.zip", b"x"))),
    "`/transformCSV`, a jar": ("POST", "/transformCSV", own(HEAD, ROW, model=("m.jar", b"PK\3\4"))),
    "`/model/methods/Classify`, `application/octet-stream`": (
        "POST",
        "/model/methods/Classify",
        message(bytes.fromhex("096666666666661440")),
    ),
    "`/model/methods/Classify`, no bytes, which is a message": ("POST", "/model/methods/Classify", message(b"")),
    "`/model/methods/Classify`, bytes that are no message": ("POST", "/model/methods/Classify", message(b"\xff")),
    "`/model/methods/Classify`, `text/plain`": ("POST", "/model/methods/Classify", message(b"", "text/plain")),
    "`/model/methods/transform`, which the proto has not": ("POST", "/model/methods/transform", message(b"")),
}


async def eight_at_once(client):
    """Each of eight calls gets the answer to its own row."""
    (alone,) = {(await client.post("/transformCSVDefault", **csv(HEAD, row), **TABLE)).text for row in [ROW]}
    rows = [f"{5 + n / 10},3.5,{1 + n / 2},{n / 4}\n".encode() for n in range(7)] + [ROW]
    replies = await asyncio.gather(*(client.post("/transformCSVDefault", **csv(HEAD, row), **TABLE) for row in rows))
    whole = await client.post("/transformCSVDefault", **csv(HEAD, *rows), **TABLE)
    assert replies[-1].text == alone
    right = [reply.text.split("\n")[1] for reply in replies] == whole.text.split("\n")[1:-1]
    return f"200, {'8 right' if right else 'not all of them right'}"


async def unseen_category(client):
    """It is a missing value, the other row is as it would be alone, and what serves stays."""
    before = (await serving(client))["generation"]
    rows = b"x0,color,country\n1,red,DE\n1,plaid,DE\n"
    reply = await client.post("/transformCSV", **own(rows, model=MIXED, proto=ESTIMATES), **TABLE)
    assert (await serving(client))["generation"] == before
    return f"{reply.status_code} {' and '.join(reply.text.split()[1:])}; what serves stays"


async def activated(client):
    reply = await client.post("/transformCSV", **own(HEAD, ROW), **TABLE, params={"activate": "true"})
    after = await client.post("/transformCSVDefault", **csv(HEAD, ROW), **TABLE)
    return f"{reply.status_code}, {'the same' if after.text == reply.text else 'another'} reply by what serves"


async def both_at_once(client):
    """Model and proto of cancer cells, and of irises again: rows of irises meanwhile get their own labels or none."""
    before = (await serving(client))["generation"]
    is_over, said = asyncio.Event(), set()

    async def call():
        while not is_over.is_set():
            reply = await client.post("/transformCSVDefault", **csv(HEAD, ROW), **TABLE)
            said.add(reply.text.split("\n")[1].partition(",")[0] if reply.status_code == 200 else reply.status_code)

    calling = asyncio.create_task(call())
    cells = await client.put("/model", files={"model": CANCER, "proto": CELLS})
    irises = await client.put("/model", files={"model": GBM, "proto": IRIS})
    is_over.set()
    await calling
    assert said <= {"setosa", 422}, said
    numbers = [reply.json()["generation"] - before for reply in (cells, irises)]
    assert numbers == [1, 2]
    return f"{cells.status_code} and {irises.status_code}, a generation each, and no wrong label"


async def puts_race(client):
    """Of PUTs at the same time, each either serves whole or says why not, and the last one that served does."""
    puts = [client.put("/model", files={"model": model}) for model in (GLM, GBM, GLM)]
    replies = await asyncio.gather(*puts)
    served = [reply.json()["generation"] for reply in replies if reply.status_code == 200]
    others = {(reply.status_code, reply.json().get("detail")) for reply in replies if reply.status_code != 200}
    assert others <= {(422, "the command is superseded")}, others
    assert (await serving(client))["generation"] == max(served)
    return "200, or 422 the command is superseded; the last one that served does"


OTHERS: dict[str, Callable[[httpx.AsyncClient], Awaitable[str]]] = {
    "`/transformCSVDefault`, eight calls at once": eight_at_once,
    "`/transformCSV`, an unseen category in one row of two": unseen_category,
    "`/transformCSV`, `activate=true`": activated,
    "a model and its proto, amidst calls": both_at_once,
    "`PUT /model`, three at once": puts_race,
}


REPLIES = {  # … stands for anything
    "`PUT /model`, a text": "422 the part 'model' is no model but text: …",
    "`PUT /model`, half of a MOJO, `kind=h2o`": "422 ARTIFACT_INVALID: … is not a zip, or is damaged…",
    "`PUT /model`, no bytes": "400 the part 'model' is empty",
    "`PUT /model`, a MOJO with other columns": "422 SCHEMA_MISMATCH: the model and the proto do not fit each other:…",
    "`PUT /model`, without the part": "400 Required request part 'model' is not present (the parts are: file)",
    "`PUT /model`, no multipart": "415 the body must be multipart/form-data",
    "`POST /model`": "405 POST /model: Method Not Allowed",
    "`PUT /putModel`, the name of older clients": "404 PUT /putModel: Not Found",
    "`PUT /proto`, a text": "422 model.proto:1:1: Expected top-level statement…",
    "`PUT /proto`, no bytes": "400 the part 'proto' is empty",
    "`PUT /proto`, of another model": "422 SCHEMA_MISMATCH: …",
    "`PUT /model/configuration`, an unknown setting": "422 configuration modelConfig: unknown fields mising; …",
    "`/getBinary`, a proto with comments, nested messages, maps": "200 x2y: 1.0, wrapped: 2.0, message: enum",
    "`/getBinary`, CRLF": "200 name: a, age: 1.5",
    "`/getBinary`, quotes, a comma and a line break in a cell": '200 name: a, "b"…c, age: 1.5',
    "`/getBinary`, UTF-8 with a BOM": "200 name: Zoë, age: 1.5",
    "`/getBinary`, columns in another order": "200 name: a, age: 1.5",
    "`/getBinary`, a proto that does not compile": "422 model.proto:1:9: Expected message name.",
    "`/getBinary`, without the part `proto`": (
        "400 Required request part 'proto' is not present (the parts are: csvFile)"
    ),
    "`/getBinaryDefault`, an empty cell": "200 sepal_length: 5.1, petal_length: 1.4, petal_width: 0.2",
    "`/getBinaryDefault`, two rows where a message holds one": (
        "422 there are 2 rows, but a message examples.iris.Iris holds one"
    ),
    "`/getBinaryDefault`, an empty file": "400 the part 'csvFile' is empty",
    "`/getBinaryJSONDefault`, a file called `../../x`": "200 petal_width: 0.2",
    "`/getBinaryJSONDefault`, an unknown field": '422 row 1: … has no field named "petal_with" …',
    "`/transformJSONDefault`, no JSON": "422 row 1: is not valid JSON: …",
    "`/transformCSVDefault`, probabilities": "200 species,setosa,versicolor,virginica…setosa,0.94536606…",
    "`/transformCSVDefault`, one bad row of three": "422 row 2, column sepal_length: 'long' is not a number",
    "`/transformCSVDefault`, a row with a cell too many": "422 row 1: has 5 cells, but the header names 4",
    "`/transformCSVDefault`, only the header": "422 the request has no rows",
    "`/transformCSVDefault`, columns of something else": (
        "422 none of the CSV's columns (x, y) is a field of examples.iris.Iris …"
    ),
    "`/transformCSVDefault`, `operation=Guess`": "404 there is no operation 'Guess': the proto has Classify",
    "`/transformCSVDefault`, two messages where one is a reply": (
        "406 2 rows have 2 messages examples.iris.Species: accept text/csv …"
    ),
    "`/transformCSVDefault`, a picture as reply": "406 the answer can be one of …, not image/png",
    "`/transformCSVDefault`, more than `--max-body`": "413 the body has more than 1,048,576 bytes",
    "`/transformCSVDefault`, a body that ends amidst a part": (
        "400 Required request part 'csvFile' is not present (the parts are: none)"
    ),
    "`/transformCSV`, a text as the model": "422 the part 'model' is no model but text: …",
    "`/transformCSV`, a jar": "403 a model of kind java brings code of its own, which this gateway does not run",
    "`/model/methods/Classify`, `application/octet-stream`": '200 {"species": "versicolor", …}',
    "`/model/methods/Classify`, no bytes, which is a message": '200 {"species": "versicolor", …}',
    "`/model/methods/Classify`, bytes that are no message": "422 UNDECODABLE: the request (1 bytes) does not parse; …",
    "`/model/methods/Classify`, `text/plain`": "415 the body is text/plain: …",
    "`/model/methods/transform`, which the proto has not": (
        "404 there is no operation 'transform': the proto has Classify"
    ),
    "`/transformCSVDefault`, eight calls at once": "200, 8 right",
    "`/transformCSV`, an unseen category in one row of two": "200 0.55358… and 0.56342…; what serves stays",
    "`/transformCSV`, `activate=true`": "200, the same reply by what serves",
    "a model and its proto, amidst calls": "200 and 200, a generation each, and no wrong label",
    "`PUT /model`, three at once": "200, or 422 the command is superseded; the last one that served does",
}


async def serving(client):
    (name,) = (await client.get("/v1")).json()["deployments"]
    return (await client.get(f"/v1/{name}")).json()


def told(reply, call):
    """Return a reply as the table has it: the status, and the detail of a problem, a text, or a message as JSON."""
    if reply.status_code != 200:
        return f"{reply.status_code} {reply.json()['detail']}"
    if reply.headers["content-type"] != "application/octet-stream":
        return f"200 {reply.text.strip()}"
    proto = call.get("files", {}).get("proto", IRIS)
    (operation,) = compile_proto(proto).operations.values()
    fields = as_json(operation.input.FromString(reply.content))
    return "200 " + ", ".join(f"{name}: {value}" for name, value in fields.items())


def table():
    """Return the cases of the page, and what it says that we reply."""
    section = (ROOT / "docs" / "http.md").read_text().partition("\n### Coming from Acumos")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)[1:]
    return {case: ours.replace("`", "") for case, _, ours in lines}


def test_the_table_of_the_page_is_of_these_cases():
    shown = table()
    assert len(shown) >= 8
    assert shown.items() <= REPLIES.items()


async def test_each_case_is_answered_as_it_should_be(deployment):
    await deployment.serve("iris_gbm")
    served = await Gateway(deployment, "gateway", "--max-body", "1").start()
    found = {}
    try:
        async with httpx.AsyncClient(base_url=served.address, timeout=60) as client:
            for case, (method, path, call) in CALLS.items():
                found[case] = told(await client.request(method, path, **call), call)
            for case, play in OTHERS.items():
                found[case] = await play(client)
        served.process.terminate()
        assert await served.ended() == 0
        assert await deployment.stop(timeout=60) == 0
    finally:
        served.kill()
    assert REPLIES.keys() == found.keys()
    for case, said in found.items():
        pattern = ".*".join(map(re.escape, REPLIES[case].split("…")))
        assert re.fullmatch(pattern, said, re.DOTALL), f"{case}\n{said}\n{REPLIES[case]}"
