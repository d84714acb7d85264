"""AWS Secrets Manager as a store, with the stages that its rotation moves through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynomaly_pipelines.operations.errors import SecretDenied, SecretError, SecretMissing, SecretsUnreachable
from pynomaly_pipelines.operations.secrets.composition import composed
from pynomaly_pipelines.operations.secrets.provider import Fetched, Leaseless
from pynomaly_pipelines.operations.secrets.secret import Secret, SecretName
from pynomaly_pipelines.operations.secrets.setting import AwsSetting

_CURRENT = "AWSCURRENT"
_DURING_ROTATION = ("AWSPENDING", "AWSPREVIOUS")
_DENIED = ("AccessDenied", "UnrecognizedClient", "InvalidClientToken", "ExpiredToken", "InvalidSignature",
           "DecryptionFailure", "SignatureDoesNotMatch")  # fmt: skip
_GONE = ("ResourceNotFoundException", "InvalidRequestException")


class Aws(Leaseless):
    """Reads secrets of one region; credentials are the machine's, the pod's, or those of the AWS_ variables."""

    def __init__(self, setting: AwsSetting) -> None:
        self._setting = setting
        self._client = _client(setting)
        self.origin = f"AWS Secrets Manager, {setting.region} {setting.prefix}/"

    def place(self, name: SecretName) -> str:
        """The secret's name there."""
        return f"{self._setting.prefix}/{name.name}"

    def fetch(self, name: SecretName) -> Fetched:
        """The version of the stage AWSCURRENT.

        Raises:
            SecretMissing, SecretDenied, SecretsUnreachable: it can't be had.
        """
        return Fetched(self._version(name, _CURRENT))

    def others(self, name: SecretName, held: Secret) -> Sequence[Secret]:
        """The versions pending and previous: the database takes one of them while a rotation is under way."""
        found = []
        for stage in _DURING_ROTATION:
            try:
                found.append(self._version(name, stage))
            except SecretMissing:
                continue
        return [secret for secret in found if not secret.same_value(held)]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _version(self, name: SecretName, stage: str) -> Secret:
        with self._told(name):
            answer = self._client.get_secret_value(SecretId=self.place(name), VersionStage=stage)
        if not answer.get("SecretString"):
            raise SecretMissing(
                f"{self.place(name)} holds no text", rule="a secret is a text", fix="store it as SecretString"
            )
        return Secret(name.name, composed(name.name, answer["SecretString"]), str(answer["VersionId"])[:8])

    @contextmanager
    def _told(self, name: SecretName) -> Iterator[None]:
        import botocore.exceptions

        place = f"{self.place(name)} in {self._setting.region}"
        try:
            yield
        except botocore.exceptions.ClientError as error:
            raise _refused(place, name, error.response["Error"]) from None
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.CredentialRetrievalError) as error:
            raise SecretDenied(
                f"no credentials to read {place}: {error}",
                rule="they come from the pod's or machine's role, or from the AWS_ variables",
                fix="give it a role that allows secretsmanager:GetSecretValue",
            ) from None
        except botocore.exceptions.BotoCoreError as error:
            raise SecretsUnreachable(
                f"{place} can't be read: {type(error).__name__}",
                rule=f"AWS Secrets Manager must answer within {self._setting.freshness.timeout_seconds:g} s",
                fix="look at the network and at `endpoint`; what was read before stays in use for stale_seconds",
            ) from None


def _refused(place: str, name: SecretName, told: Any) -> SecretError:
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))[:200]
    if code in _GONE:
        return SecretMissing(
            f"there is no secret {place}: {message}",
            rule=f"it holds {name.name}",
            fix="create it, restore it if it is being deleted, or correct the prefix in PYNOMALY_SECRETS",
        )
    if code.startswith(_DENIED):
        return SecretDenied(
            f"AWS refuses to show {place}: {code}",
            rule="the role may call secretsmanager:GetSecretValue, and kms:Decrypt if it has a key of its own",
            fix="extend the role's policy",
        )
    return SecretsUnreachable(f"{place} can't be read now: {code} {message}", rule="AWS must answer", fix="try again")


def _client(setting: AwsSetting) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise SecretError(
            "secrets come from AWS Secrets Manager, and boto3 is not installed",
            rule="reading them is an extra of the package",
            fix="pip install 'pynomaly-pipelines[aws]'",
        ) from error
    seconds = setting.freshness.timeout_seconds
    return boto3.client(
        "secretsmanager",
        region_name=setting.region,
        endpoint_url=setting.endpoint or None,
        # One attempt: the store tries again by itself, and nobody waits for it meanwhile.
        config=Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1}),
    )
