"""Arrays in; metrics, baselines and figures out. NumPy, pandas, scikit-learn and Matplotlib only."""
