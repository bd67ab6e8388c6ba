"""What a result is to say about itself, as far as its format has a place for it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from anonymizer.config import Config
from anonymizer.credentials import TYPES, Signer, sign
from anonymizer.media.statement import SILENT, Statement
from anonymizer.provenance import UNMARKED, statement_on
from pipelines.report import Result
from pipelines.settings import OutputConfig


def marks_of(result: Result, kind: str, config: Config, output: OutputConfig) -> Statement:
    """The statement to write, and to sign if that is asked for; what cannot be said is noted in ``result``.

    Args:
        result: with the outcomes of all faces.
        kind: the format, by Pillow's or FFmpeg's name.

    Raises:
        ConfigError: the files to sign with cannot be read.
    """
    if not output.disclosure:
        return SILENT
    says, name = statement_on(result.faces), result.job.source.name
    if says.source_type and kind in UNMARKED:
        result.notes.append(f"{name} cannot say that its faces are generated: its format has no place for that")
    if output.sign is None:
        return says
    if kind not in TYPES:
        result.notes.append(f"{name} is not signed: its format has no place for that")
        return says
    signer, method = Signer.read(*output.sign), config.generate.method
    done = partial(sign, faces=dict(result.faces), frames=result.frames, method=method)
    return replace(says, seal=partial(done, signer=signer, says=says))
