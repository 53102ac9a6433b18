"""What is looked at and scored of a reconstruction."""

import torch

from invrim import RIM
from invrim.models.baselines import CompressedSensing, ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.operators import fft_centred, ifft_centred
from models.measurements import measurement


def test_magnitudes_of_several_coils_keep_what_was_measured():
    """Root sum of squares over coils; one coil is the magnitude itself."""
    fidelity = measurement(3)
    operator, data = fidelity.operator, fidelity.data
    image = torch.randn(*fidelity.start().shape, dtype=torch.cfloat)
    coils = operator.complete(image, data)
    kspace, mask = fft_centred(coils), operator.sampling.mask.bool().expand_as(data)
    torch.testing.assert_close(kspace[mask], data[mask])
    torch.testing.assert_close(kspace[~mask], fft_centred(operator.coils(image))[~mask])
    expected = torch.linalg.vector_norm(coils, dim=1)
    for solver in (ConjugateGradientSENSE(), CompressedSensing(), RIM(steps=1, hidden=2)):
        assert torch.equal(solver.magnitude(fidelity, image), expected)
    nothing = torch.linalg.vector_norm(ifft_centred(data * operator.sampling.mask), dim=1)
    torch.testing.assert_close(ZeroFilled().magnitude(fidelity, image), nothing)
    single = measurement(1)
    for solver in (ZeroFilled(), RIM(steps=1, hidden=2)):
        assert torch.equal(solver.magnitude(single, single.start()), single.start().abs())
