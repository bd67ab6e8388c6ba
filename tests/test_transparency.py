"""A face that only transparency draws is a face."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from anonymizer import Anonymizer, Config, GenerateConfig
from anonymizer.media.image import read_image
from pipelines.images import alpha_without_faces


def test_a_face_drawn_by_transparency_is_hidden(tmp_path: Path, picture: Tensor) -> None:
    ink = 255 - picture.float().mean(2).byte().numpy()
    Image.fromarray(np.dstack([np.zeros_like(picture.numpy()), ink])).save(tmp_path / "ink.png")
    image = read_image(tmp_path / "ink.png")
    assert image.alpha is not None
    alpha = alpha_without_faces(image, Anonymizer(Config(generate=GenerateConfig(method="solid"))))
    assert alpha is not None
    for x in (168, 472):
        assert (alpha[160:230, x - 30 : x + 30] == 255).all()
    assert np.array_equal(alpha[:40], image.alpha[:40])
