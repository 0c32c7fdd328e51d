"""The WebSocket: who may listen, what comes, and what a slow listener costs."""

import asyncio
import json
import threading

import pytest
import tornado.httpclient
import tornado.websocket

from burrow_jupyter.core import feed
from burrow_jupyter.server import socket
from burrow_jupyter.server.socket import Follower, Mailbox

SESSION = "00112233445566ff"
PATH = ("burrow", "api", "burrows", SESSION, "events")


def delta(seq):
    return feed.Delta(seq=seq, at=1000.0 + seq)


@pytest.fixture
def listen(jp_ws_fetch, jp_fetch):
    """Opens the socket of the played burrow."""

    async def listen(*path, **options):
        return await jp_ws_fetch(*(path or PATH), **options)

    return listen


async def hear(connection):
    """The next message, `None` when the socket was closed."""
    text = await asyncio.wait_for(connection.read_message(), 5)
    return None if text is None else json.loads(text)


async def refusal(attempt):
    """The status that a socket is refused with."""
    with pytest.raises(tornado.httpclient.HTTPClientError) as caught:
        await attempt
    return caught.value.code


async def test_a_snapshot_comes_first_and_then_every_delta(listen, head):
    connection = await listen()
    first = await hear(connection)

    head.send_from_thread(head.tick())
    second = await hear(connection)
    head.send_from_thread(head.tick())
    third = await hear(connection)

    assert [first["type"], second["type"], third["type"]] == ["snapshot", "delta", "delta"]
    assert [first["seq"], second["seq"], third["seq"]] == [1, 2, 3]
    connection.close()


async def test_all_sockets_share_one_observer(listen, head):
    connections = [await listen() for _ in range(3)]
    for connection in connections:
        await hear(connection)

    head.send_from_thread(head.tick())

    assert [(await hear(connection))["seq"] for connection in connections] == [2, 2, 2]
    assert head.connects == 1
    for connection in connections:
        connection.close()


async def test_the_end_of_the_burrow_closes_every_socket_with_its_code(listen, head, burrows):
    connections = [await listen() for _ in range(3)]
    for connection in connections:
        await hear(connection)

    burrows.heads.clear()
    thread = threading.Thread(target=head.end)
    thread.start()
    thread.join()

    for connection in connections:
        assert await hear(connection) is None
        assert connection.close_code == socket.CLOSE_ENDED


async def test_a_head_that_does_not_answer_may_be_asked_later(listen, head):
    head.answers = False

    connection = await listen()

    assert await hear(connection) is None
    assert connection.close_code == socket.CLOSE_TRY_LATER


async def test_whoever_sends_is_shown_out(listen, head):
    connection = await listen()
    await hear(connection)

    await connection.write_message(json.dumps({"cancel": "1.2"}))

    assert await hear(connection) is None
    assert connection.close_code == socket.CLOSE_READ_ONLY
    assert head.calls == []


async def test_nobody_listens_without_a_token(listen, head):
    assert await refusal(listen(headers={"Authorization": "token wrong"})) == 403
    assert head.connects == 0


async def test_a_page_of_another_origin_can_not_listen_with_the_users_cookie(
    listen, head, http_server_client, jp_base_url, jp_serverapp
):
    reply = await http_server_client.fetch(
        f"{jp_base_url}login?token={jp_serverapp.identity_provider.token}",
        follow_redirects=False,
        raise_error=False,
    )
    cookies = [cookie.partition(";")[0] for cookie in reply.headers.get_list("Set-Cookie")]
    headers = {"Cookie": "; ".join(cookies), "Authorization": "", "Origin": "http://evil.example"}

    assert await refusal(listen(headers=headers)) == 403
    assert head.connects == 0


async def test_the_authorizer_is_asked_before_the_upgrade(listen, head, jp_serverapp, monkeypatch):
    asked = []
    monkeypatch.setattr(
        jp_serverapp.authorizer,
        "is_authorized",
        lambda handler, user, action, resource: asked.append((action, resource)),
    )

    assert await refusal(listen()) == 403
    assert asked == [("read", "burrow")]
    assert head.connects == 0


async def test_what_is_no_session_or_not_here_is_refused_before_the_upgrade(listen, head, burrows):
    burrows.add("ee" * 8, "")

    for session, code in [("nonsense", 400), ("0" * 16, 404), ("ee" * 8, 404)]:
        assert await refusal(listen("burrow", "api", "burrows", session, "events")) == code


async def test_a_socket_that_leaves_is_forgotten(listen, head, until):
    connection = await listen()
    await hear(connection)

    connection.close()

    await until(lambda: not head.observers[0].callbacks)


async def test_updates_that_come_while_the_browser_is_busy_become_one_snapshot(
    listen, head, monkeypatch, until
):
    gate = asyncio.Event()
    send = tornado.websocket.WebSocketHandler.write_message
    sent = []

    async def slow(self, message, *options):
        sent.append(json.loads(message))
        await gate.wait()
        await send(self, message, *options)

    monkeypatch.setattr(socket.EventsSocket, "write_message", slow)
    connection = await listen()
    await until(lambda: sent)

    head.send_from_thread(*(delta(seq) for seq in range(2, 500)))
    gate.set()

    assert (await hear(connection))["seq"] == 1
    caught_up = await hear(connection)
    assert (caught_up["type"], caught_up["seq"]) == ("snapshot", 499)
    head.send_from_thread(head.tick())
    assert (await hear(connection))["seq"] == 500
    assert len(sent) == 3
    connection.close()


def test_the_mailbox_holds_one_update_or_the_wish_for_a_snapshot(head):
    mailbox = Mailbox()

    assert mailbox.put(delta(2))
    assert not mailbox.put(delta(3)), "it was already told"

    assert mailbox.take() == "missed"
    assert mailbox.take() is None
    assert mailbox.put(delta(4))
    assert not mailbox.put(head.model), "a snapshot replaces what came before it"
    assert mailbox.take() is head.model


def test_the_feed_has_no_gap_and_nothing_twice(head):
    follower = Follower(lambda: head.model)

    assert follower.next(delta(5)) is head.model, "nothing was sent yet"
    assert follower.next(delta(1)) is None, "the snapshot had it"
    assert follower.next(delta(2)).seq == 2
    head.send(delta(2))
    assert follower.next(delta(9)) is head.model, "after a gap"
    assert follower.next("missed") is head.model
