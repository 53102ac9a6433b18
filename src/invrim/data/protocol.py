"""What a model can be told of a scan: the code of contrast and scanner that the published i-RIM reads."""

import torch
from torch import Tensor

SCANNERS = ("Aera", "Biograph_mMR", "Prisma_fit", "Skyra")
"""Scanners of the fastMRI knees, as their ISMRMRD headers name the model."""
_FAT_SUPPRESSED = {"CORPDFS_FBK": True, "CORPDFS_FBKREPEAT": True, "CORPD_FBK": False}
"""Their acquisitions: proton density with and without fat suppression."""


def protocol_code(acquisition: object, scanner: str | None) -> Tensor:
    """Code a scan among {fat-suppressed, not} × {four scanners}.

    A known scan has a 1 at its place: fat-suppressed and not, by turns, for every one of `SCANNERS`. What is not known
    is shared out evenly, so that the eight numbers always sum to 1: an unknown scanner puts 1/4 on each of the four, an
    unknown contrast 1/2 on each of the two, and of a scan of which nothing is known all are 1/8.

    Parameters
    ----------
    acquisition
        As the file's attribute ``acquisition`` has it, e.g. ``"CORPD_FBK"``; None where it has none.
    scanner
        Model, as the ISMRMRD header has it, e.g. ``"Skyra"``.

    Returns
    -------
    Tensor
        float32 ``(8,)``.

    References
    ----------
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952, and the code released with it,
       which fails for any other scanner.
    """
    suppressed = _FAT_SUPPRESSED.get(acquisition) if isinstance(acquisition, str) else None
    contrast = torch.tensor([0.5, 0.5] if suppressed is None else [float(suppressed), float(not suppressed)])
    known = torch.tensor([float(scanner == name) for name in SCANNERS])
    place = known if known.any() else torch.full_like(known, 1 / len(SCANNERS))
    return torch.outer(place, contrast).flatten()
