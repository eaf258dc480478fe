-- A file without adjusted closes may not change a close whose adjusted close would stay.
update staged_prices as staged
set reason = 'close differs from the stored ' || stored.close
    || ', which has an adjusted_close, and the file has none: load both'
from stored_prices as stored
where staged.file_number = %(file_number)s
    and staged.reason is null
    and stored.instrument_id = staged.instrument_id
    and stored.trade_date = staged.trade_date
    and stored.close is distinct from staged.close
    and stored.adjusted_close is not null
