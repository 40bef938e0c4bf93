"""The stages of a retrain, one file each, and what they share.

No part of it reports to anyone: the telemetry of the libraries is switched off here.
"""

import os

os.environ.update(
    GX_ANALYTICS_ENABLED="False",
    MLFLOW_DISABLE_TELEMETRY="true",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
)
