"""Class, key -> let in or refused, with the headers that tell of it.

Header fields: draft-ietf-httpapi-ratelimit-headers-10, `RateLimit-Policy` and `RateLimit`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import TooManyRequests
from pynomaly_pipelines.service.rates.rules import Kind, limits
from pynomaly_pipelines.service.rates.shared import SharedWindows
from pynomaly_pipelines.service.rates.windows import Count, Limit, Windows
from pynomaly_pipelines.service.settings import ServiceSettings


@dataclass(frozen=True)
class RateLimiter:
    """The limits of a process, and what was counted for them."""

    limits: dict[Kind, Limit]
    windows: Windows
    shared: SharedWindows | None = None
    """Where several processes count together."""

    async def client(self, kind: Kind, key: str) -> Count:
        """Count a request of a client address.

        Raises:
            DependencyUnavailable: a login, and the shared counters do not answer.
        """
        if kind is Kind.LOGIN and self.shared is not None:
            return await self.shared.strict(kind, key, self.limits[kind])
        return self._counted(kind, f"client {key}")

    def account(self, kind: Kind, account: str) -> Count:
        """Count a request of an account."""
        return self._counted(kind, f"account {account}")

    def _counted(self, kind: Kind, key: str) -> Count:
        elsewhere = self.shared.elsewhere(kind, key, self.limits[kind]) if self.shared is not None else 0
        count = self.windows.hit(kind, key, self.limits[kind], elsewhere)
        if self.shared is not None and count.allowed:
            self.shared.tell(kind, key, self.limits[kind])
        return count

    async def close(self) -> None:
        """Tell the others what was counted last, and let go of Redis; a request after this connects anew."""
        if self.shared is not None:
            await self.shared.close()

    def headers(self, kind: Kind, count: Count) -> list[tuple[bytes, bytes]]:
        """The header fields on where a client or an account stands."""
        limit = self.limits[kind]
        return [
            (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (kind.encode(), limit.requests, limit.seconds)),
            (b"ratelimit", b'"%s";r=%d;t=%d' % (kind.encode(), count.remaining, count.reset_seconds)),
        ]

    def refusal(self, kind: Kind, count: Count, who: str) -> TooManyRequests:
        """The error for a request over the limit."""
        limit = self.limits[kind]
        error = TooManyRequests(
            f"{who} sent more than {limit.requests} {kind.value} requests in {limit.seconds} seconds",
            rule=f"PYNOMALY_SERVICE_RATE_{kind.upper()}={limit.requests}/{limit.seconds}",
            fix=f"try again in {count.reset_seconds} seconds; the `Retry-After` header says when",
        )
        error.retry_after = count.reset_seconds
        return error


def limiter(settings: ServiceSettings, shared: SharedWindows | None = None) -> RateLimiter:
    """The limiter of a process by its settings."""
    return RateLimiter(limits(settings), Windows(settings.rate_most_clients), shared)


def shared_windows(settings: ServiceSettings) -> SharedWindows | None:
    """Counters in the Redis that the cache uses, where one is set; nothing is connected yet."""
    from pynomaly_pipelines.operations.cache import CacheSettings, connect_async
    from pynomaly_pipelines.operations.settings import Settings

    url = CacheSettings.from_environment(Settings.from_environment()).redis_url
    if not url:
        return None
    return SharedWindows(
        connect_async(url), without_redis=settings.rate_login_without_redis, most_keys=settings.rate_most_clients
    )
