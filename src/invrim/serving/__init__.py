"""Floor 5: a server that reconstructs what a scanner streams to it."""

from invrim.errors import MissingExtraError

try:
    import ismrmrd as _  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "expected the package ismrmrd to serve a scanner, got none installed. Run: pip install 'invrim[raw]'"
    ) from error

from invrim.serving.answer import Service
from invrim.serving.server import Server
from invrim.serving.wire import Limits

__all__ = ["Limits", "Server", "Service"]
