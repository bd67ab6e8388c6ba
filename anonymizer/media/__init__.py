"""Photographs and videos: reading and writing them.

Modules, lower ones first: ``files``, ``statement``; for photographs ``icc``, ``deep``, ``formats``, ``image``; for
videos ``colour``, ``matroska``, ``mp4``, ``demux``, ``video_info``, ``timeline``, ``encoders``, ``headers``,
``tracks``, ``voice``, ``video``, ``picture_encoder``, ``output``, ``video_writer``, ``parts``; for both
``statement_reader``.
"""

from anonymizer.media.image import Image, read_image, write_image
from anonymizer.media.video import VideoReader
from anonymizer.media.video_info import VideoInfo
from anonymizer.media.video_writer import AudioMode, VideoWriter

__all__ = [
    "AudioMode",
    "Image",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "read_image",
    "write_image",
]
