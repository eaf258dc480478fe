{# The window_hash of the rows after one row of running_hashes up to another: equal to the macro
   window_hash of them, since the xor of all rows up to the first cancels out. The first is null
   where the window begins with the instrument. The xor is (a | b) - (a & b), since sqlfluff does not
   know Postgres's sign for it. #}
{% macro window_hash_between(until_first, until_last) -%}
    {%- set first = 'coalesce(' ~ until_first ~ '.hash_until, 0)' -%}
    {%- set last = until_last ~ '.hash_until' -%}
    lpad(to_hex(({{ last }} | {{ first }}) - ({{ last }} & {{ first }})), 16, '0')
{%- endmacro %}
