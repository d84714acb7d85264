"""A message and the address of a receiver -> whether it was taken; by Apprise, in bounded time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pynomaly_pipelines.operations.errors import PynomalyError, SettingsError
from pynomaly_pipelines.operations.redaction import redact, remember

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
LONGEST_SECONDS = 20.0
"""A receiver that has not taken a message by then has failed."""


@dataclass(frozen=True)
class Picture:
    """A PNG that goes with a message."""

    name: str
    png: bytes


@dataclass(frozen=True)
class Message:
    """What is sent; `text` and `html` say the same."""

    title: str
    text: str
    html: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a message."""

    receiver: str
    why_not: str = ""
    """Empty when it was taken."""

    @property
    def sent(self) -> bool:
        """Whether the receiver took it."""
        return not self.why_not


def send(message: Message, url: str) -> str:
    """Send a message to the receiver behind an Apprise URL; what comes back says why not, empty if it was taken.

    Raises:
        SettingsError: Apprise is not installed, or knows no such URL.
    """
    try:
        import apprise
        from apprise.attachment.memory import AttachMemory
    except ModuleNotFoundError:
        raise SettingsError(
            "notifications need Apprise",
            rule="it is an extra of the package",
            fix='install "pynomaly-pipelines[notifications]"',
        ) from None
    # The whole URL is a secret: many carry tokens in their path.
    remember(url)
    receiver = apprise.Apprise.instantiate(url)
    if receiver is None:
        raise SettingsError(
            "a receiver's URL is none that Apprise knows",
            rule="it begins with a known scheme such as mailtos:// or slack:// and has the parts that one needs",
            fix="correct the variable or secret that holds it",
        )
    receiver.socket_connect_timeout, receiver.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    html = apprise.NotifyFormat.HTML in _formats(receiver)
    said: list[str] = []
    pictures = [AttachMemory(content=p.png, name=p.name, mimetype="image/png") for p in message.pictures]
    service = apprise.Apprise()
    service.add(receiver)
    result = service.notify(
        title=message.title,
        body=message.html if html else message.text,
        body_format=apprise.NotifyFormat.HTML if html else apprise.NotifyFormat.TEXT,
        notify_type=apprise.NotifyType.WARNING,
        attach=apprise.AppriseAttachment(pictures) if pictures and receiver.attachment_support else None,
        log_callback=lambda entry, _service: said.append(entry.message) if entry.level != "INFO" else None,
    )
    return "" if result else redact(" ".join(said[-2:]) or "it was not taken, and nothing was said why")


def send_each(
    messages: Mapping[str, Message],
    url_of: Callable[[str], str],
    seconds: float = LONGEST_SECONDS,
) -> Iterator[Outcome]:
    """Send each receiver its message, all at once; outcomes as they come, one for each.

    A receiver that hangs holds up no other: after `seconds` its outcome is a failure, and its thread is left to its
    own time-outs. Should it be taken even later, it comes a second time; that is what "at least once" means.
    """
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    for name, message in messages.items():
        work = threading.Thread(
            target=_work, args=(name, message, url_of, outcomes), name=f"notify {name}", daemon=True
        )
        work.start()
    left, ends = set(messages), time.monotonic() + seconds
    while left:
        try:
            outcome = outcomes.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        left.discard(outcome.receiver)
        yield outcome
    yield from (Outcome(name, f"no answer within {seconds:g} seconds") for name in sorted(left))


def _work(name: str, message: Message, url_of: Callable[[str], str], outcomes: queue.SimpleQueue[Outcome]) -> None:
    why_not = "its thread ended without a word"
    try:
        why_not = send(message, url_of(name))
    except PynomalyError as error:
        why_not = redact(str(error))
    finally:
        # Also when the library itself breaks: the traceback is the thread's, the failure the receiver's.
        outcomes.put(Outcome(name, why_not))


def _formats(receiver: object) -> tuple[object, ...]:
    """What a service takes; Apprise gives one, or several with the preferred one first."""
    found = getattr(receiver, "notify_format", ())
    return found[:1] if isinstance(found, tuple) else (found,)
