"""What teaches and diagnoses: pictures, explorers, checks of exercises, and tests of functions."""
