"""Does an image, or a near copy, lie on two sides of the split?"""

import pandas as pd

_SAME = {"group": "groups", "image_id": "files", "pixel_id": "images"}


def find_leaks(splits: pd.DataFrame, seen_before: int = 0) -> list[str]:
    """Name what lies in more than one split: groups, equal files, equal pixels; empty where nothing does.

    Args:
        splits: Rows with split and group, and image_id and pixel_id where they are known.
        seen_before: Test images that the weights had seen which the model started from.
    """
    leaks = []
    for column, name in _SAME.items():
        if column in splits.columns:
            sides = splits.groupby(column)["split"].nunique()
            torn = sides[sides > 1]
            if len(torn):
                leaks.append(f"{len(torn)} {name} lie in more than one split (first: {torn.index[0]})")
    if seen_before:
        tested = int((splits["split"] == "test").sum())
        whose = f"{seen_before} of {tested} test images or others of their groups"
        leaks.append(f"the weights it started from were trained or selected on {whose}")
    return leaks
