"""The average face, held as five landmarks show it."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anonymizer.face_model import (
    LINEAR,
    LOWER_LIDS,
    SHUT,
    UPPER_LIDS,
    Pose,
    features,
    load_face_model,
    measure_expression,
)


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


@given(st.floats(SHUT + 0.02, 0.15), st.floats(SHUT + 0.02, 0.15))
def test_each_eye_opens_by_the_share_that_is_wanted_and_moves_its_upper_lid_alone(left: float, right: float) -> None:
    model = load_face_model()
    own = measure_expression(model.mean[None])
    wanted = own.clone()
    wanted[:, LINEAR:] = torch.tensor([left, right])
    found = model.express(model.mean[None], wanted)
    share = (measure_expression(found) / own)[:, LINEAR:]
    assert torch.allclose(share, ((wanted - SHUT) / (own - SHUT))[:, LINEAR:], atol=1e-3)
    others = [point for point in range(len(model.mean)) if point not in sum(UPPER_LIDS, ())]
    assert torch.equal(found[0, others], model.mean[others])


def test_eyes_that_shut_do_not_turn_over() -> None:
    model = load_face_model()
    wanted = measure_expression(model.mean[None])
    wanted[:, LINEAR:] = -1.0
    found = model.express(model.mean[None], wanted)
    for lower, upper in zip(LOWER_LIDS, UPPER_LIDS, strict=True):
        assert (found[:, upper, 1] < found[:, lower, 1]).all()
