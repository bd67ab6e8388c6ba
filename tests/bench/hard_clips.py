"""Clips that are hard to follow: ``python tests/bench/hard_clips.py MEDIA OUT``, from real photographs and videos.

MEDIA holds the pictures that are named below in ``photos/`` and ``videos/``. Each clip is what one function says it
is; they are the same every time. ``anonymizer audit`` tells what is left of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import click
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (height, width, 3), RGB
Clip = Iterator[Picture]

RATE = 25  # frames a second
WIDTH, HEIGHT = 848, 480
COUNT = 80  # frames of a clip
SUBFRAMES = 12  # pictures that make one with motion blur
GREY = (90, 100, 110)


class Media:
    """Pictures by name, scaled and cut to fill a size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def photo(self, name: str, width: int = WIDTH, height: int = HEIGHT) -> Picture:
        picture = cv2.imread(str(self._folder / "photos" / name))
        if picture is None:
            raise click.ClickException(f"photos/{name} cannot be read")
        return fill(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), width, height)

    def video(self, name: str, width: int = WIDTH, height: int = HEIGHT, start: int = 0) -> Clip:
        """All frames from ``start``, then backwards, and so on without end."""
        with av.open(str(self._folder / "videos" / name)) as container:
            decoded = itertools.islice(container.decode(video=0), start, start + 10 * RATE)
            frames = [fill(frame.to_ndarray(format="rgb24"), width, height) for frame in decoded]
        return itertools.cycle(frames + frames[-2:0:-1])


