"""How does the peak of a training step of a 3D i-RIM grow from 40 to 400 layers?

python benchmarks/volume.py

One slab of a brain volume, 32 slices of 256 x 256, its acquisition simulated; the step is that of `invrim train`: loss,
backward pass, update. Every number comes from a fresh process. Gradients and the optimiser's state are there before
the step, as in every step but the first, so that the growth of the resident set during it is what the slab costs:
data, activations, working space. A layer is a convolution or an orthogonal 1x1 convolution, five a block.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from envelope import RESULTS, write_results
from invrim.data.batches import collate
from invrim.data.formats.fastmri import write_acquisition
from invrim.data.formats.nifti import read_volume, slices
from invrim.data.samples import fetch
from invrim.data.simulation import SliceChoice, simulate_volume
from invrim.data.slabs import SlabDataset
from invrim.models import PRESETS
from invrim.planning.memory import forget_peak, peak_resident_bytes, resident_bytes, run_apart
from invrim.report.provenance import collect_provenance
from invrim.training import Data, IRIMOptions, Optimisation, Recipe
from invrim.training.build import build_model
from invrim.training.module import ReconstructionTask

QUESTION = "How does the peak of a training step of a 3D i-RIM grow from 40 to 200 to 400 layers on one slab?"
SAMPLE = "pydra"
LAYERS_PER_BLOCK = 5
HIDDEN, STRIDES = (tuple(PRESETS["volume-400"][key]) for key in ("hidden", "strides"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and a slab."""

    steps: int
    blocks: int = len(HIDDEN)
    """Of a step: the first of `HIDDEN`."""
    channels: int = 32
    """Of the state; `HIDDEN` is made wider with it."""
    slab: tuple[int, int, int] = (32, 256, 256)
    """``(z, y, x)``."""
    coils: int = 1
    tile: Literal["auto"] | None = "auto"
    """None: nets are evaluated whole."""

    @property
    def layers(self) -> int:
        return LAYERS_PER_BLOCK * self.steps * self.blocks

    @property
    def state_bytes(self) -> int:
        return 4 * self.channels * torch.Size(self.slab).numel()


CASES = {
    "40 layers": Case(steps=1, blocks=8),
    "400 layers": Case(steps=8),
    "200 layers": Case(steps=4),
    "40 layers, whole": Case(steps=1, blocks=8, tile=None),
    "40 layers, 8 coils": Case(steps=1, blocks=8, coils=8),
    "40 layers, 64 slices": Case(steps=1, blocks=8, slab=(64, 128, 128)),
    "40 layers, 64 channels": Case(steps=1, blocks=8, channels=64, slab=(16, 128, 128)),
    "small": Case(steps=1, blocks=2, channels=8, slab=(8, 32, 32)),
    "small, deep": Case(steps=6, blocks=2, channels=8, slab=(8, 32, 32)),
}
"""Those called small are for tests."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name in CASES if not name.startswith("small")]
    parser.add_argument("--cases", nargs="+", choices=CASES, default=names)
    parser.add_argument("--image", type=Path, help="NIfTI volume; by default the sample that the package fetches")
    parser.add_argument("--anew", action="store_true", help="also measure what an earlier run has measured")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--measure", help="print the memory of this case in this process (used by the script itself)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    image = options.image or find_image()
    setting = {"image": image.name, "hidden": list(HIDDEN), "strides": list(STRIDES), "threads": 1}
    rows = [] if options.anew else measured_before(options.out, setting)
    written = options.out / "volume.json"
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cases:
            if name in {row["case"] for row in rows}:
                continue
            rows.append(measure_apart(name, image, Path(folder)))
            rows.sort(key=lambda row: list(CASES).index(row["case"]))
            print("\n".join(line(row) for row in rows if row["case"] == name), flush=True)
            written = write_results("volume", QUESTION, setting, rows, folder=options.out)  # an hour is long to lose
    print(written)


def measured_before(folder: Path, setting: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of an earlier run that are still what would be measured now."""
    path = folder / "volume.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["setting"] != setting:
        return []
    return [row for row in found["results"] if json.loads(json.dumps(described(row["case"]))).items() <= row.items()]


def described(name: str) -> dict[str, Any]:
    case = CASES[name]
    return {"case": name, **asdict(case), "layers": case.layers, "state_bytes": case.state_bytes}


