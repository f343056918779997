"""The classroom: photographs, figures, explorers, checks of exercises, and losses that go wrong."""
