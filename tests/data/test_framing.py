"""How a face is framed."""

from __future__ import annotations

import numpy as np

from lfdm_diffusers.data.framing import frame_of_face


def test_frame_of_face_moves_and_grows_with_the_face():
    eyes, mouth = np.array([[40.0, 50.0], [60.0, 50.0]]), np.array([50.0, 72.0])
    middle, side = frame_of_face(eyes, mouth)
    again, larger = frame_of_face(2 * eyes + 7, 2 * mouth + 7)
    assert np.allclose(again, 2 * middle + 7) and np.isclose(larger, 2 * side)
    assert middle[0] == 50 and 50 < middle[1] < 72 and 80 < side < 110


def test_a_face_that_looks_down_is_framed_by_its_eyes():
    """From above, eyes and mouth are near each other; the head is as large as ever."""
    eyes = np.array([[40.0, 50.0], [60.0, 50.0]])
    middle, side = frame_of_face(eyes, np.array([50.0, 58.0]))
    assert np.isclose(side, 4.3 * 0.95 * 20) and np.allclose(middle, [50, 50 + 0.22 * 0.95 * 20])
