"""Floor 2: measurement physics. Knows nothing of learning."""

from invrim.operators.base import Composition, LinearOperator
from invrim.operators.cartesian import cartesian_fidelity
from invrim.operators.conjugate_gradient import conjugate_gradient
from invrim.operators.convolution import Filter, convolution
from invrim.operators.crop import crop_centre
from invrim.operators.density_compensation import density_compensation
from invrim.operators.fidelity import DataFidelity, LeastSquares, Rescaled
from invrim.operators.fourier import FourierTransform, fft_centred, ifft_centred
from invrim.operators.mri import CartesianMRI, CoilMaps, SamplingMask
from invrim.operators.noncartesian import NonCartesianMRI, noncartesian_fidelity
from invrim.operators.norm import Scaled, normalised, operator_norm
from invrim.operators.nufft import NonuniformFourierTransform
from invrim.operators.parallel_beam import ParallelBeam
from invrim.operators.real_part import RealPart
from invrim.operators.sharded import shard_fidelity
from invrim.operators.slab import encode_slices, slab_fidelity

__all__ = [
    "CartesianMRI",
    "CoilMaps",
    "Composition",
    "DataFidelity",
    "Filter",
    "FourierTransform",
    "LeastSquares",
    "LinearOperator",
    "NonCartesianMRI",
    "NonuniformFourierTransform",
    "ParallelBeam",
    "RealPart",
    "Rescaled",
    "SamplingMask",
    "Scaled",
    "cartesian_fidelity",
    "conjugate_gradient",
    "convolution",
    "crop_centre",
    "density_compensation",
    "encode_slices",
    "fft_centred",
    "ifft_centred",
    "noncartesian_fidelity",
    "normalised",
    "operator_norm",
    "shard_fidelity",
    "slab_fidelity",
]
