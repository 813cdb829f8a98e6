"""The look of every interactive figure: labelled controls in a row, the picture below, all of it worked by keyboard too."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython.display import display


def explore(draw: Callable[..., plt.Figure], **controls: Any) -> widgets.VBox:
    """The controls and below them the figure ``draw(**values)``, drawn again when a control has been moved.

    ``controls`` are ipywidgets by the name of the argument of ``draw`` that they set; one without a description shows
    that name. Beside it a notebook shows ``draw`` once with fixed values, for readers without a kernel.
    """
    for name, control in controls.items():
        control.description = control.description or name
        control.style.description_width, control.layout.width = "initial", "22em"

    def show(**values: Any) -> None:
        figure = draw(**values)
        display(figure)
        plt.close(figure)  # or the inline backend would show it a second time

    row = widgets.HBox(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([row, widgets.interactive_output(show, controls)])
