"""The figure of bias against variance over the iterations."""

import numpy as np

from tests.report.content import OBSERVABLES, progressed, texts
from truthward.report import progress, style


def test_bias_and_variance_are_those_of_the_iterations():
    figure = progress.bias_and_variance(progressed(), OBSERVABLES)
    assert len(figure.axes) == 5
    lines = {line.get_color(): line.get_xydata() for line in figure.axes[1].lines if len(line.get_xdata()) > 2}
    np.testing.assert_allclose(lines[style.PRIOR][:, 1], 40 * 0.5 ** np.arange(6))
    np.testing.assert_allclose(lines[style.DATA][:, 0], np.arange(1, 6))
    np.testing.assert_allclose(lines[style.DATA][-1, 1], 100 * np.hypot(0.010, 0.004) * np.sqrt(5))
    assert "distance from the truth" in texts(figure)
    without = texts(progress.bias_and_variance(progressed(truth=False), OBSERVABLES))
    assert "distance from the truth" not in without
    assert "statistical uncertainty only" in without
    assert not any("total" in text for text in without)
    none = progress.bias_and_variance({"method": "ibu", "progress": None}, OBSERVABLES)
    assert "this method keeps no iterations" in texts(none)