def find_image() -> Path:
    """The volume in the data folder, or what the package fetches."""
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "mr_images" / f"{SAMPLE}_T1w.nii.gz"
    if shared.is_file():
        return shared
    sample = fetch(SAMPLE)
    print(f"{SAMPLE}: {sample.notice}", flush=True)
    return sample.path


def measure_apart(name: str, image: Path, folder: Path) -> dict[str, Any]:
    case = CASES[name]
    scan = folder / f"{'x'.join(map(str, case.slab))}-{case.coils}"
    if not scan.is_dir():
        scan.mkdir()
        simulate_slab(case, image, scan / "scan.h5")
    found = run_apart([__file__, "--measure", json.dumps({"name": name, "folder": str(scan)})])
    provenance = collect_provenance()
    return {**described(name), "date": provenance["date"], "commit": provenance["commit"], **found}


def simulate_slab(case: Case, image: Path, path: Path) -> None:
    """Scan the middle of a brain: its sagittal slices, cut or padded to the slab's matrix."""
    count, rows, columns = case.slab
    stack = np.maximum(slices(read_volume(image), "sagittal"), 0)
    middle = _fit(_fit(_fit(stack, 0, count), 1, rows), 2, columns)
    everything = SliceChoice(min_signal=0)
    write_acquisition(path, simulate_volume(middle, path.name, coils=case.coils, choice=everything))


def measure(name: str, folder: str) -> dict[str, Any]:
    """Bytes and seconds of one training step in this process."""
    case = CASES[name]
    train(replace(case, steps=1, blocks=1, channels=8), Path(folder), crop=8)  # what libraries load
    return train(case, Path(folder))


def train(case: Case, folder: Path, crop: int | None = None) -> dict[str, Any]:
    recipe = recipe_of(case, folder)
    torch.manual_seed(0)
    empty = resident_bytes()
    task = ReconstructionTask(build_model(recipe), recipe.optimisation)
    optimiser = task.configure_optimizers()["optimizer"]
    for parameter in task.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()  # without gradients: it makes its state
    dataset = SlabDataset(folder, slab=case.slab[0], accelerations=[4], center_fractions=[0.08], readout_crop=crop)
    forget_peak()
    before, start = resident_bytes(), time.process_time()
    loss = task.loss(collate([dataset[0]]))
    loss.backward()
    optimiser.step()
    parameters = list(task.parameters())
    return {
        "peak_bytes": peak_resident_bytes() - empty,
        "step_bytes": peak_resident_bytes() - before,
        "parameter_bytes": _bytes(parameters),
        "gradient_bytes": _bytes([parameter.grad for parameter in parameters]),
        "optimiser_bytes": _bytes([value for state in optimiser.state.values() for value in state.values()]),
        "process_peak_bytes": peak_resident_bytes(),
        "cpu_seconds": time.process_time() - start,
        "loss": loss.item(),
    }


def recipe_of(case: Case, folder: Path) -> Recipe:
    wider = case.channels / 32
    model = IRIMOptions(
        steps=case.steps,
        hidden=tuple(int(wider * hidden) for hidden in HIDDEN[: case.blocks]),
        strides=STRIDES[: case.blocks],
        channels=case.channels,
        ndim=3,
        tile=case.tile,
    )
    data = Data(train=folder, validation=folder, slab=case.slab[0], batch_size=1)
    return Recipe(data=data, model=model, optimisation=Optimisation(updates=1), out=folder)


def line(row: dict[str, Any]) -> str:
    states = row["step_bytes"] / row["state_bytes"]
    return (
        f"{row['case']:<24} peak {row['peak_bytes'] / 1e9:.3f} GB, the step {row['step_bytes'] / 1e9:.3f} GB = "
        f"{states:.2f} states, {row['cpu_seconds']:.0f} s"
    )


def _bytes(tensors: list[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _fit(stack: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Cut or pad the middle of an axis."""
    n = stack.shape[axis]
    if n >= size:
        return stack.take(range((n - size) // 2, (n - size) // 2 + size), axis)
    widths = [(0, 0)] * stack.ndim
    widths[axis] = ((size - n) // 2, size - n - (size - n) // 2)
    return np.pad(stack, widths)


if __name__ == "__main__":
    main()