def fill(picture: Picture, width: int, height: int) -> Picture:
    """Scale to the size and cut what is too much; of the height rather below, where there are no faces."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(picture, None, fx=scale + 1e-6, fy=scale + 1e-6, interpolation=kind)
    top, left = (picture.shape[0] - height) // 10, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def shift(picture: Picture, x: float, y: float, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """The part of ``picture`` whose corner is ``x, y``; beyond the picture it is mirrored."""
    move = np.array([[1, 0, -x], [0, 1, -y]])
    return cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REFLECT)


def plain(picture: Picture | None = None, x: int = 200, y: int = 0) -> Picture:
    """A grey frame, with ``picture`` in it."""
    frame = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    if picture is not None:
        frame[y : y + len(picture), x : x + picture.shape[1]] = picture
    return frame


def exposed(picture: Callable[[float], Picture], time: float, shutter: float) -> Picture:
    """The mean of what ``picture`` shows from ``time`` on, for the part ``shutter`` of a frame."""
    parts = [picture(time + shutter * part / SUBFRAMES).astype(np.float32) for part in range(SUBFRAMES)]
    return np.mean(parts, axis=0).astype(np.uint8)


def swing(time: float, first: float, last: float, period: float) -> float:
    """To and fro between ``first`` and ``last``, once in ``period`` frames, at constant speed."""
    return first + (last - first) * (1 - abs(2 * (time / period % 1) - 1))


def pan(media: Media, shutter: float) -> Clip:
    """Over more than twenty people, to and fro at 50 and 130 pixels a frame."""
    photo = media.photo("group-1.jpg", 2000, 1500)
    for period in (46, 18):
        for n in range(period):
            yield exposed(lambda t, p=period: shift(photo, swing(t, 0, 2000 - WIDTH, p), 380), n, shutter)


def bar(media: Media, width: int, speed: float) -> Clip:
    """A post passes before a face, to and fro."""
    for n, frame in zip(range(COUNT), media.video("talking_b_512.mp4", HEIGHT, HEIGHT), strict=False):
        x = round(swing(n, 100, WIDTH - 100 - width, 2 * (WIDTH - 200 - width) / speed))
        yield cv2.rectangle(plain(frame), (x, 0), (x + width, HEIGHT), (40, 60, 50), -1)


def curtain(media: Media) -> Clip:
    """A face hides behind a curtain for 5, 12, 20 frames, and is seen for two to four in between."""
    closed = {*range(10, 15), *range(17, 29), *range(31, 51), *range(55, 67)}
    for n, frame in zip(range(COUNT), media.video("talking_a_512.mp4", HEIGHT, HEIGHT), strict=False):
        yield plain() if n in closed else plain(frame)


def cut_out(media: Media, size: int) -> Iterator[tuple[Picture, NDArray[np.float32]]]:
    """A person before green: pixels and opacity ``(size, size, 1)``."""
    for frame in media.video("head_moves_512.mp4", size, size):
        red, green, blue = np.moveaxis(frame.astype(np.float32), 2, 0)
        opacity = 1 - np.clip((green - np.maximum(red, blue) - 10) / 30, 0, 1)
        yield frame, cv2.GaussianBlur(opacity, (0, 0), 1)[..., None]


def put(place: Picture, person: tuple[Picture, NDArray[np.float32]], x: float, y: float) -> Picture:
    """``person`` before ``place``, perhaps only a part within the frame."""
    move = np.array([[1, 0, x], [0, 1, y]])
    colour = cv2.warpAffine(person[0], move, (WIDTH, HEIGHT))
    opacity = cv2.warpAffine(person[1], move, (WIDTH, HEIGHT))[..., None]
    return (place + opacity * (colour.astype(np.float32) - place)).astype(np.uint8)


def passer(media: Media, speed: float, count: int, size: int = 380, shutter: float = 0.25) -> Clip:
    """Somebody crosses the picture from border to border, before somebody else, to and fro."""
    way = WIDTH + size
    for n, person, place in zip(range(count), cut_out(media, size), media.video("woman_turns_720p.mp4"), strict=False):
        yield exposed(
            lambda t, p=person, b=place: put(b, p, swing(t, -size, WIDTH, 2 * way / speed), HEIGHT - size), n, shutter
        )


def leaner(media: Media, size: int = 380, wait: int = 40) -> Clip:
    """Somebody leans over the border until it cuts the face, more each time, waits there and comes back."""
    whole, cut = 0.85, (0.5, 0.42, 0.36)
    stays = [(whole, wait // 4), *itertools.chain.from_iterable(((part, wait), (whole, wait // 4)) for part in cut)]
    shown = [np.linspace(a, b, 12) for (a, _), (b, _) in itertools.pairwise(stays)]
    ways = itertools.chain.from_iterable(
        itertools.chain(itertools.repeat(part, count), way) for (part, count), way in zip(stays, shown, strict=False)
    )
    for part, person, place in zip(ways, cut_out(media, size), media.video("woman_turns_720p.mp4"), strict=False):
        yield put(place, person, WIDTH - part * size, HEIGHT - size)


def turned(media: Media) -> Clip:
    """A head that cannot be made out for one or two frames, several times."""
    away = {20, 33, 34, 46, 59, 60}
    for n, frame in zip(range(COUNT), media.video("woman_turns_720p.mp4"), strict=False):
        yield cv2.GaussianBlur(frame, (0, 0), 14) if n in away else frame


def glimpses(media: Media, size: int) -> Clip:
    """Faces that show for one, two or three frames only, here and there, in a picture that else is still."""
    faces = media.video("talking_a_512.mp4", size, size)
    shown = {13: 0, 26: 1, 27: 1, 41: 2, 42: 2, 43: 2, 57: 3, 69: 4, 70: 4}
    for n, face in zip(range(COUNT), faces, strict=False):
        yield plain(face, 60 + 150 * shown[n], 40 + 65 * shown[n]) if n in shown else plain()


def flashes(media: Media) -> Clip:
    """One and three frames nearly white, then one and three black."""
    lights = {15: 0.94, 30: 0.94, 31: 0.94, 32: 0.94, 50: 0.0, 63: 0.0, 64: 0.0, 65: 0.0}
    for n, frame in zip(range(COUNT), media.video("woman_turns_720p.mp4"), strict=False):
        yield cv2.addWeighted(frame, 0.06, frame, 0, 255 * lights[n]) if n in lights else frame


def scenes(media: Media) -> list[Clip]:
    photos = ("group-3.jpg", "stock-emotions-a-4.jpg", "2008_001322.jpg")
    videos = ("talking_a_512.mp4", "woman_turns_720p.mp4", "sign_help.mkv")
    stills = [itertools.repeat(media.photo(name)) for name in photos]
    return [scene for pair in zip(stills, (media.video(name) for name in videos), strict=True) for scene in pair]


def cuts(media: Media, every: int) -> Clip:
    """Cut between three photographs and three videos, back and forth, every few frames."""
    order = scenes(media)
    for n in range(2 * COUNT):
        yield next(order[round(swing(n // every, 0, 5, 10))])


def dissolves(media: Media) -> Clip:
    """Three scenes melt into one another, each within a second."""
    photos = [media.photo(name).astype(np.float32) for name in ("erling.jpg", "group-4.jpg", "person-tasia.jpg")]
    for n in range(3 * RATE):
        share, a, b = n % RATE / RATE, photos[n // RATE], photos[(n // RATE + 1) % 3]
        yield (a + share * (b - a)).astype(np.uint8)


def shaken(media: Media) -> Clip:
    """A face in a camera that shakes by up to 70 pixels a frame, with the shutter open all the time."""
    frames = media.video("woman_turns_720p.mp4", WIDTH + 200, HEIGHT + 120)
    for n, frame in zip(range(COUNT), frames, strict=False):
        yield exposed(
            lambda t, f=frame: shift(f, 100 + 90 * math.sin(0.7 * t), 60 + 55 * math.sin(1.1 * t)), n, shutter=1
        )


def zoom(media: Media) -> Clip:
    """Slowly into a group of more than twenty people."""
    photo = media.photo("group-1.jpg", 1600, 1200)
    for n in range(COUNT):
        width = 1600 - 8 * n
        height = width * HEIGHT // WIDTH
        part = photo[300 : 300 + height, 4 * n : 4 * n + width]
        yield cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def tiled(pictures: Iterable[Picture], columns: int) -> Picture:
    row = list(pictures)
    return np.vstack([np.hstack(row[start : start + columns]) for start in range(0, len(row), columns)])


def crowd(media: Media) -> Clip:
    """Forty faces, each of which moves."""
    names = ("talking_a_512.mp4", "talking_b_512.mp4", "head_moves_512.mp4", "sign_help.mkv")
    size = HEIGHT // 5
    many = [media.video(name, size + 24, size + 24, start=7 * row) for row in range(5) for name in 2 * names]
    for n in range(COUNT):
        ways = [(12 + 12 * math.sin(n / 5 + k), 12 + 12 * math.cos(n / 6 + k)) for k in range(len(many))]
        picture = tiled((shift(next(face), *way, size, size) for face, way in zip(many, ways, strict=True)), 8)
        yield cv2.copyMakeBorder(picture, 0, 0, 0, WIDTH - picture.shape[1], cv2.BORDER_CONSTANT, value=GREY)


def call(media: Media) -> Clip:
    """A video call of five people, 1080p, nine seconds."""
    above = [media.video(name, 960, 540) for name in ("woman_turns_720p.mp4", "talking_b_512.mp4")]
    names = ("talking_a_512.mp4", "portrait_720x1080.mp4", "sign_sister.mkv")
    below = [media.video(name, 640, 540) for name in names]
    for _ in range(9 * RATE):
        yield np.vstack([np.hstack([next(face) for face in row]) for row in (above, below)])


CLIPS: dict[str, Callable[[Media], Clip]] = {
    "pan_blurred": lambda media: pan(media, shutter=0.5),
    "pan_sharp": lambda media: pan(media, shutter=0.1),
    "bar_slow": lambda media: bar(media, width=200, speed=8),
    "bar_fast": lambda media: bar(media, width=240, speed=60),
    "curtain": curtain,
    "passer_slow": lambda media: passer(media, speed=12, count=2 * COUNT),
    "passer_fast": lambda media: passer(media, speed=80, count=COUNT),
    "leaner": leaner,
    "turned": turned,
    "glimpses": lambda media: glimpses(media, size=160),
    "glimpses_small": lambda media: glimpses(media, size=48),
    "flashes": flashes,
    "cuts_1s": lambda media: cuts(media, every=RATE),
    "cuts_5": lambda media: cuts(media, every=5),
    "cuts_2": lambda media: cuts(media, every=2),
    "dissolves": dissolves,
    "shaken": shaken,
    "zoom": zoom,
    "crowd": crowd,
    "call_1080p": call,
}


def write(path: Path, pictures: Clip) -> None:
    """H.264, 4:2:0."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        first = next(pictures)
        stream.height, stream.width = first.shape[:2]
        for picture in itertools.chain([first], pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))))
        container.mux(stream.encode())


@click.command()
@click.argument("media", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--only", multiple=True, type=click.Choice(list(CLIPS)), help="Make these clips only.")
def main(media: Path, out: Path, only: tuple[str, ...]) -> None:
    """Make all clips."""
    out.mkdir(parents=True, exist_ok=True)
    for name in only or CLIPS:
        write(out / f"{name}.mp4", CLIPS[name](Media(media)))
        click.echo(name)


if __name__ == "__main__":
    main()
