"""The loss curve of a run that was killed while it wrote a point."""

import pytest

from ddpm_ref.report import _forget_after

HEADER = "step,loss,learning_rate,images_per_second\n"
ROWS = "50,0.5,1.0e-3,10.0\n100,0.4,1.0e-3,10.0\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (HEADER + ROWS, ROWS),
        (HEADER + ROWS + "150,0.3,1.0e-3,10.0\n", ROWS),
        (HEADER + ROWS + "12", ROWS),  # the beginning of 120: not step 12
        (HEADER + ROWS + "90,0.3,1.0e-3,1", ROWS),
        (HEADER + ROWS + "\n,,,\nx,1,1,1\n", ROWS),
        (HEADER[:10], ""),
        ("", ""),
    ],
)
def test_an_incomplete_line_of_the_log_is_dropped(tmp_path, text, kept):
    log = tmp_path / "log.csv"
    log.write_text(text)
    _forget_after(log, 100)
    assert log.read_text() == HEADER + kept
