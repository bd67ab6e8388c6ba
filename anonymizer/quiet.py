"""OpenVINO with its telemetry off: import it from here, never directly.

By default OpenVINO reports every conversion of a network to its makers' analytics service. Nobody is to learn from
this program that it runs; without the package that sends the reports OpenVINO sends none.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # "there is no such package"

import openvino  # noqa: E402

__all__ = ["openvino"]
