"""A figure with sliders that is alive in a rendered page and in a live kernel alike.

In a page, an explorer is plain HTML: every frame is drawn beforehand, and a few lines of script
swap them. In a live kernel it is a tree of ipywidgets that draws any value in between, and beside
it one frame as HTML, for whoever reads the saved notebook.
"""

from .axis import Axis
from .explorer import Explorer, explore
from .page import Frames

__all__ = ["Axis", "Explorer", "Frames", "explore"]
