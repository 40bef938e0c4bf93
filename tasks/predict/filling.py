"""What stands in for missing values of rows to predict: the last one before, as in training.

In: Inputs and the version that answers. Out: a file beside which blocks of rows are laid. Its
making takes memory that grows with the rows, by the columns that it needs alone.
"""

from pathlib import Path

from tasks.database import columns, connect, literal
from tasks.forward_fill import FILE, StandIns, filled_features, stretches, write_before
from tasks.predict.inputs import Inputs
from tasks.predict.model import Answering


def stand_ins(model: Answering, inputs: Inputs, folder: Path) -> StandIns:
    """Return what stands in for missing values, kept in `folder`; nothing where none is filled."""
    contract, file = model.contract, folder / FILE
    filled = filled_features(contract)
    if not filled or not inputs.rows:
        return StandIns(file)
    names = columns(list(dict.fromkeys([*contract.key, contract.time or "", *filled])))
    local = inputs.local
    addresses = inputs.files if local else tuple(map(inputs.fs.unstrip_protocol, inputs.files))
    parts, start = [], 0
    for address, count in zip(addresses, inputs.counts, strict=True):
        reader = f"read_parquet({literal(str(address))}, file_row_number = true)"
        parts.append(f"SELECT {names}, file_row_number + {start} AS _row FROM {reader}")
        start += count
    with connect(addresses, None if local else inputs.fs) as database:
        database.execute(f"CREATE VIEW kept AS {' UNION ALL '.join(parts)}")
        write_before(contract, database, stretches(inputs.rows), file)
    return StandIns(file)
