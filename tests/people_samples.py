"""Pictures and videos of people who do not exist; the fixture ``views`` draws them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

ANN, BEA, CLEO = 2, 3, 8  # seeds of people who are known again in other poses


def wall(*portraits: Tensor) -> Tensor:
    """``(360, W, 3)``: some people side by side."""
    picture = torch.full((360, 20 + 290 * len(portraits), 3), 128, dtype=torch.uint8)
    for place, portrait in enumerate(portraits):
        picture[60:316, 20 + 290 * place : 276 + 290 * place] = portrait
    return picture


def film(path: Path, pictures: list[Tensor]) -> Path:
    """A video without losses."""
    with av.open(str(path), "w") as container:
        height, width, _ = pictures[0].shape
        stream = container.add_stream("libx264", rate=25, options={"crf": "8", "g": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()))))
        container.mux(stream.encode(None))
    return path
