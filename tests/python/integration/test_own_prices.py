"""What README and the operator's page say to do with a database of one's own."""

import pytest
from pages import OF_OWN_PRICES, checkout, require_what_is_written

pytestmark = pytest.mark.one_server

# Labels of 2006 to 2009 are shown to a fit in README; elsewhere a shorter history does.
FIRST_DAY = {"README.md": "2005"}


@pytest.mark.parametrize("page", OF_OWN_PRICES)
def test_the_commands_of_a_page_work_as_written(page, server, empty_settings, tmp_path):
    folder = checkout(tmp_path, FIRST_DAY.get(page, "2015"))
    try:
        require_what_is_written(page, empty_settings, folder)
    finally:
        server.drop_database("restored")
