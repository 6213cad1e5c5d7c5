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
    more = progressed(truth=False)
    more["families"] = {"mc_bootstrap": 30, **more["families"], "systematic:regularisation": 2}
    incomplete = progress.bias_and_variance(more, OBSERVABLES)
    assert "sum of these" in texts(incomplete), "a declared family is in no curve"
    drawn = {line.get_color() for line in incomplete.axes[1].lines}
    assert style.METHODS[1] in drawn
    assert style.METHODS[0] not in drawn, "the colour of a family is the one that it has in all figures"
    none = progress.bias_and_variance({"method": "ibu", "progress": None}, OBSERVABLES)
    assert "this method keeps no iterations" in texts(none)
