"""How far a reconstruction is from its target: NMSE, PSNR, SSIM and VIF, as tensors in and tensors out."""

from invrim.metrics.errors import nmse, psnr
from invrim.metrics.information import vif
from invrim.metrics.similarity import slice_similarity, ssim

__all__ = ["nmse", "psnr", "slice_similarity", "ssim", "vif"]
