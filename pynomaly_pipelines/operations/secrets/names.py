"""The secrets the product itself asks for."""

from __future__ import annotations

PRODUCT_SECRETS = {
    "database-url": "SQLAlchemy URL of the service's accounts",
    "redis-url": "URL of the Redis that replicas share: `rediss://host:6379/0`",
    "signing-keys": "keys that sign access tokens, as a JWK set",
    "smtp-url": "mail server for notifications: `smtps://host:465`",
    "registry-url": "MLflow tracking URI, asked for by `PYNOMALY_REGISTRY=secret:registry-url`",
}
"""Name -> what it holds. Each is optional: a feature that needs one says so."""
