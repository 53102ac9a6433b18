"""Weights on disk: safetensors that carry everything needed to build the model again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from invrim.errors import FileError, WeightsError
from invrim.files import atomic_write, make_folder
from invrim.models.base import Reconstructor
from invrim.models.registry import MODELS

_LARGEST_OPTION = 1 << 16
"""Of whole numbers that describe a network: its steps, widths, strides."""
FORMAT = 1
"""Version of the layout below; a file of another version is refused."""


def save_model(model: Reconstructor, path: Path, *, recipe: dict[str, Any] | None = None) -> Path:
    """Write a model, atomically, as safetensors.

    Parameters
    ----------
    model
        Of any kind; its parameters become the tensors of the file, its kind and options the metadata. A tensor that
        the model uses in several places is written once, under its first name.
    path
        Where to; an existing file is replaced only by a complete one.
    recipe
        How the weights came about (configuration, seed, data, metrics): anything that JSON can hold.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    header = {"invrim_format": FORMAT, "model": type(model).__name__, "options": model.options, "recipe": recipe or {}}
    first = _first_names(model)
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if first[name] == name
    }
    make_folder(path.parent)
    with atomic_write(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"invrim": json.dumps(header)})
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error
        temporary.chmod(0o644)  # safetensors would keep the file to its owner
    return path


def load_model(weights: str | Path = "brain", *, device: str | torch.device = "cpu") -> Reconstructor:
    """Build the model that a weights file describes, in evaluation mode.

    Parameters
    ----------
    weights
        A file, or the name of weights that ship with the package (`shipped_weights`).
    device
        Where to put it.

    Raises
    ------
    FileError
        If there is no such file, or it is not a complete safetensors file.
    WeightsError
        If it is of another format version, or its kind or options are unknown, or its tensors do not fit them.
    """
    path = find_weights(weights)
    header = read_header(path)
    if path not in shipped_weights().values():
        _require_fit(header, path)
    model = _model_of(header, path)
    _fill(model, path, expected=f"{path.name} to hold its own options' tensors", remedy="Train again.")
    return model.eval().requires_grad_(False).to(device)


def copy_weights(weights: str | Path, model: Reconstructor) -> None:
    """Copy a weights file's tensors into a model of the same kind and sizes; other options may differ.

    Parameters
    ----------
    weights
        A file, or the name of weights that ship with the package (`shipped_weights`).
    model
        Whose weights are replaced.

    Raises
    ------
    FileError
        If there is no such file, or it is not a complete safetensors file.
    WeightsError
        If it is of another format version, or holds another kind of model or one of other sizes.
    """
    path = find_weights(weights)
    kind = read_header(path).get("model")
    if kind != type(model).__name__:
        raise WeightsError(
            f"expected weights of {type(model).__name__}, got those of {kind!r} in {path}. Name another file, or "
            f"change the model."
        )
    _fill(model, path, expected=f"the tensors of the model in {path}", remedy="Give the model the file's sizes.")


def _fill(model: Reconstructor, path: Path, *, expected: str, remedy: str) -> None:
    """Copy a file's tensors into a model, under every name that it has for them; refuse what does not fit."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    first = _first_names(model)
    tensors |= {name: tensors[kept] for name, kept in first.items() if kept != name and kept in tensors}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip().rstrip(".")
        raise WeightsError(f"expected {expected}, got: {reason}. {remedy}") from None


def read_header(path: Path) -> dict[str, Any]:
    """Read a weights file's options and recipe without its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("invrim", "{}"))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise FileError(
            f"expected a safetensors file, got {path}: {str(error).splitlines()[0]}. Copy it again, or train anew."
        ) from None
    found = header.get("invrim_format") if isinstance(header, dict) else None
    if found != FORMAT:
        got = "no format" if found is None else f"format {found}"
        raise WeightsError(
            f"expected weights of format {FORMAT}, got {got} in {path}. "
            f"Use the version of invrim that wrote them, or train anew."
        )
    return header


def _require_fit(header: dict[str, Any], path: Path) -> None:
    """Compare what the header describes with the tensors of the file, in names and sizes alone.

    A header of a few bytes may describe a network of any size: nothing of it is allocated before it is known to be
    what the file holds.
    """
    large = [value for value in _whole_numbers(header.get("options")) if value > _LARGEST_OPTION]
    if large:
        raise WeightsError(
            f"expected options of at most {_LARGEST_OPTION} in {path}, got {large[0]}. Copy the file again."
        )
    with torch.device("meta"):
        model = _model_of(header, path)
    first, state = _first_names(model), model.state_dict()
    wanted = {name: list(state[name].shape) for name in first.values()}
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a dict)
    wrong = next((name for name in {**wanted, **found} if wanted.get(name) != found.get(name)), None)
    if wrong is not None:
        raise WeightsError(
            f"expected {path.name} to hold its own options' tensors, got `{wrong}` of shape {found.get(wrong)} where "
            f"they make {wanted.get(wrong)}. Train again."
        )


def _whole_numbers(options: object) -> Iterator[int]:
    if isinstance(options, dict):
        options = [value for name, value in options.items() if name != "memory_budget"]  # in bytes
    if isinstance(options, list):
        for value in options:
            yield from _whole_numbers(value)
    elif isinstance(options, int):
        yield options


def _model_of(header: dict[str, Any], path: Path) -> Reconstructor:
    """Build the model that a header describes; it comes from a stranger's file, so anything may be in it."""
    kind = header.get("model")
    if not isinstance(kind, str) or kind not in MODELS:
        raise WeightsError(
            f"expected a model of {', '.join(MODELS)} in {path}, got {kind!r}. "
            f"Use the version of invrim that wrote it, or train anew."
        )
    try:
        return MODELS[kind](**header["options"])
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise WeightsError(
            f"expected the options of {kind} in {path}, got others ({type(error).__name__}: {error}). "
            f"Use the version of invrim that wrote them, or train anew."
        ) from None


def _first_names(model: Reconstructor) -> dict[str, str]:
    """Map the name of every tensor to the first name under which the model knows the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in model.state_dict(keep_vars=True).items()}


def find_weights(weights: str | Path) -> Path:
    """Find a file, or weights that ship with the package by their name."""
    shipped = shipped_weights()
    if str(weights) in shipped:
        return shipped[str(weights)]
    path = Path(weights)
    if not path.is_file():
        raise FileError(
            f"expected a weights file or one of {sorted(shipped)}, got {str(weights)!r}. "
            f"Check the path, or train with `invrim train`."
        )
    return path


def shipped_weights() -> dict[str, Path]:
    """Names and places of the weights inside the package."""
    folder = Path(str(resources.files("invrim"))) / "weights"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
