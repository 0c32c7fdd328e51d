"""The REST routes through a real Jupyter server: who may, what is refused, what is done."""

import json
import re
import time
from pathlib import Path

import msgspec
import pytest
import tornado.httpclient
import yaml

from burrow_jupyter.core import feed
from burrow_jupyter.core.ids import parse_short
from burrow_jupyter.core.outputs import CellOutputs, OutputMessage
from burrow_jupyter.engine import recording
from burrow_jupyter.server import extension

SESSION = "00112233445566ff"
KERNEL = "5c0a4f5e-0000-4000-8000-000000000001"
API = ("burrow", "api", "burrows")
OPENAPI = Path(extension.__file__).with_name("openapi.yaml")

ROUTES = [
    ("GET", "", None),
    ("GET", f"/{SESSION}", None),
    ("GET", f"/{SESSION}/outputs", None),
    ("GET", f"/{SESSION}/why", None),
    ("POST", f"/{SESSION}/cancel", {"task": "1.2"}),
    ("POST", f"/{SESSION}/kill", {"actor": "1.3"}),
    ("POST", f"/{SESSION}/stop", {}),
]
POSTS = [route for route in ROUTES if route[0] == "POST"]


@pytest.fixture
def ask(jp_fetch):
    """Sends a request to the API; answers status and JSON, also of a refusal."""

    async def ask(method, path, body=None, **options):
        parts = [*API, *path.strip("/").split("/")] if path else API
        text = None if method == "GET" else json.dumps(body if body is not None else {})
        try:
            reply = await jp_fetch(*parts, method=method, body=text, **options)
        except tornado.httpclient.HTTPClientError as error:
            reply = error.response
        return reply.code, json.loads(reply.body) if reply.body else None

    return ask


@pytest.fixture
def ask_bare(http_server_client, jp_base_url, jp_fetch):
    """Sends a request with exactly these headers: no token."""

    async def ask_bare(method, path, body, headers):
        url = f"{jp_base_url}burrow/api/burrows{path}"
        text = None if method == "GET" else json.dumps(body)
        try:
            reply = await http_server_client.fetch(
                url, method=method, body=text, headers=headers, follow_redirects=False
            )
        except tornado.httpclient.HTTPClientError as error:
            return error.code
        return reply.code

    return ask_bare


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_nobody_gets_in_without_a_token(ask_bare, head, method, path, body):
    code = await ask_bare(method, path, body, {})

    assert code == 403
    assert head.calls == []
    assert head.connects == 0


@pytest.mark.parametrize("method", ["DELETE", "HEAD", "PATCH", "PUT", "POST"])
@pytest.mark.parametrize("path", ["", f"/{SESSION}", f"/{SESSION}/events", f"/{SESSION}/stop"])
async def test_no_other_verb_opens_a_way(http_server_client, jp_base_url, head, method, path):
    reply = await http_server_client.fetch(
        f"{jp_base_url}burrow/api/burrows{path}",
        method=method,
        raise_error=False,
        follow_redirects=False,
        allow_nonstandard_methods=True,
    )

    assert reply.code in {403, 405}
    assert head.connects == 0


@pytest.fixture
def log_in(http_server_client, jp_base_url, jp_serverapp):
    """Logs in as a browser does; answers its cookie, less the XSRF token."""

    async def log_in():
        reply = await http_server_client.fetch(
            f"{jp_base_url}login?token={jp_serverapp.identity_provider.token}",
            follow_redirects=False,
            raise_error=False,
        )
        cookies = [cookie.partition(";")[0] for cookie in reply.headers.get_list("Set-Cookie")]
        return next(cookie for cookie in cookies if cookie.startswith("username-"))

    return log_in


@pytest.mark.parametrize(("method", "path", "body"), POSTS)
async def test_a_cookie_alone_does_nothing(ask_bare, head, log_in, method, path, body):
    cookie = await log_in()

    code = await ask_bare(method, path, body, {"Cookie": cookie})

    assert code == 403
    assert head.calls == []


async def test_a_cookie_may_look(ask_bare, head, log_in):
    assert await ask_bare("GET", "", None, {"Cookie": await log_in()}) == 200


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_the_authorizer_is_asked(ask, head, jp_serverapp, monkeypatch, method, path, body):
    asked = []
    monkeypatch.setattr(
        jp_serverapp.authorizer,
        "is_authorized",
        lambda handler, user, action, resource: asked.append((action, resource)),
    )

    code, _ = await ask(method, path, body)

    assert code == 403
    assert asked == [("read" if method == "GET" else "write", "burrow")]
    assert head.calls == []


async def test_burrows_are_listed_the_oldest_first(ask, head, burrows):
    burrows.add("ff" * 8, started_at=0.5)

    code, listed = await ask("GET", "")

    assert code == 200
    assert listed == [
        {"session": "ff" * 8, "kernel_id": KERNEL, "pid": 10, "started_at": 0.5},
        {"session": SESSION, "kernel_id": KERNEL, "pid": 10, "started_at": 1.0},
    ]


@pytest.mark.parametrize("kernel_id", ["", "5c0a4f5e-0000-4000-8000-00000000ffff"])
async def test_a_burrow_of_no_kernel_of_this_server_does_not_exist(ask, head, burrows, kernel_id):
    stranger = burrows.add("ee" * 8, kernel_id)

    _, listed = await ask("GET", "")
    code, _ = await ask("POST", f"/{'ee' * 8}/stop")

    assert [one["session"] for one in listed] == [SESSION]
    assert code == 404
    assert stranger.connects == 0


