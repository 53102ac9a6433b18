"""What is the peak memory of one training step with one engine? Measured in this process, printed as JSON.

python benchmarks/engine_memory.py --engine invert --size 3d --depth 32
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from engines.registry import ENGINES, why_not
from engines.work import PRECISIONS, SIZES, make_work
from invrim.planning.memory import growth_during


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="shrink the state and the nets")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options)))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Count what the step brings: weights, gradients, input, everything kept on the way, and working space."""
    size = SIZES[options.size]
    engine = ENGINES[options.engine]

    def step(of: str, depth: int) -> None:
        work = make_work(size if of == "full" else size.small(), depth, options.precision, options.device)
        work.step(engine.build(work))

    try:
        step("small", 4)  # loads the libraries, those for checkpoints in segments too
        return {"peak_bytes": growth_during(lambda: step("small" if options.small else "full", options.depth))}
    except Exception as error:  # whatever a library of another time raises is an answer
        return {"unavailable": why_not(error)}


if __name__ == "__main__":
    main()
