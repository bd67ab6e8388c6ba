"""Makes ``sample_media/``: ``python tests/make_sample_media.py``. Nobody in it exists.

Two photographs, six seconds of video, and the picture of the README, drawn by the project's own generator. The people
of the video turn their heads and talk; one of them comes in late and leaves early.
"""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from anonymizer import Anonymizer, Config, GenerateConfig
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.personas import Order, Studio
from anonymizer.mesh import MeshEstimator

FOLDER = Path(__file__).parent.parent / "sample_media"
PICTURE = Path(__file__).parent / "pictures" / "before_after.jpg"  # for the README
RATE, SECONDS, SOUND_RATE = 25, 6, 44100
PEOPLE = (11, 23, 37)  # seeds
HEIGHT = 360
REST = load_condition().neutral.tolist()


def portraits(studio: Studio, seed: int, conditions: list[tuple[float, ...]], size: int) -> Tensor:
    """``(N, size, size, 3)`` uint8."""
    drawn = studio.portraits([Order(Persona(seed), condition, size) for condition in conditions], keep=False)
    pixels = torch.stack([portrait.pixels for portrait in drawn])
    return (pixels * 255).round().byte().permute(0, 2, 3, 1)


def turning(person: int) -> list[tuple[float, ...]]:
    """What a person does, frame by frame: yaw, pitch, mouth."""
    result = []
    for frame in range(RATE * SECONDS):
        phase = 2 * math.pi * frame / (RATE * SECONDS)
        yaw = 28 * math.sin(phase * (1 + person) + person)
        pitch = 7 * math.sin(2 * phase + 2 * person)
        talk = 0.12 * max(0.0, math.sin(phase * 14 + person)) * (math.sin(phase * 3 + person) > 0)
        result.append((yaw, pitch, 0.05 + talk, REST[3]))
    return result


def resized(pictures: Tensor, size: int) -> Tensor:
    """``(N, S, S, 3)`` uint8 at another size."""
    small = F.interpolate(pictures.permute(0, 3, 1, 2).float(), size, mode="bilinear", antialias=True)
    return small.round().byte().permute(0, 2, 3, 1)


def film(studio: Studio) -> np.ndarray:
    """``(N, 360, 640, 3)`` uint8: three people side by side before a wall."""
    count = RATE * SECONDS
    wall = torch.linspace(96, 150, HEIGHT)[None, :, None, None].byte().expand(count, HEIGHT, 640, 3).clone()
    wall[..., 2] += 14
    for person, (seed, left, size) in enumerate(zip(PEOPLE, (0, 213, 426), (214, 214, 214), strict=True)):
        pictures = resized(portraits(studio, seed, turning(person), 256), size)
        top = 90 + 20 * person
        inside = slice(round(0.25 * count), round(0.8 * count)) if person == 2 else slice(None)
        wall[inside, top : top + size, left : left + size] = pictures[inside]
    return wall.numpy()


def sound() -> np.ndarray:
    """``(1, N)`` float32: something like voices, from two buzzing tones with syllables."""
    time = np.arange(SOUND_RATE * SECONDS) / SOUND_RATE
    voices = [
        sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 12))
        * np.clip(np.sin(2 * np.pi * pace * time), 0, 1)
        for pitch, pace in ((118, 2.3), (205, 1.7))
    ]
    return (0.1 * np.sum(voices, axis=0)).astype(np.float32)[None]


def write_film(path: Path, pictures: np.ndarray, samples: np.ndarray) -> None:
    """H.264 and AAC in MP4."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "26", "preset": "slow"})
        video.height, video.width, video.pix_fmt = *pictures.shape[1:3], "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = SOUND_RATE
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    cpu = torch.device("cpu")
    studio = Studio(cpu, MeshEstimator(cpu), truncation=0.7, batch_size=2)
    [single] = portraits(studio, 5, [(-12.0, 2.0, 0.05, REST[3])], 1024)
    Image.fromarray(resized(single[None], 640)[0].numpy()).save(FOLDER / "portrait.jpg", quality=90)
    group = [
        resized(portraits(studio, seed, [(yaw, 0.0, 0.06, REST[3])], 512), 400)[0]
        for seed, yaw in ((51, 14.0), (62, 0.0), (77, -14.0))
    ]
    Image.fromarray(torch.cat(group, dim=1).numpy()).save(FOLDER / "group.png")
    write_film(FOLDER / "conversation.mp4", film(studio), sound())
    before = torch.cat(group, dim=1)
    after = Anonymizer(Config(generate=GenerateConfig(seed=8))).image(before)
    Image.fromarray(torch.cat([before, after]).numpy()).resize((900, 600)).save(PICTURE, quality=88)


if __name__ == "__main__":
    main()
