"""Score a folder of reconstructions against a folder of targets, matched by file name."""

from pathlib import Path

from rich.progress import track

from invrim.data.formats.fastmri import read_reconstruction, read_target
from invrim.errors import FileError, about
from invrim.evaluation.protocols import evaluate_volume, find_protocol
from invrim.evaluation.result import Evaluation
from invrim.files import visible_files


def evaluate_folders(
    targets: Path, predictions: Path, protocol: str = "fastmri", *, progress: bool = False
) -> Evaluation:
    """Score every target; all must have a prediction of the same name. Memory: one volume at a time.

    Parameters
    ----------
    targets
        Folder of fastMRI-style HDF5 files ``*.h5`` that hold a ground truth ``(slices, y, x)``.
    predictions
        Folder of HDF5 files of the same names with a dataset ``reconstruction`` ``(slices, y, x)``.
    protocol
        A name in `PROTOCOLS`.
    progress
        Show a bar on the terminal.
    """
    find_protocol(protocol)
    pairs = pairs_of(targets, predictions)
    scored = track(pairs, description=f"evaluate ({protocol})", disable=not progress)
    return Evaluation(protocol=protocol, volumes={path.name: _score(path, other, protocol) for path, other in scored})


def pairs_of(targets: Path, predictions: Path) -> list[tuple[Path, Path]]:
    """Match targets with predictions by name; refuse folders where one is missing."""
    for folder in (targets, predictions):
        if not folder.is_dir():
            raise FileError(f"{folder} is not a folder: expected a folder of HDF5 files (*.h5). Check the path.")
    files = visible_files(targets, ".h5")
    if not files:
        raise FileError(f"no target in {targets}: expected HDF5 files (*.h5), found none. Check the path.")
    pairs = [(file, predictions / file.name) for file in files]
    missing = [other.name for _, other in pairs if not other.is_file()]
    if missing:
        raise FileError(
            f"{len(missing)} of {len(files)} predictions missing in {predictions}: expected {missing[0]} as in "
            f"{targets}. Reconstruct it with `invrim reconstruct`."
        )
    return pairs


def _score(target: Path, prediction: Path, protocol: str) -> dict[str, float]:
    with about(target.name):
        return evaluate_volume(read_target(target), read_reconstruction(prediction), protocol)
