"""How good predictions are: metrics, intervals, calibration. NumPy alone."""
