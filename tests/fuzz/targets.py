"""Every target, by its name."""

from tests.fuzz.export_targets import EXPORT_TARGETS
from tests.fuzz.other_targets import OTHER_TARGETS
from tests.fuzz.run_targets import RUN_TARGETS

TARGETS = {one.name: one for one in (*RUN_TARGETS, *EXPORT_TARGETS, *OTHER_TARGETS)}
