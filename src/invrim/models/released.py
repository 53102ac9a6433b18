"""The checkpoints that the authors' code of 2019 writes, as models of ours."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

from torch import Tensor

from invrim.errors import InvrimError, WeightsError
from invrim.models.base import Reconstructor
from invrim.models.checkpoints import read_checkpoint
from invrim.models.irim import IRIM, Head
from invrim.models.rim import RIM

Tensors = dict[str, Tensor]

_COILS = {"singlecoil": 1, "multicoil": 15}
_METADATA = 8
_SLACK = 1e-6
"""Of the normalisation."""

_LAYERS = {"l1": "down", "l2": "middle", "l3": "up"}
_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_NET = r"(l[123])\.(bias|weight_[gv])"
_BLOCK = re.compile(rf"(?:model\.)*rnn\.(\d+)\.layers\.(\d+)\.update_right\.{_NET}")
_MIXING = re.compile(r"(?:model\.)*rnn\.(\d+)\.embeddings\.(\d+)\.(weights|I)")
_HEAD = re.compile(rf"output_function\.{_NET}")
_RIM = re.compile(r"(?:model\.)*(rnn\.layers\.[012]\.(?:input_fun\.conv_layer|rnn_cell\.[ih]h))\.(weight|bias)")
_RIM_LAYERS = {
    "rnn.layers.0.input_fun.conv_layer": "look",
    "rnn.layers.0.rnn_cell.ih": "first.reading",
    "rnn.layers.0.rnn_cell.hh": "first.keeping",
    "rnn.layers.1.input_fun.conv_layer": "widen",
    "rnn.layers.1.rnn_cell.ih": "second.reading",
    "rnn.layers.1.rnn_cell.hh": "second.keeping",
    "rnn.layers.2.input_fun.conv_layer": "correct",
}


def read_released(path: Path) -> Reconstructor:
    """Build our model of a checkpoint that the authors' `train_model` wrote: an i-RIM, or its RIM baseline.

    Sizes are those of the tensors. What tensors do not show, such as the multiplicity, is read from the settings that
    the checkpoint holds. Normalisation is as published; nothing is known of coil maps there, and the RIM never passed
    its memory on. On sizes that a stride does not divide the released i-RIM left the last rows and columns as they
    were, ours reaches them.

    Parameters
    ----------
    path
        File with ``args`` and ``model``, of one process or of several (names then begin with ``module.``).

    Raises
    ------
    FileError
        The file cannot be read.
    WeightsError
        It would run code, or is another kind of checkpoint.

    References
    ----------
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952, and the code released with it.
    """
    content = read_checkpoint(path)
    settings, tensors = content.get("args"), content.get("model")
    if not isinstance(settings, Namespace) or not isinstance(tensors, dict):
        raise WeightsError(
            f"expected `args` and `model` in {path}, got {', '.join(map(str, content)) or 'nothing'}. Give the "
            f"checkpoint as the authors' code wrote it, e.g. best_model.pt."
        )
    try:
        tensors = {_name(name, tensor): tensor for name, tensor in tensors.items()}
        convert = _rim if any(_RIM.fullmatch(name) for name in tensors) else _irim
        return convert(tensors, settings).eval()
    except (InvrimError, RuntimeError, AttributeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).splitlines()[-1:]).strip().rstrip(".")
        raise WeightsError(
            f"expected a checkpoint of the code released in 2019, got {path}: {reason}. Others cannot be converted."
        ) from None


def _name(name: object, tensor: object) -> str:
    """Strip what a run of several processes put before every name."""
    if not isinstance(tensor, Tensor):
        raise WeightsError(f"no tensor at `{name}`")
    return str(name).removeprefix("module.")


def irim_name(theirs: str, blocks_per_step: int) -> str | None:
    """Name of a released i-RIM's tensor in ours; None for the identity matrices beside its reflections."""
    if found := _HEAD.fullmatch(theirs):
        return ".".join(["head", *_net(*found.groups())])
    found = _BLOCK.fullmatch(theirs) or _MIXING.fullmatch(theirs)
    if found is None:
        raise WeightsError(f"a tensor of unknown name, `{theirs}`")
    step, block, *rest = found.groups()
    place = f"chain.steps.{int(step) * (blocks_per_step + 1) + 1 + int(block)}"
    if found.re is _MIXING:
        return f"{place}.mixing.vectors" if rest == ["weights"] else None
    return ".".join([place, "net", *_net(*rest)])


def rim_name(theirs: str) -> str:
    """Name of a released RIM's tensor in ours."""
    found = _RIM.fullmatch(theirs)
    if found is None:
        raise WeightsError(f"a tensor of unknown name, `{theirs}`")
    return f"{_RIM_LAYERS[found[1]]}.{found[2]}"


def _net(layer: str, tensor: str) -> tuple[str, str]:
    return _LAYERS[layer], _NORM.get(tensor, tensor)


def _irim(tensors: Tensors, settings: Namespace) -> IRIM:
    down = {
        (int(found[1]), int(found[2])): tensor
        for name, tensor in tensors.items()
        if (found := _BLOCK.fullmatch(name)) and name.endswith("l1.weight_v")
    }
    if not down:
        raise WeightsError("no tensors of an i-RIM, nor of a RIM")
    steps, blocks = (1 + max(place[axis] for place in down) for axis in (0, 1))
    if missing := [block for block in range(blocks) if (0, block) not in down]:
        raise WeightsError(f"no tensors of block {missing[0]} in step 0")
    first = [down[0, block] for block in range(blocks)]
    named = {ours: tensor for name, tensor in tensors.items() if (ours := irim_name(name, blocks))}
    vectors = {name: tensor.squeeze(-1) for name, tensor in named.items() if name.endswith(".vectors")}
    images = _COILS[_setting(settings, "challenge", list(_COILS))]
    model = IRIM(
        steps=steps,
        hidden=[len(weight) for weight in first],
        strides=[weight.shape[-1] for weight in first],
        channels=next(iter(vectors.values())).shape[1],
        images=images,
        multiplicity=_whole(settings, "multiplicity"),
        ndim=first[0].ndim - 2,
        head=_head(images, learned="output_function.l3.weight_v" in tensors),
        share_weights=_setting(settings, "shared_weights", [False, True]),
        metadata=_METADATA,
        coil_maps=False,
        normalisation_slack=_SLACK,
    )
    model.load_state_dict(named | vectors)
    return model


def _head(images: int, *, learned: bool) -> Head:
    if not learned:
        return "halves"
    return "learned" if images == 1 else "combined"


def _rim(tensors: Tensors, settings: Namespace) -> RIM:
    if _setting(settings, "challenge", list(_COILS)) != "singlecoil":
        raise WeightsError("a RIM of several coils, of which ours has none")
    named = {rim_name(name): tensor for name, tensor in tensors.items()}
    model = RIM(
        steps=_whole(settings, "n_steps"),
        hidden=len(named["look.weight"]),
        recurrent=False,
        coil_maps=False,
        normalisation_slack=_SLACK,
    )
    model.load_state_dict(named)
    return model


def _setting(settings: Namespace, name: str, allowed: list[Any]) -> Any:
    value = getattr(settings, name, None)
    if value not in allowed:
        raise WeightsError(f"the setting {name} is {value!r}, none of {', '.join(map(str, allowed))}")
    return value


def _whole(settings: Namespace, name: str) -> int:
    value = getattr(settings, name, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WeightsError(f"the setting {name} is {value!r}, no number from 1")
    return value
