"""Find labels that are probably wrong, and images that need a look for other reasons."""
