"""From files on disk to labelled images, splits and pixels."""
