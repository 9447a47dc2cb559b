"""gql (Python): queries and mutations over HTTP, subscriptions over either sub-protocol.

gql.mjs starts this script and exchanges JSON lines with it, so that this library runs the same scenario as the others.
"""

# docs:start
import asyncio
import random

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError, TransportServerError
from gql.transport.websockets import WebsocketsTransport

FINAL = {1008, 1009, 1011, 4400, 4401, 4406, 4409, 4429, 4500}  # close codes after which a reconnect cannot succeed


_renewals = {}  # by token function: the rejected token, and the task that gets a new one


async def renewed(token, refused):
    """Returns a new token in place of a rejected one. Concurrent calls for one token share one call of token(True)."""
    previous, task = _renewals.get(token, (None, None))
    if task is None or previous != refused or (task.done() and (task.exception() or task.result() == refused)):
        task = asyncio.ensure_future(token(True))
        _renewals[token] = refused, task
    return await asyncio.shield(task)


def signed_in(bearer):
    return {"authorization": f"Bearer {bearer}"} if bearer else {}  # no header without a token: an anonymous client


async def execute(url, token, document, variables=None):
    """Runs a query or mutation over HTTP. If the server rejects the token, runs it once more with a new one."""
    bearer, is_renewed = await token(False), False
    while True:
        try:
            async with Client(transport=AIOHTTPTransport(url, headers=signed_in(bearer))) as session:
                return await session.execute(GraphQLRequest(document, variable_values=variables))
        except TransportQueryError as error:
            if is_renewed or error.errors[0]["extensions"]["code"] != "UNAUTHENTICATED":
                raise
        bearer, is_renewed = await renewed(token, bearer), True


async def follow(url, token, document, variables, subprotocols=("graphql-transport-ws",), **options):
    """Yields every event after variables["after"], once and in order, across lost connections and restarts."""
    variables, tries, refused, bearer = dict(variables), 0, False, None
    while True:
        try:
            bearer = await (renewed(token, bearer) if refused else token(False))  # a token for each connect
            transport = WebsocketsTransport(url, init_payload=signed_in(bearer), subprotocols=list(subprotocols), **options)
            async with Client(transport=transport) as session:
                async for result in session.subscribe(GraphQLRequest(document, variable_values=variables)):
                    (event,) = result.values()
                    variables["after"], tries, refused = event["cursor"], 0, False
                    yield event
                return  # the server completed it: its channel or message was deleted
        except TransportServerError:  # a connection_error of the legacy sub-protocol
            refused = True
        except (TransportConnectionFailed, asyncio.TimeoutError, OSError) as lost:
            closed = getattr(lost.__cause__, "rcvd", None)
            if closed and closed.code in FINAL:
                raise
            refused = closed is not None and closed.code == 4403  # the token has expired or the session has ended
        await asyncio.sleep(random.uniform(0.5, 1) * min(30, 0.5 * 2**tries))
        tries += 1
# docs:end


import json  # noqa: E402
import sys  # noqa: E402

from gql import gql  # noqa: E402


def say(message):
    print(json.dumps(message), flush=True)


class Bridge:
    """Offers the library to gql.mjs over standard input and output."""

    def __init__(self, http_url, socket_url, subprotocols):
        self.http_url, self.socket_url, self.subprotocols = http_url, socket_url, subprotocols
        self.tasks, self.tokens = {}, []
        self.http_token = lambda refused: self.ask("http", refused)
        self.socket_token = lambda refused: self.ask("socket", refused)

    async def ask(self, kind, refused):
        answer = asyncio.get_running_loop().create_future()
        self.tokens.append((kind, answer))
        say({"token": kind, "refused": refused})
        return await answer

    async def execute(self, number, query, variables):
        try:
            say({"id": number, "data": await execute(self.http_url, self.http_token, gql(query), variables)})
        except Exception as error:
            say({"id": number, "failed": repr(error)})

    async def follow(self, number, query, variables):
        # A short interval of WebSocket pings, so that the server gets some during the test. The default is 20 s.
        options = {"subprotocols": self.subprotocols, "connect_args": {"ping_interval": 0.1}}
        try:
            async for event in follow(self.socket_url, self.socket_token, gql(query), variables, **options):
                say({"id": number, "next": event})
            say({"id": number, "complete": True})
        except TransportQueryError as error:
            say({"id": number, "error": error.errors[0]["extensions"]["code"]})
        except Exception as error:
            say({"id": number, "error": repr(error)})

    def handle(self, message):
        if "token" in message:
            kind = message["kind"]
            index = next(i for i, (waiting, _) in enumerate(self.tokens) if waiting == kind)
            self.tokens.pop(index)[1].set_result(message["token"])
        elif "stop" in message:
            self.tasks.pop(message["stop"]).cancel()
        else:
            action = self.follow if message["kind"] == "subscribe" else self.execute
            task = asyncio.ensure_future(action(message["id"], message["query"], message["variables"]))
            self.tasks[message["id"]] = task

    async def run(self):
        while line := await asyncio.to_thread(sys.stdin.readline):
            self.handle(json.loads(line))


if __name__ == "__main__":
    asyncio.run(Bridge(sys.argv[1], sys.argv[2], sys.argv[3].split(",")).run())
