"""What do time and peak memory of one training step cost, engine by engine?

python benchmarks/engine.py                                   # everything: hours on a CPU
python benchmarks/engine.py --sizes 3d --depths 32 --engines invert memcnn --what memory
python benchmarks/engine.py --add --sizes 2d-stride1 --depths 128   # these anew, and what was measured of others
python benchmarks/engine.py --quick                           # seconds, to see that it runs

Time is a ratio to plain autograd of the block as published, with nets of the same precision (in parentheses, of
float32). The error is the largest relative difference of output and gradients from that one's, which has round-off of
its own. Engines of other libraries take part where installed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import torch

from engines.registry import ENGINES, FLOAT32, REFERENCE, with_references
from engines.timing import TOLERANCE, Facts, time_engines
from engines.work import PRECISIONS, SIZES, make_work
from envelope import RESULTS, write_results
from invrim.errors import InvrimError
from invrim.planning.memory import run_apart
from invrim.report.provenance import collect_provenance

QUESTION = "What do time and peak memory of one training step cost, engine by engine?"
PACKAGES = ("memcnn", "invtorch", "revtorch", "revlib")
MEMORY = Path(__file__).with_name("engine_memory.py")


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    sizes = {name: size.small() if options.quick else size for name, size in SIZES.items()}
    setting = {key: value for key, value in vars(options).items() if key != "out"}
    about = {
        "sizes": {name: asdict(size) for name, size in sizes.items()},
        "tolerance": TOLERANCE,
        "notes": {name: engine.note for name, engine in ENGINES.items() if engine.note},
    }
    name = "engine-quick" if options.quick else "engine"
    measurements = earlier(options, name) if options.add else []
    for measured in measure(options, sizes):
        print(table(measured), flush=True)
        measurements += measured
        results = {**about, "measurements": measurements}
        # After every table, so that hours of work survive an interruption.
        path = write_results(name, QUESTION, setting, results, folder=options.out, packages=PACKAGES)
    print(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--depths", nargs="+", type=int, help="numbers of blocks [8 32 128]")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="of the nets")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="references are added")
    parser.add_argument("--what", nargs="+", choices=["time", "memory"], default=["time", "memory"])
    parser.add_argument("--repeats", type=int, help="rounds in which every engine is timed once [5]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--add", action="store_true", help="keep what was measured of other sizes, nets and depths")
    parser.add_argument("--quick", action="store_true", help="small states, 4 blocks, 2 rounds; for tests")
    options = parser.parse_args()
    options.depths = options.depths or ([4] if options.quick else [8, 32, 128])
    options.repeats = options.repeats or (2 if options.quick else 5)
    return options


def earlier(options: argparse.Namespace, name: str) -> list[Facts]:
    """What an earlier run measured, but for what is measured now."""
    path = options.out / f"{name}.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    now = set(product(options.sizes, options.precisions, options.depths))
    return [row for row in found["results"]["measurements"] if (row["size"], row["precision"], row["depth"]) not in now]


def measure(options: argparse.Namespace, sizes: dict[str, Any]) -> Iterator[list[Facts]]:
    """Yield one list of facts, an engine each, for every size, precision and depth."""
    commit = collect_provenance().get("commit", "")
    for size, precision, depth in product(options.sizes, options.precisions, options.depths):
        engines = with_references(options.engines, precision)
        facts: dict[str, Facts] = {name: {} for name in engines}
        if "time" in options.what:
            work = make_work(sizes[size], depth, precision, options.device)
            facts = time_engines(engines, work, precision, options.repeats)
            del work
        for name in engines:
            if "memory" in options.what and "unavailable" not in facts[name]:
                facts[name] |= peak_memory(options, name, size, precision, depth)
        place = {"size": size, "precision": precision, "depth": depth, "commit": commit}
        yield [{**place, "engine": name, **known} for name, known in facts.items()]


def peak_memory(options: argparse.Namespace, engine: str, size: str, precision: str, depth: int) -> Facts:
    """Measure in a fresh process: a peak never comes down again."""
    arguments = [str(MEMORY), "--engine", engine, "--size", size, "--precision", precision, "--depth", str(depth)]
    arguments += ["--device", options.device, "--threads", str(options.threads)]
    try:
        return run_apart([*arguments, "--small"] if options.quick else arguments)
    except InvrimError as error:  # killed for want of memory, for one
        return {"memory_unavailable": str(error)}


def table(measured: list[Facts]) -> str:
    """One line an engine; an exclamation mark where its gradients are outside the tolerance."""
    first = measured[0]
    title = f"{first['size']}, {first['precision']} nets, {first['depth']} blocks"
    lines = [f"{title:<38}{'time':>8}{'peak MB':>10}{'error':>10}"]
    return "\n".join(lines + [f"  {facts['engine']:<36}{_cells(facts)}" for facts in measured])


def _cells(facts: Facts) -> str:
    if "unavailable" in facts:
        return f"  {facts['unavailable']}"
    time = f"{facts['ratio']:.2f}" if "ratio" in facts else "-"
    memory = f"{facts['peak_bytes'] / 1e6:.1f}" if "peak_bytes" in facts else facts.get("memory_unavailable", "-")
    error = f"{max(facts['errors'].values()):.0e}" if "errors" in facts else "-"
    flag = "" if facts.get("within_tolerance", True) else " !"
    return f"{time:>8}{memory:>10}{error:>10}{flag}{_other_ratios(facts)}"


def _other_ratios(facts: Facts) -> str:
    same_as = ENGINES[facts["engine"]].same_as
    ratios = {} if same_as == REFERENCE else {same_as: facts.get("ratio_to_same_map")}
    ratios[FLOAT32] = facts.get("ratio_to_float32")
    return "".join(f"   ({ratio:.2f} of {name})" for name, ratio in ratios.items() if ratio is not None)


if __name__ == "__main__":
    main()
