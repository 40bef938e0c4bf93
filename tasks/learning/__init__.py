"""The numeric core: preprocessing, networks, losses, fitting, predicting, scoring.

Keras 3, NumPy and PyArrow alone: no Prefect, no MLflow, no Great Expectations.
"""
