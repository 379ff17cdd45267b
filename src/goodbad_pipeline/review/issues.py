"""Images that need a look for reasons other than a wrong label."""

ISSUES = (
    "label",
    "outlier",
    "dark",
    "overexposed",
    "blurred",
    "uniform",
    "odd_size",
    "odd_aspect_ratio",
    "near_duplicate",
)
"""Values of the column ``issue``. If several issues apply to an image, the first in this order is named."""
