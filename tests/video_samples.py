"""Makes small video files, with and without things that must not survive, and reads and rewrites them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray
from photo_samples import SECRET, planted_jpeg, scene

from anonymizer.batches import Frames
from anonymizer.media.video import VideoReader
from anonymizer.media.video_writer import VideoWriter

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

QUIET = {"libx265": {"x265-params": "log-level=error"}}
SAMPLE_RATE = 48000


def picture(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """One frame of a clip: smooth colours that move, ``(H, W, 3)``."""
    wide = scene(height, width + 64)
    shift = 3 * index % 64
    return np.ascontiguousarray(wide[:, shift : shift + width])


def make_video(
    path: Path,
    times: Sequence[int] = range(12),
    time_base: Fraction = Fraction(1, 25),
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    matrix: Sequence[int] = (),
    aspect: Fraction = Fraction(1),
    tags: tuple[int, int, int, int] = (2, 2, 2, 0),
    frames: Sequence[av.VideoFrame] = (),
    last: int = 1,
    audio: str | None = None,
    options: dict[str, str] | None = None,
    secrets: bool = False,
) -> Path:
    """Write a clip.

    Args:
        times: of the frames, in units of ``time_base``; ``last`` is how long the last is shown.
        size: height and width of the stored pictures.
        matrix: display matrix.
        tags: primaries, transfer, matrix, range, as numbers of H.273.
        frames: what to encode instead of moving colours.
        audio: codec of a stream of sound, a rising tone.
        secrets: plant titles, a cover picture, chapters and, in Matroska, an attachment.
    """
    muxing = {"avoid_negative_ts": "disabled"}
    if path.suffix in (".mp4", ".mov"):
        muxing["movie_timescale"] = str(time_base.denominator)
    with av.open(str(path), "w", container_options=muxing) as container:
        stream = container.add_stream(codec, rate=25, options={**QUIET.get(codec, {}), **(options or {})})
        context = stream.codec_context
        context.height, context.width = size
        context.pix_fmt, context.time_base, context.sample_aspect_ratio = pixel_format, time_base, aspect
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if matrix:
            stream.set_display_matrix(matrix)
        sound = container.add_stream(audio, rate=SAMPLE_RATE) if audio else None
        if sound:
            sound.layout = "mono"
            sound.metadata["language"] = "fra"
        if secrets:
            _plant(container)
        durations = {}
        for index, time in enumerate(times):
            frame = frames[index] if frames else av.VideoFrame.from_ndarray(picture(index, *size))
            frame.pts, frame.time_base = time, time_base
            durations[time] = times[index + 1] - time if index + 1 < len(times) else last
            _mux(container, stream.encode(frame), durations)
        _mux(container, stream.encode(None), durations)
        if sound:
            begin, end = times[0] * time_base, (times[-1] + last) * time_base
            for block in tone(float(end - begin), round(begin * SAMPLE_RATE)):
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def _mux(container: OutputContainer, packets: list[av.Packet], durations: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = durations[packet.pts]
        container.mux(packet)


def tone(seconds: float, start: int = 0, hertz: float = 300) -> list[av.AudioFrame]:
    """A tone with overtones, mono, in blocks of 960 samples from sample number ``start`` on."""
    clock = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * hertz * part * clock) / part for part in (1, 2, 3)) * 0.3
    blocks = []
    for first in range(0, len(wave), 960):
        block = av.AudioFrame.from_ndarray(wave[None, first : first + 960].astype(np.float32), "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start + first, Fraction(1, SAMPLE_RATE)
        blocks.append(block)
    return blocks


def _plant(container: OutputContainer) -> None:
    secret = SECRET.decode()
    container.metadata.update(title=secret, location="+48.8584+002.2945/", comment=secret)
    for stream in container.streams:
        stream.metadata.update(title=secret, handler_name=secret)
    container.set_chapters(
        [{"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": secret}}]
    )
    if container.format.name == "matroska":
        container.add_attachment("cover.jpg", "image/jpeg", planted_jpeg())
        return
    cover = container.add_mux_stream("mjpeg", width=32, height=32)
    cover.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(planted_jpeg())
    packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
    container.mux_one(packet)


def flat(colours: NDArray[np.int64], pixel_format: str) -> list[av.VideoFrame]:
    """Frames of 16 x 16 stored values, one for each ``(Y, U, V)``."""
    frames = []
    for colour in colours:
        frame = av.VideoFrame(16, 16, pixel_format)
        for plane, value in zip(frame.planes, colour, strict=True):
            dtype = np.uint16 if pixel_format.endswith("le") else np.uint8
            plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype))
        frames.append(frame)
    return frames


def through(
    source: Path, target: Path, change: Callable[[Frames], Frames] = lambda frames: frames, **options: Any
) -> Path:
    """Read ``source`` and write what was read to ``target``."""
    with VideoReader(source) as reader, VideoWriter(target, reader, **options) as writer:
        for frames in reader.batches(5):
            writer.write(change(frames))
    return target


def read(path: Path) -> Frames:
    with VideoReader(path) as reader:
        return Frames.cat(list(reader.batches(7)))


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, Fraction, str]]]:
    """Time, duration and digest of every packet of every stream of a kind."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, Fraction, str]]] = {}
        for packet in container.demux(**{kind: tuple(range(len(getattr(container.streams, kind))))}):
            if packet.size:
                entry = packet.pts * packet.time_base, packet.duration * packet.time_base
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found.setdefault(packet.stream_index, []).append((*entry, digest))
        return list(found.values())