async def test_a_snapshot_is_the_state_as_of_now(ask, head):
    head.send(feed.Delta(seq=2, at=1.5, functions=[feed.FunctionRow("g", 1, 0, 0, 0, 0, 0)]))

    code, snapshot = await ask("GET", f"/{SESSION}")

    assert code == 200
    assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 2)
    assert [row["id"] for row in snapshot["functions"]] == ["f", "g"]


async def test_why_a_task_has_not_ended_is_asked_of_the_head(ask, head):
    answer = await ask("GET", f"/{SESSION}/why", params={"task": "12.5"})

    assert answer == (200, {"text": f"{parse_short('12.5')} waits"})
    assert (await ask("GET", f"/{SESSION}/why", params={"task": "x"}))[0] == 400
    assert (await ask("GET", f"/{SESSION}/why"))[0] == 400
    head.breaks = True
    assert (await ask("GET", f"/{SESSION}/why", params={"task": "12.5"}))[0] == 503


async def test_recorded_outputs_are_those_of_the_session(ask, head, tmp_path, monkeypatch):
    file = msgspec.structs.replace(head.file, path=str(tmp_path / "burrow.json"))
    monkeypatch.setattr(head, "file", file)
    record = recording.Recording(CellOutputs("cell", 7, "request", "client"), 1000)
    record.open(tmp_path / "cell-000001.jsonl")
    record.add(OutputMessage("1", "stream", msgspec.Raw(b'{"text":"hot"}')))

    code, found = await ask("GET", f"/{SESSION}/outputs")

    assert code == 200
    row = {"cell": "cell", "number": 7, "request": "request", "client": "client"}
    assert found == [
        {**row, "messages": [{"id": "1", "type": "stream", "content": {"text": "hot"}}]}
    ]
    later = {"params": {"since": str(time.time() + 100)}}
    assert await ask("GET", f"/{SESSION}/outputs", **later) == (200, [row])
    assert (await ask("GET", f"/{SESSION}/outputs", params={"since": "soon"}))[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "call"),
    [
        ("cancel", {"task": "12.5"}, ("cancel_task", parse_short("12.5"), False)),
        ("cancel", {"task": "12.5", "force": True}, ("cancel_task", parse_short("12.5"), True)),
        ("cancel", {"run": "1.7"}, ("cancel_run", parse_short("1.7"))),
        ("kill", {"actor": "3.1.2"}, ("kill_actor", parse_short("3.1.2"))),
        ("stop", {}, ("stop_burrow",)),
    ],
)
async def test_actions_reach_the_head(ask, head, path, body, call):
    code, answer = await ask("POST", f"/{SESSION}/{path}", body)

    assert (code, answer) == (204, None)
    assert head.calls == [call]


@pytest.mark.parametrize(
    "session", ["0", "00112233445566FF", "00112233445566ff0", "..%2F..%2Fetc", "0011223344556%0Aff"]
)
async def test_what_is_no_session_touches_nothing(ask_bare, jp_auth_header, head, burrows, session):
    for method, verb in [("GET", ""), ("POST", "/cancel"), ("POST", "/kill"), ("POST", "/stop")]:
        body = {"/cancel": {"task": "1.2"}, "/kill": {"actor": "1.2"}}.get(verb, {})

        assert await ask_bare(method, f"/{session}{verb}", body, jp_auth_header) == 400
    assert head.connects == 0


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[1:])
async def test_an_unknown_session_is_not_found(ask, head, method, path, body):
    code, answer = await ask(method, path.replace(SESSION, "0" * 16), body)

    assert code == 404
    assert answer["message"] == "no kernel of this server has this burrow"


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("cancel", {}),
        ("cancel", {"task": "1.2", "run": "1.3"}),
        ("cancel", {"task": "x"}),
        ("cancel", {"task": "1"}),
        ("cancel", {"run": "../1.2"}),
        ("cancel", {"run": 7}),
        ("cancel", {"job": "1.2"}),
        ("cancel", []),
        ("kill", {}),
        ("kill", {"actor": ""}),
        ("kill", {"actor": "99999999999.1"}),
        ("kill", {"actor": "1.2", "force": True}),
    ],
)
async def test_bad_bodies_are_refused_with_a_short_reason(ask, head, verb, body):
    code, answer = await ask("POST", f"/{SESSION}/{verb}", body)

    assert code == 400
    assert 0 < len(answer["message"]) < 120
    assert head.calls == []


async def test_a_head_that_does_not_answer_is_unavailable(ask, head):
    head.answers = False

    code, answer = await ask("GET", f"/{SESSION}")

    assert code == 503
    assert answer["message"] == "the burrow does not answer"


async def test_a_head_that_ends_under_our_hands_is_unavailable(ask, head):
    await ask("GET", f"/{SESSION}")
    head.breaks = True

    code, answer = await ask("POST", f"/{SESSION}/stop")

    assert code == 503
    assert answer["message"] == "the burrow has ended"


async def test_looking_keeps_no_idle_server_alive(ask, head, jp_serverapp):
    before = jp_serverapp.web_app.last_activity()

    await ask("GET", f"/{SESSION}")

    assert jp_serverapp.web_app.last_activity() == before


def test_every_route_is_described_and_no_other():
    described = yaml.safe_load(OPENAPI.read_text())["paths"]

    mounted = {re.sub(r"\(\[\^/\]\+\)", "{session}", route) for route, _ in extension.ROUTES}

    assert set(described) == mounted
    for route, handler in extension.ROUTES:
        verbs = {
            verb for verb in ("get", "post", "put", "patch", "delete") if verb in vars(handler)
        }
        path = described[re.sub(r"\(\[\^/\]\+\)", "{session}", route)]
        assert set(path) - {"parameters"} == verbs
