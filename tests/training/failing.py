"""A process of a run that fails in one way, as a script: python failing.py HOW RANK.

HOW: `error` raises in the process of this rank, `kill` ends it without a word, `hang` never happens: the
others would wait for ever if nobody told them.
"""

from __future__ import annotations

import os
import signal
import sys

from mmagent.errors import UserError
from mmagent.training.processes import joined, leave, meet
from mmagent_cli import failure


def main() -> int:
    how, rank = sys.argv[1], sys.argv[2]
    try:
        with joined("cpu") as accelerator:
            for step in range(3):
                if step == 1 and os.environ["RANK"] == rank:
                    if how == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise UserError("row 7 cannot be read.")
                meet(accelerator, 1.0)
    except Exception as error:
        return failure.report(error, command="failing", debug=False)
    return 0


if __name__ == "__main__":
    leave(main())
