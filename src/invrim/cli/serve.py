"""invrim serve"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from invrim.cli.console import device_of, parser


def main(argv: Sequence[str]) -> None:
    p = parser("serve", "Reconstruct what a scanner streams: an MRD server, for one client after the other.")
    p.add_argument("--host", default="127.0.0.1", help="address to listen at; anyone who reaches it is served")
    p.add_argument("--port", type=int, default=9002, help="port to listen at; 0 for a free one")
    p.add_argument("--weights", default="brain", help="a weights file, or the name of weights that ship")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is cuda where there is one")
    p.add_argument("--max-size", default="4GB", help="of a client's stream, and of the k-space that it fills")
    p.add_argument("--timeout", type=float, default=120.0, help="seconds that one message may take")
    options = p.parse_args(argv)
    from pathlib import Path

    from invrim.invertible.budget import bytes_of
    from invrim.models import load_model
    from invrim.serving import Limits, Server, Service

    limits = Limits(max_size=bytes_of(options.max_size, what="a --max-size"), timeout=options.timeout)
    device = device_of(options.device)
    service = Service(
        model=load_model(options.weights, device=device), name=Path(options.weights).stem, max_size=limits.max_size
    )
    server = Server(service, host=options.host, port=options.port, limits=limits)
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )
    host, port = server.address
    print(
        f"listening at {host}:{port}, weights {service.name} on {device}; Ctrl-C stops after the client that is there",
        flush=True,
    )
    with _stopping_by_signals(server.stop):
        server.serve()
    print("stopped")


@contextlib.contextmanager
def _stopping_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Stop gracefully at SIGINT or SIGTERM; at the second of its kind at once."""

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
