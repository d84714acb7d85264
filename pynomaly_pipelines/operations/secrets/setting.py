"""`PYNOMALY_SECRETS` -> which store secrets come from and how it is asked, or what is wrong with the text.

    environment
    files:/run/secrets
    vault:https://bao.example:8200/secret/pynomaly?role_id_file=/run/bao/role-id&secret_id_file=/run/bao/secret-id
    aws:eu-central-1/pynomaly

What follows a question mark are options, as in a URL. It holds paths of credentials, never a credential.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pynomaly_pipelines.operations.errors import SettingsError
from pynomaly_pipelines.operations.redaction import redact

VARIABLE = "PYNOMALY_SECRETS"
FORMS = ("environment", "files:/folder", "vault:https://host:8200/mount/path", "aws:region/prefix")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DATABASE_ROLE = re.compile(r"[\w./-]+/creds/[\w.-]+")
_SECRET_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True)
class Freshness:
    """How often a store is asked, how long for, and how long what it said last may be used."""

    refresh_seconds: float = 30.0
    """How often each secret in use is looked at again; a rotation is seen this much later at most."""
    stale_seconds: float = 3600.0
    """How long the last known version is used while the store gives no answer; never past its own end."""
    timeout_seconds: float = 3.0
    """Longest wait for one answer of the store."""


@dataclass(frozen=True)
class EnvironmentSetting:
    """`environment`: PYNOMALY_SECRET_DATABASE_URL holds `database-url`."""

    freshness: Freshness = Freshness(refresh_seconds=0.0)


@dataclass(frozen=True)
class FilesSetting:
    """`files:/run/secrets`: the file /run/secrets/database-url holds `database-url`."""

    folder: str
    freshness: Freshness = Freshness(refresh_seconds=5.0)


@dataclass(frozen=True)
class VaultSetting:
    """`vault:https://host:8200/mount/path`: OpenBao or HashiCorp Vault."""

    address: str
    mount: str
    path: str
    """Folder in the key-value store (version 2): each secret is one entry below it, with a field `value`."""
    role_id_file: str = ""
    """File with the role ID of an AppRole login."""
    secret_id_file: str = ""
    """File with its secret ID."""
    wrapped: bool = False
    """`yes`: the file holds a wrapping token that gives the secret ID once."""
    approle: str = "approle"
    """Where the AppRole method is mounted."""
    token_file: str = ""
    """File with a token, such as an agent's sink; read again whenever it changes."""
    namespace: str = ""
    """Namespace of all paths."""
    ca_file: str = ""
    """Certificates that the server's must be signed by, if not the system's."""
    plain_http: bool = False
    """`yes`: allows http:// to another machine, such as within a service mesh that encrypts."""
    database_roles: tuple[tuple[str, str], ...] = ()
    """Name of a secret and path of the database role (`database/creds/accounts`) that user and password come from."""
    freshness: Freshness = field(default_factory=Freshness)


@dataclass(frozen=True)
class AwsSetting:
    """`aws:region/prefix`: AWS Secrets Manager; `database-url` is the secret `prefix/database-url`."""

    region: str
    prefix: str
    endpoint: str = ""
    """Another address of the service, such as a VPC endpoint."""
    freshness: Freshness = field(default_factory=Freshness)


Setting = EnvironmentSetting | FilesSetting | VaultSetting | AwsSetting


def parse(text: str) -> Setting:
    """What a value of PYNOMALY_SECRETS says.

    Raises:
        SettingsError: it has none of the four forms, or an option that is unknown or out of bounds.
    """
    kind, _, rest = text.strip().partition(":")
    place, _, query = rest.partition("?")
    options = _Options(text, query)
    match kind:
        case "environment" | "" if not rest:
            return EnvironmentSetting()
        case "files":
            return _files(text, place, options)
        case "vault":
            return _vault(text, place, options)
        case "aws":
            return _aws(text, place, options)
        case _:
            return _wrong(text, f"it is one of {', '.join(FORMS)}", "write one of these")


def _files(text: str, folder: str, options: _Options) -> FilesSetting:
    if not folder.startswith("/"):
        _wrong(text, "after files: comes the full path of a folder", "write files:/run/secrets")
    found = FilesSetting(folder, options.freshness(FilesSetting.freshness))
    options.all_known()
    return found


