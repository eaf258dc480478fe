{# The window_hash of the rows after one row of running_hashes up to another: equal to the macro
   window_hash of them, since the xor of all rows up to the first cancels out. The first is null
   where the window begins with the instrument. #}
{% macro window_hash_between(until_first, until_last) -%}
    lpad(to_hex({{ until_last }}.hash_until # coalesce({{ until_first }}.hash_until, 0)), 16, '0')
{%- endmacro %}
