"""Serving: MLflow's own scoring server around a registered version, strict about what it is asked.

`app.served` loads a version as the server's application; `app.Current` passes requests on to one
that may be changed for another while the server runs.
"""
