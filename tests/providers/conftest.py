"""A stand-in without pauses and a provider that speaks to it over real HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from chat.providers.anthropic import AnthropicProvider
from chat.providers.standin import StandIn, start_standin
from chat.providers.steady import Steady

Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    server = await start_standin(window=16_000, delay_ms=0, first_ms=0, keep_bodies=True)
    yield server
    await server.close()


@pytest.fixture
async def naps() -> list[float]:
    """The pauses that the provider would have made, in seconds."""
    return []


@pytest.fixture
async def client(standin: StandIn) -> AsyncIterator[AnthropicProvider]:
    """One attempt a call."""
    found = AnthropicProvider(api_key="sk-test-secret", base_url=standin.base_url)
    yield found
    await found.close()


@pytest.fixture
async def provider(client: AnthropicProvider, naps: list[float]) -> Steady:
    """The same with the policy around it."""

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    return Steady(client, label=lambda: client.label, sleep=nap, chance=lambda: 0.5)


@pytest.fixture
async def post(standin: StandIn) -> AsyncIterator[Post]:
    """Sends a JSON body to the stand-in without any SDK; gives the status and the JSON that came back."""
    async with aiohttp.ClientSession(headers={"x-api-key": "sk-test"}) as client:

        async def send(body: Any, path: str = "/v1/messages", **options: Any) -> tuple[int, dict[str, Any]]:
            options = options or {"json": body}
            async with client.post(standin.base_url + path, **options) as answer:
                return answer.status, await answer.json()

        yield send
