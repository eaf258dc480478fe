{# The window_hash of a window: the xor of the feature_hash of its rows, in 16 hexadecimal digits.
   It is computed from two rows of running_hashes, the last row of the window and the row before its
   first: the xor of all earlier rows cancels out. The row before is null if the window begins with
   the instrument's first row. The xor is written (a | b) - (a & b), because sqlfluff does not know
   Postgres's operator. #}
{% macro window_hash_between(until_first, until_last) -%}
    {%- set first = 'coalesce(' ~ until_first ~ '.hash_until, 0)' -%}
    {%- set last = until_last ~ '.hash_until' -%}
    lpad(to_hex(({{ last }} | {{ first }}) - ({{ last }} & {{ first }})), 16, '0')
{%- endmacro %}
