"""The few lines of an ISMRMRD header that say where the scanner left k-space empty."""

from xml.etree import ElementTree

from invrim.errors import DataError

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"


def zero_padding(header: bytes | str) -> tuple[int, int] | None:
    """Lines ``[left, right)`` that the scanner encoded; those outside were filled with zeros.

    The rule is fastMRI's: ``left = encoded // 2 - centre`` and ``right = left + maximum + 1`` along the phase
    encoding.

    Parameters
    ----------
    header
        ISMRMRD XML.

    Returns
    -------
    tuple or None
        None where the header gives no encoding limits.

    Raises
    ------
    DataError
        The header is not XML, or its limits are not whole numbers.
    """
    try:
        root = ElementTree.fromstring(header)
        size = _find(root, "encodedSpace", "matrixSize", "y")
        centre = _find(root, "encodingLimits", "kspace_encoding_step_1", "center")
        maximum = _find(root, "encodingLimits", "kspace_encoding_step_1", "maximum")
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise DataError(
            f"expected ISMRMRD XML in `ismrmrd_header`, got something else ({error}). Repair or delete the dataset."
        ) from error
    if size is None or centre is None or maximum is None:
        return None
    left = size // 2 - centre
    return left, left + maximum + 1


def _find(root: ElementTree.Element, *path: str) -> int | None:
    text = root.findtext("/".join(_NAMESPACE + name for name in ("encoding", *path)))
    return None if text is None else int(text)
