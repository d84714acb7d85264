"""Mounted files as a store: `database-url` is the file of that name in a folder.

This is how Kubernetes, Docker, Podman, systemd (`LoadCredential=`) and the agents of secret managers hand secrets over.
Kubernetes replaces all of them at once by turning the link `..data` to another folder.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pynomaly_pipelines.operations.errors import SecretDenied, SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets.composition import composed
from pynomaly_pipelines.operations.secrets.provider import Fetched, Leaseless
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.setting import FilesSetting

_LARGEST = 1 << 20


class Files(Leaseless):
    """Reads one file for each secret."""

    def __init__(self, setting: FilesSetting) -> None:
        self._folder = Path(setting.folder)
        self.origin = f"files in {setting.folder}"

    def place(self, name: SecretName) -> str:
        """The file."""
        return str(self._folder / name.name)

    def fetch(self, name: SecretName) -> Fetched:
        """What the file holds, without the line break at its end.

        Raises:
            SecretMissing: there is no such file, or it is empty.
            SecretDenied: this process may not read it.
            SecretsUnreachable: it can't be read now, or is no text of at most 1 MiB.
        """
        file = self._folder / name.name
        try:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST + 1)
                changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            text = content.decode().rstrip("\r\n")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self._missing(name, "is no file") from error
        except PermissionError as error:
            raise SecretDenied(
                f"{file} may not be read by this process",
                rule=f"it holds {name.name}",
                fix="give the user that runs this process read access to it",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SecretsUnreachable(
                f"{file} can't be read: {type(error).__name__}",
                rule="a secret is a text in UTF-8",
                fix="look at the mount, and at what was written",
            ) from None
        if len(content) > _LARGEST:
            raise SecretsUnreachable(f"{file} is larger than 1 MiB", rule="a secret is small", fix="correct the file")
        if not text:
            raise self._missing(name, "is empty")
        return Fetched(Secret(name.name, composed(name.name, text), f"{changed:%Y-%m-%dT%H:%M:%S.%f}Z"))

    def _missing(self, name: SecretName, what: str) -> SecretMissing:
        return SecretMissing(
            f"{self._folder / name.name} {what}",
            rule=f"it holds {name.name}, as PYNOMALY_SECRETS says `files:{self._folder}`",
            fix="mount it, or correct the folder",
        )
