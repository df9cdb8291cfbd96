"""``benchmarks.growth``: a further copy of a recording is whole, and holds other samples."""

import numpy as np
import pytest
import soundfile

from benchmarks.growth import write_copy
from separation.audio.containers import find_ogg_fault
from tests.conftest import make_voice


@pytest.mark.parametrize(("suffix", "subtype"), [(".opus", "OPUS"), (".flac", "PCM_16")])
def test_a_further_copy_holds_other_samples_and_is_whole(suffix, subtype, tmp_path):
    """Stage 1 left copies out, so twenty hours were packed as five."""
    path = tmp_path / f"a{suffix}"
    form = "OGG" if suffix == ".opus" else "FLAC"
    soundfile.write(path, make_voice(1, 120, 1.0, 16000), 16000, subtype, format=form)
    heard = []
    for copy in range(3):
        write_copy(path, tmp_path / f"copy{copy}{suffix}", copy)
        heard.append(soundfile.read(tmp_path / f"copy{copy}{suffix}")[0])
        assert suffix != ".opus" or find_ogg_fault(tmp_path / f"copy{copy}{suffix}") == ""
    assert len({samples.tobytes() for samples in heard}) == 3
    assert all(len(samples) == 16000 for samples in heard)
    np.testing.assert_allclose(heard[2], heard[0], atol=0.05)
