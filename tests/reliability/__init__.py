"""What holds when processes die, disks and stores fail, and others interfere."""

import pytest

pytest.register_assert_rewrite("tests.reliability.stage")
