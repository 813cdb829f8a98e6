"""The interactive figures without a browser: a moved control draws the figure again, and only one figure stays open."""

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from kdlib.widgets import explore


def test_a_moved_control_draws_again() -> None:
    plt.close("all")  # of tests that this process ran before
    seen = []

    def draw(temperature: float, classes: int) -> Figure:
        seen.append((temperature, classes))
        return plt.figure()

    box = explore(draw, temperature=widgets.FloatSlider(1.0, max=9.0), classes=widgets.IntSlider(2, description="number of classes"))
    temperature, classes = box.children[0].children
    temperature.value = 4.0
    assert seen == [(1.0, 2), (4.0, 2)]
    assert (temperature.description, classes.description) == ("temperature", "number of classes")
    assert not plt.get_fignums()