def _vault(text: str, place: str, options: _Options) -> VaultSetting:
    url = _address(text, place)
    mount, _, path = unquote(url.path).strip("/").partition("/")
    if "mount" in options.given:
        nested = options.text("mount").strip("/")
        mount, path = nested, unquote(url.path).strip("/").removeprefix(nested).strip("/")
    if not mount or not path:
        _wrong(text, "the address is followed by a key-value mount and a path in it", f"write {FORMS[2]}")
    found = VaultSetting(
        address=f"{url.scheme}://{url.netloc}",
        mount=mount,
        path=path,
        role_id_file=options.text("role_id_file"),
        secret_id_file=options.text("secret_id_file"),
        wrapped=options.switch("wrapped"),
        approle=options.text("approle", "approle"),
        token_file=options.text("token_file"),
        namespace=options.text("namespace"),
        ca_file=options.text("ca_file"),
        plain_http=options.switch("plain_http"),
        database_roles=options.database_roles(),
        freshness=options.freshness(Freshness()),
    )
    options.all_known()
    _vault_rules(text, found, url)
    return found


def _address(text: str, place: str) -> SplitResult:
    try:
        url = urlsplit(place)
        there = url.scheme in ("http", "https") and url.hostname and (url.port or True)
    except ValueError:
        there = False
    if not there:
        _wrong(text, "after vault: comes the server's address", f"write {FORMS[2]}")
    if url.username is not None:
        _wrong(text, "credentials come from files, not from this setting", "use token_file or role_id_file")
    return url


def _vault_rules(text: str, found: VaultSetting, url: SplitResult) -> None:
    if url.scheme == "http" and url.hostname not in _LOOPBACK and not found.plain_http:
        _wrong(text, "secrets travel over https, except on this machine", "write https://, or plain_http=yes")
    if bool(found.role_id_file) != bool(found.secret_id_file):
        _wrong(text, "an AppRole login needs role_id_file and secret_id_file", "give both")
    if found.role_id_file and found.token_file:
        _wrong(text, "there is one way to log in", "give token_file, or role_id_file and secret_id_file")
    if found.wrapped and not found.secret_id_file:
        _wrong(text, "wrapped says how secret_id_file is read", "give secret_id_file, or leave wrapped out")


def _aws(text: str, place: str, options: _Options) -> AwsSetting:
    region, _, prefix = place.partition("/")
    if _REGION.fullmatch(region) is None or not prefix.strip("/"):
        _wrong(text, "after aws: come a region and a prefix of the secrets' names", "write aws:eu-central-1/pynomaly")
    found = AwsSetting(region, prefix.strip("/"), options.text("endpoint"), options.freshness(Freshness()))
    options.all_known()
    return found


class _Options:
    """What follows the question mark; remembers what was asked for, so that the rest is unknown."""

    def __init__(self, text: str, query: str) -> None:
        self._setting = text
        pairs = parse_qsl(query, keep_blank_values=True)
        self.given = dict(pairs)
        self._known: set[str] = set()
        if len(self.given) < len(pairs):
            _wrong(text, "an option is given once", "remove the second")

    def text(self, name: str, default: str = "") -> str:
        self._known.add(name)
        return self.given.get(name, default)

    def switch(self, name: str) -> bool:
        value = self.text(name, "no")
        if value not in ("yes", "no"):
            _wrong(self._setting, f"{name} is yes or no", f"write {name}=yes")
        return value == "yes"

    def freshness(self, default: Freshness) -> Freshness:
        return Freshness(**{one.name: self._seconds(one.name, getattr(default, one.name)) for one in fields(Freshness)})

    def _seconds(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        least = 0.0 if name == "stale_seconds" else 0.05
        if not least <= value <= 86_400.0 and value != default:
            _wrong(self._setting, f"{name} is a number from {least:g} to 86400", f"write {name}={default:g}")
        return value

    def database_roles(self) -> tuple[tuple[str, str], ...]:
        roles = {name: value for name, value in self.given.items() if _SECRET_NAME.fullmatch(name)}
        for name, value in roles.items():
            if _DATABASE_ROLE.fullmatch(value) is None:
                _wrong(self._setting, f"{name} names a database role", f"write {name}=database/creds/role")
        self._known |= roles.keys()
        return tuple(sorted(roles.items()))

    def all_known(self) -> None:
        unknown = sorted(self.given.keys() - self._known)
        if unknown:
            _wrong(
                self._setting,
                f"there is no option {unknown[0]!r} here; there are {', '.join(sorted(self._known))}",
                "correct or remove it",
            )


def _wrong(text: str, rule: str, fix: str) -> NoReturn:
    shown = redact(re.sub(r"//[^/@]*@", "//***@", text))
    raise SettingsError(f"{VARIABLE} is {shown!r}", rule=rule, fix=fix)
