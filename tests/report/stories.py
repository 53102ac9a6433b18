"""A small report with every part in it."""

import numpy as np

from invrim.evaluation import Evaluation
from invrim.report import Case, MemoryCurve, Report, TableRow, TrainingCurve, ValidationCurve


def image(seed=0, shape=(40, 30)):
    random = np.random.default_rng(seed)
    return (1e-4 * random.random(shape, dtype=np.float32).cumsum(axis=0)).astype(np.float32)


def case(**changes):
    target = image()
    fields = {
        "title": "A slice",
        "target": target,
        "zero_filled": 0.5 * target,
        "baseline": 0.8 * target,
        "baseline_name": "compressed sensing",
        "reconstruction": 0.95 * target,
        "mask": np.arange(30) % 4 == 0,
        "metrics": {"zero-filled": {"psnr": 21.26, "ssim": 0.5123}, "i-RIM": {"psnr": 35.04, "ssim": 0.9876}},
    }
    return Case(**{**fields, **changes})


def evaluation(ssim, protocol="fastmri"):
    scores = ({"nmse": 0.1 - ssim / 100, "psnr": 30 * ssim + i, "ssim": ssim + i / 100} for i in range(2))
    return Evaluation(protocol=protocol, volumes={f"{i}.h5": row for i, row in enumerate(scores)})


def report(**changes):
    methods = {"zero-filled": 0.5, "i-RIM": 0.9}
    fields = {
        "title": "Brains & <knees>",
        "summary": "What came out.",
        "cases": [case(), case(title="Another", baseline=None, baseline_name=None)],
        "table": [
            TableRow(method=m, acceleration=a, evaluation=evaluation(s)) for a in (8, 4) for m, s in methods.items()
        ],
        "training": TrainingCurve(
            steps=range(100),
            loss=np.linspace(1, 0.5, 100),
            validation=ValidationCurve(steps=[50, 100], ssim=[0.7, 0.8], psnr=[29.0, 31.5]),
            zero_filled_ssim=0.6,
        ),
        "memory": MemoryCurve(depths=[8, 1000], bytes={"store": [10**7, 10**9], "invert": [10**7, 10**7]}),
        "provenance": {"torch": "2"},
        "notes": ["A note."],
    }
    return Report(**{**fields, **changes})
