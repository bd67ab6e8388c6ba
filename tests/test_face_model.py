"""The average face, held as five landmarks show it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anonymizer.face_model import Pose, features, load_face_model


@given(st.floats(-80, 80), st.floats(-25, 25), st.floats(-45, 45), st.floats(10, 300))
@settings(deadline=None, max_examples=30)
def test_landmarks_of_the_average_face_give_it_back(yaw: float, pitch: float, roll: float, size: float) -> None:
    model = load_face_model()
    turn = torch.from_numpy(Rotation.from_euler("ZXY", [roll, pitch, yaw], degrees=True).as_matrix()).float()
    pose = Pose(turn[None], torch.tensor([size]), torch.tensor([[400.0, 300.0, 0.0]]))
    expected = model.place(model.mean[None], pose)
    found = model.fit_landmarks(features(expected))
    assert (found - expected)[..., :2].norm(dim=2).max() < 0.05 * size
    assert (model.pose(found).degrees - model.pose(expected).degrees).abs().max() < 3
